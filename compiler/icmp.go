package compiler

import (
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// toIrregular is for what conntrack finds no connection for, or another's: all of
// ICMP that is not judged as what it is is among it.
func toIrregular(chain string) Rule {
	return rule(InState{States: StateInvalid | StateRelated | StateUntracked}, Jump{chain})
}

// irregular packets that return are judged. Those without an entry of conntrack are
// so by themselves, each time, for there is no mark to remember it in, and as if they
// opened what they belong to. Invalid ones have no place near an isolated Pod: they
// are late, forged, or meant to confuse.
func irregular() []Rule {
	out := []Rule{
		rule(isNumber(L4Protocol, uint32(protoICMP)), Jump{icmpChain}),
		rule(isNumber(L4Protocol, uint32(protoICMPv6)), Jump{icmpChain}),
	}
	for i, end := range []func(family) Field{family.source, family.destination} {
		chain := [...]string{dropInvalidFrom, dropInvalidTo}[i]
		out = append(out, inBoth(func(f family) Rule {
			return leading(invalidCounter, chain, InState{States: StateInvalid}, in(f.set(isolatedSet), end(f)))
		})...)
	}
	return out
}

// icmpMessages are those that are not judged as what they are. All others return.
func (c *Config) icmpMessages() []Rule {
	const redirects = "redirects come from the next hop, not through it"
	return []Rule{
		rule(oneOf(ICMPv6Type, mldQuery, mldReport, mldDone, ndRouterAsk, ndRouterTell, ndAsk, ndTell, mld2Report), Goto{linkChain}).
			because("of the link, if it is what it seems"),
		// Conntrack takes an IPv4 redirect for an error about a flow, and would
		// have it pass with those of allowed flows.
		dropping(relatedCounter, isNumber(ICMPType, icmpRedirect), in(ipv4.set(isolatedSet), IPDestination)).because(redirects),
		dropping(relatedCounter, isNumber(ICMPv6Type, ndRedirect), in(ipv6.set(isolatedSet), IP6Destination)).because(redirects),
		c.aboutDenied(),
		rule(InState{States: StateRelated}, Goto{errorsChain}).because("ICMP error about an allowed flow"),
		// The types that conntrack looks for a flow for: there is none, or it was
		// told not to look.
		rule(oneOf(ICMPType, icmpUnreachable, icmpQuench, icmpRedirect, icmpTimeExceed, icmpParameter), Goto{errorsChain}).
			because("ICMP error about no flow"),
		rule(between(ICMPv6Type, 0, lastICMPv6Error), Goto{errorsChain}).because("ICMP error about no flow"),
	}
}

// lastICMPv6Error is the last type of errors (RFC 4443, 2.1).
const lastICMPv6Error = 127

// aboutDenied: an error about a denied flow must not revive it. It is neither judged nor
// does it mark.
func (c *Config) aboutDenied() Rule {
	denied := c.Mark.Denied()
	return dropping(relatedCounter, InState{States: StateRelated}, maskedNumber(ConnMark, denied, denied)).because("ICMP error about a denied flow")
}

// irregularInput has one thing more to tell, for what goes to the node: errors about
// what no policy asks. That is whatever the node opened, which nobody ever judges.
func (c *Config) irregularInput() []Rule {
	unasked := []Term{InState{States: StateRelated}}
	if !c.NodeEgress {
		unasked = append(unasked, isNumber(ConnDirection, directionReply))
	}
	var out []Rule
	for _, p := range []policy.Protocol{protoICMP, protoICMPv6} {
		out = append(out, rule(append(unasked[:len(unasked):len(unasked)], isNumber(L4Protocol, uint32(p)), Goto{nodeErrorsChain})...).
			because("ICMP error about what no policy asks"))
	}
	return append(out, rule(Goto{irregularChain}))
}

// errorsFromEnds drops what Pods say about the flows of others, and does own with what
// they say about theirs.
//
// Errors are about the flow of others: their receiver takes them whatever its
// policies say, with more than a thousand bytes of the sender's choice. So a Pod's
// pass only about a flow of its own, to the other end. Conntrack has made sure that
// the receiver is the flow's end in this direction, and has the sender's end by its
// own address: that of a Service is put on later. Whether a Pod's flow is allowed
// elsewhere no other node can ask, so an error about a flow that this node does not
// know is not a Pod's to send either.
//
// All others return. They are nodes, routers and whoever else is no Pod of this node, in
// whose name no Pod of this node can send.
func errorsFromEnds(own Term) []Rule {
	out := []Rule{
		rule(Jump{placeChain}),
		dropping(relatedCounter, isNumber(ICMPType, icmpRedirect), in(ipv4.set(localSet), IPSource)).because("no Pod is a next hop"),
	}
	for _, w := range ways {
		out = append(out, inBoth(func(f family) Rule {
			return rule(isNumber(ConnDirection, w.direction()), in(f.set(selfSet), f.source(), f.opener(w)), own).because("about the sender's own flow")
		})...)
	}
	return append(out, inBoth(func(f family) Rule {
		return dropping(relatedCounter, in(f.set(localSet), f.source())).because("a Pod's, about others' flows")
	})...)
}

// nodeErrors are about flows that no policy asks about.
func (c *Config) nodeErrors(n node) []Rule {
	return slices.Concat(n.secondSource(), []Rule{c.aboutDenied()}, errorsFromEnds(Accept{}), []Rule{rule(Accept{}).because("from no Pod")})
}

// icmpErrors are all others. Those about no flow return, and are judged as what they are.
func icmpErrors() []Rule {
	return append(errorsFromEnds(Goto{judgedErrorsChain}),
		rule(InState{States: StateRelated}, Goto{judgedErrorsChain}).because("from no Pod of this node"))
}

// staleErrors are about flows of which no packet was judged under this epoch. A flow may
// be denied now, and who does not send one more packet of it could go on inside of
// errors about it for as long as conntrack knows it. So what an end says of it is
// dropped where a policy may have something against the flow: where its opener is
// isolated in egress, or the other end in ingress.
//
// That costs next to nothing, for an error is the answer to a packet of the flow, which
// passed here and was judged a moment ago: what is lost is errors about packets that
// were on their way when the epoch changed, and these are sent again. Where no epoch
// counts, there is nothing to tell such flows by, and the same errors are lost for as
// long as that lasts.
//
// Who is no end is a router, or a node, which have no business in the flow and must be
// heard at any time, or paths with a small MTU would be black holes. A rule cannot
// compare two addresses of a packet and of a flow. But it can look one pair up in a set
// where all pairs are of an address and itself; a full set makes who is asked for an end.
//
// Errors are never judged as the flow is, by its ports: the chains of policies read
// those of the packet. Nor as ICMP, for that would mark the flow.
func staleErrors() []Rule {
	out := toItself(Accept{})
	for _, w := range ways {
		out = append(out, inBoth(func(f family) Rule {
			end := f.opener(w)
			return rule(
				isNumber(ConnDirection, w.direction()), notIn(f.set(localSet), f.source()),
				Remember{Key: concat(end, end), Set: f.set(flowEndsSet), Again: true},
				notIn(f.set(flowEndsSet), f.source(), end), Accept{}).because("from no end of the flow")
		})...)
	}
	for _, w := range ways {
		// Who sends what goes as the opener's packets do is held to its egress, and the
		// other end to its ingress; what goes back, the other way round.
		asked := [...]policy.Direction{policy.Egress, policy.Ingress}
		if w == back {
			asked = [...]policy.Direction{policy.Ingress, policy.Egress}
		}
		for i, end := range []func(family) Field{family.source, family.destination} {
			out = append(out, inBoth(func(f family) Rule {
				return dropping(relatedCounter, isNumber(ConnDirection, w.direction()),
					CountMapped{concat(end(f)), deniedMap(asked[i], f)}).because("a flow that may be denied now")
			})...)
		}
	}
	return append(out, rule(Accept{}).because("no policy has a say"))
}

// linkDrop is for messages of a link that are not what they seem. They are counted and
// not told of, for there is chatter on every link.
func linkDrop(matches ...Term) Rule { return dropping(linkCounter, matches...) }

// Lengths are what follows the IPv6 header, in bytes, as the guards of bridge ports
// have them (see portguard.go). A Fragment header is never among it (RFC 6980, 5).
// Conntrack takes it away where it puts a packet together; what was hidden behind other
// headers then has these still.
var (
	solicitLength   = between(IP6Length, 24, 40)
	advertiseLength = between(IP6Length, 24, 40)
	routerLength    = between(IP6Length, 8, 16)
	// mldLength is with eight bytes of a router alert, mldQueryLength with up to 16
	// sources besides.
	mldLength      = between(IP6Length, 24, 32)
	mldQueryLength = between(IP6Length, 24, 292)
	reportLength   = between(IP6Length, 8, groupsAtOnce)
)

// linkRules are about messages of one link, which pass to isolated Pods too, or nobody
// would find them. With hop limit 255 a message comes from this link: otherwise it were
// a way across the router that no policy closes. MLD is sent with hop limit 1, so it
// cannot be routed either. From Pods nothing else of these types passes to anybody,
// for a guard sees no type that a fragment or another header hides; to the node
// others send what they like.
func linkRules() []Rule {
	neighbours := func(kind uint32, length, to Term, comment string) Rule {
		return rule(isNumber(ICMPv6Type, kind), fromThisLink, plainICMPv6, length, to, Accept{}).because("neighbour discovery, " + comment)
	}
	listeners := func(kind uint32, length, to Term) Rule {
		return rule(isNumber(ICMPv6Type, kind), notRouted, length, to, Accept{}).because("multicast listener discovery")
	}
	return append([]Rule{
		neighbours(ndAsk, solicitLength, outside(IP6Destination, multicast6), "of one neighbour"),
		neighbours(ndAsk, solicitLength, within(IP6Destination, solicitedNode), "of who has an address"),
		neighbours(ndTell, advertiseLength, outside(IP6Destination, multicast6), "of one neighbour"),
		neighbours(ndTell, advertiseLength, to6(allNodes), "of all"),
		neighbours(ndRouterAsk, routerLength, to6(allRouters), "of routers"),
		linkDrop(isNumber(ICMPv6Type, ndRouterTell), is(InterfaceKindIn, InterfaceKindIn.Text(veth)), notIn(otherInterfacesSet, InterfaceIn)).
			because("no Pod is a router, known or not"),
		rule(isNumber(ICMPv6Type, ndRouterTell), fromThisLink, plainICMPv6, within(IP6Source, linkLocal6), Accept{}).
			because("router discovery: no Pod's of a bridge, by its guard"),
		listeners(mld2Report, reportLength, to6(mld2Routers)),
		listeners(mldQuery, mldQueryLength, within(IP6Destination, multicast6)),
		listeners(mldReport, mldLength, within(IP6Destination, multicast6)),
		listeners(mldDone, mldLength, to6(allRouters)),
	}, fromPodInterface(linkDrop, "a Pod's, and not what it seems", nil)...)
}

// What messages of one link have in common.
var (
	fromThisLink = isNumber(IP6HopLimit, 255)
	notRouted    = isNumber(IP6HopLimit, 1)
	plainICMPv6  = isNumber(IP6NextHeader, uint32(protoICMPv6))
)

func to6(a netip.Addr) Term { return is(IP6Destination, AddrValue(a)) }
