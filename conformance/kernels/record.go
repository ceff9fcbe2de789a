package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// kept is what all runs so far found on a kernel. A kernel takes hours, so each run adds
// what it tried, and the document is made of all.
type kept struct {
	Kernel kernel
	// Trouble is why the last run did not try all.
	Trouble string `json:",omitempty"`
	// Results are by package and test.
	Results map[string]result
}

// readRecord reads what earlier runs found; nothing if there was none.
func readRecord(file string) ([]kept, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	var out []kept
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("read the record %s: %w; without the file a run begins a new one", file, err)
	}
	return out, nil
}

func writeRecord(file string, record []kept) error {
	data, err := json.MarshalIndent(record, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// add takes in what a run found. Another version of a package is another kernel, of which
// nothing is known.
func add(record []kept, found column) []kept {
	i := slices.IndexFunc(record, func(k kept) bool { return k.Kernel.Package == found.kernel.Package })
	if i < 0 {
		i, record = len(record), append(record, kept{})
	}
	k := &record[i]
	if found.kernel.Release != "" && k.Kernel != found.kernel.named() {
		*k = kept{Kernel: found.kernel.named(), Results: map[string]result{}}
	}
	k.Trouble = found.trouble
	for id, r := range found.results {
		if r.LeftOut == "" {
			k.Results[id.String()] = r
		}
	}
	return record
}

// columns is the record as it is to be shown: without what is no test any more, and with
// what is left out today.
func columns(record []kept, s *selection) []column {
	var out []column
	for _, k := range record {
		c := column{kernel: k.Kernel, trouble: k.Trouble, results: map[testID]result{}}
		for _, id := range s.tests {
			if why := s.leftOut(k.Kernel, id); why != "" {
				c.results[id] = result{LeftOut: why}
			} else if r, known := k.Results[id.String()]; known {
				c.results[id] = r
			}
		}
		out = append(out, c)
	}
	return out
}

// revisions are of which the results are, with how many of each where there are several.
func (c *column) revisions() string {
	count := map[string]int{}
	for _, r := range c.results {
		if r.LeftOut == "" {
			count[r.Revision]++
		}
	}
	var out []string
	for revision, n := range count {
		if revision == "" {
			revision = "unknown"
		}
		if len(count) > 1 {
			revision = fmt.Sprintf("%s (%d)", revision, n)
		}
		out = append(out, revision)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
