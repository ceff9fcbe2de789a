package document

import (
	"fmt"
	"math"

	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/packetpath"
)

// least is the lowest of the ratios that a claim is about.
type least struct {
	value float64
	text  string
}

func (l *least) of(v figures.Ratio, unit, where string) {
	if math.IsNaN(v.Value) || l.text != "" && v.Value >= l.value {
		return
	}
	*l = least{v.Value, fmt.Sprintf("at least %s%s (%s)", times(v), unit, where)}
}

// judge is the claim with the lowest ratio as its figure.
func (l *least) judge(limit float64, anchor, short, target string) claim {
	c := claim{anchor: anchor, short: short, target: target, figure: l.text}
	if l.text != "" {
		c.verdict = atLeast(limit, l.value)
	}
	return c
}

// packetClaims are made twice: of Sluice as it comes, and of Pods that are let off
// their guards, for no other shape has such a thing.
func (r *report) packetClaims() []claim {
	var established, connections, ahead [2]least
	var routed least
	for _, c := range r.cells() {
		for i, ours := range []string{sluice, unguarded} {
			if c.variant == ours {
				for _, m := range rates3[:2] {
					established[i].of(r.toConntrack(c, m), "", metricName(m)+", "+c.String())
				}
				if p := c.at["policies"]; c.at["elsewhere"] == 0 && (p == 1 || p == 100 || p == 1000) {
					connections[i].of(r.toConntrack(c, packetpath.Connections), "", c.String())
					if i == 0 && c.topology == "ptp" {
						routed.of(r.toConntrack(c, packetpath.Connections), "", c.String())
					}
				}
			}
			// Of throughput all shapes come to the same, within what can be measured.
			if c.classic() {
				for _, m := range rates3[1:] {
					ahead[i].of(r.against(ours, c, m), " times", metricName(m)+", "+c.String())
				}
			}
		}
	}
	const same = "The same of Pods without guards"
	return []claim{
		established[0].judge(0.99, "established", "Established traffic under any number of policies, of conntrack only",
			"Established traffic: throughput and packet rate at least 0.99 of conntrack-only, whatever the number of policies and Pods"),
		established[1].judge(0.99, "established-policies", same+": what policies alone cost", "The same, but for guards: of Pods that are let off theirs"),
		connections[0].judge(0.97, "connections", "New connections with 1 to 1,000 policies on the Pod, of conntrack only",
			"Connection rate at least 0.97 of conntrack-only with 1, 100 and 1,000 policies selecting the Pod"),
		routed.judge(0.97, "connections-routed", "The same of Pods without a bridge", "The same without a bridge: Pods with a routed link each"),
		connections[1].judge(0.97, "connections-policies", same, "The same, but for guards"),
		ahead[0].judge(1, "ahead", "Against the classic shapes of rulesets, which have no guards", "Ahead of both classic shapes everywhere, in connections and packets a second"),
		ahead[1].judge(1, "ahead-policies", same, "The same, but for guards, which those do not have either"),
	}
}
