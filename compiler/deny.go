package compiler

import (
	"fmt"

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
func (c *Config) deny(d policy.Direction, w way) []line {
	out := []line{
		{selfLine, selfComment},
		{c.foreign(), "an epoch that we never wrote"},
		{"ct mark set ct mark & " + hexMark(^c.Mark.Mask) + " | " + c.denied(), ""},
	}
	for _, f := range families {
		out = append(out, line{"counter name " + subjectKey(f, d, w) + " map @" + deniedMap(d, f), ""})
	}
	for _, f := range families {
		out = append(out, line{c.report(d, w, f), ""})
	}
	if !c.Reject {
		return append(out, line{"drop", ""})
	}
	return append(out,
		line{"meta l4proto tcp reject with tcp reset", ""},
		line{"reject with icmpx type admin-prohibited", ""},
	)
}

// foreign counts the first packets of connections, not confirmed yet (0x8), that bear
// an epoch before anything was judged: only another program can have written it. It
// stands where packets are denied, for that is where nearly all of those end that are
// sent in the hope of the right value, and costs those nothing that are allowed.
// Connections that a helper expects are "related", and inherit the mark of another.
func (c *Config) foreign() string {
	return "ct state new ct status & 0x8 == 0x0 ct mark & " + hexMark(c.Mark.Mask&^c.Mark.Denied()) + " != 0x0 counter name " + ForeignCounter
}

// report logs a flow once in a while. It is one rule so that whatever fails in
// it (a full set, a rate that is exceeded, a packet without ports) ends it
// without a log, and the next rule still drops. The rate is of a Pod, so that
// a flood on one does not hide the others; it is asked before the flow is
// noted as reported, for it is not.
func (c *Config) report(d policy.Direction, w way, f family) string {
	flow := fmt.Sprintf("%[1]s saddr . %[1]s daddr . meta l4proto . %[2]s", f.header(), portKey(w))
	return fmt.Sprintf("%s != @%s add @%s { %s limit rate 20/second burst 20 packets } add @%s { %s } log prefix %q group %d snaplen %d",
		flow, f.set(reportedSet), f.set(reportRateSet), subjectKey(f, d, w), f.set(reportedSet), flow,
		LogPrefix(d, w == back), c.LogGroup, logSnap)
}
