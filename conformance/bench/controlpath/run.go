package controlpath

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer/source"
)

// Part is the name of this part of the run.
const Part = "control"

// Variants and names that the report looks for.
const (
	Commit     = "event to commit"
	Own        = "own part"
	Floor      = "nft -f"
	OneElement = "one element"
	OneChain   = "one set and one chain"
	ColdStart  = "cold start"
	Gap        = "worst gap"
)

// Options say how much to measure.
type Options struct {
	Sizes []Size
	// Selected are nodes of which many policies select one Pod.
	Selected []scale.Selected
	// Rounds are how often each event is measured, Starts how often a cold
	// start is.
	Rounds, Starts int
	// Budget is how long the rounds of one size may take; 0: as long as they do.
	Budget time.Duration
	Bursts []int
	// Prober is the command that runs [Probe]; nil: no gaps are measured.
	Prober []string
	Log    func(format string, args ...any)
}

// Size is a cluster to measure in.
type Size struct {
	Name    string
	Cluster scale.Cluster
	// Topology is how the node's Pods are connected, by which their guards differ.
	Topology lab.Topology
}

// Sizes of the full run: those of the targets, the published shape, and a node whose
// Pods are behind a bridge.
func Sizes() []Size {
	out := []Size{
		{Name: "published", Cluster: scale.Burner(), Topology: lab.PTP},
		{Name: "bridge", Cluster: scale.Large(10_000), Topology: lab.Bridge},
	}
	for _, pods := range []int{1_000, 10_000, 50_000, 150_000} {
		out = append(out, Size{Name: "large", Cluster: scale.Large(pods), Topology: lab.PTP})
	}
	return out
}

// measurement is that of one size.
type measurement struct {
	options Options
	run     *figures.Run
	size    Size
	// kind and at are what each figure says of where it was measured.
	kind    string
	at      figures.Setting
	order   []string
	figures map[string]*figures.Figure
}

// Run measures all sizes. What fails is noted as missing, and the rest goes on.
func Run(ctx context.Context, o Options, run *figures.Run) error {
	for _, size := range o.Sizes {
		c := size.Cluster
		m := newMeasurement(o, run, size.Name, figures.Setting{"pods": float64(c.Pods), "policies": float64(c.Policies), "local": float64(c.LocalPods)})
		m.size = size
		began := time.Now()
		err := m.all(ctx)
		m.flush()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			run.Miss(Part, fmt.Sprintf("%s, %d Pods", size.Name, size.Cluster.Pods), err)
		}
		o.Log("control path: %s, %d Pods, %d policies in %.0f s", size.Name, size.Cluster.Pods, size.Cluster.Policies, time.Since(began).Seconds())
	}
	return runSelected(ctx, o, run)
}

func newMeasurement(o Options, run *figures.Run, kind string, at figures.Setting) *measurement {
	return &measurement{options: o, run: run, kind: kind, at: at, figures: map[string]*figures.Figure{}}
}

// all builds the node, starts agents on it and then changes things.
func (m *measurement) all(ctx context.Context) (err error) {
	pods := []*corev1.Pod{proberPod("from"), proberPod("to")}
	for i := range m.size.Cluster.LocalPods {
		pods = append(pods, m.size.Cluster.PodObject(i))
	}
	n, err := newNode(ctx, pods, m.size.Topology)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	p, err := m.probe(ctx, n)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := m.starts(ctx, n, p); err != nil {
		return fmt.Errorf("cold start: %w", err)
	}
	if err := m.rounds(ctx, n); err != nil {
		return err
	}
	return m.bursts(ctx, n, p)
}

// first are the events of the start: the cluster, and the prober's Pods.
func first(c scale.Cluster) ([]source.Event, error) {
	events := everything(c)
	for _, name := range []string{"from", "to"} {
		e, err := proberEvent(name)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// starts measures from nothing to full enforcement, and nft with the same in
// one file.
func (m *measurement) starts(ctx context.Context, n *node, p *prober) error {
	for range m.options.Starts {
		if err := n.reset(ctx); err != nil {
			return err
		}
		events, err := first(m.size.Cluster)
		if err != nil {
			return err
		}
		p.mark()
		out, err := n.start(ctx, events)
		if err != nil {
			return err
		}
		m.gap(p, ColdStart)
		m.add(ColdStart, Commit, "ms", milliseconds(out.commit))
		m.add(ColdStart, Own, "ms", milliseconds(out.own))
		m.add(ColdStart, "longest transaction", "ms", milliseconds(out.longest))
		m.add(ColdStart, "transactions", "transactions", float64(out.transactions))
		m.add(ColdStart, "operations", "operations", float64(out.ops))
		if err := n.copyRuleset(ctx); err != nil {
			return err
		}
		p.mark()
		took, err := n.load(ctx)
		if err != nil {
			return err
		}
		m.gap(p, "nft -f of all")
		m.add(ColdStart, Floor, "ms", milliseconds(took))
	}
	return nil
}

// bursts measures many changes at once: as many Pods come, then go.
func (m *measurement) bursts(ctx context.Context, n *node, p *prober) error {
	for _, count := range m.options.Bursts {
		name := fmt.Sprintf("%d Pods come", count)
		for range m.options.Starts {
			come, leave := make([]source.Event, count), make([]source.Event, count)
			for i := range come {
				come[i] = podEvent(m.size.Cluster.Pod(guestNumber(m.size.Cluster, i)))
				leave[i] = gone(come[i])
			}
			if err := pause(ctx, quiet); err != nil {
				return err
			}
			p.mark()
			out, err := n.change(ctx, come...)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			m.add(name, Commit, "ms", milliseconds(out.commit))
			m.add(name, Own, "ms", milliseconds(out.own))
			if err := pause(ctx, quiet); err != nil {
				return err
			}
			if _, err = n.change(ctx, leave...); err != nil {
				return fmt.Errorf("%d Pods go: %w", count, err)
			}
			m.gap(p, name)
			took, err := n.nft(ctx, elements("add", count))
			if err != nil {
				return err
			}
			m.add(name, Floor, "ms", milliseconds(took))
			if _, err := n.nft(ctx, elements("delete", count)); err != nil {
				return err
			}
		}
	}
	return nil
}

// add appends a sample.
func (m *measurement) add(name, variant, unit string, sample float64) {
	key := name + "\x00" + variant
	f := m.figures[key]
	if f == nil {
		f = &figures.Figure{Part: Part, Case: m.kind, Name: name, Variant: variant, Unit: unit, At: m.at}
		m.figures[key], m.order = f, append(m.order, key)
	}
	f.Samples = append(f.Samples, sample)
}

func (m *measurement) flush() {
	for _, key := range m.order {
		m.run.Add(*m.figures[key])
	}
}
