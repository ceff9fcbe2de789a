package compiler

import (
	"fmt"
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
	placeChain            = "place"
	placeInputChain       = "place-input"
	replyForwardChain     = "reply-forward"
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

const (
	// Only with hop limit 255 it comes from this link: otherwise it were a way
	// across the router that no policy closes.
	neighbourDiscovery = "ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept"
	// MLD is sent with hop limit 1, so it cannot be routed either.
	multicastListeners = "ip6 hoplimit 1 icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept"
	icmp               = "meta l4proto { icmp, icmpv6 } "
)

// hookPriority is before kube-proxy's and everybody's plain filter chains, so
// that they see only what policies allow; after DNAT and conntrack anyway.
const hookPriority = "filter - 10"

// unjudgedForward judges packets between Pods and the world, that no earlier
// judgement under this epoch covers. The order matters, line by line.
func (c *Config) unjudgedForward() []line {
	return []line{
		{neighbourDiscovery, "neighbour discovery, from this link only"},
		{multicastListeners, "multicast listener discovery"},
		// Conntrack takes an IPv4 redirect for an error about a flow, and would
		// have it pass with those of allowed flows.
		{"icmp type redirect ip daddr @" + ipv4.set(isolatedSet) + " counter name " + relatedCounter + " drop", "redirects come from the next hop, not through it"},
		{"icmpv6 type nd-redirect ip6 daddr @" + ipv6.set(isolatedSet) + " counter name " + relatedCounter + " drop", "redirects come from the next hop, not through it"},
		// Untracked packets have no mark to remember a judgement in.
		{"ct state invalid,untracked jump " + untrackedForwardChain, ""},
		{"ct state invalid,untracked accept", "nobody isolated, or allowed"},
		// An error about a denied flow must not revive it: it is neither judged
		// nor does it mark.
		{icmp + "ct state related ct mark & " + c.denied() + " == " + c.denied() + " counter name " + relatedCounter + " drop", "ICMP error about a denied flow"},
		{icmp + "ct state related accept", "ICMP error about an allowed flow"},
		{"jump " + placeChain, ""},
		// Whoever reaches itself, directly or through a Service, is done.
		{"FAMILY saddr . FAMILY daddr @self-V goto " + judgedChain, "a Pod reaches itself"},
		// A connection that conntrack does not know would be judged as if its
		// opener were who talks first: to be cut, not guessed.
		{"ct state new tcp flags & (fin|syn|rst|ack) != syn jump " + midstreamChain, ""},
		{"ct direction reply goto " + replyForwardChain, ""},
		{"FAMILY saddr vmap @egress-V", ""},
		{"FAMILY daddr vmap @ingress-V", ""},
		{"goto " + judgedChain, ""},
	}
}

// replyForward judges replies by the policies of their connection, so that a
// change cuts both ways at once, and a change back revives both.
var replyForward = []line{
	{"FAMILY saddr vmap @ingress-reply-V", ""},
	{"FAMILY daddr vmap @egress-reply-V", ""},
	{"goto " + judgedChain, ""},
}

// unjudgedInput judges packets from Pods to their own node.
func (c *Config) unjudgedInput() []line {
	out := []line{
		{neighbourDiscovery, "neighbour discovery, from this link only"},
		{multicastListeners, "multicast listener discovery"},
		{"ct state invalid,untracked jump " + untrackedInputChain, ""},
		{"ct state invalid,untracked accept", "nobody isolated, or allowed"},
		{icmp + "ct state related ct mark & " + c.denied() + " == " + c.denied() + " counter name " + relatedCounter + " drop", "ICMP error about a denied flow"},
		{icmp + "ct state related accept", "ICMP error about an allowed flow"},
		{"ct direction original jump " + placeInputChain, ""},
		{"ct direction reply accept", "opened by the node: probes"},
	}
	if len(c.NodeDNS) > 0 {
		out = append(out, line{"FAMILY daddr . meta l4proto . th dport @node-dns-V goto " + judgedChain, "NodeLocal DNSCache"})
	}
	if !c.NodeEgress {
		out = append(out, line{"FAMILY saddr vmap @egress-V", ""})
	}
	return append(out, line{"goto " + judgedChain, ""})
}

// untrackedForward judges packets without a conntrack entry by themselves,
// each time. Invalid ones have no place near an isolated Pod: they are late,
// forged, or meant to confuse.
func untrackedForward() []line {
	return []line{
		{"jump " + placeChain, ""},
		{"ct state invalid FAMILY saddr @isolated-V counter name " + invalidCounter + " drop", ""},
		{"ct state invalid FAMILY daddr @isolated-V counter name " + invalidCounter + " drop", ""},
		{"FAMILY saddr . FAMILY daddr @self-V return", "a Pod reaches itself"},
		{"FAMILY saddr vmap @egress-V", ""},
		{"FAMILY daddr vmap @ingress-V", ""},
	}
}

func (c *Config) untrackedInput() []line {
	out := []line{
		{"jump " + placeInputChain, ""},
		{"ct state invalid FAMILY saddr @isolated-V counter name " + invalidCounter + " drop", ""},
	}
	if len(c.NodeDNS) > 0 {
		// NodeLocal DNSCache exempts its traffic from conntrack itself.
		out = append(out, line{"FAMILY daddr . meta l4proto . th dport @node-dns-V return", "NodeLocal DNSCache"})
	}
	if !c.NodeEgress {
		out = append(out, line{"FAMILY saddr vmap @egress-V", ""})
	}
	return out
}

// midstream resets connections that conntrack picked up in the middle, where
// an isolated Pod is at either end: their clients open new ones, which are
// judged. In the grace of a first install it does nothing.
func midstream(grace bool) []line {
	if grace {
		return nil
	}
	return []line{
		{"FAMILY saddr @isolated-V counter name " + midstreamCounter + " reject with tcp reset", ""},
		{"FAMILY daddr @isolated-V counter name " + midstreamCounter + " reject with tcp reset", ""},
	}
}

// fixedChains are the chains that policies do not change.
func (c *Config) fixedChains(epoch uint32, grace bool) []Chain {
	hook := func(name knftables.BaseChainHook) *Hook {
		return &Hook{Name: name, Priority: hookPriority, Policy: knftables.AcceptPolicy}
	}
	out := []Chain{
		{Name: forwardChain, Hook: hook(knftables.ForwardHook), Rules: rules(c.fastPath(epoch, unjudgedForwardChain))},
		{Name: inputChain, Hook: hook(knftables.InputHook), Rules: rules(c.fastPath(epoch, unjudgedInputChain))},
		{Name: unjudgedForwardChain, Rules: rules(c.unjudgedForward())},
		{Name: unjudgedInputChain, Rules: rules(c.unjudgedInput())},
		{Name: untrackedForwardChain, Rules: rules(untrackedForward())},
		{Name: untrackedInputChain, Rules: rules(c.untrackedInput())},
		{Name: placeChain, Rules: rules(c.place())},
		{Name: placeInputChain, Rules: rules(c.placeInput())},
		{Name: replyForwardChain, Rules: rules(replyForward)},
		{Name: midstreamChain, Rules: rules(midstream(grace))},
		{Name: judgedChain, Rules: rules(c.judged(epoch))},
	}
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
