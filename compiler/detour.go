package compiler

import (
	"sigs.k8s.io/knftables"
)

// Where a network plug-in keeps a Pod's route in a table that rules choose by where a
// packet comes from, the node's own routing knows nothing of the Pod: what the node sends
// it leaves by the uplink and comes back by an interface of the Pod's, as a packet to be
// forwarded with the node's address. Nobody could tell it there from one that somebody
// forged. So it is marked where it leaves, which is the one place that only the node's own
// packets come by, and what the Pod answers is told by the direction and by where it goes.
//
// Packets between two such Pods, or such a one and another, pass the forward hook twice.
// The first time they are judged, and the mark carries them through the second. A Pod that
// nobody knows yet is somewhere outside to the first, so a mark must not lead to it.

// The chains are of the output and of the forward hook, and there only where there are such
// Pods.
const (
	detourOutChain = "detours-out"
	detourInChain  = "detours-in"
)

// detourOut marks what the node sends to a Pod of its own by another way than the Pod's
// interface: what a node sends its Pods is always allowed.
func detourOut() []Rule {
	return inBoth(func(f family) Rule {
		return rule(in(f.set(localSet), f.destination()), notIn(f.set(bindSet), InterfaceOut, f.destination()), toJudged).
			because("the node's own, to its Pod by way of the network")
	})
}

// detourIn drops what goes to an unknown Pod, whatever it was judged as before.
func (c *Config) detourIn() []Rule {
	if c.UnknownPods {
		return nil
	}
	return inBoth(func(f family) Rule {
		return unknownTo(is(InterfaceKindOut, InterfaceKindOut.Text(veth)), notIn(otherInterfacesSet, InterfaceOut),
			notIn(f.set(localSet), f.destination())).because("to an unknown Pod, judged when it left")
	})
}

// detourReply is what such a Pod answers. In the forward hook nothing else goes to an
// address of the node's.
func detourReply() Rule {
	return rule(isNumber(RouteToDestination, routeLocal), toJudged).because("to the node, which opened it")
}

func (c *Config) detourChains() []Chain {
	chain := func(name string, hook knftables.BaseChainHook, priority knftables.BaseChainPriority, rules []Rule) Chain {
		return Chain{Name: name, Rules: rules, Hook: &Hook{Name: hook, Priority: priority, Policy: knftables.AcceptPolicy}}
	}
	return []Chain{
		chain(detourInChain, knftables.ForwardHook, beforeHookPriority, c.detourIn()),
		chain(detourOutChain, knftables.OutputHook, hookPriority, detourOut()),
	}
}
