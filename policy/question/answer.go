package question

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// Answer is what became of a question: the paths that its flow can take, grouped
// by how they end.
type Answer struct {
	// Question repeats the question, with the port and the protocol that were found
	// out.
	Question string
	// Plural: the question named what may stand for several Pods, so that Allowed
	// of Total is worth a word even if that is one of one.
	Plural bool
	// Through says what is between the ends, empty if nothing.
	Through string
	// Notices are what a reader might not expect, of the whole question.
	Notices []string
	// Allowed is how many of the Total paths are. Noun is what they differ in, as
	// several: "Pods" or "paths".
	Allowed, Total int
	Noun           string
	// Unsure is how many depend on an address that is not known; they are not among
	// the Allowed.
	Unsure int
	// Stands says of an address of the paths for which range it stands.
	Stands map[netip.Addr]string
	// Outcomes are the ways in which paths end, at least one, denied ones first.
	Outcomes []Outcome
	// over is the family over which a flow is allowed whose paths are those over both.
	over string
}

// Outcome is paths that end alike: with the same verdicts, decided by the same
// rules.
type Outcome struct {
	Count int
	// Path stands for all of them, and Verdict is its verdict. [World.Explain]
	// fills in which policies had what to say.
	Path    Path
	Verdict policy.Verdict
	// Audited is the verdict as if audited policies were enforced, filled in by
	// [World.Explain] where such a policy selects an end; nil where none does.
	Audited *policy.Verdict
	// Nearly are policies that would change the verdict and only just do not select the
	// Pod, filled in by [World.FindNearly].
	Nearly []Nearly
	// Depends says on what the outcome hangs, where it does on addresses that are not
	// known. The verdict is that for one possible address.
	Depends []string
	// src and dst are Pods on the host network for whose addresses others stand in.
	src, dst string
}

// Name shows the flow of the path on one line.
func (o *Outcome) Name() string { return flowName(o.Path.Flow(), o.src, o.dst) }

// Result sums up an answer.
type Result string

const (
	// Allowed and Denied are said of all paths.
	Allowed Result = "allowed"
	Denied  Result = "denied"
	// Partly: some paths are allowed, and some are not.
	Partly Result = "partly"
	// Depends: it hangs on addresses that are not known.
	Depends Result = "depends"
)

// Result is how the paths end.
func (a *Answer) Result() Result {
	denied := a.Total - a.Allowed - a.Unsure
	switch {
	case a.Allowed == a.Total:
		return Allowed
	case denied == a.Total:
		return Denied
	case a.Unsure > 0 && (a.Allowed == 0 || denied == 0):
		return Depends
	}
	return Partly
}

// stand notes for which range an address stands.
func (a *Answer) stand(addr netip.Addr, text string) {
	if a.Stands == nil {
		a.Stands = map[netip.Addr]string{}
	}
	a.Stands[addr] = text
}

// First is the outcome that decides where one must speak for all: a denied one if
// there is any.
func (a *Answer) First() *Outcome { return &a.Outcomes[0] }

// Tally counts the paths in words, as "2 of 3 Pods" or "1 of 2 address families (IPv6)".
func (a *Answer) Tally() string {
	noun := a.Noun
	if a.Total == 1 {
		noun = noun[:len(noun)-1]
	}
	s := fmt.Sprintf("%d of %d %s", a.Allowed, a.Total, noun)
	if a.over != "" {
		s += " (" + a.over + ")"
	}
	return s
}

// Name shows the flow: as it was asked for, where that stands for several.
func (a *Answer) Name() string {
	if a.Plural {
		return a.Question
	}
	return a.First().Name()
}

// Single reports whether the answer is about one packet that the nodes of both
// ends see alike.
func (a *Answer) Single() bool {
	return a.Total == 1 && a.Outcomes[0].Path.Egress == a.Outcomes[0].Path.Ingress
}

// Explain adds to the verdicts of an answer what every policy had to say. It costs little
// more than the verdict, so that it can be asked of each of many flows.
func (w *World) Explain(a *Answer) {
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		o.Verdict = o.Path.verdict(w.Index, (*policy.Index).Explain)
		o.Audited = o.Path.audited(w.Index)
		f := o.Path.Flow()
		for _, e := range []policy.End{f.Src, f.Dst} {
			if !StandIn(e.Addr) {
				continue
			}
			if o.Path.placed != nil {
				e.Addr = o.Path.placed.instead[e.Addr]
			}
			withoutAddr(o.Verdict.Egress.Policies, e.Addr)
			withoutAddr(o.Verdict.Ingress.Policies, e.Addr)
			if o.Audited != nil {
				withoutAddr(o.Audited.Egress.Policies, e.Addr)
				withoutAddr(o.Audited.Ingress.Policies, e.Addr)
			}
		}
	}
}

// FindNearly adds to an answer that was explained which policies only just do not select
// its Pods. For each of these policies it judges the flow anew, so it is for single answers.
func (w *World) FindNearly(a *Answer) {
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		o.Nearly = w.nearly(o.Path.Flow(), &o.Verdict)
	}
}

// withoutAddr keeps an address that is made up out of what a reader sees.
func withoutAddr(traces []policy.PolicyTrace, a netip.Addr) {
	for _, t := range traces {
		for _, r := range t.Rules {
			for i := range r.Peers {
				peer := &r.Peers[i]
				switch {
				case !strings.Contains(peer.Why, a.String()):
				case peer.Why == a.String()+" is no Pod":
					peer.Why = "its node is no Pod"
				case peer.Matched:
					peer.Why = strings.ReplaceAll(peer.Why, a.String(), "its address, whatever it will be,")
				default:
					peer.Why = "its address is not known yet"
				}
			}
		}
	}
}
