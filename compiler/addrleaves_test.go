package compiler

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/sluice-net/sluice/policy"
)

// TestApartMeansTheRules compares addresses and ports with a walk through the rules, for
// leaves and branches of all sizes.
func TestApartMeansTheRules(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	blocks := []string{
		"10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "255.255.255.255/32", "0.0.0.0/32",
		"0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/0", "192.168.0.0/16", "192.168.0.128/25", "fd00::/8",
	}
	addrs := []string{"0.0.0.0", "0.0.0.1", "9.255.255.255", "10.0.0.0", "10.1.2.2", "10.1.2.3", "10.1.2.4", "10.127.255.255", "10.128.0.0", "127.255.255.255", "128.0.0.0", "192.168.0.127", "192.168.0.128", "255.255.255.254", "255.255.255.255"}
	branched := 0
	for round := range 1500 {
		var rules []policy.AllowRule
		for range 1 + r.IntN(12) {
			var ports []policy.PortRange
			for range 1 + r.IntN(3) {
				first := uint16(r.IntN(20))
				ports = append(ports, policy.PortRange{Protocol: []policy.Protocol{policy.TCP, policy.UDP}[r.IntN(2)], First: first, Last: first + uint16(r.IntN(5))})
			}
			peers := []string{"a", "b", "a c", ""}[r.IntN(4)]
			for range r.IntN(3) {
				peers += " " + blocks[r.IntN(len(blocks))]
			}
			rules = append(rules, allowed(peers, ports...))
		}
		l := usualLimits
		l.compared, l.branch, l.apart = 1+r.IntN(3), 1+r.IntN(3), 0
		a := allow(rules, endsOf(rules), ipv4, true, &l, newPeerMemo(), nil)
		if !a.apart {
			t.Fatal("address ranges are not apart")
		}
		branched += len(a.addrLeaves)
		for _, text := range addrs {
			at := netip.MustParseAddr(text)
			for port := range uint16(26) {
				if got, want := a.passes(at, policy.TCP, port), walkAddrs(rules, at, policy.TCP, port); got != want {
					t.Fatalf("round %d: %s to %d: %t, want %t\n%+v", round, at, port, got, want, rules)
				}
			}
		}
	}
	if branched == 0 {
		t.Error("there were no leaves")
	}
}

// passes looks an address that is no Pod's up as packets are.
func (a *allowance) passes(at netip.Addr, proto policy.Protocol, port uint16) bool {
	covers := func(s portSpan) bool { return s.protocol == proto && s.first <= port && port <= s.last }
	if slices.ContainsFunc(a.spans, func(s portSpan) bool { return covers(s) && s.class.any }) {
		return true
	}
	in := func(s addrSpan) bool {
		return !at.Less(s.first) && !s.last.Less(at) && slices.ContainsFunc(s.ports.spans, covers)
	}
	if a.addrLeaves == nil {
		return slices.ContainsFunc(a.addrs, in)
	}
	var down func([]addrLeaf) bool
	down = func(leaves []addrLeaf) bool {
		return slices.ContainsFunc(leaves, func(l addrLeaf) bool {
			if !l.prefix.Contains(at) {
				return false
			}
			if l.leaves != nil {
				return down(l.leaves)
			}
			return slices.ContainsFunc(l.spans, in)
		})
	}
	return down(a.addrLeaves)
}

func walkAddrs(rules []policy.AllowRule, at netip.Addr, proto policy.Protocol, port uint16) bool {
	return slices.ContainsFunc(rules, func(r policy.AllowRule) bool {
		return slices.ContainsFunc(r.Blocks, func(b policy.BlockPeer) bool { return b.Block.Contains(at) }) &&
			slices.ContainsFunc(r.Ports, func(p policy.PortRange) bool { return p.Protocol == proto && p.First <= port && port <= p.Last })
	})
}

// TestLeavesStay: a span more changes the leaf that it is in, and perhaps cuts that, and
// all others are what they were.
func TestLeavesStay(t *testing.T) {
	var spans []portSpan
	for i := range uint16(2000) {
		spans = append(spans, portSpan{protocol: policy.TCP, first: 16 * i, last: 16*i + i%5, class: classOf(policy.GroupKey(fmt.Sprint(i)))})
	}
	leaves := func(spans []portSpan) map[string]bool {
		out := map[string]bool{}
		var down func([]portLeaf)
		down = func(list []portLeaf) {
			for i := range list {
				if list[i].leaves != nil {
					down(list[i].leaves)
					continue
				}
				if n := len(list[i].spans); n > fewSpans {
					t.Fatalf("a leaf of %d spans", n)
				}
				out[fmt.Sprint(list[i].first, list[i].last, list[i].spans, list[i].spans[0].class.groups)] = true
			}
		}
		down(leavesOf(spans, &usualLimits))
		return out
	}
	before := leaves(spans)
	more := slices.Insert(slices.Clone(spans), 1000, portSpan{protocol: policy.TCP, first: 16*999 + 10, last: 16*999 + 11, class: classOf("5000")})
	after := leaves(more)
	changed := 0
	for text := range after {
		if !before[text] {
			changed++
		}
	}
	if len(before) < 200 || changed > 2 {
		t.Errorf("%d of %d leaves changed", changed, len(before))
	}
}
