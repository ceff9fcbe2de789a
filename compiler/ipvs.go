package compiler

import (
	"maps"
	"slices"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/policy"
)

// Where the node has IPVS (kube-proxy's mode of that name), a packet to a Service does
// not come to the forward hook. The Service's address is the node's own, so the packet
// goes to input. There IPVS takes it, at priority 99 after all filters, gives it the
// address of a backend, and sends it on by output. That is the one place where it has
// both ends as policies name them, and where it came from is known at input alone. So
// each hook does its part:
//
//	input (filter - 10)   asks for the place that the packet came from, and no more
//	                      IPVS takes what is a Service's
//	input (filter + 110)  judges what is left: it is for the node, or a backend on it
//	output (filter - 10)  judges what is not the node's own, as forward does
//
// Replies come by forward as ever, for the entry of conntrack has the backend as the
// far end. That holds with net.ipv4.vs.conntrack, which kube-proxy sets, and for NAT, the
// one method that kube-proxy uses. The agent tells of all else.
//
// Source: ip_vs_ops4 and ip_vs_nat_xmit of net/netfilter/ipvs.
const (
	// inputLateChain is behind IPVS.
	inputLateChain      = "input-late"
	outputChain         = "output"
	judgeInputLateChain = "judge-input-late"
	judgeOutputChain    = "judge-output"

	// senderMap leads from a local Pod's address to the chain of what it may send, for
	// packets of which no rule can say any more by which interface they came.
	senderMap = "sender"

	// afterIPVS is behind its hooks at input, which have priorities 98 and 99.
	afterIPVS = "filter + 110"
)

// ipvsBases are the base chains of a node with IPVS.
func (c *Config) ipvsBases(epoch uint32) []Chain {
	hook := func(name knftables.BaseChainHook, priority knftables.BaseChainPriority) *Hook {
		return &Hook{Name: name, Priority: priority, Policy: knftables.AcceptPolicy}
	}
	return []Chain{
		{Name: inputLateChain, Hook: hook(knftables.InputHook, afterIPVS), Rules: c.fastPath(epoch, false, judgeInputLateChain)},
		{Name: outputChain, Hook: hook(knftables.OutputHook, hookPriority), Rules: c.fastPath(epoch, false, judgeOutputChain)},
	}
}

// ipvsChains are where these lead to, sorted by name.
func (c *Config) ipvsChains(tunnels tunnelLayout) []Chain {
	return []Chain{
		{Name: judgeInputLateChain, Rules: c.judgeInputLate()},
		{Name: judgeOutputChain, Rules: c.judgeOutput(tunnels)},
	}
}

// judgeInputLate judges what Pods send to their own node and IPVS did not take. Errors
// were decided at input: here IPVS has put a Service's address on those of its backends.
func (c *Config) judgeInputLate() []Rule {
	decided := func(protocol policy.Protocol) Rule {
		return rule(InState{States: StateRelated}, isNumber(L4Protocol, uint32(protocol)), Accept{}).because("decided before IPVS")
	}
	return append([]Rule{
		decided(policy.ICMP), decided(policy.ICMPv6),
		toIrregular(irregularInputChain),
		rule(isNumber(ConnDirection, directionReply), Accept{}).because("opened by the node: probes"),
	}, c.toNode()...)
}

// judgeOutput judges what IPVS sends on, as [Config.judgeForward] does what is routed.
// What the node sends of its own has an address of the node's: no Pod's packet has one,
// for input lets none pass.
func (c *Config) judgeOutput(tunnels tunnelLayout) []Rule {
	return slices.Concat([]Rule{
		rule(isNumber(RouteToSource, routeLocal), Accept{}).because("the node's own"),
		// In the name of a packet's destination the node resets its connection. Nobody
		// else can send that: a reset that conntrack has no entry for is invalid.
		rule(InState{States: StateRelated}, maskedNumber(TCPFlags, tcpRst, tcpRst), Accept{}).because("the node's own, in the name of another"),
		toIrregular(irregularChain),
		toMidstream(),
		rule(isNumber(ConnDirection, directionReply), Goto{judgeReplyChain}),
	}, inBoth(func(f family) Rule { return rule(vmap(f.set(senderMap), f.source())) }),
		dispatch(policy.Ingress, forth, family.destination), c.destination(), tunnels.toTunnels(tunnelForwardChain), []Rule{rule(toJudged)})
}

// senderSets are the maps of senders, without elements.
func senderSets() []Set {
	var out []Set
	for _, f := range families {
		out = append(out, Set{Name: f.set(senderMap), Key: keyType(f.addrType()), Value: VerdictValue})
	}
	return out
}

// senders yields what the Pod puts into the maps of senders.
func (s *subject) senders(yield func(set string, key Key, value MapValue)) {
	for _, a := range s.Addrs {
		f := familyOf(a)
		if egress := s.sets(a)[policy.Egress]; egress != nil {
			yield(f.set(senderMap), addrKey(a), MapValue{DoJump, s.program(egress, f).chains[forth].name})
		}
	}
}

// beginIPVS makes the sets and base chains of a node with IPVS.
func (u *update) beginIPVS() {
	maps.Copy(u.c.fixed, newFixedSets(senderSets()))
	u.begun = senderSets()
	u.hooked.Chains = append(u.hooked.Chains, u.c.cfg.ipvsBases(u.c.epoch)...)
	for _, s := range u.c.subjects {
		s.senders(u.fixed.set)
	}
}

// filled are the sets that this update begins, with their elements, which are no
// changes then.
func (u *update) filled() []Set {
	out := slices.Clone(u.begun)
	for i := range out {
		out[i].Elements = u.c.elements(out[i].Name)
		delete(u.fixed.touched, out[i].Name)
	}
	return out
}
