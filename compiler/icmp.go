package compiler

import (
	"fmt"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// toIrregular is for what conntrack finds no connection for, or another's: all of
// ICMP that is not judged as what it is is among it.
func toIrregular(chain string) line {
	return line{"ct state invalid,related,untracked jump " + chain, ""}
}

// irregular packets that return are judged. Those without an entry of conntrack are
// so by themselves, each time, for there is no mark to remember it in, and as if they
// opened what they belong to. Invalid ones have no place near an isolated Pod: they
// are late, forged, or meant to confuse.
var irregular = []line{
	{"meta l4proto icmp jump " + icmpChain, ""},
	{"meta l4proto icmpv6 jump " + icmpChain, ""},
	{"ct state invalid FAMILY saddr @isolated-V counter name " + invalidCounter + " drop", ""},
	{"ct state invalid FAMILY daddr @isolated-V counter name " + invalidCounter + " drop", ""},
}

// icmpMessages are those that are not judged as what they are. All others return.
func (c *Config) icmpMessages() []line {
	return []line{
		{"icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } goto " + linkChain, "of the link, if it is what it seems"},
		// Conntrack takes an IPv4 redirect for an error about a flow, and would
		// have it pass with those of allowed flows.
		{"icmp type redirect ip daddr @" + ipv4.set(isolatedSet) + " counter name " + relatedCounter + " drop", "redirects come from the next hop, not through it"},
		{"icmpv6 type nd-redirect ip6 daddr @" + ipv6.set(isolatedSet) + " counter name " + relatedCounter + " drop", "redirects come from the next hop, not through it"},
		c.aboutDenied(),
		{"ct state related goto " + errorsChain, "ICMP error about an allowed flow"},
		// The types that conntrack looks for a flow for: there is none, or it was
		// told not to look.
		{"icmp type { destination-unreachable, source-quench, redirect, time-exceeded, parameter-problem } goto " + errorsChain, "ICMP error about no flow"},
		{"icmpv6 type 0-127 goto " + errorsChain, "ICMP error about no flow"},
	}
}

// aboutDenied: an error about a denied flow must not revive it. It is neither judged nor
// does it mark.
func (c *Config) aboutDenied() line {
	return line{"ct state related ct mark & " + c.denied() + " == " + c.denied() + " counter name " + relatedCounter + " drop", "ICMP error about a denied flow"}
}

// irregularInput has one thing more to tell, for what goes to the node: errors about
// what no policy asks. That is whatever the node opened, which nobody ever judges.
func (c *Config) irregularInput() []line {
	unasked := "ct state related ct direction reply "
	if c.NodeEgress {
		unasked = "ct state related "
	}
	return []line{
		{unasked + "meta l4proto icmp goto " + nodeErrorsChain, "ICMP error about what no policy asks"},
		{unasked + "meta l4proto icmpv6 goto " + nodeErrorsChain, "ICMP error about what no policy asks"},
		{"goto " + irregularChain, ""},
	}
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
func errorsFromEnds(own string) []line {
	return []line{
		{"jump " + placeChain, ""},
		{"icmp type redirect ip saddr @" + ipv4.set(localSet) + " counter name " + relatedCounter + " drop", "no Pod is a next hop"},
		{"ct direction original FAMILY saddr . ct original FAMILY saddr @self-V " + own, "about the sender's own flow"},
		{"ct direction reply FAMILY saddr . ct reply FAMILY saddr @self-V " + own, "about the sender's own flow"},
		{"FAMILY saddr @local-V counter name " + relatedCounter + " drop", "a Pod's, about others' flows"},
	}
}

// nodeErrors are about flows that no policy asks about.
func (c *Config) nodeErrors() []line {
	return slices.Concat([]line{c.aboutDenied()}, errorsFromEnds("accept"), []line{{"accept", "from no Pod"}})
}

// icmpErrors are all others. Those about no flow return, and are judged as what they are.
func icmpErrors() []line {
	return append(errorsFromEnds("goto "+judgedErrorsChain), line{"ct state related goto " + judgedErrorsChain, "from no Pod of this node"})
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
func staleErrors() []line {
	const drop = " counter name " + relatedCounter + " drop"
	end := func(way string) line {
		flow := "ct " + way + " FAMILY saddr"
		return line{"ct direction " + way + " FAMILY saddr != @local-V update @" + flowEndsSet + "-V { " + flow + " . " + flow + " } " +
			"FAMILY saddr . " + flow + " != @" + flowEndsSet + "-V accept", "from no end of the flow"}
	}
	isolated := func(way, end string, d policy.Direction) line {
		return line{"ct direction " + way + " counter name FAMILY " + end + " map @denied-" + d.String() + "-V" + drop, "a flow that may be denied now"}
	}
	return []line{
		{"FAMILY saddr . FAMILY daddr @self-V accept", selfComment},
		end("original"),
		end("reply"),
		isolated("original", "saddr", policy.Egress),
		isolated("original", "daddr", policy.Ingress),
		isolated("reply", "saddr", policy.Ingress),
		isolated("reply", "daddr", policy.Egress),
		{"accept", "no policy has a say"},
	}
}

// Lengths are what follows the IPv6 header, in bytes, as the guards of bridge ports
// have them (see portguard.go). A Fragment header is never among it (RFC 6980, 5).
// Conntrack takes it away where it puts a packet together; what was hidden behind other
// headers then has these still.
const (
	solicitLength   = "24-40"
	advertiseLength = "24-40"
	routerLength    = "8-16"
	// mldLength is with eight bytes of a router alert, mldQueryLength with up to 16
	// sources besides.
	mldLength      = "24-32"
	mldQueryLength = "24-292"
)

// linkRules are about messages of one link, which pass to isolated Pods too, or nobody
// would find them. With hop limit 255 a message comes from this link: otherwise it were
// a way across the router that no policy closes. MLD is sent with hop limit 1, so it
// cannot be routed either. From Pods nothing else of these types passes to anybody,
// for a guard sees no type that a fragment or another header hides; to the node
// others send what they like.
var linkRules = slices.Concat(
	neighbours("nd-neighbor-solicit", solicitLength, "ip6 daddr != "+multicast6, "of one neighbour"),
	neighbours("nd-neighbor-solicit", solicitLength, "ip6 daddr "+solicitedNode, "of who has an address"),
	neighbours("nd-neighbor-advert", advertiseLength, "ip6 daddr != "+multicast6, "of one neighbour"),
	neighbours("nd-neighbor-advert", advertiseLength, "ip6 daddr "+allNodes, "of all"),
	neighbours("nd-router-solicit", routerLength, "ip6 daddr ff02::2", "of routers"),
	[]line{
		{"icmpv6 type nd-router-advert ip6 hoplimit 255 ip6 nexthdr icmpv6 ip6 saddr fe80::/10 accept", "router discovery: no Pod's, by its guard"},
		{fmt.Sprintf("icmpv6 type mld2-listener-report ip6 hoplimit 1 ip6 length 8-%d ip6 daddr ff02::16 accept", groupsAtOnce), "multicast listener discovery"},
		{"icmpv6 type mld-listener-query ip6 hoplimit 1 ip6 length " + mldQueryLength + " ip6 daddr " + multicast6 + " accept", "multicast listener discovery"},
		{"icmpv6 type mld-listener-report ip6 hoplimit 1 ip6 length " + mldLength + " ip6 daddr " + multicast6 + " accept", "multicast listener discovery"},
		{"icmpv6 type mld-listener-done ip6 hoplimit 1 ip6 length " + mldLength + " ip6 daddr ff02::2 accept", "multicast listener discovery"},
	},
	fromPodInterface("counter name "+linkCounter+" drop", "a Pod's, and not what it seems"))

// neighbours accepts one message of neighbour discovery.
func neighbours(kind, length, to, comment string) []line {
	return []line{{"icmpv6 type " + kind + " ip6 hoplimit 255 ip6 nexthdr icmpv6 ip6 length " + length + " " + to + " accept", "neighbour discovery, " + comment}}
}
