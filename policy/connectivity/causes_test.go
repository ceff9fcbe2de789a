package connectivity_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spectest"
)

// changes are the changes between workloads, as text.
func changes(d *connectivity.Difference) []string {
	var out []string
	for _, c := range d.Changes {
		isWorkload := func(e int) bool { return len(d.Ends[e].Workloads) > 0 }
		src, dst := slices.DeleteFunc(slices.Clone(c.Sources), func(e int) bool { return !isWorkload(e) }), c.Destinations
		if len(src) == 0 || !slices.ContainsFunc(dst, isWorkload) {
			continue
		}
		text := fmt.Sprintf("%s: %s → %s:", c.Kind, strings.Join(d.Describe(src), ", "), strings.Join(d.Describe(dst), ", "))
		for _, s := range c.Stretches {
			text += fmt.Sprintf(" %s %s to %s", s.Ports, s.Old, s.New)
			for _, cause := range s.Causes {
				words := []string{cause.Effect.String()}
				if cause.Policy.Name != "" {
					words = append(words, cause.Policy.String(), cause.Path(), fmt.Sprintf("changed %v", cause.PolicyChanged))
				}
				words = without(words, func(s string) bool { return s == "" })
				text += " [" + strings.Join(words, " ") + "]"
			}
		}
		out = append(out, text)
	}
	return out
}

func TestCauses(t *testing.T) {
	pods := pod("shop", "web") + pod("shop", "db")
	tcp1 := func(peer string) string {
		return netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [`+peer+`], ports: [{port: 1}]}]}`)
	}
	closed := netpol("shop", "closed", `{podSelector: {matchLabels: {app: db}}}`)
	web := tcp1(`{podSelector: {matchLabels: {app: web}}}`)
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"a rule comes": {pods + closed, pods + closed + web, []string{
			"allowed: Pod shop/web → Pod shop/db: TCP 1 denied to allowed [allows shop/db spec.ingress[0].from[0] changed true]",
		}},
		"a rule goes": {pods + closed + web, pods + closed, []string{
			"denied: Pod shop/web → Pod shop/db: TCP 1 allowed to denied [noLongerAllows shop/db spec.ingress[0].from[0] changed true]",
		}},
		"isolation comes": {pods, pods + web, []string{
			"denied: Pod shop/db → Pod shop/db: TCP allowed to denied [isolates shop/db changed true]" +
				" UDP allowed to denied [isolates shop/db changed true] SCTP allowed to denied [isolates shop/db changed true]" +
				" other protocols allowed to denied [isolates shop/db changed true]",
			"changed: Pod shop/web → Pod shop/db: TCP 0 allowed to denied [isolates shop/db changed true]" +
				" TCP 2-65535 allowed to denied [isolates shop/db changed true]" +
				" UDP allowed to denied [isolates shop/db changed true] SCTP allowed to denied [isolates shop/db changed true]" +
				" other protocols allowed to denied [isolates shop/db changed true]",
		}},
		"what is allowed twice": {pods + closed + web, pods + closed + web + netpol("shop", "again", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1}]}]}`), nil},
		"labels change": {pods + web, strings.Replace(pods, "app: web", "app: other", 1) + web, []string{
			"denied: Pod shop/web → Pod shop/db: TCP 1 allowed to denied [noLongerAllows shop/db spec.ingress[0].from[0] changed false]",
		}},
		"a workload comes": {pods + web, pods + pod("shop", "new") + tcp1(`{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: new}}}`) +
			netpol("shop", "in", `{podSelector: {}}`) + netpol("shop", "out", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := connectivity.Diff(cluster(t, c.before), cluster(t, c.after))
			got := changes(&d)
			if name == "a workload comes" {
				// Only what is about it.
				got = without(got, func(s string) bool { return !strings.Contains(s, "shop/new →") })
				c.want = []string{"allowed: Pod shop/new → Pod shop/db: TCP 1 denied to allowed [addedWorkload]"}
				if !slices.Equal(d.Added, []connectivity.Name{{Kind: "Pod", Namespace: "shop", Name: "new"}}) || len(d.Removed) > 0 {
					t.Errorf("added %v, removed %v", d.Added, d.Removed)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The same answer for other addresses is a change, too.
func TestOtherAddressesAreAChange(t *testing.T) {
	given := func(half string) *connectivity.Cluster {
		c := cluster(t, pod("shop", "web")+pod("shop", "db")+netpol("shop", "db",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: `+half+`}}], ports: [{port: 1}]}]}`))
		c.PodRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		return c
	}
	d := connectivity.Diff(given("10.0.0.0/9"), given("10.128.0.0/9"))
	want := []string{
		"changed: Pod shop/db, Pod shop/web → Pod shop/db: TCP 1 depends to depends" +
			" [allows shop/db spec.ingress[0].from[0] changed true] [noLongerAllows shop/db spec.ingress[0].from[0] changed true]",
	}
	if diff := cmp.Diff(want, changes(&d)); diff != "" {
		t.Error(diff)
	}
	if len(d.Policies) != 1 || !d.Policies[0].Effective {
		t.Errorf("policies: %+v", d.Policies)
	}
}

// Which addresses the blocks mean counts, and not how they are written: one within
// another, halves for the whole, what is cut out and let in again, and what is where no
// Pod is.
func TestTheSameAddressesAreNoChange(t *testing.T) {
	pods := pod("shop", "web") + pod("shop", "db")
	for name, c := range map[string]struct {
		pods          string // the Pods' range, where it is known
		before, after string // peers
		opens, closes bool
	}{
		"one in the other goes":  {"", `{ipBlock: {cidr: 192.168.0.0/16}}, {ipBlock: {cidr: 192.168.0.1/32}}`, `{ipBlock: {cidr: 192.168.0.0/16}}`, false, false},
		"one in the other comes": {"", `{ipBlock: {cidr: 192.168.0.0/16}}`, `{ipBlock: {cidr: 192.168.0.0/16}}, {ipBlock: {cidr: 192.168.0.1/32}}`, false, false},
		"halves":                 {"", `{ipBlock: {cidr: 192.168.0.0/16}}`, `{ipBlock: {cidr: 192.168.0.0/17}}, {ipBlock: {cidr: 192.168.128.0/17}}`, false, false},
		"another order":          {"", `{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: fd00::/8}}`, `{ipBlock: {cidr: fd00::/8}}, {ipBlock: {cidr: 10.0.0.0/8}}`, false, false},
		"an exception": {"", `{ipBlock: {cidr: 10.0.0.0/8}}`,
			`{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}, {ipBlock: {cidr: 10.1.0.0/16}}`, false, false},
		"beside the Pods": {"10.1.0.0/16", `{ipBlock: {cidr: 10.1.0.0/24}}`, `{ipBlock: {cidr: 10.1.0.0/24}}, {ipBlock: {cidr: 10.2.0.0/16}}`, false, false},
		"wider":           {"", `{ipBlock: {cidr: 10.1.0.0/16}}`, `{ipBlock: {cidr: 10.0.0.0/8}}`, true, false},
		"narrower":        {"", `{ipBlock: {cidr: 10.0.0.0/8}}`, `{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}`, false, true},
		"others":          {"10.0.0.0/8", `{ipBlock: {cidr: 10.0.0.0/9}}`, `{ipBlock: {cidr: 10.128.0.0/9}}`, true, true},
		"the other family": {"", `{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: fd00::/8}}`,
			`{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: fd00::/9}}`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			given := func(peers string) *connectivity.Cluster {
				out := cluster(t, pods+netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [`+peers+`]}]}`))
				if c.pods != "" {
					out.PodRanges = []netip.Prefix{netip.MustParsePrefix(c.pods)}
				}
				return out
			}
			d := connectivity.Diff(given(c.before), given(c.after))
			opens, closes := false, false
			for _, change := range d.Changes {
				if !slices.ContainsFunc(change.Sources, func(e int) bool { return len(d.Ends[e].Workloads) > 0 }) {
					continue // what is outside has addresses
				}
				if !change.ByAddress() {
					t.Errorf("no ports differ: %+v", change)
				}
				for _, s := range change.Stretches {
					opens = opens || s.Opens
					for _, cause := range s.Causes {
						closes = closes || cause.Effect == connectivity.NoLongerAllows
						if cause.Effect == connectivity.Allows && !s.Opens {
							t.Errorf("nothing opens, and the cause is %+v", cause)
						}
					}
				}
			}
			if opens != c.opens || closes != c.closes {
				t.Errorf("opens %v, closes %v", opens, closes)
			}
		})
	}
}

// What only one side of the egress and the ingress lets pass is no difference.
func TestAddressesThatTheOtherSideDeniesAreNoChange(t *testing.T) {
	given := func(six string) *connectivity.Cluster {
		return cluster(t, pod("shop", "web")+pod("shop", "db")+
			netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: `+six+`}}]}]}`)+
			netpol("shop", "web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`))
	}
	d := connectivity.Diff(given("fd00::/8"), given("fd00::/9"))
	for _, text := range changes(&d) {
		if strings.Contains(text, "Pod shop/web →") || strings.Contains(text, ", Pod shop/web") {
			t.Errorf("web sends nothing over IPv6: %s", text)
		}
	}
}

// Manifests name no nodes, and so no ranges: the same objects with and without them do
// not differ.
func TestRangesOfOneSideAreThoseOfBoth(t *testing.T) {
	given := func(ranges bool) *connectivity.Cluster {
		c := cluster(t, pod("shop", "web")+pod("shop", "db")+netpol("shop", "db",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 192.168.0.0/16}}, {ipBlock: {cidr: 10.0.0.0/8}}]}]}`))
		if ranges {
			c.PodRanges, c.NodeRanges = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, []netip.Prefix{netip.MustParsePrefix("192.168.7.2/32")}
		}
		return c
	}
	for _, with := range []bool{true, false} {
		if d := connectivity.Diff(given(with), given(!with)); len(d.Changes) > 0 {
			t.Errorf("ranges before: %v: %v", with, changes(&d))
		}
	}
}

// A difference by addresses is that of asking for each address alone.
func TestAddressesOneByOne(t *testing.T) {
	space := netip.MustParsePrefix("10.0.0.0/29")
	var addrs []netip.Addr
	for a := space.Addr(); space.Contains(a); a = a.Next() {
		addrs = append(addrs, a)
	}
	block := func(r *rand.Rand, within netip.Prefix) netip.Prefix {
		p, _ := addrs[r.IntN(len(addrs))].Prefix(within.Bits() + r.IntN(33-within.Bits()))
		return p
	}
	peers := func(r *rand.Rand) string {
		var out []string
		for range 1 + r.IntN(3) {
			p := block(r, netip.MustParsePrefix("10.0.0.0/28"))
			text := fmt.Sprintf("{ipBlock: {cidr: %s}}", p)
			if hole := block(r, space); p.Contains(hole.Addr()) && p.Bits() < hole.Bits() {
				text = fmt.Sprintf("{ipBlock: {cidr: %s, except: [%s]}}", p, hole)
			}
			out = append(out, text)
		}
		return strings.Join(out, ", ")
	}
	counts := map[string]int{}
	for seed := range uint64(100) {
		r := spectest.Seeded(seed)
		sides := [2]string{peers(r), peers(r)}
		given := func(side int, web ...netip.Addr) *connectivity.Cluster {
			c := cluster(t, pod("shop", "web")+pod("shop", "db")+netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [`+sides[side]+`]}]}`))
			c.PodRanges = []netip.Prefix{space}
			for i := range c.Workloads {
				if c.Workloads[i].Name == "web" {
					c.Workloads[i].Addrs = web
				}
			}
			return c
		}
		more, less := false, false
		for _, a := range addrs {
			var passes [2]bool
			for side := range passes {
				m := connectivity.New(given(side, a))
				all, _, _ := m.Allows(endNamed(t, m.Ends(), "web"), endNamed(t, m.Ends(), "db"), policy.TCP, 80)
				passes[side] = all == connectivity.Allowed
			}
			more, less = more || passes[1] && !passes[0], less || passes[0] && !passes[1]
		}
		d := connectivity.Diff(given(0), given(1))
		opens, closes := false, false
		for _, c := range d.Changes {
			if !slices.ContainsFunc(c.Sources, func(e int) bool { return slices.ContainsFunc(d.Ends[e].Workloads, isWeb) }) {
				continue
			}
			for _, s := range c.Stretches {
				opens = opens || s.Opens
				for _, cause := range s.Causes {
					closes = closes || cause.Effect == connectivity.NoLongerAllows
				}
			}
		}
		if opens != more || closes != less {
			t.Fatalf("seed %d: %s becomes %s: more pass %v, fewer %v, and the difference opens %v, closes %v", seed, sides[0], sides[1], more, less, opens, closes)
		}
		counts[fmt.Sprint(more, less)]++
	}
	if len(counts) != 4 {
		t.Errorf("some kind never came up: %v", counts)
	}
}

func isWeb(n connectivity.Name) bool { return n.Name == "web" }

func endNamed(t *testing.T, ends []connectivity.End, name string) int {
	t.Helper()
	i := slices.IndexFunc(ends, func(e connectivity.End) bool {
		return slices.ContainsFunc(e.Workloads, func(n connectivity.Name) bool { return n.Name == name })
	})
	if i < 0 {
		t.Fatalf("%s is no end", name)
	}
	return i
}
