package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// readBeyond reads what "go test -json" said of our own tests (go doc
// cmd/test2json). Parts of a test count as tests. That they did not run is no
// error.
func readBeyond(path string) ([]Test, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var tests []Test
	for lines := json.NewDecoder(f); ; {
		var e struct {
			Action, Test string
			Elapsed      float64
		}
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return tests, nil
		} else if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		state := map[string]string{"pass": passedState, "fail": "failed", "skip": "skipped"}[e.Action]
		if state != "" && e.Test != "" {
			tests = append(tests, Test{Name: strings.TrimPrefix(e.Test, "Test"), State: state, Seconds: e.Elapsed})
		}
	}
}
