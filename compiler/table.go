package compiler

import (
	"slices"
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
	MidstreamChain         = "midstream"
	JudgedChain            = "judged"

	misplacedCounter = "dropped-misplaced"
	unknownCounter   = "dropped-unknown"
	invalidCounter   = "dropped-invalid"
	relatedCounter   = "dropped-related"
	linkCounter      = "dropped-link-messages"
	tunnelCounter    = "dropped-tunnel"
	midstreamCounter = "rejected-midstream"
)

// UntoldCounter counts packets that policies deny and nobody is told of: of flows beyond
// the rate of their Pod.
const UntoldCounter = "denied-untold"

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
// packet to its destination, it goes on to [JudgedChain] itself.
func (c *Config) judgeForward(n node) []Rule {
	return slices.Concat(n.secondSource(), []Rule{
		toIrregular(irregularChain),
		toMidstream(),
		rule(isNumber(ConnDirection, directionReply), Goto{judgeReplyChain}),
		rule(Jump{sourceChain}),
	}, dispatch(policy.Ingress, forth, family.destination), c.destination(), n.tunnels.toTunnels(tunnelForwardChain), []Rule{rule(toJudged)})
}

// dispatch asks what the Pod's policies allow that has an address.
func dispatch(d policy.Direction, w way, at func(family) Field) []Rule {
	return inBoth(func(f family) Rule { return rule(vmap(dispatchMap(d, w, f), at(f))) })
}

// toMidstream: a connection that conntrack does not know would be judged as if its
// opener were who talks first. It is to be cut, not guessed.
func toMidstream() Rule {
	return rule(Masked{Field: TCPFlags, Mask: TCPFlags.Number(tcpFin | tcpSyn | tcpRst | tcpAck), Not: true, Value: TCPFlags.Number(tcpSyn)},
		InState{States: StateNew}, Jump{MidstreamChain})
}

// judgeReply judges replies by the policies of their connection, so that a
// change cuts both ways at once, and a change back revives both.
func (c *Config) judgeReply(detours bool) []Rule {
	first := []Rule{rule(Jump{placeChain})}
	if detours {
		first = append(first, detourReply())
	}
	return slices.Concat(first,
		dispatch(policy.Egress, back, family.destination),
		dispatch(policy.Ingress, back, family.source),
		c.destination(), []Rule{rule(toJudged)})
}

// judgeInput judges packets from Pods to their own node, as judgeForward does. What
// IPVS may take is not judged yet.
func (c *Config) judgeInput(n node) []Rule {
	out := slices.Concat([]Rule{
		toIrregular(irregularInputChain),
		rule(isNumber(ConnDirection, directionReply), Accept{}).because("opened by the node: probes"),
	}, n.secondSource(), n.tunnels.toTunnels(tunnelInputChain))
	if n.ipvs {
		return append(out, rule(Jump{placeChain}))
	}
	return append(out, c.toNode()...)
}

// toNode is whether a Pod may reach its own node.
func (c *Config) toNode() []Rule {
	var out []Rule
	if len(c.NodeDNS) > 0 {
		out = append(out, inBoth(func(f family) Rule {
			return rule(in(f.set(nodeDNSSet), f.destination(), L4Protocol, DestinationPort),
				in(f.set(bindSet), InterfaceIn, f.source()), toJudged).because("NodeLocal DNSCache")
		})...)
	}
	asked := sourceChain
	if c.NodeEgress {
		asked = placeChain
	}
	return append(out, rule(Jump{asked}), rule(toJudged))
}

// midstreamRules is the chain that the end of the grace changes.
func midstreamRules(grace bool) Chain { return Chain{Name: MidstreamChain, Rules: midstream(grace)} }

// midstream resets connections that conntrack picked up in the middle, where
// an isolated Pod is at either end: their clients open new ones, which are
// judged. In the grace of a first install it does nothing.
func midstream(grace bool) []Rule {
	if grace {
		return nil
	}
	out := append([]Rule{rule(Jump{placeChain})}, toItself(toJudged)...)
	for i, end := range []func(family) Field{family.source, family.destination} {
		chain := [...]string{cutFrom, cutTo}[i]
		out = append(out, inBoth(func(f family) Rule {
			return leading(midstreamCounter, chain, in(f.set(isolatedSet), end(f)))
		})...)
	}
	return out
}

// epochChains are the chains that an epoch changes.
func (c *Config) epochChains(epoch uint32, ipvs bool) []Chain {
	hook := func(name knftables.BaseChainHook) *Hook {
		return &Hook{Name: name, Priority: hookPriority, Policy: knftables.AcceptPolicy}
	}
	out := []Chain{
		{Name: forwardChain, Hook: hook(knftables.ForwardHook), Rules: c.fastPath(epoch, false, judgeForwardChain)},
		{Name: inputChain, Hook: hook(knftables.InputHook), Rules: c.fastPath(epoch, false, judgeInputChain)},
		{Name: judgedErrorsChain, Rules: c.fastPath(epoch, true, staleErrorsChain)},
		{Name: JudgedChain, Rules: c.judged(epoch)},
	}
	if ipvs {
		out = append(out, c.ipvsBases(epoch)...)
	}
	return out
}

// fixedChains are the chains that policies do not change.
func (c *Config) fixedChains(epoch uint32, grace bool, n node) []Chain {
	out := append(append(c.epochChains(epoch, n.ipvs), c.nodeChains(n)...), []Chain{
		midstreamRules(grace),
		{Name: irregularChain, Rules: irregular()},
		{Name: irregularInputChain, Rules: c.irregularInput()},
		{Name: icmpChain, Rules: c.icmpMessages()},
		{Name: errorsChain, Rules: icmpErrors()},
		{Name: sourceChain, Rules: c.source()},
		{Name: staleErrorsChain, Rules: staleErrors()},
		{Name: linkChain, Rules: linkRules()},
		{Name: tunnelDestinationChain, Rules: tunnelDestination()},
		{Name: strangerToChain, Rules: toStranger()},
	}...)
	return slices.Concat(out, c.denyChains(), c.dropChains())
}

// fixedCounters count what is dropped for other reasons than policies.
var fixedCounters = []string{misplacedCounter, unknownCounter, invalidCounter, relatedCounter, linkCounter, tunnelCounter, midstreamCounter, ForeignCounter, UntoldCounter}

// DropCounters are the counters of what is dropped for other reasons than policies, by
// reason.
var DropCounters = map[string]string{
	"misplaced": misplacedCounter, "unknown": unknownCounter, "invalid": invalidCounter, "related": relatedCounter,
	"link-messages": linkCounter, "tunnel": tunnelCounter, "midstream": midstreamCounter,
}

// fixedSets are the sets with names of their own, without elements.
func (c *Config) fixedSets() []Set {
	out := []Set{{Name: podInterfacesSet, Key: keyType(IfName)}, {Name: otherInterfacesSet, Key: keyType(IfName)}, {Name: secondInterfacesSet, Key: keyType(IfName)}}
	out = append(out, dropSets()...)
	for _, f := range families {
		addr := f.addrType()
		out = append(out,
			Set{Name: f.set(localSet), Key: keyType(addr)},
			Set{Name: f.set(unplacedSet), Key: keyType(addr)},
			Set{Name: f.set(bindSet), Key: keyType(IfName, addr)},
			Set{Name: f.set(selfSet), Key: keyType(addr, addr)},
			Set{Name: f.set(isolatedSet), Key: keyType(addr)},
			Set{Name: f.set(tunnelPeersSet), Key: keyType(addr)},
			Set{Name: f.set(ReportedSet), Key: keyType(addr, addr, InetProto, InetService), Timeout: reportInterval, Size: reportSize},
			Set{Name: f.set(reportRateSet), Key: keyType(addr), Timeout: reportInterval, Size: reportSize},
			Set{Name: f.set(flowEndsSet), Key: keyType(addr, addr), Timeout: reportInterval, Size: reportSize},
		)
		if len(c.NodeDNS) > 0 {
			out = append(out, Set{Name: f.set(nodeDNSSet), Key: keyType(addr, InetProto, InetService), Elements: c.nodeDNS(f)})
		}
		for _, d := range directions {
			out = append(out, Set{Name: deniedMap(d, f), Key: keyType(addr), Value: CounterValue})
			for _, w := range ways {
				key := keyType(addr)
				if bySource(d, w) {
					key = keyType(IfName, addr)
				}
				out = append(out, Set{Name: dispatchMap(d, w, f), Key: key, Value: VerdictValue})
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
