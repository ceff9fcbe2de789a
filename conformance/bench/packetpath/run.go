// Package packetpath measures what a packet pays for policies: throughput,
// packet rate and connection rate between two Pods of the lab, under nothing,
// under connection tracking alone, under Sluice, and under the two shapes that
// rulesets of policy engines classically have.
//
// All of it happens on one machine in turns. In each round every cell, in an
// order drawn anew, is installed in the same namespaces beside conntrack-only, and
// the two change over many times under one and the same traffic: what else the
// machine does falls on both alike. A ratio is that of two neighbouring readings.
package packetpath

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/sluice-net/sluice/conformance/lab"
)

const (
	// settle is what flows get to be judged, and caches to fill, after a change.
	settle = 5 * time.Millisecond

	// Many short samples rather than few long ones: what else the machine does
	// comes and goes in tenths of seconds.
	fullRepeats, fullTurns, fullWindow    = 4, 24, 25 * time.Millisecond
	quickRepeats, quickTurns, quickWindow = 2, 2, 20 * time.Millisecond
)

// plan is the cells of a run, and which of them are measured in full: the
// others' established traffic is not.
type plan struct {
	loads   map[Shape][]Load
	inFull  func(Shape, Load) bool
	maximum int
}

func fullPlan(classic Shape) plan {
	few, some := Load{LocalPods: 10}, Load{Policies: 100, Elsewhere: 1000, LocalPods: 110}
	selecting := func(n int) Load { l := few; l.Policies = n; return l }
	large := Load{Policies: 1000, Elsewhere: 10000, LocalPods: 500}
	linear := []Load{selecting(1), selecting(100), selecting(1000), some}
	return plan{
		loads: map[Shape][]Load{
			None: {few}, Conntrack: {few}, Hooks: {few}, Guards: {few},
			Unguarded: linear,
			Sluice:    {few, selecting(1), selecting(10), selecting(100), selecting(1000), some, large},
			NFTLinear: linear, classic: linear,
		},
		inFull: func(s Shape, l Load) bool {
			return s.open() || l == selecting(1) || l == selecting(1000) || l == some || l == large
		},
		maximum: large.LocalPods,
	}
}

func quickPlan(classic Shape) plan {
	load := []Load{{Policies: 20, Elsewhere: 20, LocalPods: 10}}
	return plan{
		loads:   map[Shape][]Load{None: load, Conntrack: load, Hooks: load, Guards: load, Sluice: load, Unguarded: load, NFTLinear: load, classic: load},
		inFull:  func(Shape, Load) bool { return true },
		maximum: load[0].LocalPods,
	}
}

// bench is a run under way.
type bench struct {
	Options
	plan
	sites map[string]*site
	cells []cell
	// samples are the cells', bases conntrack-only's in turns with them.
	samples, bases map[key][]float64
	note           map[Shape]string
}

// Run measures. It needs root, nft and iptables, and both processors of a
// machine that does nothing else. It fails if a shape does not allow exactly
// what the policies do.
func Run(ctx context.Context, o Options) ([]Result, error) {
	b := &bench{Options: o, sites: map[string]*site{}, samples: map[key][]float64{}, bases: map[key][]float64{}, note: map[Shape]string{}}
	b.defaults()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4*callers + runtime.NumCPU()))
	err := b.build(ctx)
	for round := 0; err == nil && round < b.Repeats; round++ {
		err = b.round(ctx, round)
	}
	for _, s := range b.sites {
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("measure the packet path: %w", err)
	}
	return b.results(), nil
}

func (b *bench) defaults() {
	if b.Log == nil {
		b.Log = io.Discard
	}
	classic := IPTablesIPSet
	if err := ipsetError(); err != nil {
		classic = IPTablesLinear
		b.note[classic] = "without ipset, each peer a rule: " + err.Error()
	}
	b.plan = fullPlan(classic)
	repeats, turns, window := fullRepeats, fullTurns, fullWindow
	if b.Quick {
		b.plan, repeats, turns, window = quickPlan(classic), quickRepeats, quickTurns, quickWindow
	}
	if b.Repeats == 0 {
		b.Repeats = repeats
	}
	if b.Turns == 0 {
		b.Turns = turns
	}
	if b.Window == 0 {
		b.Window = window
	}
}

// build makes a lab for each topology and all rulesets, and checks that they
// agree.
func (b *bench) build(ctx context.Context) error {
	shapes := []Shape{None, Conntrack, Hooks, Guards, Sluice, Unguarded, NFTLinear, IPTablesIPSet, IPTablesLinear}
	for _, topology := range []lab.Topology{lab.Bridge, lab.PTP} {
		start := time.Now()
		s, err := newSite(ctx, topology, b.maximum)
		if err != nil {
			return err
		}
		b.sites[topology.String()] = s
		fmt.Fprintf(b.Log, "%s: a node with %d Pods, in %v\n", topology, b.maximum, time.Since(start).Round(time.Millisecond))
		for _, shape := range shapes {
			for _, load := range b.loads[shape] {
				start := time.Now()
				c, w := cell{topology.String(), shape, load}, newWorkload(load)
				if err := s.prepare(c, w); err != nil {
					return err
				}
				t, err := s.install(ctx, c)
				if err == nil {
					err = t.cellsTurn(ctx)
				}
				if err == nil {
					err = s.agree(ctx, c, w)
				}
				if err != nil {
					return err
				}
				b.cells = append(b.cells, c)
				fmt.Fprintf(b.Log, "%s: allows what it should, in %v\n", c, time.Since(start).Round(time.Millisecond))
			}
		}
	}
	return nil
}

// round samples each cell once.
func (b *bench) round(ctx context.Context, n int) error {
	start := time.Now()
	for topology, s := range b.sites {
		var cells []cell
		for _, c := range b.cells {
			if c.topology == topology && c.shape != Conntrack {
				cells = append(cells, c)
			}
		}
		rand.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		for _, c := range cells {
			if err := b.sample(ctx, s, c); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(b.Log, "round %d of %d, in %v\n", n+1, b.Repeats, time.Since(start).Round(time.Millisecond))
	return nil
}

// sample measures one cell and conntrack-only in turns, by each metric that is
// asked of the cell.
func (b *bench) sample(ctx context.Context, s *site, c cell) error {
	t, err := s.install(ctx, c)
	if err != nil {
		return err
	}
	flows := []func() (*traffic, error){s.connections}
	if b.inFull(c.shape, c.load) {
		flows = append(flows, s.packets, s.throughput)
	}
	for _, start := range flows {
		// Traffic starts under conntrack-only, and without a collection in the
		// middle.
		runtime.GC()
		if err := t.baseTurn(ctx); err != nil {
			return err
		}
		own, base, err := t.watch(ctx, start, b.Turns, b.Window)
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		for i := range own {
			for metric := range own[i] {
				k := key{c, metric}
				b.samples[k] = append(b.samples[k], own[i][metric])
				b.bases[k] = append(b.bases[k], base[i][metric])
			}
		}
	}
	return nil
}

func (b *bench) results() []Result {
	metrics := []Metric{Throughput, Packets, PacketCPU, Connections, ConnectionP50, ConnectionP99, ConnectionCPU}
	var out []Result
	for _, metric := range metrics {
		for _, c := range b.cells {
			samples, base := b.samples[key{c, metric}], b.bases[key{c, metric}]
			if c.shape == Conntrack {
				samples = b.ofBase(c.topology, metric)
				base = samples
			}
			if len(samples) > 0 {
				out = append(out, Result{
					Topology: c.topology, Shape: c.shape, Load: c.load, Metric: metric,
					Samples: samples, Base: base, Note: b.note[c.shape],
				})
			}
		}
	}
	return slices.Clip(out)
}

// ofBase is what conntrack-only came to in turns with the cells: at each turn, in
// the median of all.
func (b *bench) ofBase(topology string, m Metric) []float64 {
	var out []float64
	for turn := range b.Repeats * b.Turns {
		var all []float64
		for _, c := range b.cells {
			if base := b.bases[key{c, m}]; c.topology == topology && turn < len(base) {
				all = append(all, base[turn])
			}
		}
		if len(all) > 0 {
			out = append(out, quantile(all, 0.5))
		}
	}
	return out
}
