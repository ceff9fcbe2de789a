// Package packetpath measures what a packet pays for policies: throughput,
// packet rate and connection rate between two Pods of the lab, under nothing,
// under connection tracking alone, under Sluice, and under the two shapes that
// rulesets of policy engines classically have.
//
// All of it happens on one machine in turns. In each round every cell, in an
// order drawn anew, is installed in the same namespaces and sampled with fresh
// connections, so that what else the machine does falls on all of them alike;
// ratios are taken round by round.
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
	// warmUp comes before each sample.
	warmUp = 40 * time.Millisecond
	// calm is what the kernel gets to free the last ruleset.
	calm = 60 * time.Millisecond
	// baseEvery is after how many cells conntrack-only is sampled again: every
	// ratio leans on it.
	baseEvery = 4

	// Many short samples rather than few long ones: what else the machine does
	// comes and goes in seconds.
	fullRepeats, fullDuration   = 12, 160 * time.Millisecond
	quickRepeats, quickDuration = 2, 60 * time.Millisecond
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
			None: {few}, Conntrack: {few}, Hooks: {few},
			Unguarded: {selecting(1), selecting(1000)},
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
		loads:   map[Shape][]Load{None: load, Conntrack: load, Hooks: load, Sluice: load, Unguarded: load, NFTLinear: load, classic: load},
		inFull:  func(Shape, Load) bool { return true },
		maximum: load[0].LocalPods,
	}
}

// bench is a run under way.
type bench struct {
	Options
	plan
	sites   map[string]*site
	cells   []cell
	samples map[key][]float64
	// bases are conntrack-only's samples in each round so far, by topology.
	bases map[key][]float64
	note  map[Shape]string
}

// Run measures. It needs root, nft and iptables, and both processors of a
// machine that does nothing else. It fails if a shape does not allow exactly
// what the policies do.
func Run(ctx context.Context, o Options) ([]Result, error) {
	b := &bench{Options: o, sites: map[string]*site{}, samples: map[key][]float64{}, note: map[Shape]string{}}
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
	repeats, duration := fullRepeats, fullDuration
	if b.Quick {
		b.plan, repeats, duration = quickPlan(classic), quickRepeats, quickDuration
	}
	if b.Repeats == 0 {
		b.Repeats = repeats
	}
	if b.Duration == 0 {
		b.Duration = duration
	}
}

// build makes a lab for each topology and all rulesets, and checks that they
// agree.
func (b *bench) build(ctx context.Context) error {
	shapes := []Shape{None, Conntrack, Hooks, Sluice, Unguarded, NFTLinear, IPTablesIPSet, IPTablesLinear}
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
				if err := s.install(ctx, c); err != nil {
					return err
				}
				if err := s.agree(ctx, c, w); err != nil {
					return err
				}
				b.cells = append(b.cells, c)
				fmt.Fprintf(b.Log, "%s: allows what it should, in %v\n", c, time.Since(start).Round(time.Millisecond))
			}
		}
	}
	return nil
}

// round samples each cell once, and conntrack-only in between.
func (b *bench) round(ctx context.Context, n int) error {
	start := time.Now()
	b.bases = map[key][]float64{}
	for topology, s := range b.sites {
		base := cell{topology, Conntrack, b.loads[Conntrack][0]}
		var cells []cell
		for _, c := range b.cells {
			if c.topology == topology && c != base {
				cells = append(cells, c)
			}
		}
		rand.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		for i, c := range cells {
			if i%baseEvery == 0 {
				if err := b.sample(ctx, s, base); err != nil {
					return err
				}
			}
			if err := b.sample(ctx, s, c); err != nil {
				return err
			}
		}
	}
	for k, values := range b.bases {
		b.samples[k] = append(b.samples[k], quantile(values, 0.5))
	}
	fmt.Fprintf(b.Log, "round %d of %d, in %v\n", n+1, b.Repeats, time.Since(start).Round(time.Millisecond))
	return nil
}

// sample measures one cell.
func (b *bench) sample(ctx context.Context, s *site, c cell) error {
	if err := s.install(ctx, c); err != nil {
		return err
	}
	measurements := []func(time.Duration) (map[Metric]float64, error){s.connections}
	if b.inFull(c.shape, c.load) {
		measurements = append(measurements, s.packets, s.throughput)
	}
	// No collection in the middle of a sample.
	runtime.GC()
	time.Sleep(calm)
	for _, measure := range measurements {
		if err := ctx.Err(); err != nil {
			return err
		}
		values, err := measure(b.Duration)
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		for metric, value := range values {
			into := b.samples
			if c.shape == Conntrack {
				into = b.bases
			}
			into[key{c, metric}] = append(into[key{c, metric}], value)
		}
	}
	return nil
}

func (b *bench) results() []Result {
	metrics := []Metric{Throughput, Packets, PacketCPU, Connections, ConnectionP50, ConnectionP99, ConnectionCPU}
	var out []Result
	for _, metric := range metrics {
		for _, c := range b.cells {
			samples := b.samples[key{c, metric}]
			if len(samples) == 0 {
				continue
			}
			base := b.samples[key{cell{c.topology, Conntrack, b.loads[Conntrack][0]}, metric}]
			out = append(out, summarize(key{c, metric}, samples, base, b.note[c.shape]))
		}
	}
	return slices.Clip(out)
}
