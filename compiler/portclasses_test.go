package compiler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
)

func testConfig() Config { return Config{Mark: MarkLayout{Mask: DefaultMask}, LogGroup: 100} }

func tcp(first, last uint16) policy.PortRange {
	return policy.PortRange{Protocol: policy.TCP, First: first, Last: last}
}

func udp(first, last uint16) policy.PortRange {
	return policy.PortRange{Protocol: policy.UDP, First: first, Last: last}
}

// allowed lets some peers, given as a group's name, a CIDR or "*", some ports.
func allowed(peers string, ports ...policy.PortRange) policy.AllowRule {
	r := policy.AllowRule{Ports: ports, AllPorts: len(ports) == 0}
	for _, p := range strings.Fields(peers) {
		switch {
		case p == "*":
			r.AllPeers = true
		case strings.Contains(p, "/"):
			r.Blocks = append(r.Blocks, policy.BlockPeer{Block: block(p)})
		default:
			r.Groups = append(r.Groups, policy.GroupPeer{Group: policy.GroupKey(p)})
		}
	}
	return r
}

func (p *peers) String() string {
	if p.any {
		return "*"
	}
	var out []string
	for _, g := range p.groups {
		out = append(out, string(g))
	}
	for _, r := range p.ranges {
		out = append(out, r.String())
	}
	return strings.Join(out, " ")
}

func (a *allowance) lines() []string {
	var out []string
	if !a.allPorts.empty() {
		out = append(out, "all: "+a.allPorts.String())
	}
	for _, l := range a.named {
		out = append(out, fmt.Sprintf("named: %s %s", l.groups, l.names))
	}
	for _, s := range a.spans {
		out = append(out, s.String()+": "+s.class.String())
	}
	return out
}

func TestAllow(t *testing.T) {
	named := policy.AllowRule{
		NamedPorts:  []policy.NamedPortRef{{Protocol: policy.TCP, Name: "web"}, {Protocol: policy.UDP, Name: "dns"}},
		NamedGroups: []policy.GroupKey{"b", "a"},
	}
	for _, c := range []struct {
		name  string
		rules []policy.AllowRule
		want  []string
	}{
		{"nothing", nil, nil},
		{"peers without ports", []policy.AllowRule{allowed("b a 10.0.0.0/8"), allowed("a")}, []string{"all: a b 10.0.0.0/8"}},
		{"ports without peers", []policy.AllowRule{allowed("*", tcp(80, 80))}, []string{"80 . tcp: *"}},
		{"everybody and everything ends it", []policy.AllowRule{allowed("*"), allowed("a", tcp(80, 80)), named}, []string{"all: *"}},
		{"every address is everybody", []policy.AllowRule{allowed("0.0.0.0/0")}, []string{"all: *"}},
		{"the other family's addresses are nobody", []policy.AllowRule{allowed("fd00::/8"), allowed("::/0", tcp(80, 80))}, nil},
		{
			"overlapping ranges",
			[]policy.AllowRule{allowed("a", tcp(80, 90)), allowed("b", tcp(85, 100))},
			[]string{"80-84 . tcp: a", "85-90 . tcp: a b", "91-100 . tcp: b"},
		},
		{
			"a port inside a range",
			[]policy.AllowRule{allowed("a", tcp(0, 65535)), allowed("b", tcp(80, 80))},
			[]string{"0-79 . tcp: a", "80 . tcp: a b", "81-65535 . tcp: a"},
		},
		{
			"ports that touch and mean the same are one",
			[]policy.AllowRule{allowed("a", tcp(80, 80), tcp(81, 81)), allowed("a", tcp(82, 90))},
			[]string{"80-90 . tcp: a"},
		},
		{
			"the same port twice in a rule",
			[]policy.AllowRule{allowed("a", tcp(80, 90), tcp(85, 85), tcp(80, 90))},
			[]string{"80-90 . tcp: a"},
		},
		{
			"protocols do not touch",
			[]policy.AllowRule{allowed("a", tcp(0, 65535), udp(0, 65535))},
			[]string{"0-65535 . tcp: a", "0-65535 . udp: a"},
		},
		{
			"who has all ports needs no class",
			[]policy.AllowRule{allowed("a"), allowed("a b", tcp(80, 80)), allowed("a", tcp(90, 90))},
			[]string{"all: a", "80 . tcp: b"},
		},
		{
			"everybody takes the others in",
			[]policy.AllowRule{allowed("a", tcp(80, 90)), allowed("*", tcp(85, 85))},
			[]string{"80-84 . tcp: a", "85 . tcp: *", "86-90 . tcp: a"},
		},
		{
			"named ports", []policy.AllowRule{named, allowed("b")},
			[]string{"all: b", "named: [a] [web/TCP dns/UDP]"},
		},
		{"a rule that allows nothing", []policy.AllowRule{{}, {AllPorts: true}, {AllPeers: true}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := allow(c.rules, endsOf(c.rules), ipv4, false, &usualLimits, newPeerMemo(), nil)
			if diff := cmp.Diff(c.want, a.lines()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAllowMeansTheRules compares every port with a walk through the rules.
func TestAllowMeansTheRules(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 1000 {
		var rules []policy.AllowRule
		for range r.IntN(7) {
			var ports []policy.PortRange
			for range r.IntN(4) {
				first := uint16(r.IntN(20))
				ports = append(ports, policy.PortRange{
					Protocol: []policy.Protocol{policy.TCP, policy.SCTP}[r.IntN(2)],
					First:    first, Last: first + uint16(r.IntN(5)),
				})
			}
			rules = append(rules, allowed([]string{"a", "b", "a c", "d e f", "*", ""}[r.IntN(6)], ports...))
		}
		a := allow(rules, endsOf(rules), ipv4, false, &usualLimits, newPeerMemo(), nil)
		for _, proto := range []policy.Protocol{policy.TCP, policy.SCTP} {
			for port := range uint16(30) {
				for _, group := range []policy.GroupKey{"a", "b", "c", "d", "e", "f", "other"} {
					if got, want := a.allows(group, proto, port), walk(rules, group, proto, port); got != want {
						t.Fatalf("round %d: %s to %s %d: %t, want %t\n%+v\n%s", round, group, proto, port, got, want, rules, a.lines())
					}
				}
			}
		}
		for i := 1; i < len(a.spans); i++ {
			if p, s := a.spans[i-1], a.spans[i]; p.protocol > s.protocol || p.protocol == s.protocol && p.last >= s.first {
				t.Fatalf("round %d: %s and %s are not disjoint or not sorted", round, p, s)
			}
		}
	}
}

func (p *peers) have(g policy.GroupKey) bool { return p.any || slices.Contains(p.groups, g) }

func (a *allowance) allows(g policy.GroupKey, proto policy.Protocol, port uint16) bool {
	return a.allPorts.have(g) || slices.ContainsFunc(a.spans, func(s portSpan) bool {
		return s.protocol == proto && s.first <= port && port <= s.last && s.class.have(g)
	})
}

func walk(rules []policy.AllowRule, g policy.GroupKey, proto policy.Protocol, port uint16) bool {
	return slices.ContainsFunc(rules, func(r policy.AllowRule) bool {
		peer := r.AllPeers || slices.ContainsFunc(r.Groups, func(p policy.GroupPeer) bool { return p.Group == g })
		return peer && (r.AllPorts || slices.ContainsFunc(r.Ports, func(p policy.PortRange) bool {
			return p.Protocol == proto && p.First <= port && port <= p.Last
		}))
	})
}

// TestByWidth: each port is in one of the two forms, with its class, and what is
// written port by port grows by a constant at most.
func TestByWidth(t *testing.T) {
	var classes [5]*peerClass
	for i := range classes {
		classes[i] = &peerClass{id: uint64(i)}
	}
	spans := []portSpan{
		{policy.TCP, 1, 1, classes[0]}, {policy.TCP, 10, 13, classes[1]}, {policy.TCP, 20, 24, classes[2]},
		{policy.UDP, 0, 65535, classes[3]}, {policy.SCTP, 65532, 65535, classes[4]},
	}
	exact, wide := byWidth(spans)
	var texts []string
	for _, s := range append(exact, wide...) {
		texts = append(texts, fmt.Sprintf("%s: %d", s, s.class.id))
	}
	if diff := cmp.Diff([]string{
		"1 . tcp: 0", "10 . tcp: 1", "11 . tcp: 1", "12 . tcp: 1", "13 . tcp: 1",
		"65532 . sctp: 4", "65533 . sctp: 4", "65534 . sctp: 4", "65535 . sctp: 4",
		"20-24 . tcp: 2", "0-65535 . udp: 3",
	}, texts); diff != "" {
		t.Error(diff)
	}
}
