package question

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// judged is a path with its verdict.
type judged struct {
	path    *Path
	verdict policy.Verdict
	// depends is on what it hangs.
	depends []string
}

// result is how the path ends.
func (j *judged) result() Result {
	switch {
	case len(j.depends) > 0:
		return Depends
	case j.verdict.Allowed:
		return Allowed
	}
	return Denied
}

// judge judges a path over one family.
func (w *World) judge(p *Path, unknown *unknownSpeaker) judged {
	j := judged{path: p}
	if p.Egress == p.Ingress {
		h := w.hangs(p.Egress)
		p.placed, j.depends = h.placed, h.on
	}
	j.verdict = p.verdict(w.Index, (*policy.Index).Evaluate)
	switch {
	case p.Egress != p.Ingress:
		j.depends = append(j.depends, w.onNode(p, &j.verdict)...)
	case j.verdict.Ingress.Reason == policy.ReasonOwnNode:
		j.depends = nil // that of a Pod whose node is known
	}
	if unknown != nil {
		j.depends = append(j.depends, unknown.hangs(w, p, &j.verdict)...)
	}
	return j
}

// conclude judges all paths and groups them.
func (a *Answer) conclude(w *World, ways []way, unknown *unknownSpeaker) {
	g := grouping{Answer: a, w: w, pods: true}
	if len(ways) > 1 {
		g.several() // most questions have one path
	}
	both, over := false, ""
	for i := range ways {
		one, two, differ := w.judgeBoth(&ways[i], unknown)
		g.add(&one)
		if differ {
			g.several()
			g.add(&two)
			both, over = true, overBoth(&one, &two)
			a.Notices = once(once(a.Notices, ways[i].notes...), "over IPv4 it does not end as over IPv6, so that the paths over both count")
		}
	}
	a.Noun = g.noun()
	a.Plural = a.Plural || both
	if both && len(ways) == 1 {
		a.Noun, a.over = "address families", over
	}
	a.Outcomes = slices.Concat(g.denied, g.unsure, g.allowed)
}

// grouping puts paths together that end alike.
type grouping struct {
	*Answer
	w *World
	// at are the numbers of the endings in their lists, nil where there is one path.
	at                      map[ending]int
	denied, unsure, allowed []Outcome
	// srcs and dsts are the addresses of the paths; pods: all lead to Pods.
	srcs, dsts map[netip.Addr]bool
	pods       bool
}

// several makes room for more than one path.
func (g *grouping) several() {
	if g.at != nil {
		return
	}
	g.at, g.srcs, g.dsts = map[ending]int{}, map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, list := range [][]Outcome{g.denied, g.unsure, g.allowed} {
		for i := range list {
			g.note(endingOf(&list[i].Path, &list[i].Verdict, list[i].Depends), i, list[i].Path.Flow())
		}
	}
}

func (g *grouping) note(e ending, at int, f policy.Flow) {
	g.at[e] = at
	g.srcs[f.Src.Addr], g.dsts[f.Dst.Addr] = true, true
}

func (g *grouping) add(j *judged) {
	g.Total++
	f := j.path.Flow()
	g.pods = g.pods && f.Dst.Pod != nil
	list := &g.denied
	switch j.result() {
	case Depends:
		g.Unsure++
		list = &g.unsure
	case Allowed:
		g.Allowed++
		list = &g.allowed
	}
	n, known := len(*list), false
	if g.at != nil {
		e := endingOf(j.path, &j.verdict, j.depends)
		if n, known = g.at[e]; !known {
			n = len(*list)
		}
		g.note(e, n, f)
	}
	if !known {
		*list = append(*list, Outcome{Path: *j.path, Verdict: j.verdict, Depends: j.depends, src: g.w.hostOf(f.Src), dst: g.w.hostOf(f.Dst)})
	}
	(*list)[n].Count++
}

// noun is what the paths differ in: Pods, if each has one of its own.
func (g *grouping) noun() string {
	switch {
	case len(g.Stands) > 0:
	case g.Total == 1 && g.pods,
		len(g.srcs) == 1 && len(g.dsts) == g.Total && g.pods,
		len(g.dsts) == 1 && len(g.srcs) == g.Total:
		return "Pods"
	}
	return "paths"
}

// ending is what makes paths alike: the verdict and what decided it.
type ending struct {
	egress, ingress ruling
	hidden          bool
	depends         string
}

type ruling struct {
	allowed bool
	reason  policy.Reason
	by      policy.RuleRef
}

func endingOf(p *Path, v *policy.Verdict, depends []string) ending {
	return ending{rulingOf(v.Egress), rulingOf(v.Ingress), p.Hidden, strings.Join(depends, "\x00")}
}

func rulingOf(d policy.DirectionVerdict) ruling {
	r := ruling{allowed: d.Allowed, reason: d.Reason}
	if d.AllowedBy != nil {
		r.by = *d.AllowedBy
	}
	return r
}
