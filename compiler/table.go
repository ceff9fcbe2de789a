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
	// otherInterfacesSet are veths that carry no Pods.
	otherInterfacesSet = "other-interfaces"
	// unplacedSet is addresses of local Pods that no policy isolates in egress and
	// whose place is not known.
	unplacedSet    = "unplaced"
	localSet       = "local"        // addresses of local Pods
	bindSet        = "bind"         // interface . address: where a local Pod's packets come from
	sourceMap      = "source"       // the same, to the chain of what the Pod may send; all local Pods
	selfSet        = "self"         // address . address: both of the same Pod
	isolatedSet    = "isolated"     // addresses of Pods isolated in any direction
	nodeDNSSet     = "node-dns"     // address . protocol . port of NodeLocal DNSCache
	tunnelPeersSet = "tunnel-peers" // addresses of the tunnels' far ends
	reportedSet    = "reported"     // flows whose denial was logged a moment ago
	reportRateSet  = "report-rate"
	flowEndsSet    = "flow-ends" // address . the same: ends of flows that errors were about

	forwardChain           = "forward"
	inputChain             = "input"
	judgeForwardChain      = "judge-forward"
	judgeInputChain        = "judge-input"
	judgeReplyChain        = "judge-reply"
	irregularChain         = "irregular"
	irregularInputChain    = "irregular-input"
	icmpChain              = "icmp-messages"
	errorsChain            = "icmp-errors"
	nodeErrorsChain        = "node-errors"
	judgedErrorsChain      = "judged-errors"
	staleErrorsChain       = "stale-errors"
	linkChain              = "link-messages"
	tunnelForwardChain     = "tunnel-forward"
	tunnelSourceChain      = "tunnel-source"
	tunnelDestinationChain = "tunnel-destination"
	tunnelInputChain       = "tunnel-input"
	sourceChain            = "source"
	placeChain             = "place"
	strangerToChain        = "to-stranger"
	midstreamChain         = "midstream"
	judgedChain            = "judged"

	misplacedCounter = "dropped-misplaced"
	unknownCounter   = "dropped-unknown"
	invalidCounter   = "dropped-invalid"
	relatedCounter   = "dropped-related"
	linkCounter      = "dropped-link-messages"
	tunnelCounter    = "dropped-tunnel"
	midstreamCounter = "rejected-midstream"
)

// ForeignCounter counts denied packets whose connections bore an epoch that others
// wrote.
const ForeignCounter = "foreign-marks"

// dispatchMap is the verdict map from a Pod's address to the chain of what its
// policies allow. What a Pod sends is asked for by interface and address: that is
// one lookup, for where it comes from and for what it may.
func dispatchMap(d policy.Direction, w way, f family) string {
	if bySource(d, w) {
		return f.set(sourceMap)
	}
	return f.set(d.String() + w.suffix())
}

func bySource(d policy.Direction, w way) bool { return d == policy.Egress && w == forth }

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
const (
	hookPriority       = "filter - 10"
	beforeHookPriority = "filter - 11"
)

// The first packet of a connection finds everything cold: each lookup is memory
// that no packet before has brought near, and costs as much as a dozen rules that
// compare. So the order is by what most first packets can be spared, and what few
// need is in a chain of its own.

// judgeForward judges packets between Pods and the world that no earlier judgement
// under this epoch covers. The order matters, line by line. Where a chain allows a
// packet to its destination, it goes on to [judgedChain] itself.
func (c *Config) judgeForward(tunnels tunnelLayout) []line {
	return slices.Concat([]line{
		toIrregular(irregularChain),
		toMidstream,
		{"ct direction reply goto " + judgeReplyChain, ""},
		{"jump " + sourceChain, ""},
		{"FAMILY daddr vmap @ingress-V", ""},
	}, c.destination(), tunnels.toTunnels(tunnelForwardChain), []line{{"goto " + judgedChain, ""}})
}

// toMidstream: a connection that conntrack does not know would be judged as if its
// opener were who talks first. It is to be cut, not guessed.
var toMidstream = line{"tcp flags & (fin|syn|rst|ack) != syn ct state new jump " + midstreamChain, ""}

// judgeReply judges replies by the policies of their connection, so that a
// change cuts both ways at once, and a change back revives both.
func (c *Config) judgeReply(detours bool) []line {
	first := []line{{"jump " + placeChain, ""}}
	if detours {
		first = append(first, detourReply)
	}
	return slices.Concat(first, []line{
		{"FAMILY saddr vmap @ingress-reply-V", ""},
		{"FAMILY daddr vmap @egress-reply-V", ""},
	}, c.destination(), []line{{"goto " + judgedChain, ""}})
}

// judgeInput judges packets from Pods to their own node, as judgeForward does. What
// IPVS may take is not judged yet.
func (c *Config) judgeInput(tunnels tunnelLayout, ipvs bool) []line {
	out := append([]line{
		toIrregular(irregularInputChain),
		{"ct direction reply accept", "opened by the node: probes"},
	}, tunnels.toTunnels(tunnelInputChain)...)
	if ipvs {
		return append(out, line{"jump " + placeChain, ""})
	}
	return append(out, c.toNode()...)
}

// toNode is whether a Pod may reach its own node.
func (c *Config) toNode() []line {
	var out []line
	if len(c.NodeDNS) > 0 {
		out = append(out, line{"FAMILY daddr . meta l4proto . th dport @node-dns-V iifname . FAMILY saddr @bind-V goto " + judgedChain, "NodeLocal DNSCache"})
	}
	asked := sourceChain
	if c.NodeEgress {
		asked = placeChain
	}
	return append(out, line{"jump " + asked, ""}, line{"goto " + judgedChain, ""})
}

// midstream resets connections that conntrack picked up in the middle, where
// an isolated Pod is at either end: their clients open new ones, which are
// judged. In the grace of a first install it does nothing.
func midstream(grace bool) []line {
	if grace {
		return nil
	}
	return []line{
		{"jump " + placeChain, ""},
		{selfLine, selfComment},
		{"FAMILY saddr @isolated-V counter name " + midstreamCounter + " reject with tcp reset", ""},
		{"FAMILY daddr @isolated-V counter name " + midstreamCounter + " reject with tcp reset", ""},
	}
}

// epochChains are the chains that an epoch or the end of the grace changes.
func (c *Config) epochChains(epoch uint32, grace, ipvs bool) []Chain {
	hook := func(name knftables.BaseChainHook) *Hook {
		return &Hook{Name: name, Priority: hookPriority, Policy: knftables.AcceptPolicy}
	}
	out := []Chain{
		{Name: forwardChain, Hook: hook(knftables.ForwardHook), Rules: rules(c.fastPath(AcceptJudged, epoch, judgeForwardChain))},
		{Name: inputChain, Hook: hook(knftables.InputHook), Rules: rules(c.fastPath(AcceptJudged, epoch, judgeInputChain))},
		{Name: judgedErrorsChain, Rules: rules(c.fastPath(AcceptError, epoch, staleErrorsChain))},
		{Name: midstreamChain, Rules: rules(midstream(grace))},
		{Name: judgedChain, Rules: rules(c.judged(epoch))},
	}
	if ipvs {
		out = append(out, c.ipvsBases(epoch)...)
	}
	return out
}

// fixedChains are the chains that policies do not change.
func (c *Config) fixedChains(epoch uint32, grace bool, n node) []Chain {
	out := append(append(c.epochChains(epoch, grace, n.ipvs), c.nodeChains(n)...), []Chain{
		{Name: irregularChain, Rules: rules(irregular)},
		{Name: irregularInputChain, Rules: rules(c.irregularInput())},
		{Name: icmpChain, Rules: rules(c.icmpMessages())},
		{Name: errorsChain, Rules: rules(icmpErrors())},
		{Name: nodeErrorsChain, Rules: rules(c.nodeErrors())},
		{Name: staleErrorsChain, Rules: rules(staleErrors())},
		{Name: linkChain, Rules: rules(linkRules)},
		{Name: tunnelDestinationChain, Rules: rules(tunnelDestination)},
		{Name: strangerToChain, Rules: rules(toStranger)},
	}...)
	for _, d := range directions {
		for _, w := range ways {
			out = append(out, Chain{Name: denyChain(d, w), Rules: rules(c.deny(d, w))})
		}
	}
	return out
}

// fixedCounters count what is dropped for other reasons than policies.
var fixedCounters = []string{misplacedCounter, unknownCounter, invalidCounter, relatedCounter, linkCounter, tunnelCounter, midstreamCounter, ForeignCounter}

// fixedSets are the sets with names of their own, without elements.
func (c *Config) fixedSets() []Set {
	out := []Set{{Name: podInterfacesSet, Type: "ifname"}, {Name: otherInterfacesSet, Type: "ifname"}, {Name: secondInterfacesSet, Type: "ifname"}}
	for _, f := range families {
		addr := f.addrType()
		out = append(out,
			Set{Name: f.set(localSet), Type: addr},
			Set{Name: f.set(unplacedSet), Type: addr},
			Set{Name: f.set(bindSet), Type: "ifname . " + addr},
			Set{Name: f.set(selfSet), Type: addr + " . " + addr},
			Set{Name: f.set(isolatedSet), Type: addr},
			Set{Name: f.set(tunnelPeersSet), Type: addr},
			Set{Name: f.set(reportedSet), Type: addr + " . " + addr + " . inet_proto . inet_service", Timeout: reportInterval, Size: reportSize},
			Set{Name: f.set(reportRateSet), Type: addr, Timeout: reportInterval, Size: reportSize},
			Set{Name: f.set(flowEndsSet), Type: addr + " . " + addr, Timeout: reportInterval, Size: reportSize},
		)
		if len(c.NodeDNS) > 0 {
			out = append(out, Set{Name: f.set(nodeDNSSet), Type: addr + " . inet_proto . inet_service", Elements: c.nodeDNS(f)})
		}
		for _, d := range directions {
			out = append(out, Set{Name: deniedMap(d, f), Type: addr, Value: "counter"})
			for _, w := range ways {
				key := addr
				if bySource(d, w) {
					key = "ifname . " + addr
				}
				out = append(out, Set{Name: dispatchMap(d, w, f), Type: key, Value: "verdict"})
			}
		}
	}
	return out
}

// A denied flow is logged once in reportInterval.
const (
	reportInterval = 10 * time.Second
	// reportSize bounds the memory that a flood of denied packets, or of errors, can
	// take. When the set is full, packets are dropped without a log.
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
