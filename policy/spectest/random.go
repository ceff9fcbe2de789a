package spectest

import (
	"math/rand/v2"
)

// Options size a random cluster. Zero values mean something small and random.
type Options struct {
	Namespaces, Nodes, Pods, Policies int
	Families                          Families
	// Invalid mixes in policies that the API server would refuse.
	Invalid bool
	// Contested has about every second Pod claim the address of the first.
	Contested bool
	// Names has rules with many peers and many ports that are given by name.
	Names bool
	// Modes has policies that are audited, by themselves or by their namespace.
	Modes bool
	// Plain leaves out what a lab cannot build: Pods that have finished, have
	// no address or share one with another Pod.
	Plain bool
}

// Families are the address families of a cluster's Pods.
type Families uint8

const (
	// AnyFamilies draws one of the others, or a mixture of single and dual
	// stack Pods.
	AnyFamilies Families = iota
	IPv4Only
	IPv6Only
	DualStack
	mixedFamilies
)

// Seeded is the generator that a seed stands for.
func Seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x511ce)) }

// Steered is a generator that data decides as far as it goes, a byte a throw:
// what a fuzzer changes of the data, it changes of the case.
func Steered(data []byte) *rand.Rand {
	after := rand.NewPCG(uint64(len(data)), 0x511ce)
	return rand.New(&steered{data, after})
}

type steered struct {
	data  []byte
	after rand.Source
}

func (s *steered) Uint64() uint64 {
	if len(s.data) == 0 {
		return s.after.Uint64()
	}
	b := s.data[0]
	s.data = s.data[1:]
	return uint64(b) * 0x0101_0101_0101_0101
}

// Random draws a cluster.
func Random(r *rand.Rand, o Options) *Cluster {
	d := dice{r}
	o = o.drawn(d)
	c := &Cluster{modes: o.Modes}
	for i := range o.Namespaces {
		c.addNamespace(d, i)
	}
	if o.Modes {
		for _, ns := range c.Namespaces {
			ns.Labels = randomMode(d, ns.Labels, true)
		}
	}
	b := podBuilder{dice: d, Options: o, namespaces: o.Namespaces}
	for range o.Pods {
		c.Pods = append(c.Pods, b.pod(c.Pods))
	}
	p := policyBuilder{dice: d, cluster: c, invalid: o.Invalid, names: o.Names}
	for i := range o.Policies {
		c.Policies = append(c.Policies, p.policy(i))
	}
	return c
}

func (o Options) drawn(d dice) Options {
	if o.Namespaces == 0 {
		o.Namespaces = 1 + d.IntN(6)
	}
	if o.Nodes == 0 {
		o.Nodes = 1 + d.IntN(4)
	}
	if o.Pods == 0 {
		o.Pods = 2 + d.IntN(30)
	}
	if o.Policies == 0 {
		o.Policies = 1 + d.IntN(3*o.Namespaces)
	}
	if o.Families == AnyFamilies {
		o.Families = weighted(d, []weight[Families]{{20, IPv4Only}, {15, IPv6Only}, {25, DualStack}, {40, mixedFamilies}})
	}
	return o
}

// dice are a random source with the throws that the builders need.
type dice struct{ *rand.Rand }

func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

func pick[T any](d dice, list []T) T { return list[d.IntN(len(list))] }

type weight[T any] struct {
	weight int
	value  T
}

func weighted[T any](d dice, list []weight[T]) T {
	total := 0
	for _, w := range list {
		total += w.weight
	}
	n := d.IntN(total)
	for _, w := range list {
		if n < w.weight {
			return w.value
		}
		n -= w.weight
	}
	return list[0].value
}

// several draws up to limit different values, at least one.
func several[T comparable](d dice, list []T, limit int) []T {
	n := 1 + d.IntN(min(limit, len(list)))
	var out []T
	for _, i := range d.Perm(len(list))[:n] {
		out = append(out, list[i])
	}
	return out
}
