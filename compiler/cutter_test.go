package compiler

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
)

func classOf(groups ...policy.GroupKey) *peerClass {
	p := peers{groups: groups}
	return &peerClass{peers: p, key: unique.Make(p.key())}
}

// everything is all of an allowance that chains are made of.
func (a *allowance) everything() string {
	out := append(a.lines(), fmt.Sprint(a.joins, a.apart, a.crowd != nil))
	for _, s := range a.addrs {
		out = append(out, s.String()+" to "+s.ports.key)
	}
	var leaves func([]portLeaf)
	leaves = func(list []portLeaf) {
		for i := range list {
			l := &list[i]
			out = append(out, fmt.Sprint("leaf of ", l.protocol, l.first, l.last))
			for _, s := range l.spans {
				out = append(out, s.String()+": "+s.class.String())
			}
			leaves(l.leaves)
		}
	}
	leaves(a.leaves)
	for i := range a.addrLeaves {
		out = append(out, fmt.Sprint("leaf of ", a.addrLeaves[i].prefix, len(a.addrLeaves[i].spans), len(a.addrLeaves[i].leaves)))
	}
	return strings.Join(out, "\n")
}

// someRule is one whose ports and addresses overlap with others' in all ways.
func someRule(r *rand.Rand) policy.AllowRule {
	var ports []policy.PortRange
	for range r.IntN(4) {
		first := uint16(r.IntN(40))
		if r.IntN(5) == 0 {
			first = 65535 - uint16(r.IntN(5))
		}
		last := min(uint32(first)+uint32(r.IntN(9)), 65535)
		ports = append(ports, policy.PortRange{Protocol: []policy.Protocol{policy.TCP, policy.UDP, policy.SCTP}[r.IntN(3)], First: first, Last: uint16(last)})
	}
	peers := []string{"a", "b", "a c", "", "*"}[r.IntN(5)]
	if peers != "*" {
		for range r.IntN(4) {
			peers += " " + []string{
				"0.0.0.0/0", "0.0.0.0/1", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.128/25", "10.1.3.0/24", "255.255.255.255/32", "fd00::/8",
			}[r.IntN(9)]
		}
	}
	return allowed(peers, ports...)
}

// TestCuttingWhatChangedIsCuttingAll has rules come, go and change, and cuts each set with
// what is known of the one before, and without: under all limits both are the same.
func TestCuttingWhatChangedIsCuttingAll(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	taken, apart, crowds := 0, 0, 0
	for round := range 400 {
		l := usualLimits
		l.compared, l.branch, l.apart = 1+r.IntN(3), 1+r.IntN(3), r.IntN(40)
		if r.IntN(3) == 0 {
			l.classes, l.spread, l.slack = 1+r.IntN(30), r.IntN(3), r.IntN(60)
		}
		last, memo := r.IntN(2) == 0, newPeerMemo()
		var rules []policy.AllowRule
		for range r.IntN(12) {
			rules = append(rules, someRule(r))
		}
		var was *cuts
		for step := range 12 {
			rules = slices.Clone(rules)
			at := r.IntN(len(rules) + 1)
			switch {
			case at == len(rules) || r.IntN(3) == 0:
				rules = slices.Insert(rules, at, someRule(r))
			case r.IntN(2) == 0:
				rules = slices.Delete(rules, at, at+1)
			default:
				rules[at] = someRule(r)
			}
			got, want := allow(rules, endsOf(rules), ipv4, last, &l, memo, was), allow(rules, endsOf(rules), ipv4, last, &l, newPeerMemo(), nil)
			if diff := cmp.Diff(want.everything(), got.everything()); diff != "" {
				t.Fatalf("round %d, step %d (-anew +changed):\n%s\n%+v", round, step, diff, rules)
			}
			if was != nil && got.cuts != nil {
				taken++
			}
			if was = got.cuts; got.apart {
				apart++
			}
			if got.crowd != nil {
				crowds++
			}
		}
	}
	if taken == 0 || apart == 0 || crowds == 0 {
		t.Errorf("%d cut with what was known, %d of them apart, %d crowds", taken, apart, crowds)
	}
}

// TestCutsKeepNoneBefore: an event must not leave all earlier ones in memory.
func TestCutsKeepNoneBefore(t *testing.T) {
	var rules []policy.AllowRule
	for n := range uint16(100) {
		rules = append(rules, allowed(fmt.Sprint("group-", n%7), tcp(10*n, 10*n+5)))
	}
	memo, gone := newPeerMemo(), make(chan struct{})
	second := func() *cuts {
		first := allow(rules, endsOf(rules), ipv4, true, &usualLimits, memo, nil).cuts
		runtime.AddCleanup(first, func(done chan struct{}) { close(done) }, gone)
		now := slices.Delete(slices.Clone(rules), 50, 51)
		return allow(now, endsOf(now), ipv4, true, &usualLimits, memo, first).cuts
	}()
	runtime.GC()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the cuts of the set before are kept")
	}
	runtime.KeepAlive(second)
}

// TestRuleMoreIsCutAlone: a rule more among a thousand that overlap keeps so far within the
// limits that nothing else is cut.
func TestRuleMoreIsCutAlone(t *testing.T) {
	rule := func(n uint16) policy.AllowRule {
		own, shared := 10_000+n, uint16(9102)
		return allowed(fmt.Sprintf("group-%d 172.%d.%d.0/24", n%50, 16+n/256, n%256),
			tcp(own, own), tcp(30_000+3*n, 30_009+3*n), tcp(shared, shared), udp(30_000+2*n, 30_003+2*n))
	}
	var rules []policy.AllowRule
	for n := range uint16(1000) {
		rules = append(rules, rule(n))
	}
	memo := newPeerMemo()
	was := allow(rules, endsOf(rules), ipv4, true, &usualLimits, memo, nil)
	for what, now := range map[string][]policy.AllowRule{
		"one more": append(rules[:len(rules):len(rules)], rule(1000)), "one less": slices.Delete(slices.Clone(rules), 500, 501),
	} {
		c := newCutter(now, endsOf(now), ipv4, &usualLimits, memo, was.cuts)
		c.of = exceptRanges
		ports, ok := c.recutPorts(&allowance{})
		addrs, alsoOK := c.recutAddrs()
		if !ok || !alsoOK || c.begin+c.end != min(len(now), len(rules)) {
			t.Errorf("%s: ports taken over: %t, addresses: %t, %d rules of %d", what, ok, alsoOK, c.begin+c.end, len(now))
		}
		if len(ports) < 2*len(rules) || len(addrs) < len(rules)/2 {
			t.Errorf("%s: %d stretches of ports and %d of addresses", what, len(ports), len(addrs))
		}
	}
}
