package compiler

import (
	"github.com/sluice-net/sluice/policy"
)

// logSnap is how much of a denied packet the log gets: the headers.
const logSnap = 128

// LogPrefix is what the log of a denied packet begins with: it says which
// direction denied it, and whether it was a reply.
func LogPrefix(d policy.Direction, reply bool) string {
	if reply {
		return "sluice:" + d.String() + back.suffix()
	}
	return "sluice:" + d.String()
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
	out = append(out, inBoth(func(f family) Rule { return c.report(d, w, f) })...)
	if !c.Reject {
		return append(out, rule(Drop{}))
	}
	return append(out,
		rule(isNumber(L4Protocol, uint32(policy.TCP)), Reject{Reset: true}),
		rule(Reject{}))
}

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

// report logs a flow once in a while. It is one rule so that whatever fails in
// it (a full set, a rate that is exceeded, a packet without ports) ends it
// without a log, and the next rule still drops. The rate is of a Pod, so that
// a flood on one does not hide the others; it is asked before the flow is
// noted as reported, for it is not.
func (c *Config) report(d policy.Direction, w way, f family) Rule {
	flow := concat(f.source(), f.destination(), L4Protocol, portField(w))
	return rule(
		In{Key: flow, Not: true, Set: f.set(reportedSet)},
		Remember{Key: concat(subjectField(f, d, w)), Set: f.set(reportRateSet), PerSecond: 20, Burst: 20},
		Remember{Key: flow, Set: f.set(reportedSet)},
		Log{Prefix: LogPrefix(d, w == back), Group: c.LogGroup, Snap: logSnap})
}
