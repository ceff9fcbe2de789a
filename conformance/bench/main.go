// Command bench measures Sluice on this machine and writes the report.
//
//	bench [-quick] [-parts packet,watching,control,memory,analysis [-keep]] [-dir DIR]
//	bench render [-dir DIR]
//
// It needs root, nft and iptables. With -keep the report keeps the parts of an earlier
// run that are not measured, each with its revision; otherwise it has none of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/cmd/sluice/app"
	"github.com/sluice-net/sluice/conformance/bench/analysis"
	"github.com/sluice-net/sluice/conformance/bench/controlpath"
	"github.com/sluice-net/sluice/conformance/bench/document"
	"github.com/sluice-net/sluice/conformance/bench/figures"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	if len(os.Args) > 1 && os.Args[1] == analysis.MeasureCommand {
		os.Exit(analysis.Measure(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == sluiceCommand {
		os.Exit(app.Main(ctx, os.Args[2:], app.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
	}
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// proberCommand and sluiceCommand are for the program itself.
const (
	proberCommand = "prober"
	sluiceCommand = "sluice"
)

func command(ctx context.Context, args []string) error {
	if len(args) == 4 && args[0] == proberCommand {
		return controlpath.Probe(os.Stdin, os.Stdout, args[1], args[2], args[3])
	}
	render := len(args) > 0 && args[0] == "render"
	if render {
		args = args[1:]
	}
	o, dir, err := flags(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if render {
		return renderAgain(dir)
	}
	o.log = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	var earlier *figures.Run
	if o.keep { // before it takes half an hour to find out that there is none
		if earlier, err = readRun(dir); err != nil {
			return err
		}
	}
	run, err := o.measure(ctx)
	if err != nil && len(run.Parts) > 0 {
		o.log("what was measured is written to %s", stoppedReport)
		return errors.Join(err, write(stoppedReport, run))
	}
	if err != nil {
		return err
	}
	if o.keep {
		if err := run.Keep(earlier, known); err != nil {
			return errors.Join(err, write(stoppedReport, run))
		}
	}
	return write(dir, run)
}

func flags(args []string) (*options, string, error) {
	o := &options{}
	var parts, dir string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&parts, "parts", strings.Join(known, ","), "what to measure")
	fs.StringVar(&dir, "dir", "", "`directory` of the report (default: "+report+"; of a quick one "+quickReport+")")
	fs.BoolVar(&o.keep, "keep", false, "keep what an earlier run has of the other parts")
	fs.BoolVar(&o.quick, "quick", false, "in two minutes, to see that it works: nothing to be quoted")
	fs.StringVar(&o.programs, "programs", "", "`directory` of etcd and kube-apiserver (default: where make cluster-up puts them)")
	fs.StringVar(&o.revision, "revision", "unknown", "what is measured, for the report")
	if err := fs.Parse(args); err != nil {
		return nil, "", err
	}
	if fs.NArg() > 0 {
		return nil, "", fmt.Errorf("%q is no flag", fs.Arg(0))
	}
	switch {
	case dir == "" && o.quick:
		dir = quickReport
	case dir == "":
		dir = report
	}
	o.parts = strings.Split(parts, ",")
	for _, p := range o.parts {
		if !slices.Contains(known, p) {
			return nil, "", fmt.Errorf("-parts: %q is none of %s", p, strings.Join(known, ", "))
		}
	}
	return o, dir, nil
}

const (
	// dataName is the file that the report is made of.
	dataName = "data.jsonl"
	// report is the one in the tree, of which readme has a summary.
	report, readme = "conformance/bench/report", "README.md"
	quickReport    = "bin/bench-report"
	// stoppedReport is that of a run that was stopped.
	stoppedReport = "bin/bench-report-stopped"
)

func write(dir string, run *figures.Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	// The data first: they took forty minutes.
	file, err := os.Create(filepath.Join(dir, dataName))
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := errors.Join(run.Write(file), file.Close()); err != nil {
		return err
	}
	return renderAgain(dir)
}

func readRun(dir string) (*figures.Run, error) {
	file, err := os.Open(filepath.Join(dir, dataName))
	if err != nil {
		return nil, fmt.Errorf("read figures: %w", err)
	}
	defer file.Close()
	return figures.Read(file)
}

func renderAgain(dir string) error {
	run, err := readRun(dir)
	if err != nil {
		return err
	}
	files, err := document.Make(run)
	if err != nil {
		return err
	}
	if err := document.Write(dir, files); err != nil || dir != report {
		return err
	}
	return summarize(run)
}

// summarize puts the summary between its marks in the README.
func summarize(run *figures.Run) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return fmt.Errorf("summarize: %w", err)
	}
	text, err = document.Summarized(text, run, report+"/README.md")
	if err != nil {
		return fmt.Errorf("summarize in %s: %w", readme, err)
	}
	return os.WriteFile(readme, text, 0o644)
}
