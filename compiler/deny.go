package compiler

import (
	"github.com/sluice-net/sluice/policy"
)

// logSnap is how much of a denied packet the log gets: the headers.
const logSnap = 128

// DefaultLogGroup is the NFLOG group of an agent that is not told another. Group 0 is the
// one that ulogd and iptables take where nobody says otherwise, and only one program can
// read a group.
const DefaultLogGroup = 9470

// LogPrefix is what the log of a denied packet begins with: it says which
// direction denied it, and whether it was a reply.
func LogPrefix(d policy.Direction, reply bool) string {
	if reply {
		return "sluice:" + d.String() + back.suffix()
	}
	return "sluice:" + d.String()
}

// ReportedSet is flows whose denial was logged a moment ago: address . address . protocol .
// port, or what stands for it. Their elements count what was denied since. Its name is
// without the family's suffix, -v4 or -v6.
const ReportedSet = "reported"

// refuseChain answers what is denied, where that is wanted.
const refuseChain = "refuse"

// refused is what becomes of a denied packet.
func (c *Config) refused() Term {
	if c.Reject {
		return Goto{refuseChain}
	}
	return Drop{}
}

// denyChains are where packets end that no rule allows, and what these lead to.
func (c *Config) denyChains() []Chain {
	var out []Chain
	for _, d := range directions {
		for _, w := range ways {
			out = append(out,
				Chain{Name: denyChain(d, w), Rules: c.deny(d, w)},
				Chain{Name: portlessChain(d, w), Rules: c.tell(d, w, SourcePort)})
		}
	}
	if c.Reject {
		out = append(out, Chain{Name: refuseChain, Rules: []Rule{
			rule(isNumber(L4Protocol, uint32(policy.TCP)), Reject{Reset: true}),
			rule(Reject{}),
		}})
	}
	return out
}

// deny is where packets end that no rule allows. Chains go here from where
// they would otherwise return.
//
// The mark says denied, and bears no epoch: it never changes with it. It must
// come before the rest, so that nothing below can leave a denied connection with
// the mark of an allowed one.
func (c *Config) deny(d policy.Direction, w way) []Rule {
	out := append(toItself(toJudged),
		c.foreign(),
		rule(MarkConnection{Keep: ^c.Mark.Mask, Set: c.Mark.Denied()}))
	out = append(out, inBoth(func(f family) Rule {
		return rule(CountMapped{concat(subjectField(f, d, w)), deniedMap(d, f)})
	})...)
	out = append(out, withoutPorts(Goto{portlessChain(d, w)}))
	return append(out, c.tell(d, w, portField(w))...)
}

// withoutPorts is about protocols of which policies name no ports. TCP is let off first.
func withoutPorts(verdict Term) Rule {
	return rule(isNot(L4Protocol, uint32(policy.TCP)), isNot(L4Protocol, uint32(policy.UDP)), isNot(L4Protocol, uint32(policy.SCTP)), verdict)
}

// portlessChain is for protocols without ports. Where others have the destination's port,
// ICMP has a checksum, which is another in each packet: each ping would be a flow of its
// own. Where they have the source's it has type and code, and GRE, ESP or IP in IP
// have what stays the same for all packets of a kind.
func portlessChain(d policy.Direction, w way) string { return denyChain(d, w) + "-portless" }

// confirmed is a bit of a connection's status: its first packet got through (IPS_CONFIRMED
// of linux/netfilter/nf_conntrack_common.h).
const confirmed = 0x8

// foreign counts the first packets of connections, not confirmed yet, that bear
// an epoch before anything was judged: only another program can have written it. It
// stands where packets are denied, for that is where nearly all of those end that are
// sent in the hope of the right value, and costs those nothing that are allowed.
// Connections that a helper expects are "related", and inherit the mark of another.
func (c *Config) foreign() Rule {
	return rule(
		InState{States: StateNew},
		maskedNumber(ConnStatus, confirmed, 0),
		Masked{Field: ConnMark, Mask: ConnMark.Number(c.Mark.Mask &^ c.Mark.Denied()), Not: true, Value: ConnMark.Number(0)},
		CountNamed{ForeignCounter}).because("an epoch that we never wrote")
}

// reportsAtOnce is how many packets of a Pod are logged in a second, and as many at once.
const reportsAtOnce = 20

// tell logs a flow once in a while, and refuses its packets. port is where a packet has
// what tells flows between the same ends apart.
//
// What was told is asked for first, by a lookup that is not inverted, for only a match
// runs an element's expressions: a repeated packet costs that lookup, and is counted by
// the flow. Then whatever fails in the rule that logs (a full set, a rate that is
// exceeded, a packet without its transport header) ends it without a log, and the last
// refuses all the same, and counts what nobody is told of. The rate is of a Pod, so that a flood on one does not hide the others;
// it is asked before the flow is noted as told, for it is not.
func (c *Config) tell(d policy.Direction, w way, port Field) []Rule {
	flow := func(f family) Concat { return concat(f.source(), f.destination(), L4Protocol, port) }
	out := inBoth(func(f family) Rule {
		return rule(In{Key: flow(f), Set: f.set(ReportedSet)}, c.refused()).because("told of a moment ago")
	})
	out = append(out, inBoth(func(f family) Rule {
		return rule(
			Remember{Key: concat(subjectField(f, d, w)), Set: f.set(reportRateSet), PerSecond: reportsAtOnce, Burst: reportsAtOnce},
			Remember{Key: flow(f), Set: f.set(ReportedSet), Count: true},
			c.log(LogPrefix(d, w == back)), c.refused())
	})...)
	return append(out, rule(CountNamed{UntoldCounter}, c.refused()))
}

func (c *Config) log(prefix string) Term {
	return Log{Prefix: prefix, Group: c.LogGroup, Snap: logSnap}
}
