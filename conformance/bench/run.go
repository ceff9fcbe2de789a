package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-net/sluice/conformance/bench/analysis"
	"github.com/sluice-net/sluice/conformance/bench/controlpath"
	"github.com/sluice-net/sluice/conformance/bench/document"
	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/memory"
	"github.com/sluice-net/sluice/conformance/bench/packetpath"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/conformance/scale"
)

type options struct {
	quick, keep        bool
	parts              []string
	programs, revision string
	log                func(format string, args ...any)
}

// known are all parts, in the order in which they run: those that need a calm
// machine first.
var known = []string{document.Packet, document.Watching, document.Control, document.Memory, document.Analysis}

// measure measures all parts. What was measured is returned with an error, too.
func (o *options) measure(ctx context.Context) (*figures.Run, error) {
	run := &figures.Run{Started: time.Now().UTC().Truncate(time.Second), Quick: o.quick, Machine: machine(ctx, o.revision)}
	began := time.Now()
	measures := map[string]func(context.Context, *figures.Run) error{
		document.Packet: o.packet, document.Watching: o.watching, document.Control: o.control, document.Memory: o.memory, document.Analysis: o.analysis,
	}
	for _, name := range known {
		if !slices.Contains(o.parts, name) {
			continue
		}
		o.log("== %s", name)
		start := time.Now()
		// One part that fails must not cost the others' half hour.
		if err := measures[name](ctx, run); err != nil {
			run.Miss(name, "all of it or the rest", err)
			o.log("%s: %v", name, err)
		}
		if ctx.Err() != nil {
			return run, fmt.Errorf("stopped: %w", ctx.Err())
		}
		run.Parts = append(run.Parts, figures.Part{Name: name, Took: seconds(start)})
		o.log("== %s took %.0f s", name, seconds(start))
	}
	run.Took = seconds(began)
	run.Machine.LoadAfter = load()
	return run, nil
}

func seconds(since time.Time) float64 {
	return time.Since(since).Round(100 * time.Millisecond).Seconds()
}

func (o *options) packet(ctx context.Context, run *figures.Run) error {
	results, err := packetpath.Run(ctx, packetpath.Options{Quick: o.quick, Log: logWriter(o.log)})
	for _, r := range results {
		run.Add(figures.Figure{
			Part: document.Packet, Case: r.Topology, Name: string(r.Metric), Variant: string(r.Shape), Note: r.Note,
			At: figures.Setting{
				"policies": float64(r.Policies), "elsewhere": float64(r.Elsewhere), "local": float64(r.LocalPods),
			},
			Samples: r.Samples, Base: r.Base,
		})
	}
	return err
}

func (o *options) watching(ctx context.Context, run *figures.Run) error {
	results, err := packetpath.RunWatching(ctx, packetpath.Options{Quick: o.quick, Log: logWriter(o.log)})
	for _, r := range results {
		run.Add(figures.Figure{
			Part: document.Watching, Case: r.Topology, Name: string(r.Metric), Variant: string(r.Watching), Note: string(r.Traffic),
			Samples: r.Samples, Base: r.Base,
		})
	}
	return err
}

func (o *options) control(ctx context.Context, run *figures.Run) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the prober: %w", err)
	}
	c := controlpath.Options{
		Sizes: controlpath.Sizes(), Rounds: 30, Starts: 5, Budget: 100 * time.Second, Bursts: []int{100, 1_000, 20_000},
		Prober: []string{self, proberCommand}, Log: o.log, Selected: manyPolicies(100, 1_000),
	}
	if o.quick {
		c.Selected = manyPolicies(100)
		c.Sizes = []controlpath.Size{
			{Name: "large", Cluster: scale.Large(1_000), Topology: lab.PTP}, {Name: "large", Cluster: scale.Large(10_000), Topology: lab.PTP},
			{Name: "bridge", Cluster: scale.Large(1_000), Topology: lab.Bridge},
		}
		c.Rounds, c.Starts, c.Bursts = 5, 2, []int{100}
	}
	return controlpath.Run(ctx, c, run)
}

// manyPolicies are workloads in which so many policies select one Pod, each in turn.
func manyPolicies(counts ...int) (out []scale.Selected) {
	for _, n := range counts {
		out = append(out, scale.Selected{Policies: n}, scale.Selected{Policies: n, Everybody: true}, scale.Selected{Policies: n, Plain: true})
	}
	return out
}

func (o *options) analysis(ctx context.Context, run *figures.Run) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the command to measure: %w", err)
	}
	a := analysis.Options{
		Estates: []analysis.Estate{{Workloads: 300, Policies: 75}, {Workloads: 2_000, Policies: 500}}, Sluice: []string{self, sluiceCommand}, Measure: []string{self, analysis.MeasureCommand},
		Workloads: []int{100, 1_000, 3_000, 10_000}, Policies: []int{1, 10, 100, 1_000},
		Rounds: 5, Slice: 300 * time.Millisecond, VerifyFlows: 50_000, Log: o.log,
	}
	if o.quick {
		a.Estates = a.Estates[:1]
		a.Workloads, a.Policies, a.Rounds, a.Slice, a.VerifyFlows = []int{100, 1_000}, []int{1, 100}, 3, 50*time.Millisecond, 2_000
	}
	return analysis.Run(ctx, a, run)
}

// memory builds the programs that it measures with, so that they are those of
// this tree.
func (o *options) memory(ctx context.Context, run *figures.Run) error {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return fmt.Errorf("make room for programs: %w", err)
	}
	defer os.RemoveAll(dir)
	m := memory.Options{
		Pods: []int{10_000, 50_000}, Simple: []int{10_000, 50_000, 150_000}, Heap: []int{10_000, 50_000, 150_000}, Programs: o.programs, Log: o.log,
		Footprint: filepath.Join(dir, "footprint"), Sluice: filepath.Join(dir, "sluice"),
	}
	if o.quick {
		m.Pods, m.Simple, m.Heap, m.Extra = []int{2_000}, []int{2_000}, []int{2_000}, []string{"-churn", "3s", "-rest", "3s"}
	}
	if m.Programs == "" {
		m.Programs = clusterPrograms()
	}
	for program, pkg := range map[string]string{m.Footprint: "./conformance/footprint", m.Sluice: "./cmd/sluice"} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the image's
		if out, err := build.CombinedOutput(); err != nil {
			run.Miss(document.Memory, "programs to measure with", fmt.Errorf("build %s: %w: %.300s", pkg, err, out))
			m.Footprint = ""
		}
	}
	return memory.Run(ctx, m, run)
}

// lines makes a writer of a log.
type lines struct {
	log func(format string, args ...any)
}

func logWriter(log func(format string, args ...any)) io.Writer { return lines{log} }

func (l lines) Write(p []byte) (int, error) {
	l.log("%s", trimNewline(string(p)))
	return len(p), nil
}

func trimNewline(s string) string {
	if n := len(s); n > 0 && s[n-1] == '\n' {
		return s[:n-1]
	}
	return s
}
