package enforcer

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// letThroughFrom is how much a Prepare must have to do that others are let through
// between its pieces, in operations.
const letThroughFrom = 2 * tables.PieceOf

// unfinished is a plan whose Prepare is under way, with those that came after it. The
// compiler is ahead of the kernel by them.
//
// A later plan may overtake if nothing in it touches what the earlier ones make, switch
// or delete; then the kernel comes to the same in either order. What deletes waits for
// the end, in the order of the plans: an object may be named by what is to be deleted
// before it.
type unfinished struct {
	plan generated
	// made are the names that the plan makes. Nothing that packets meet refers to
	// them yet, so changes of their elements can wait for the end of Prepare.
	made map[string]bool
	// waiting are the names that plans make which wait.
	waiting map[string]bool
	// gone are names that are deleted at the end.
	gone map[string]bool
	// switched are the elements that are changed at the end, by set and key.
	switched map[setKey]bool
	// elements are those changes of made sets.
	elements []compiler.Op
	later    []laterPlan
	// seq is that of the last mail that was taken.
	seq  uint64
	held bool
}

// laterPlan is done if it has overtaken.
type laterPlan struct {
	generated
	done bool
}

func newUnfinished(plan generated) *unfinished {
	u := &unfinished{plan: plan, made: map[string]bool{}, waiting: map[string]bool{}, gone: map[string]bool{}, switched: map[setKey]bool{}}
	u.note(plan.Plan, u.made)
	return u
}

// note takes down what a plan that is not finished will touch.
func (u *unfinished) note(plan compiler.Plan, made map[string]bool) {
	for _, op := range plan.Prepare {
		if name := compiler.NameOf(op.Object); name != "" {
			made[name] = true
		}
	}
	for _, op := range plan.Commit {
		if e, ok := op.Object.(*compiler.SetElement); ok {
			u.switched[setKey{e.Set.Name, e.Key}] = true
		}
	}
	u.deletes(plan)
}

// deletes takes down what a plan deletes at the end.
func (u *unfinished) deletes(plan compiler.Plan) {
	for _, op := range plan.Cleanup {
		if name := compiler.NameOf(op.Object); name != "" && op.Verb == compiler.Delete {
			u.gone[name] = true
		}
	}
}

// setKey is an element of a set.
type setKey struct {
	set string
	key compiler.Key
}

// add takes a later plan in. It returns what of it can be done now, if it may
// overtake.
func (u *unfinished) add(plan generated) (now generated, overtakes bool) {
	now = plan
	now.Commit = nil
	var elements []compiler.Op
	for _, op := range plan.Commit {
		if e, ok := op.Object.(*compiler.SetElement); ok && u.made[e.Set.Name] {
			elements = append(elements, op)
		} else {
			now.Commit = append(now.Commit, op)
		}
	}
	overtakes = len(plan.Prepare) < letThroughFrom
	for _, op := range slices.Concat(now.Prepare, now.Commit, now.Cleanup) {
		overtakes = overtakes && !u.touches(op)
	}
	if !overtakes {
		u.later = append(u.later, laterPlan{generated: plan})
		u.note(plan.Plan, u.waiting)
		return generated{}, false
	}
	u.elements = append(u.elements, elements...)
	u.later = append(u.later, laterPlan{generated: plan, done: true})
	u.deletes(plan.Plan)
	return now, true
}

// touches reports whether an operation is about something that is not finished, or
// names it.
func (u *unfinished) touches(op compiler.Op) bool {
	concerns := func(name string) bool { return u.made[name] || u.waiting[name] || u.gone[name] }
	switch o := op.Object.(type) {
	case *compiler.SetElement:
		return u.switched[setKey{o.Set.Name, o.Key}] || concerns(o.Set.Name) || concerns(o.Value.Name)
	case *compiler.ChainRule:
		return concerns(o.Chain) || o.Refers(concerns)
	}
	return concerns(compiler.NameOf(op.Object))
}

// prepareLetting runs the Prepare of a large plan in pieces and lets others through
// between them. What is unused is gone.
func (s *syncer) prepareLetting(ctx context.Context, u *unfinished) error {
	for piece := range tables.Pieces(slices.Values(u.plan.Prepare)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.transact(ctx, piece); err != nil {
			return err
		}
		if err := s.between(ctx, u); err != nil {
			return fmt.Errorf("let others through: %w", err)
		}
	}
	return s.runPieces(ctx, slices.Values(u.elements))
}

// between enforces what came meanwhile, as far as it does not depend on the plan that
// is under way. Guards of routed veths depend on nothing, those of bridge ports go with
// their plan.
func (s *syncer) between(ctx context.Context, u *unfinished) error {
	b := s.box.Take(source.Small)
	u.seq, u.held = b.Seq, b.Held
	// Pods that were not found are looked for as often as if nothing were under way.
	if len(b.Events) == 0 && !s.rounds.LookDue(s.watch.Curious(), s.cfg.Clock.Now()) {
		return nil
	}
	generation := s.beginGeneration()
	s.apply(ctx, b)
	number := s.ledger.TakeBetween(b.Events, s.outlook())
	plan, err := s.compile(ctx, b)
	if err != nil {
		return err
	}
	s.guards.Run(ctx, plan.Guards)
	plan.generation = generation
	now, overtakes := u.add(plan)
	if !overtakes {
		return nil
	}
	if err := s.runPieces(ctx, slices.Values(now.Prepare)); err != nil {
		return err
	}
	if err := s.commit(ctx, now); err != nil {
		return err
	}
	s.tellGuards(ctx)
	s.ledger.Overtook(number)
	if !b.Since.IsZero() {
		s.metrics.eventToKernel.Observe(s.cfg.Clock.Now().Sub(b.Since).Seconds())
	}
	return nil
}

// finish brings what waited for the plan, when it is in force.
func (s *syncer) finish(ctx context.Context, u *unfinished) error {
	for _, p := range u.later {
		if !p.done {
			if err := s.bring(ctx, p.generated, nil); err != nil {
				return err
			}
			continue
		}
		s.unused.add(p.Cleanup, s.cfg.Clock.Now())
	}
	if len(u.later) > 0 {
		// Plans that overtook may have changed what those that waited changed as well.
		s.ports.Replace(ctx)
	}
	return nil
}
