package compiler

import (
	"cmp"
	"slices"
)

// create returns the ops that make all of a ruleset, in an order that can be
// cut anywhere: whatever is named was declared before. Base chains come last,
// so that no packet sees half of it.
func create(r *Ruleset) []Op {
	n := len(r.Counters) + 2*len(r.Sets) + 4*len(r.Chains)
	for i := range r.Sets {
		n += len(r.Sets[i].Elements)
	}
	out := declare(r, make([]Op, 0, n))
	for _, s := range r.intervalsFirst() {
		out = append(out, s.add(s.byText())...)
	}
	for i := range r.Chains {
		if c := &r.Chains[i]; c.Hook == nil {
			out = append(out, c.addRules()...)
		}
	}
	for i := range r.Chains {
		if c := &r.Chains[i]; c.Hook != nil {
			out = append(append(out, Op{Add, c}), c.addRules()...)
		}
	}
	return out
}

// declare adds the ops that make all objects but base chains, without their
// content. Where they exist already these do nothing, and fail if what exists
// is of another kind.
func declare(r *Ruleset, to []Op) []Op {
	for _, name := range r.Counters {
		to = append(to, Op{Add, &Counter{Name: name}})
	}
	for i := range r.Chains {
		if c := &r.Chains[i]; c.Hook == nil {
			to = append(to, Op{Add, c})
		}
	}
	for _, interval := range []bool{false, true} {
		for i := range r.Sets {
			if s := &r.Sets[i]; s.Interval == interval {
				to = append(to, Op{Add, s})
			}
		}
	}
	return to
}

// intervalsFirst keeps apart whose elements can be brought in the same way.
func (r *Ruleset) intervalsFirst() []*Set {
	out := make([]*Set, 0, len(r.Sets))
	for _, interval := range []bool{true, false} {
		for i := range r.Sets {
			if r.Sets[i].Interval == interval {
				out = append(out, &r.Sets[i])
			}
		}
	}
	return out
}

// add returns the ops that add elements to the set.
func (s *Set) add(list []Element) []Op {
	out := make([]Op, len(list))
	objects := make([]SetElement, len(list))
	for i, e := range list {
		objects[i] = SetElement{s, e}
		out[i] = Op{Add, &objects[i]}
	}
	return out
}

func (c *Chain) addRules() []Op {
	out := make([]Op, len(c.Rules))
	objects := make([]ChainRule, len(c.Rules))
	for i, r := range c.Rules {
		objects[i] = ChainRule{c.Name, r}
		out[i] = Op{Add, &objects[i]}
	}
	return out
}

// remove returns the ops that delete all of a ruleset to which nothing else
// refers. Chains may refer to maps and maps to chains, so the rules go first.
func remove(r *Ruleset) []Op {
	var out []Op
	for i := range r.Chains {
		out = append(out, Op{Flush, &Chain{Name: r.Chains[i].Name}})
	}
	for i := range r.Sets {
		out = append(out, Op{Delete, &r.Sets[i]})
	}
	for i := range r.Chains {
		out = append(out, Op{Delete, &Chain{Name: r.Chains[i].Name}})
	}
	for _, name := range r.Counters {
		out = append(out, Op{Delete, &Counter{Name: name}})
	}
	return out
}

// rewrite returns the ops that give a chain other rules. Within one
// transaction packets see the old rules or the new ones.
func rewrite(was, now *Chain) []Op {
	if slices.EqualFunc(was.Rules, now.Rules, Rule.Equal) {
		return nil
	}
	return now.written()
}

// written returns the ops that write a chain's rules over whatever it has.
func (c *Chain) written() []Op {
	return append([]Op{{Flush, &Chain{Name: c.Name}}}, c.addRules()...)
}

// elementChange is an element that comes, goes, or changes its value.
type elementChange struct {
	set      *Set
	key      Key
	was, now former
}

type elementChanges []elementChange

func (list *elementChanges) add(s *Set, key Key, was, now former) {
	if was != now {
		*list = append(*list, elementChange{s, key, was, now})
	}
}

// sort puts the changes in the order in which people read them: by the texts of keys.
func (list elementChanges) sort() {
	if len(list) < 2 {
		return
	}
	places := inTextOrder(len(list),
		func(out []byte, i int) []byte { return list[i].set.appendKey(out, list[i].key) },
		func(i, k int) int { return cmp.Compare(list[i].set.Name, list[k].set.Name) })
	was := slices.Clone(list)
	for at, i := range places {
		list[at] = was[i]
	}
}

// ops deletes first: an element with another value is a new one to nft.
func (list elementChanges) ops() []Op {
	out := make([]Op, 0, len(list))
	for _, e := range list {
		if e.was.there {
			out = append(out, Op{Delete, &SetElement{e.set, Element{Key: e.key}}})
		}
	}
	for _, e := range list {
		if e.now.there {
			out = append(out, Op{Add, &SetElement{e.set, Element{e.key, e.now.value}}})
		}
	}
	return out
}

// ofGroups reports whether nothing changes but who is in which group.
func (list elementChanges) ofGroups() bool {
	return !slices.ContainsFunc(list, func(e elementChange) bool {
		_, fixed := fixedNarrowing[e.set.Name]
		return fixed
	})
}

// narrows reports whether a connection that was judged before may be judged
// otherwise now, and denied.
func (list elementChanges) narrows() bool {
	return slices.ContainsFunc(list, func(e elementChange) bool {
		n := narrowing(e.set.Name)
		switch {
		case !e.was.there:
			return n.comes
		case !e.now.there:
			return n.goes
		}
		// Another value is another judgement, wider or not.
		return n.changes && e.now.value != anything
	})
}
