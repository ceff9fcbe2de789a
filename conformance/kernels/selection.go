package main

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// selection is which tests there are, and which of them are left out.
type selection struct {
	tests     []testID
	out       []leftOut
	arguments []argument
}

// leftOut leaves tests out: on kernels whose release fits, those that fit, with the reason.
type leftOut struct{ kernel, pkg, test, why string }

// argument is what a package's tests are given in the machines, with the reason.
type argument struct{ pkg, text, why string }

// selection reads the files that say so.
func (o *options) selection() (*selection, error) {
	s := &selection{}
	for _, name := range o.tests {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the tests: %w", err)
		}
		if err := s.add(name, string(data)); err != nil {
			return nil, err
		}
	}
	data, err := os.ReadFile(o.leftOut)
	if err != nil {
		return nil, fmt.Errorf("read what is left out: %w", err)
	}
	if err := s.leave(o.leftOut, string(data)); err != nil {
		return nil, err
	}
	if data, err = os.ReadFile(o.arguments); err != nil {
		return nil, fmt.Errorf("read what tests are given: %w", err)
	}
	return s, s.give(o.arguments, string(data))
}

// add reads a package and a test on each line.
func (s *selection) add(file, text string) error {
	for n, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case len(words) != 2:
			return fmt.Errorf("%s:%d: want a package and a test, got %q", file, n+1, line)
		case !strings.HasPrefix(words[0], module):
			return fmt.Errorf("%s:%d: package %s is not of this module", file, n+1, words[0])
		default:
			s.tests = append(s.tests, testID{words[0], words[1]})
		}
	}
	if len(s.tests) == 0 {
		return fmt.Errorf("%s names no test", file)
	}
	return nil
}

// leave reads a kernel, a package, a test and a reason on each line. The first three may be
// patterns. What fits no test is a mistake.
func (s *selection) leave(file, text string) error {
	for n, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < 4 {
			return fmt.Errorf("%s:%d: want a kernel, a package, a test and a reason, got %q", file, n+1, line)
		}
		l := leftOut{words[0], words[1], words[2], strings.Join(words[3:], " ")}
		if _, err := path.Match(l.kernel, ""); err != nil {
			return fmt.Errorf("%s:%d: kernel %q: %w", file, n+1, l.kernel, err)
		}
		if !slices.ContainsFunc(s.tests, l.fits) {
			return fmt.Errorf("%s:%d: no test is %s %s", file, n+1, l.pkg, l.test)
		}
		s.out = append(s.out, l)
	}
	return nil
}

// give reads a package, an argument and a reason on each line.
func (s *selection) give(file, text string) error {
	for n, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < 3 || !strings.HasPrefix(words[1], "-") {
			return fmt.Errorf("%s:%d: want a package, an argument and a reason, got %q", file, n+1, line)
		}
		a := argument{module + words[0], words[1], strings.Join(words[2:], " ")}
		if !slices.Contains(s.packages(), a.pkg) {
			return fmt.Errorf("%s:%d: no test is of package %s", file, n+1, words[0])
		}
		s.arguments = append(s.arguments, a)
	}
	return nil
}

// given are the arguments of a package's tests.
func (s *selection) given(pkg string) []argument {
	return slices.DeleteFunc(slices.Clone(s.arguments), func(a argument) bool { return a.pkg != pkg })
}

func (l leftOut) fits(id testID) bool {
	pkg, err := path.Match(l.pkg, strings.TrimPrefix(id.pkg, module))
	if err != nil || !pkg {
		return false
	}
	test, err := path.Match(l.test, id.test)
	return err == nil && test
}

// leftOut is why a test is left out on a kernel; empty if it is not.
func (s *selection) leftOut(k kernel, id testID) string {
	for _, l := range s.out {
		if ok, err := path.Match(l.kernel, k.Release); err == nil && ok && l.fits(id) {
			return l.why
		}
	}
	return ""
}

// packages are those of the tests, sorted.
func (s *selection) packages() []string {
	var out []string
	for _, t := range s.tests {
		out = append(out, t.pkg)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// tried are the packages with a test that fits and is not left out everywhere.
func (s *selection) tried(only *regexp.Regexp) []string {
	return slices.DeleteFunc(s.packages(), func(pkg string) bool {
		return !slices.ContainsFunc(s.of(pkg), func(id testID) bool {
			everywhere := slices.ContainsFunc(s.out, func(l leftOut) bool { return l.kernel == "*" && l.fits(id) })
			return only.MatchString(id.String()) && !everywhere
		})
	})
}

// of are the tests of a package, sorted.
func (s *selection) of(pkg string) []testID {
	var out []testID
	for _, t := range s.tests {
		if t.pkg == pkg {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b testID) int { return strings.Compare(a.test, b.test) })
	return slices.Compact(out)
}
