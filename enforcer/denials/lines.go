package denials

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Missed says that denials are missing before it in a stream.
type Missed struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Missed is how many.
	Missed uint64 `json:"missed"`
}

// NewMissed says that so many are missing.
func NewMissed(n uint64) Missed { return Missed{APIVersion, MissedKind, n} }

// WriteLines writes denials as JSON, one a line: the earlier ones, and then what comes,
// until the context ends or the writer fails. A writer that is too slow misses some, and is
// told how many. Without a subscription nothing comes.
func WriteLines(ctx context.Context, sub *Subscription, earlier []*Denial, w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	write := func(v any) error {
		if err := e.Encode(v); err != nil {
			return fmt.Errorf("write denials: %w", err)
		}
		return nil
	}
	for _, d := range earlier {
		if err := write(d); err != nil {
			return err
		}
	}
	for sub != nil {
		select {
		case <-ctx.Done():
			return nil
		case d := <-sub.C():
			if err := write(d); err != nil {
				return err
			}
		}
		if n := sub.Missed(); n > 0 {
			if err := write(NewMissed(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mostLine bounds a line that is read: a denial names a dozen objects at most.
const mostLine = 64 << 10

// ParseLine reads a line that WriteLines has written: a denial, or how many are missing.
func ParseLine(line []byte) (d *Denial, missed uint64, err error) {
	if len(line) > mostLine {
		return nil, 0, fmt.Errorf("read denial: a line of %d bytes is longer than %d", len(line), mostLine)
	}
	var of struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(line, &of); err != nil {
		return nil, 0, fmt.Errorf("read denial: %w", err)
	}
	switch {
	case of.APIVersion != APIVersion:
		return nil, 0, fmt.Errorf("read denial: apiVersion: %q is not %s: use the command and the agent of one version", shorten(of.APIVersion), APIVersion)
	case of.Kind == MissedKind:
		var m Missed
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, 0, fmt.Errorf("read denial: %w", err)
		}
		return nil, m.Missed, nil
	case of.Kind != Kind:
		return nil, 0, fmt.Errorf("read denial: kind: %q is neither %s nor %s", shorten(of.Kind), Kind, MissedKind)
	}
	d = &Denial{}
	if err := json.Unmarshal(line, d); err != nil {
		return nil, 0, fmt.Errorf("read denial: %w", err)
	}
	return d, 0, nil
}
