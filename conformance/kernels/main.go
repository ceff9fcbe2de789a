// Command kernels runs the kernel tests on kernels of Debian's, in machines that qemu
// emulates, and writes what passed on which: see README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// options are what the command line says.
type options struct {
	kernels   []string
	tests     []string
	leftOut   string
	arguments string
	run       *regexp.Regexp
	dir       string
	document  string
	record    string
	revision  string
	memory    int
	timeout   time.Duration
	out       io.Writer
}

func main() {
	var o options
	kernels := flag.String("kernels", "linux-image-cloud-amd64", "Debian packages of kernels, with the suite as `package/suite` where it is none that apt has; separated by commas")
	tests := flag.String("tests", "conformance/kernel-tests.txt,conformance/kernels/tests.txt", "`files` that name the tests, separated by commas")
	flag.StringVar(&o.leftOut, "left-out", "conformance/kernels/left-out.txt", "`file` that names tests that are left out, and why")
	flag.StringVar(&o.arguments, "arguments", "conformance/kernels/arguments.txt", "`file` that says which arguments tests are given, and why")
	only := flag.String("run", "", "run the tests alone whose package and name match the `expression`; of the others the record stays as it is")
	flag.StringVar(&o.dir, "dir", "bin/kernels", "`directory` for packages, machines and results; what ran there already, with the same binary on the same kernel, is not run again if it passed")
	flag.StringVar(&o.document, "document", "conformance/kernels.md", "`file` to write the table to")
	flag.StringVar(&o.record, "record", "conformance/kernels/record.json", "`file` with what all runs found, that the table is made of")
	flag.StringVar(&o.revision, "revision", "unknown", "what is tried, for the record")
	flag.IntVar(&o.memory, "memory", 3072, "MiB of a machine")
	flag.DurationVar(&o.timeout, "timeout", 90*time.Minute, "for the tests of one package: an emulated processor is slow")
	flag.Parse()
	o.out = os.Stdout
	o.kernels, o.tests = split(*kernels), split(*tests)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := o.matrix(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// matrix runs all tests on all kernels.
func (o *options) matrix(ctx context.Context, only string) error {
	var err error
	if o.run, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("the machines are amd64's, and take programs and libraries from this one, which is %s", runtime.GOARCH)
	}
	selected, err := o.selection()
	if err != nil {
		return err
	}
	tried := selected.tried(o.run)
	if len(tried) == 0 {
		return fmt.Errorf("-run: no test fits %q", only)
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(o.dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	binaries, err := buildTests(ctx, o.dir, tried)
	if err != nil {
		return err
	}
	base, err := baseFiles(ctx, o.dir)
	if err != nil {
		return err
	}
	record, err := readRecord(o.record)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range o.kernels {
		if ctx.Err() != nil {
			break
		}
		c, err := o.column(ctx, name, selected, binaries, base)
		if err != nil {
			failed = append(failed, fmt.Errorf("kernel %s: %w", name, err))
			c.trouble = err.Error()
		}
		record = add(record, c)
		if n := c.failures(); n > 0 {
			failed = append(failed, fmt.Errorf("kernel %s: %d tests failed", c.kernel, n))
		}
	}
	// Also of a run that was interrupted: what it tried it has tried.
	written := errors.Join(writeRecord(o.record, record), os.WriteFile(o.document, []byte(document(selected, columns(record, selected))), 0o644))
	if written == nil {
		fmt.Fprintf(o.out, "%s is written\n", o.document)
	}
	return errors.Join(append(failed, written)...)
}

// lock keeps a second run out of the directory, whose machines would write to the same
// files.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another run is at work, of which %s is the lock: %w", file, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// column runs the tests on one kernel.
func (o *options) column(ctx context.Context, name string, selected *selection, binaries map[string]binary, base files) (column, error) {
	c := column{kernel: kernel{Package: name}, results: map[testID]result{}}
	k, err := fetchKernel(ctx, o.dir, name)
	if err != nil {
		return c, err
	}
	c.kernel = k
	modules, err := k.modules()
	if err != nil {
		return c, err
	}
	for _, pkg := range selected.packages() {
		var tests []string
		for _, id := range selected.of(pkg) {
			if why := selected.leftOut(k, id); why != "" {
				c.results[id] = result{LeftOut: why}
			} else if o.run.MatchString(id.String()) {
				tests = append(tests, id.test)
			}
		}
		if len(tests) == 0 {
			continue
		}
		m := machine{kernel: k, base: base, modules: modules, binary: binaries[pkg], memory: o.memory, timeout: o.timeout, dir: o.dir, out: o.out, revision: o.revision}
		for _, a := range selected.given(pkg) {
			m.arguments = append(m.arguments, a.text)
		}
		if err := m.results(ctx, tests, c.results); err != nil {
			return c, err
		}
	}
	return c, nil
}
