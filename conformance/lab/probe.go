package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ProbeOptions are how patient a probe is. The zero value is good.
type ProbeOptions struct {
	// Quiet is how long nothing may happen on any flow before those without
	// an answer count as silent; 350 ms if 0.
	Quiet time.Duration
	// Once believes silence the first time. By default silent flows are tried
	// a second time, so that a busy machine denies nothing.
	Once bool
	// Parallel is how many flows are under way at a time; 2048 if 0.
	Parallel int
}

// Probe tries all flows at once and says which reached their destination and
// were answered. It fails if a flow could not be tried.
func (l *Lab) Probe(ctx context.Context, flows []Flow) ([]bool, error) {
	results, err := l.ProbeResults(ctx, flows, ProbeOptions{})
	if err != nil {
		return nil, err
	}
	reached := make([]bool, len(flows))
	var errs []error
	for i, r := range results {
		reached[i] = r.Outcome == Reached
		if r.Outcome == Unsendable {
			errs = append(errs, fmt.Errorf("probe %s: %w", flows[i], r.Err))
		}
	}
	return reached, errors.Join(errs...)
}
