package policy

import (
	"hash/maphash"
	"slices"
	"strings"
)

// class is all Pods of a namespace with the same labels: selectors are matched
// against classes, not against Pods.
type class struct {
	ns     *namespace
	hash   uint64
	next   *class // another class of the namespace with the same hash
	places []place
	pods   []*entry
	groups []*group // those in use that its Pods belong to
	// chosen is which policies select its Pods; nil when not known.
	chosen *selection
}

// place is where a class stands in a posting, so that it leaves without a
// search among thousands.
type place struct {
	in *posting
	at int32
}

// posting is the classes of one namespace that have a label.
type posting struct {
	use     *labelUse
	ns      *namespace
	classes []*class
}

func (u *labelUse) find(ns *namespace) (int, bool) {
	return slices.BinarySearchFunc(u.postings, ns, func(p *posting, ns *namespace) int {
		return strings.Compare(p.ns.name, ns.name)
	})
}

// posting is nil where no class of ns has the label.
func (x *Index) posting(l label, ns *namespace) *posting {
	if u := x.label(l.key, l.value); u != nil {
		if i, ok := u.find(ns); ok {
			return u.postings[i]
		}
	}
	return nil
}

// hashLabels does not depend on the order of the map.
func hashLabels(seed maphash.Seed, labels map[string]string) uint64 {
	var sum uint64
	for k, v := range labels {
		sum += maphash.Comparable(seed, label{k, v})
	}
	return sum
}

// class returns the class of Pods of ns with these labels.
func (x *Index) class(ns *namespace, labels map[string]string) *class {
	h := hashLabels(x.seed, labels)
	for c := ns.classes[h]; c != nil; c = c.next {
		if c.has(labels) {
			return c
		}
	}
	c := &class{ns: ns, hash: h, next: ns.classes[h], places: make([]place, 0, len(labels))}
	for k, v := range labels {
		x.post(x.useOf(k, v), c)
	}
	ns.classes[h] = c
	ns.size++
	for _, s := range ns.scopes {
		s.by.candidates(c, func(g *group) {
			x.looked++
			if g.pods.matches(c) {
				x.enlist(g, c)
			}
		})
	}
	return c
}

// post puts c among the classes with the label.
func (x *Index) post(u *labelUse, c *class) {
	i, ok := u.find(c.ns)
	if !ok {
		u.postings = slices.Insert(u.postings, i, &posting{use: u, ns: c.ns})
	}
	p := u.postings[i]
	c.places = append(c.places, place{in: p, at: int32(len(p.classes))})
	p.classes = append(p.classes, c)
}

// unpost is the reverse of post.
func (x *Index) unpost(pl place) {
	p := pl.in
	last := len(p.classes) - 1
	moved := p.classes[last]
	p.classes[pl.at] = moved
	p.classes[last] = nil
	p.classes = p.classes[:last]
	for i := range moved.places {
		if moved.places[i].in == p {
			moved.places[i].at = pl.at
		}
	}
	if last > 0 {
		return
	}
	u := p.use
	if i, ok := u.find(p.ns); ok {
		u.postings = slices.Delete(u.postings, i, i+1)
	}
	if len(u.postings) == 0 {
		x.disuseLabel(u)
	}
}

// dropClass forgets a class that has no Pods left.
func (x *Index) dropClass(c *class) {
	for _, g := range c.groups {
		delete(g.classes, c)
	}
	for _, pl := range c.places {
		x.unpost(pl)
	}
	ns := c.ns
	if delete(ns.judged, c); len(ns.judged) == 0 {
		ns.judged, ns.lastChosen = nil, nil
	}
	if first := ns.classes[c.hash]; first != c {
		for first.next != c {
			first = first.next
		}
		first.next = c.next
	} else if c.next != nil {
		ns.classes[c.hash] = c.next
	} else {
		delete(ns.classes, c.hash)
	}
	ns.size--
}

// all visits every class of the namespace.
func (ns *namespace) all(visit func(*class)) {
	for _, c := range ns.classes {
		for ; c != nil; c = c.next {
			visit(c)
		}
	}
}

// classesIn visits the classes of ns that s matches, through the shortest
// postings that lead to all of them.
func (x *Index) classesIn(ns *namespace, s *selector, visit func(*class)) {
	check := func(c *class) {
		x.looked++
		if s.matches(c) {
			visit(c)
		}
	}
	best, least := x.shortest(s, ns.size, func(l label) int {
		if p := x.posting(l, ns); p != nil {
			return len(p.classes)
		}
		return 0
	})
	if best == nil {
		ns.all(check)
		return
	}
	if least == 0 {
		return
	}
	for _, value := range best.values {
		if p := x.posting(label{best.key, value}, ns); p != nil {
			for _, c := range p.classes {
				check(c)
			}
		}
	}
}

// classesOf visits the classes of all namespaces in the scope that sel
// matches: namespace by namespace, or through a label that few namespaces use.
func (x *Index) classesOf(s *scope, sel *selector, visit func(*class)) {
	best, _ := x.shortest(sel, len(s.spaces), func(l label) int {
		if u := x.label(l.key, l.value); u != nil {
			return len(u.postings)
		}
		return 0
	})
	if best == nil {
		for ns := range s.spaces {
			x.classesIn(ns, sel, visit)
		}
		return
	}
	for _, value := range best.values {
		u := x.label(best.key, value)
		if u == nil {
			continue
		}
		for _, p := range u.postings {
			if _, in := s.spaces[p.ns]; !in {
				continue
			}
			for _, c := range p.classes {
				x.looked++
				if sel.matches(c) {
					visit(c)
				}
			}
		}
	}
}

// shortest is the requirement of s whose labels together have the least
// entries, nil if there is none with less than limit.
func (x *Index) shortest(s *selector, limit int, entries func(label) int) (best *requirement, least int) {
	least = limit
	for i := range s.reqs {
		r := &s.reqs[i]
		if r.op != opIn {
			continue
		}
		n := 0
		for _, value := range r.values {
			n += entries(label{r.key, value})
		}
		if n < least {
			best, least = r, n
		}
	}
	return best, least
}
