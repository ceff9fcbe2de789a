package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// suite is one run of the upstream NetworkPolicy tests.
type suite struct {
	// about is what only people know of a cluster that is not ours.
	about     Options
	processes int
	focus     string
	skips     string
	results   string
}

func (s *suite) addFlags(flags *flag.FlagSet) {
	s.about.addFlags(flags)
	flags.IntVar(&s.processes, "procs", 4, "`number` of tests at the same time")
	flags.StringVar(&s.focus, "focus", "Netpol", "run only tests whose name matches this `regexp`")
	flags.StringVar(&s.skips, "skips", "conformance/cluster/skips.txt", "`file` of tests that cannot run, with reasons")
	flags.StringVar(&s.results, "results", "bin/conformance", "`directory` for the results: a directory for each combination is made in it")
}

// target is the cluster that is tested.
type target struct {
	kubeconfig string
	about      Options
	local      bool
}

// find picks the cluster: the one that KUBECONFIG names, or ours.
func (s *suite) find() (target, error) {
	named := os.Getenv("KUBECONFIG")
	if c, err := running(); named == "" || err == nil && named == c.kubeconfig() {
		if err != nil {
			return target{}, err
		}
		return target{kubeconfig: c.kubeconfig(), about: c.Options, local: true}, nil
	}
	path, err := filepath.Abs(named)
	return target{kubeconfig: path, about: s.about}, err
}

func (s *suite) run(ctx context.Context, b *builder, out io.Writer) error {
	target, err := s.find()
	if err != nil {
		return err
	}
	skips, err := readSkips(s.skips)
	if err != nil {
		return err
	}
	programs, err := b.build(suitePrograms)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Join(s.results, target.about.String()))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	facts, err := askCluster(ctx, filepath.Join(programs, "kubectl"), target)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %d tests at a time; the log is %s\n", target.about.String(), s.processes, filepath.Join(dir, "log.txt"))

	began := time.Now()
	failed := s.ginkgo(ctx, programs, target, dir, skips)
	report, err := readReport(filepath.Join(dir, "report.json"), skips)
	if err != nil {
		return errors.Join(failed, err)
	}
	report.Facts = facts
	report.Facts.Processes, report.Facts.Seconds = s.processes, time.Since(began).Seconds()
	if err := report.write(dir); err != nil {
		return err
	}
	report.print(out)
	fmt.Fprintf(out, "the table is %s, JUnit's form %s\n", filepath.Join(dir, "results.md"), filepath.Join(dir, "junit.xml"))
	return errors.Join(failed, s.judge(report, skips))
}

// judge finds what ginkgo itself is content with.
func (s *suite) judge(r *Report, skips []skip) error {
	var problems []error
	if unused := r.unused(skips); len(unused) > 0 {
		problems = append(problems, fmt.Errorf("%s: no test is called that:\n  %s", s.skips, strings.Join(unused, "\n  ")))
	}
	if n := len(r.failed()); n > 0 {
		problems = append(problems, fmt.Errorf("%d tests did not pass", n))
	}
	if r.passed() == 0 {
		problems = append(problems, errors.New("no test passed"))
	}
	return errors.Join(problems...)
}

func (s *suite) ginkgo(ctx context.Context, programs string, t target, dir string, skips []skip) error {
	log, err := os.Create(filepath.Join(dir, "log.txt"))
	if err != nil {
		return err
	}
	defer log.Close()
	// What an earlier run left must not pass for this one's.
	for _, name := range []string{"report.json", "junit.xml", "run.json", "results.md"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	args := []string{
		fmt.Sprintf("--procs=%d", s.processes), "--timeout=3h", "--focus=" + s.focus,
		"-v", "--no-color", "--json-report=report.json", "--junit-report=junit.xml", "--output-dir=" + dir,
	}
	for _, skip := range skips {
		args = append(args, "--skip="+regexp.QuoteMeta(skip.name))
	}
	args = append(args, filepath.Join(programs, "netpol.test"), "--",
		"--provider=skeleton", "--kubeconfig="+t.kubeconfig, "--allowed-not-ready-nodes=0")
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "ginkgo"), args...)
	// Interrupted, ginkgo ends its tests, which remove their namespaces.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Minute
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "KUBECONFIG=")
	if t.local {
		images := filepath.Join(dir, "images.yaml")
		if err := os.WriteFile(images, []byte("promoterE2eRegistry: "+testImages+"\n"), 0o644); err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, "KUBE_TEST_REPO_LIST="+images)
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the suite failed: %w", err)
	}
	return nil
}
