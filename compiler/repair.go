package compiler

import (
	"fmt"
	"iter"
)

// Found is what the kernel holds in table inet sluice, whoever put it there.
// The zero value is that there is no table.
type Found struct {
	// Counters, Sets and Chains have all of that kind, in any order: of a set
	// its name, whether it is a map (Value) and Interval, of a chain its name
	// and whether it is a base chain (Hook).
	Counters []string
	Sets     []Set
	Chains   []Chain
	// Elements reads those of one of the Sets, as the ruleset declares it, in
	// any order.
	Elements func(declared *Set) ([]Element, error)
}

// Repair turns what was found into the ruleset, whatever that was, in pieces of
// which none needs to be large. Run Prepare, Commit, Shrink and Cleanup in that
// order, then change the epoch.
//
// What is right already stays. What lets packets pass is added before anything
// else changes, and what has to go goes after the switch, so that nothing that
// is allowed before and after is lost. In between connections can be judged by
// too much, hence the new epoch at the end. Rules are not read back but written
// anew, chain by chain: what a chain holds follows from its name.
//
// Where an object has the name of one of ours and is of another kind, or
// something else refers to a leftover, an op or [Repair.Err] fails. Then only
// [Compiler.Replace] helps.
type Repair struct {
	c         *Compiler
	found     *Found
	sets      map[string]*Set
	chains    map[string]*Chain
	err       error
	changes   elementChanges // of sets with names of their own
	refill    []Op           // immutable sets that are not what their names say
	shrink    []Op
	rewritten []Op
	left      Ruleset
}

// Repair compares what was found with the ruleset as it should be now. The
// ruleset must not change until the repair is done.
func (c *Compiler) Repair(found *Found) *Repair {
	r := &Repair{c: c, found: found, sets: map[string]*Set{}, chains: map[string]*Chain{}}
	for i := range found.Sets {
		r.sets[found.Sets[i].Name] = &found.Sets[i]
	}
	for i := range found.Chains {
		r.chains[found.Chains[i].Name] = &found.Chains[i]
	}
	return r
}

// Prepare adds what is missing, and may be cut anywhere but between the rules
// of a chain. It must be run to its end, and Err asked, before all else.
func (r *Repair) Prepare() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		want := r.c.outline()
		r.unneeded(want)
		all := func(ops []Op) bool {
			for _, op := range ops {
				if r.err != nil || !yield(op) {
					return false
				}
			}
			return r.err == nil
		}
		if !all(declare(want, []Op{{Add, &Table{}}})) {
			return
		}
		for _, s := range want.intervalsFirst() {
			if !all(r.elements(s)) {
				return
			}
		}
		for i := range want.Chains {
			if !all(r.rules(&want.Chains[i])) {
				return
			}
		}
	}
}

// Err is what made the ruleset impossible to repair.
func (r *Repair) Err() error { return r.err }

// Commit switches over. It must be one transaction.
func (r *Repair) Commit() []Op {
	r.changes.sort()
	return append(append(r.changes.ops(), r.refill...), r.rewritten...)
}

// Shrink takes away what lets too much pass, and may be cut anywhere.
func (r *Repair) Shrink() []Op { return r.shrink }

// Cleanup is as in [Plan].
func (r *Repair) Cleanup() []Op { return remove(&r.left) }

func (r *Repair) fail(format string, args ...any) []Op {
	r.err = fmt.Errorf("repair ruleset: "+format, args...)
	return nil
}

// elements returns what a set lacks, and notes what else is wrong with it.
func (r *Repair) elements(declared *Set) []Op {
	if declared.Dynamic() {
		return nil
	}
	was, found := r.sets[declared.Name]
	now := *declared
	now.Elements = r.c.elements(declared.Name)
	if !found {
		return declared.add(now.Elements)
	}
	if was.Interval != declared.Interval || (was.Value == NoValue) != (declared.Value == NoValue) {
		return r.fail("set %s is of another kind", declared.Name)
	}
	there, err := r.found.Elements(declared)
	if err != nil {
		return r.fail("%w", err)
	}
	var changes elementChanges
	changes.compare(&Set{Elements: sortElements(there)}, &now)
	if len(changes) == 0 {
		return nil
	}
	if r.c.fixed[declared.Name] != nil {
		for _, ch := range changes {
			r.changes = append(r.changes, elementChange{declared, ch.key, ch.was, ch.now})
		}
		return nil
	}
	if r.c.objects[declared.Name].members == nil {
		r.refill = append(append(r.refill, Op{Flush, declared}), declared.add(now.Elements)...)
		return nil
	}
	var add []Op
	for _, ch := range changes {
		e := &SetElement{declared, Element{Key: ch.key}}
		if ch.now.there {
			add = append(add, Op{Add, e})
		} else {
			r.shrink = append(r.shrink, Op{Delete, e})
		}
	}
	return add
}

// rules writes the rules of a chain. Those of chains with names of their own
// change at the switch, unless nothing can refer to the chain yet.
func (r *Repair) rules(c *Chain) []Op {
	was, found := r.chains[c.Name]
	if found && (was.Hook != nil) != (c.Hook != nil) {
		return r.fail("chain %s is of another kind", c.Name)
	}
	if c.Hook != nil {
		r.rewritten = append(append(r.rewritten, Op{Add, c}), c.written()...)
		return nil
	}
	if !found {
		return c.addRules()
	}
	ops := c.written()
	if r.c.objects[c.Name] != nil {
		return ops
	}
	r.rewritten = append(r.rewritten, ops...)
	return nil
}

// unneeded finds what is not in the ruleset.
func (r *Repair) unneeded(want *Ruleset) {
	names := map[string]bool{}
	for _, name := range want.Counters {
		names["counter "+name] = true
	}
	for i := range want.Sets {
		names["set "+want.Sets[i].Name] = true
	}
	for i := range want.Chains {
		names["chain "+want.Chains[i].Name] = true
	}
	for _, name := range r.found.Counters {
		if !names["counter "+name] {
			r.left.Counters = append(r.left.Counters, name)
		}
	}
	for _, s := range r.found.Sets {
		if !names["set "+s.Name] {
			r.left.Sets = append(r.left.Sets, s)
		}
	}
	for _, c := range r.found.Chains {
		if !names["chain "+c.Name] {
			r.left.Chains = append(r.left.Chains, c)
		}
	}
	r.left.sort()
}
