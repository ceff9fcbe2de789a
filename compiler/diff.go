package compiler

import (
	"cmp"
	"slices"
)

// Diff returns the plan that turns one ruleset into another, without guards.
// It looks at everything; [Compiler.Update] finds the same plan by what
// changed. Table inet sluice must exist.
func Diff(old, new *Ruleset) Plan {
	var made, hooked, left Ruleset
	var changes elementChanges
	var out Plan

	pair(old.Counters, new.Counters, func(s string) string { return s },
		func(was, now *string) {
			switch {
			case was == nil:
				made.Counters = append(made.Counters, *now)
			case now == nil:
				left.Counters = append(left.Counters, *was)
			}
		})
	pair(old.Sets, new.Sets, func(s Set) string { return s.Name },
		func(was, now *Set) {
			switch {
			case was == nil:
				made.Sets = append(made.Sets, *now)
			case now == nil:
				left.Sets = append(left.Sets, *was)
			default:
				changes.compare(was, now)
			}
		})
	var rewritten []Op
	pair(old.Chains, new.Chains, func(c Chain) string { return c.Name },
		func(was, now *Chain) {
			switch {
			case was == nil && now.Hook != nil:
				// It takes effect when it is made.
				hooked.Chains = append(hooked.Chains, *now)
			case was == nil:
				made.Chains = append(made.Chains, *now)
			case now == nil:
				left.Chains = append(left.Chains, *was)
			default:
				rewritten = append(rewritten, rewrite(was, now)...)
			}
		})
	changes.sort()
	out.Prepare = create(&made)
	out.Commit = append(append(changes.ops(), rewritten...), create(&hooked)...)
	out.Cleanup = remove(&left)
	out.Divisible = changes.ofGroups() && len(rewritten)+len(hooked.Chains) == 0
	out.Narrows = changes.narrows() || len(rewritten) > 0 || len(hooked.Chains) > 0
	return out
}

// compare finds the elements that differ.
func (list *elementChanges) compare(was, now *Set) {
	pair(was.Elements, now.Elements, func(e Element) string { return string(e.Key) },
		func(w, n *Element) {
			var before, after former
			key := Key("")
			if w != nil {
				key, before = w.Key, former{true, w.Value}
			}
			if n != nil {
				key, after = n.Key, former{true, n.Value}
			}
			list.add(now, key, before, after)
		})
}

// pair walks two sorted lists, and gives what has the same name together.
func pair[T any](old, new []T, name func(T) string, do func(was, now *T)) {
	for len(old) > 0 || len(new) > 0 {
		var order int
		switch {
		case len(old) == 0:
			order = 1
		case len(new) == 0:
			order = -1
		default:
			order = cmp.Compare(name(old[0]), name(new[0]))
		}
		var was, now *T
		if order <= 0 {
			was, old = &old[0], old[1:]
		}
		if order >= 0 {
			now, new = &new[0], new[1:]
		}
		do(was, now)
	}
}

// Equal reports whether two rulesets are the same, object for object.
func (r *Ruleset) Equal(o *Ruleset) bool {
	return slices.Equal(r.Counters, o.Counters) &&
		slices.EqualFunc(r.Sets, o.Sets, func(a, b Set) bool {
			return a.Name == b.Name && a.Key == b.Key && a.Value == b.Value && a.Interval == b.Interval &&
				a.Timeout == b.Timeout && a.Size == b.Size && slices.Equal(a.Elements, b.Elements)
		}) &&
		slices.EqualFunc(r.Chains, o.Chains, func(a, b Chain) bool {
			return a.Name == b.Name && slices.EqualFunc(a.Rules, b.Rules, Rule.Equal) && (a.Hook == nil) == (b.Hook == nil) &&
				(a.Hook == nil || *a.Hook == *b.Hook)
		})
}
