package main

import (
	"fmt"
	"os"
	"strings"
)

// skip is a test that cannot run, and why.
type skip struct {
	name, reason string
}

// readSkips reads lines of a test's name, or a part of it, " because " and a
// reason. Empty lines and those that start with # say nothing.
func readSkips(path string) ([]skip, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var skips []skip
	for number, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " because ")
		name, reason = strings.TrimSpace(name), strings.TrimSpace(reason)
		if !ok || name == "" || reason == "" {
			return nil, fmt.Errorf("%s:%d: want: NAME because REASON", path, number+1)
		}
		skips = append(skips, skip{name: name, reason: reason})
	}
	return skips, nil
}

// skipOf finds the line that keeps a test from running.
func skipOf(skips []skip, test string) (skip, bool) {
	for _, s := range skips {
		if strings.Contains(test, s.name) {
			return s, true
		}
	}
	return skip{}, false
}
