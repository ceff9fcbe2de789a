package compiler

import "github.com/sluice-net/sluice/policy"

// Packets that are not where their addresses belong are dropped. Dispatch goes
// by address, so an address must not be had for the asking.
//
// By interface and not by CIDR: it needs no knowledge of the network plug-in's
// blocks and gateways. A local address without a known place is in local and
// not in bind and source, and so is closed.

// source returns with what its sender may send, from where it belongs. Of a local Pod
// that takes one lookup; the others are for packets of others.
func (c *Config) source() []Rule {
	return append(inBoth(func(f family) Rule {
		return rule(vmap(f.set(sourceMap), InterfaceIn, f.source())).because("a local Pod's, from its place")
	}), c.elsewhere()...)
}

// place returns with what comes from where it belongs, whatever it is. What IPVS sends on
// has no interface any more that it came by: it was asked at input.
func (c *Config) place(n node) []Rule {
	var out []Rule
	if n.ipvs {
		out = []Rule{rule(isNumber(PortIn, 0), Return{}).because("sent on by IPVS")}
	}
	out = append(out, inBoth(func(f family) Rule {
		return rule(in(f.set(bindSet), InterfaceIn, f.source()), Return{}).because("a local Pod's, from its place")
	})...)
	return append(out, c.elsewhere()...)
}

// elsewhere is for what comes from no place of a local Pod.
func (c *Config) elsewhere() []Rule {
	// A local Pod whose place is not known may still send what no policy asks
	// about, by whatever is no unknown Pod's.
	out := inBoth(func(f family) Rule {
		return leading(misplacedCounter, dropMisplaced, in(f.set(localSet), f.source()), notIn(f.set(unplacedSet), f.source())).because("a local Pod's address from elsewhere")
	})
	if !c.UnknownPods {
		out = append(out, fromPodInterface(unknownFrom, "from an unknown Pod, link-local", nil)...)
	}
	return out
}

// veth is the kind of interface that Pods have.
const veth = "veth"

// ending is a rule that drops what matches.
type ending func(matches ...Term) Rule

// leadingTo is [leading] as an ending.
func leadingTo(counter, chain string) ending {
	return func(matches ...Term) Rule { return leading(counter, chain, matches...) }
}

// unknownFrom and unknownTo are about who is no known Pod.
var (
	unknownFrom = leadingTo(unknownCounter, dropUnknownFrom)
	unknownTo   = leadingTo(unknownCounter, dropUnknownTo)
)

// fromPodInterface drops what comes from Pods, known or not, if of each family
// something holds besides.
func fromPodInterface(dropped ending, comment string, besides func(f family) Term) []Rule {
	var out []Rule
	for _, from := range [][]Term{
		{is(InterfaceKindIn, InterfaceKindIn.Text(veth)), notIn(otherInterfacesSet, InterfaceIn)},
		{in(podInterfacesSet, InterfaceIn)},
	} {
		if besides == nil {
			out = append(out, dropped(from...).because(comment))
			continue
		}
		out = append(out, inBoth(func(f family) Rule {
			return dropped(append(from[:len(from):len(from)], besides(f))...).because(comment)
		})...)
	}
	return out
}

// destination drops what goes to a Pod's interface and to no known Pod. Isolated
// Pods are known: what they allow never comes here.
func (c *Config) destination() []Rule {
	if c.UnknownPods {
		return nil
	}
	return inBoth(func(f family) Rule {
		return rule(notIn(f.set(localSet), f.destination()), Jump{strangerToChain}).because("to no known Pod")
	})
}

// toStranger is what goes to no known Pod: to an unknown one, multicast, broadcast or
// link-local if the interface carries Pods.
func toStranger() []Rule {
	return []Rule{
		unknownTo(is(InterfaceKindOut, InterfaceKindOut.Text(veth)), notIn(otherInterfacesSet, InterfaceOut)),
		unknownTo(in(podInterfacesSet, InterfaceOut)),
	}
}

// toItself lets a Pod reach itself, directly or through a Service. It is asked
// where a packet would be denied, for most are not.
func toItself(verdict Term) []Rule {
	return inBoth(func(f family) Rule {
		return rule(in(f.set(selfSet), f.source(), f.destination()), verdict).because("a Pod reaches itself")
	})
}

// nodeDNS opens port 53 of the addresses where NodeLocal DNSCache answers.
func (c *Config) nodeDNS(f family) []Element {
	var out []Element
	for _, a := range c.NodeDNS {
		if a = a.Unmap(); familyOf(a) != f {
			continue
		}
		for _, protocol := range []policy.Protocol{policy.TCP, policy.UDP} {
			out = append(out, Element{Key: member{a, protocol, 53}.key()})
		}
	}
	return sortElements(out)
}
