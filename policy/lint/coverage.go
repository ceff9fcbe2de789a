package lint

import (
	"slices"

	"github.com/sluice-net/sluice/policy"
)

// coverage is what adds nothing because something else does as much. One thing
// covers another only if it counts wherever that does and is more, or is the same and
// comes first: so all that is covered can be removed at once, and what covered it, or
// what covered that, remains.
type coverage struct {
	// policies, rules, peers and ports are what is covered, and by what. What is
	// inside of something covered is not listed.
	policies map[*policyModel]*policyModel
	rules    map[*rule]*rule
	peers    map[*peer]*peer
	ports    map[*port]*port
}

// coverage is computed once.
func (l *linter) coverage() *coverage {
	if l.covers != nil {
		return l.covers
	}
	c := &coverage{map[*policyModel]*policyModel{}, map[*rule]*rule{}, map[*peer]*peer{}, map[*port]*port{}}
	l.covers = c
	for _, s := range l.spaces {
		c.addSpace(s)
	}
	return c
}

func (c *coverage) addSpace(s *space) {
	var sound []*policyModel
	for _, p := range s.policies {
		if !p.broken && !p.subject.Empty() {
			sound = append(sound, p)
		}
	}
	// over[i][j]: policy i counts wherever policy j does, and for all Pods of that, or
	// more.
	over := make([][]bool, len(sound))
	for i, p := range sound {
		over[i] = make([]bool, len(sound))
		for j, q := range sound {
			over[i][j] = p.countsFor(q) && p.subject.Covers(q.subject)
		}
	}
	for j, p := range sound {
		for _, d := range directions {
			if p.isolates[d] {
				c.addRules(sound, over, j, d)
			}
		}
	}
	for j, p := range sound {
		c.addPolicy(sound, over, j, p)
	}
}

// addRules finds what covers each rule of policy j.
func (c *coverage) addRules(sound []*policyModel, over [][]bool, j int, d policy.Direction) {
	for _, r := range sound[j].rules[d] {
		for i, q := range sound {
			if !over[i][j] || !q.isolates[d] || c.rules[r] != nil {
				continue
			}
			for _, o := range q.rules[d] {
				if o == r || !o.covers(r) {
					continue
				}
				same := over[j][i] && r.covers(o)
				if !same || i < j || i == j && o.index < r.index {
					c.rules[r] = o
					break
				}
			}
		}
		if c.rules[r] == nil {
			c.addParts(r)
		}
	}
}

// addPolicy finds out whether policy j as a whole adds nothing. One that allows
// nothing is there to isolate.
func (c *coverage) addPolicy(sound []*policyModel, over [][]bool, j int, p *policyModel) {
	var by *policyModel
	for _, d := range directions {
		if !p.isolates[d] {
			continue
		}
		for _, r := range p.rules[d] {
			if o := c.rules[r]; o == nil || o.of == p {
				return
			}
			if by == nil {
				by = c.rules[r].of
			}
		}
		isolated := slices.ContainsFunc(sound, func(q *policyModel) bool {
			i := slices.Index(sound, q)
			return i != j && q.isolates[d] && over[i][j] && (!over[j][i] || i < j)
		})
		if !isolated {
			return
		}
	}
	if by == nil {
		return
	}
	c.policies[p] = by
	for _, r := range p.allRules() {
		delete(c.rules, r)
	}
}

// addParts finds what adds nothing inside of a rule.
func (c *coverage) addParts(r *rule) {
	for j, p := range r.peers {
		for i, o := range r.peers {
			if i != j && o.covers(r, p) && (!p.covers(r, o) || i < j) {
				c.peers[p] = o
				break
			}
		}
	}
	for j, p := range r.ports {
		for i, o := range r.ports {
			if i != j && o.covers(p) && (!p.covers(o) || i < j) {
				c.ports[p] = o
				break
			}
		}
	}
}

// covers reports whether the rule allows all that o allows, to the same Pods. Both
// are of one namespace and direction.
func (r *rule) covers(o *rule) bool {
	peers := len(r.peers) == 0 || len(o.peers) > 0 && !slices.ContainsFunc(o.peers, func(p *peer) bool {
		return !slices.ContainsFunc(r.peers, func(q *peer) bool { return q.covers(r, p) })
	})
	return peers && (len(r.ports) == 0 || len(o.ports) > 0 && !slices.ContainsFunc(o.ports, func(p *port) bool {
		return !slices.ContainsFunc(r.ports, func(q *port) bool { return q.covers(p) })
	}))
}

// covers reports whether the peer matches all that q matches, whatever Pods and
// namespaces there are; r is a rule of the namespace of both. A block is never taken
// to cover Pods: their addresses are not known.
func (p *peer) covers(r *rule, q *peer) bool {
	switch {
	case p.block != nil || q.block != nil:
		return p.block != nil && q.block != nil && p.block.Covers(*q.block)
	case !p.pods.Covers(q.pods):
		return q.pods.Empty()
	case p.own && q.own:
		return true
	}
	pinned, err := policy.NewLabelSet(nameSelector(r.of.space.name))
	switch {
	case err != nil:
		return false
	case p.own:
		return pinned.Covers(q.namespaces)
	case q.own:
		return p.namespaces.Covers(pinned)
	}
	return p.namespaces.Covers(q.namespaces)
}

// covers reports whether all that q means is meant by p, whatever Pods there are. A
// name may be any number, and none.
func (p *port) covers(q *port) bool {
	if p.Protocol != q.Protocol {
		return false
	}
	if q.name != "" {
		return p.name == q.name || p.name == "" && p.First <= 1 && p.Last == 65535
	}
	return p.name == "" && p.First <= q.First && q.Last <= p.Last
}
