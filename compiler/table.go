package compiler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/policy"
)

// Fixed names of table inet sluice. Those without a family get -v4 or -v6.
const (
	podInterfacesSet = "pod-interfaces"
	localSet         = "local"    // addresses of local Pods
	bindSet          = "bind"     // interface . address: where a local Pod's packets come from
	selfSet          = "self"     // address . address: both of the same Pod
	isolatedSet      = "isolated" // addresses of Pods isolated in any direction
	nodeDNSSet       = "node-dns" // address . protocol . port of NodeLocal DNSCache
	reportedSet      = "reported" // flows whose denial was logged a moment ago
	reportRateSet    = "report-rate"

	forwardChain          = "forward"
	inputChain            = "input"
	unjudgedForwardChain  = "unjudged-forward"
	unjudgedInputChain    = "unjudged-input"
	untrackedForwardChain = "untracked-forward"
	untrackedInputChain   = "untracked-input"
	judgeForwardChain     = "judge-forward"
	judgeInputChain       = "judge-input"
	judgeReplyChain       = "judge-reply"
	judgeUntrackedForward = "judge-untracked-forward"
	judgeUntrackedInput   = "judge-untracked-input"
	icmpChain             = "icmp-messages"
	midstreamChain        = "midstream"
	judgedChain           = "judged"

	misplacedCounter = "dropped-misplaced"
	unknownCounter   = "dropped-unknown"
	invalidCounter   = "dropped-invalid"
	relatedCounter   = "dropped-related"
	midstreamCounter = "rejected-midstream"
)

// dispatchMap is the verdict map from a Pod's address to the chain of what its
// policies allow.
func dispatchMap(d policy.Direction, w way, f family) string {
	return f.set(d.String() + w.suffix())
}

// deniedMap is the map from a Pod's address to the counter of what was denied
// to it.
func deniedMap(d policy.Direction, f family) string { return f.set("denied-" + d.String()) }

func denyChain(d policy.Direction, w way) string { return "deny-" + d.String() + w.suffix() }

var directions = [...]policy.Direction{policy.Ingress, policy.Egress}

var ways = [...]way{forth, back}

// line is a rule of a fixed chain as the tables below have it. In its text
// FAMILY stands for ip or ip6 and V for v4 or v6; a line that has either
// becomes two rules.
type line struct {
	rule, comment string
}

// hookPriority is before kube-proxy's and everybody's plain filter chains, so
// that they see only what policies allow; after DNAT and conntrack anyway.
const hookPriority = "filter - 10"

// The first packet of a connection finds everything cold: each rule, and each
// lookup four times as much, is memory that no packet before has brought near.
// So the order is by what most first packets can be spared, and what few need is
// in a chain of its own.

// unjudgedForward begins to judge what no earlier judgement under this epoch covers,
// between Pods and the world. The order matters, line by line.
func (c *Config) unjudgedForward() []line {
	return slices.Concat(toICMP, []line{
		// Untracked packets have no mark to remember a judgement in.
		{"ct state invalid,untracked goto " + untrackedForwardChain, ""},
	}, c.source(judgeForwardChain))
}

// unjudgedInput does the same for packets from Pods to their own node.
func (c *Config) unjudgedInput() []line {
	return slices.Concat(toICMP, []line{
		{"ct state invalid,untracked goto " + untrackedInputChain, ""},
		{"ct direction reply accept", "opened by the node: probes"},
	}, c.source(judgeInputChain))
}

var toICMP = []line{
	{"meta l4proto icmp jump " + icmpChain, ""},
	{"meta l4proto icmpv6 jump " + icmpChain, ""},
}

// icmpMessages are those that are not judged as what they are. All others return.
func (c *Config) icmpMessages() []line {
	return []line{
		// Only with hop limit 255 it comes from this link: otherwise it were a way
		// across the router that no policy closes.
		{"ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept", "neighbour discovery, from this link only"},
		// MLD is sent with hop limit 1, so it cannot be routed either.
		{"ip6 hoplimit 1 icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept", "multicast listener discovery"},
		// Conntrack takes an IPv4 redirect for an error about a flow, and would
		// have it pass with those of allowed flows.
		{"icmp type redirect ip daddr @" + ipv4.set(isolatedSet) + " counter name " + relatedCounter + " drop", "redirects come from the next hop, not through it"},
		{"icmpv6 type nd-redirect ip6 daddr @" + ipv6.set(isolatedSet) + " counter name " + relatedCounter + " drop", "redirects come from the next hop, not through it"},
		// An error about a denied flow must not revive it: it is neither judged
		// nor does it mark.
		{"ct state related ct mark & " + c.denied() + " == " + c.denied() + " counter name " + relatedCounter + " drop", "ICMP error about a denied flow"},
		{"ct state related accept", "ICMP error about an allowed flow"},
	}
}

// judgeForward judges packets between Pods and the world. Where a chain allows
// a packet to its destination, it goes on to [judgedChain] itself.
func (c *Config) judgeForward() []line {
	return slices.Concat([]line{
		// A connection that conntrack does not know would be judged as if its
		// opener were who talks first: to be cut, not guessed.
		{"tcp flags & (fin|syn|rst|ack) != syn ct state new jump " + midstreamChain, ""},
		{"ct direction reply goto " + judgeReplyChain, ""},
		{"FAMILY saddr vmap @egress-V", ""},
		{"FAMILY daddr vmap @ingress-V", ""},
	}, c.destination(), []line{{"goto " + judgedChain, ""}})
}

// judgeReply judges replies by the policies of their connection, so that a
// change cuts both ways at once, and a change back revives both.
func (c *Config) judgeReply() []line {
	return slices.Concat([]line{
		{"FAMILY saddr vmap @ingress-reply-V", ""},
		{"FAMILY daddr vmap @egress-reply-V", ""},
	}, c.destination(), []line{{"goto " + judgedChain, ""}})
}

// judgeInput judges packets from Pods to their own node.
func (c *Config) judgeInput() []line {
	var out []line
	if len(c.NodeDNS) > 0 {
		out = append(out, line{"FAMILY daddr . meta l4proto . th dport @node-dns-V goto " + judgedChain, "NodeLocal DNSCache"})
	}
	if !c.NodeEgress {
		out = append(out, line{"FAMILY saddr vmap @egress-V", ""})
	}
	return append(out, line{"goto " + judgedChain, ""})
}

// judgeUntrackedForward judges packets without a conntrack entry by themselves,
// each time. Invalid ones have no place near an isolated Pod: they are late,
// forged, or meant to confuse.
func (c *Config) judgeUntrackedForward() []line {
	return slices.Concat([]line{
		{"ct state invalid FAMILY saddr @isolated-V counter name " + invalidCounter + " drop", ""},
		{"ct state invalid FAMILY daddr @isolated-V counter name " + invalidCounter + " drop", ""},
		{"FAMILY saddr vmap @egress-V", ""},
		{"FAMILY daddr vmap @ingress-V", ""},
	}, c.destination(), []line{{"accept", "nobody isolated, or allowed"}})
}

func (c *Config) judgeUntrackedInput() []line {
	out := []line{
		{"ct state invalid FAMILY saddr @isolated-V counter name " + invalidCounter + " drop", ""},
	}
	if len(c.NodeDNS) > 0 {
		// NodeLocal DNSCache exempts its traffic from conntrack itself.
		out = append(out, line{"FAMILY daddr . meta l4proto . th dport @node-dns-V accept", "NodeLocal DNSCache"})
	}
	if !c.NodeEgress {
		out = append(out, line{"FAMILY saddr vmap @egress-V", ""})
	}
	return append(out, line{"accept", "nobody isolated, or allowed"})
}

// midstream resets connections that conntrack picked up in the middle, where
// an isolated Pod is at either end: their clients open new ones, which are
// judged. In the grace of a first install it does nothing.
func midstream(grace bool) []line {
	if grace {
		return nil
	}
	return []line{
		{selfLine, selfComment},
		{"FAMILY saddr @isolated-V counter name " + midstreamCounter + " reject with tcp reset", ""},
		{"FAMILY daddr @isolated-V counter name " + midstreamCounter + " reject with tcp reset", ""},
	}
}

// epochChains are the chains that an epoch or the end of the grace changes.
func (c *Config) epochChains(epoch uint32, grace bool) []Chain {
	hook := func(name knftables.BaseChainHook) *Hook {
		return &Hook{Name: name, Priority: hookPriority, Policy: knftables.AcceptPolicy}
	}
	return []Chain{
		{Name: forwardChain, Hook: hook(knftables.ForwardHook), Rules: rules(c.fastPath(epoch, unjudgedForwardChain))},
		{Name: inputChain, Hook: hook(knftables.InputHook), Rules: rules(c.fastPath(epoch, unjudgedInputChain))},
		{Name: midstreamChain, Rules: rules(midstream(grace))},
		{Name: judgedChain, Rules: rules(c.judged(epoch))},
	}
}

// fixedChains are the chains that policies do not change.
func (c *Config) fixedChains(epoch uint32, grace bool) []Chain {
	out := append(c.epochChains(epoch, grace), []Chain{
		{Name: unjudgedForwardChain, Rules: rules(c.unjudgedForward())},
		{Name: unjudgedInputChain, Rules: rules(c.unjudgedInput())},
		{Name: icmpChain, Rules: rules(c.icmpMessages())},
		{Name: untrackedForwardChain, Rules: rules(c.source(judgeUntrackedForward))},
		{Name: untrackedInputChain, Rules: rules(c.source(judgeUntrackedInput))},
		{Name: judgeForwardChain, Rules: rules(c.judgeForward())},
		{Name: judgeReplyChain, Rules: rules(c.judgeReply())},
		{Name: judgeInputChain, Rules: rules(c.judgeInput())},
		{Name: judgeUntrackedForward, Rules: rules(c.judgeUntrackedForward())},
		{Name: judgeUntrackedInput, Rules: rules(c.judgeUntrackedInput())},
	}...)
	for _, d := range directions {
		for _, w := range ways {
			out = append(out, Chain{Name: denyChain(d, w), Rules: rules(c.deny(d, w))})
		}
	}
	return out
}

// fixedCounters count what is dropped for other reasons than policies.
var fixedCounters = []string{misplacedCounter, unknownCounter, invalidCounter, relatedCounter, midstreamCounter}

// fixedSets are the sets with names of their own, without elements.
func (c *Config) fixedSets() []Set {
	out := []Set{{Name: podInterfacesSet, Type: "ifname"}}
	for _, f := range families {
		addr := f.addrType()
		out = append(out,
			Set{Name: f.set(localSet), Type: addr},
			Set{Name: f.set(bindSet), Type: "ifname . " + addr},
			Set{Name: f.set(selfSet), Type: addr + " . " + addr},
			Set{Name: f.set(isolatedSet), Type: addr},
			Set{Name: f.set(reportedSet), Type: addr + " . " + addr + " . inet_proto . inet_service", Timeout: reportInterval, Size: reportSize},
			Set{Name: f.set(reportRateSet), Type: addr, Timeout: reportInterval, Size: reportSize},
		)
		if len(c.NodeDNS) > 0 {
			out = append(out, Set{Name: f.set(nodeDNSSet), Type: addr + " . inet_proto . inet_service", Elements: c.nodeDNS(f)})
		}
		for _, d := range directions {
			out = append(out, Set{Name: deniedMap(d, f), Type: addr, Value: "counter"})
			for _, w := range ways {
				out = append(out, Set{Name: dispatchMap(d, w, f), Type: addr, Value: "verdict"})
			}
		}
	}
	return out
}

// A denied flow is logged once in reportInterval.
const (
	reportInterval = 10 * time.Second
	// reportSize bounds the memory that a flood of denied packets can take. When
	// the set is full, packets are dropped without a log.
	reportSize = 65536
)

// denied is the bit of a denied connection, as rules write it.
func (c *Config) denied() string { return hexMark(c.Mark.Denied()) }

func hexMark(v uint32) string { return fmt.Sprintf("0x%08x", v) }

// rules expands the lines of a fixed chain: one that speaks of a family becomes
// a rule for each, beside one another, with IPv4 first.
func rules(lines []line) []Rule {
	var out []Rule
	for _, l := range lines {
		if !l.bothFamilies() {
			out = append(out, Rule{Text: l.rule, Comment: l.comment})
			continue
		}
		for _, f := range families {
			text := strings.NewReplacer("FAMILY", f.header(), "-V", "-"+f.String()).Replace(l.rule)
			out = append(out, Rule{Text: text, Comment: l.comment})
		}
	}
	return out
}

func (l line) bothFamilies() bool { return strings.Contains(l.rule, "FAMILY") }
