package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const module = "github.com/sluice-net/sluice/"

// buildTag is on tests that need what not every kernel has.
const buildTag = "kernels"

// binary is the tests of a package.
type binary struct {
	pkg  string
	data []byte
	// libraries are what it needs to start.
	libraries files
}

// hash tells apart binaries, which are built the same way each time, and what they are
// given.
func (b binary) hash(arguments []string) string {
	sum := sha256.New()
	_, _ = sum.Write(b.data)
	for _, a := range arguments {
		_, _ = fmt.Fprintf(sum, "%q", a)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// directory is where the package's tests run, from the root of a machine.
func (b binary) directory() string { return path.Join("src", strings.TrimPrefix(b.pkg, module)) }

// buildTests compiles the tests of packages.
func buildTests(ctx context.Context, dir string, packages []string) (map[string]binary, error) {
	out := map[string]binary{}
	for _, pkg := range packages {
		b := binary{pkg: pkg, libraries: files{}}
		at := filepath.Join(dir, "tests", strings.ReplaceAll(strings.TrimPrefix(pkg, module), "/", "-")+".test")
		// As make test builds them, so that nothing is compiled twice.
		if err := build(ctx, at, "test", "-c", "-buildvcs=false", "-tags", buildTag, "-ldflags", "-s -w", "-o", at, pkg); err != nil {
			return nil, err
		}
		if err := b.libraries.addLibraries(at); err != nil {
			return nil, err
		}
		var err error
		if b.data, err = os.ReadFile(at); err != nil {
			return nil, err
		}
		out[pkg] = b
	}
	return out, nil
}

// unread is what no test reads of the project: what is hidden, what was built, programs.
func unread(file string) bool {
	info, err := os.Stat(file)
	return strings.HasPrefix(filepath.Base(file), ".") || file == "bin" || strings.HasSuffix(file, ".go") || err == nil && info.Size() > 4<<20
}

func build(ctx context.Context, at string, args ...string) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// baseFiles are in every machine: the first process, what turns the tests' words into
// events, commands, and the files of the project that tests read.
func baseFiles(ctx context.Context, dir string) (files, error) {
	f := files{}
	for name, pkg := range map[string]string{"init": "./conformance/kernels/guest", "bin/test2json": "cmd/test2json"} {
		at := filepath.Join(dir, "tests", filepath.Base(name))
		if err := build(ctx, at, "build", "-buildvcs=false", "-o", at, pkg); err != nil {
			return nil, err
		}
		if err := errors.Join(f.copy(name, at), f.addLibraries(at)); err != nil {
			return nil, err
		}
	}
	return f, errors.Join(f.addCommands(), f.tree("src", ".", unread), f.addSettings())
}

// machine runs the tests of one package on one kernel.
type machine struct {
	kernel        kernel
	base, modules files
	binary        binary
	arguments     []string
	memory        int
	timeout       time.Duration
	dir           string
	out           io.Writer
	revision      string
}

// job is what the first process reads; guest/main.go has its twin.
type job struct {
	Modules []string
	Dir     string
	Command []string
}

// results runs tests, and again by themselves those that did not pass: an emulated
// processor is slow, and some tests are about time.
func (m *machine) results(ctx context.Context, tests []string, into map[testID]result) error {
	kept := filepath.Join(m.dir, "results", m.kernel.Release, filepath.Base(m.binary.directory())+"-"+m.binary.hash(m.arguments)+".json")
	passed := readPassed(kept)
	var open []string
	for _, t := range tests {
		if r, ok := passed[t]; ok {
			into[testID{m.binary.pkg, t}] = r
		} else {
			open = append(open, t)
		}
	}
	for try := 1; try <= 2 && len(open) > 0; try++ {
		got, booted := m.boot(ctx, open, try)
		var again []string
		for _, t := range open {
			r, tried := got[t]
			if !tried {
				continue
			}
			r.Try, r.Revision = try, m.revision
			into[testID{m.binary.pkg, t}] = r
			if r.Passed {
				passed[t] = r
			} else {
				again = append(again, t)
			}
		}
		open = again
		// What passed before a run is interrupted need not run again.
		if err := errors.Join(booted, writePassed(kept, passed)); err != nil {
			return err
		}
	}
	return nil
}

// readPassed are the tests that passed before with the same binary on the same kernel.
func readPassed(file string) map[string]result {
	out := map[string]result{}
	if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &out) != nil {
		return map[string]result{}
	}
	return out
}

func writePassed(file string, passed map[string]result) error {
	data, err := json.MarshalIndent(passed, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// boot starts a machine, and reads what its tests said when it has ended, or was ended. A
// machine that ends early by itself is no error here: its tests did not report.
func (m *machine) boot(ctx context.Context, tests []string, try int) (map[string]result, error) {
	name := strings.ReplaceAll(strings.TrimPrefix(m.binary.directory(), "src/"), "/", "-")
	at := filepath.Join(m.dir, "machines", m.kernel.Release, fmt.Sprintf("%s-%d", name, try))
	if err := os.MkdirAll(at, 0o755); err != nil {
		return nil, err
	}
	initrd, said, console := filepath.Join(at, "initrd"), filepath.Join(at, "results.jsonl"), filepath.Join(at, "console.log")
	if err := m.writeRoot(initrd, tests); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(initrd) }()
	fmt.Fprintf(m.out, "%s: %s, %d tests, try %d; the machine's console is %s\n", m.kernel, m.binary.pkg, len(tests), try, console)
	started := time.Now()
	// A host that is busy gives the machine's clock its ticks late, and the kernel, which
	// counts them as it starts, would take it for broken: no_timer_check. Linux 6.12 dies
	// of the flags that qemu 7.2 leaves behind cmpxchg16b; kernels do without it: cx16.
	ctx, cancel := context.WithTimeout(ctx, m.timeout+2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off,cx16=off", "-smp", "2",
		"-m", fmt.Sprint(m.memory), "-nodefaults", "-display", "none", "-no-reboot", "-monitor", "none",
		"-kernel", m.kernel.image(), "-initrd", initrd, "-append", "console=ttyS0 panic=-1 random.trust_cpu=on no_timer_check loglevel=4",
		"-serial", "file:"+console, "-serial", "file:"+said)
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("run qemu: %w: %s", err, bytes.TrimSpace(out))
	}
	interrupted := ctx.Err()
	if errors.Is(interrupted, context.DeadlineExceeded) {
		interrupted = nil
	}
	events, err := os.Open(said)
	if err != nil {
		return nil, err
	}
	defer func() { _ = events.Close() }()
	got, err := readResults(events, tests)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", said, err)
	}
	passed := 0
	for _, t := range tests {
		if got[t].Passed {
			passed++
		} else {
			fmt.Fprintf(m.out, "  %s: %s\n", t, got[t].Why)
		}
	}
	fmt.Fprintf(m.out, "  %d of %d passed in %v\n", passed, len(tests), time.Since(started).Round(time.Second))
	return got, interrupted
}

// writeRoot writes the root of a machine.
func (m *machine) writeRoot(to string, tests []string) error {
	own := files{"tests": {mode: 0o755, data: m.binary.data}}
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = regexp.QuoteMeta(t)
	}
	j, err := json.Marshal(job{
		Modules: loadedModules, Dir: "/" + m.binary.directory(),
		Command: append([]string{"/bin/test2json", "-p", m.binary.pkg, "/tests", "-test.v=test2json", "-test.count=1",
			"-test.timeout=" + m.timeout.String(), "-test.run=^(" + strings.Join(names, "|") + ")$"}, m.arguments...),
	})
	if err != nil {
		return err
	}
	own["job.json"] = file{mode: 0o644, data: j}
	own[m.binary.directory()+"/.here"] = file{mode: 0o644}
	maps.Copy(own, m.binary.libraries)
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	for _, part := range []files{m.base, m.modules, own} {
		if err := writeCPIO(out, part); err != nil {
			_ = out.Close()
			return err
		}
	}
	return out.Close()
}
