package app

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/sluice-net/sluice/policy"
)

// tally counts the paths of a question.
type tally struct {
	allowed, total int
	// plural: the question named what may stand for several Pods.
	plural bool
	noun   string
}

// mixed: some paths are allowed, and some are not.
func (t tally) mixed() bool { return t.allowed > 0 && t.allowed < t.total }

func (t tally) String() string {
	noun := t.noun
	if t.total == 1 {
		noun = noun[:len(noun)-1]
	}
	return fmt.Sprintf("%d of %d %s", t.allowed, t.total, noun)
}

// noun is what the paths differ in: Pods, if each has one of its own.
func noun(paths []path) string {
	srcs, dsts := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	pods := true
	for i := range paths {
		f := paths[i].shown()
		srcs[f.Src.Addr], dsts[f.Dst.Addr] = true, true
		pods = pods && f.Dst.Pod != nil
	}
	switch {
	case len(srcs) == 1 && len(dsts) == len(paths) && pods, len(dsts) == 1 && len(srcs) == len(paths) && len(paths) > 1:
		return "Pods"
	}
	return "paths"
}

// outcome is the paths that end alike.
type outcome struct {
	allowed bool
	count   int
	// first stands for all.
	first *path
}

// ending is what makes paths alike: the verdict and what decided it.
type ending struct {
	egress, ingress ruling
	hidden          bool
}

type ruling struct {
	allowed bool
	reason  policy.Reason
	by      policy.RuleRef
}

func rulingOf(d policy.DirectionVerdict) ruling {
	r := ruling{allowed: d.Allowed, reason: d.Reason}
	if d.AllowedBy != nil {
		r.by = *d.AllowedBy
	}
	return r
}

// outcomes judges all paths and groups them, denied ones first.
func (c *cluster) outcomes(r *routes) ([]outcome, tally) {
	t := tally{total: len(r.paths), plural: r.plural, noun: noun(r.paths)}
	at := map[ending]int{}
	var allowed, denied []outcome
	for i := range r.paths {
		p := &r.paths[i]
		v := c.judge(p, c.index.Evaluate)
		group := &denied
		if v.Allowed {
			t.allowed++
			group = &allowed
		}
		end := ending{rulingOf(v.Egress), rulingOf(v.Ingress), p.hidden}
		n, known := at[end]
		if !known {
			n = len(*group)
			at[end] = n
			*group = append(*group, outcome{allowed: v.Allowed, first: p})
		}
		(*group)[n].count++
	}
	return append(denied, allowed...), t
}

// answer fills in what verify says of a flow: the first denied path decides.
func (c *cluster) answer(ctx context.Context, a *answer) error {
	r, err := c.routes(ctx, a.line.flow)
	if err != nil {
		return err
	}
	a.notices = r.notices
	if !r.plural && len(r.paths) == 1 {
		a.path = r.paths[0]
		a.tally = tally{total: 1, noun: "paths"}
	} else {
		outcomes, t := c.outcomes(&r)
		a.path, a.tally, a.question = *outcomes[0].first, t, r.name
	}
	a.flow = a.path.shown()
	a.verdict = c.judge(&a.path, c.index.Evaluate)
	a.notices = append(a.notices[:len(a.notices):len(a.notices)], a.path.notices...)
	return nil
}

// name shows the flow: as it was asked for where that stands for several.
func (a *answer) name() string {
	if a.tally.plural {
		return a.question
	}
	return flowName(a.flow)
}

// single reports whether the answer is about one packet that the same nodes
// see from end to end.
func (a *answer) single() bool { return a.tally.total == 1 && a.path.egress == a.path.ingress }
