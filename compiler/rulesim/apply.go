package rulesim

import (
	"fmt"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// Render writes operations on table sluice of a family as the text that nft
// would be given.
func Render(family knftables.Family, ops []compiler.Op) (string, error) {
	tx := knftables.NewFake(family, compiler.TableName).NewTransaction()
	for i, op := range ops {
		switch op.Verb {
		case compiler.Add:
			tx.Add(op.Object.Knftables())
		case compiler.Delete:
			tx.Delete(op.Object.Knftables())
		case compiler.Flush:
			tx.Flush(op.Object.Knftables())
		default:
			return "", fmt.Errorf("op %d: unknown verb %d", i, op.Verb)
		}
		if tx.NumOperations() != i+1 {
			return "", fmt.Errorf("op %d (%T %+v) is refused", i, op.Object, op.Object)
		}
	}
	return tx.String(), nil
}

// Transact applies operations on table inet sluice as one transaction.
func (k *Kernel) Transact(ops []compiler.Op) error {
	text, err := Render(knftables.InetFamily, ops)
	if err != nil {
		return err
	}
	return k.Run(text)
}

// Apply applies a plan and holds it to what [compiler.Plan] promises:
//
//   - Prepare only makes objects and fills those that it made, and every cut of
//     it is a transaction that the kernel takes.
//   - Commit is one transaction that deletes no chain and neither makes nor
//     changes anything with intervals.
//   - Cleanup only deletes and flushes, and can be cut anywhere as well.
//   - No operation is in vain.
func (k *Kernel) Apply(p compiler.Plan) error {
	fresh := map[string]bool{}
	for i, op := range p.Prepare {
		if err := k.mayPrepare(op, fresh); err != nil {
			return fmt.Errorf("prepare %d: %w", i, err)
		}
		if err := k.Transact([]compiler.Op{op}); err != nil {
			return fmt.Errorf("prepare %d: %w", i, err)
		}
	}
	for i, op := range p.Commit {
		if err := k.mayCommit(op); err != nil {
			return fmt.Errorf("commit %d: %w", i, err)
		}
	}
	if err := k.Transact(p.Commit); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for i, op := range p.Cleanup {
		if op.Verb == compiler.Add {
			return fmt.Errorf("cleanup %d: %s is no deletion", i, show(op))
		}
		if err := k.Transact([]compiler.Op{op}); err != nil {
			return fmt.Errorf("cleanup %d: %w", i, err)
		}
	}
	return nil
}

// mayPrepare refuses an op that touches what was there before.
func (k *Kernel) mayPrepare(op compiler.Op, fresh map[string]bool) error {
	if op.Verb != compiler.Add {
		return fmt.Errorf("%s is no addition", show(op))
	}
	switch o := op.Object.(type) {
	case *compiler.SetElement:
		if !fresh["set "+o.Set.Name] {
			return fmt.Errorf("%s changes a set that was there before", show(op))
		}
	case *compiler.ChainRule:
		if !fresh["chain "+o.Chain] {
			return fmt.Errorf("%s changes a chain that was there before", show(op))
		}
	default:
		kind, name := k.locate(op)
		if kind == "" || k.exists(kind, name) {
			return fmt.Errorf("%s is there already, or unknown", show(op))
		}
		fresh[kind+" "+name] = true
	}
	return nil
}

// mayCommit refuses an op that is not atomic for packets in flight, or that
// old kernels refuse.
func (k *Kernel) mayCommit(op compiler.Op) error {
	switch o := op.Object.(type) {
	case *compiler.SetElement:
		s := k.sluice().sets[o.Set.Name]
		if s != nil && s.intervals {
			return fmt.Errorf("%s changes intervals in place", show(op))
		}
		return k.mustChange(s, op, o)
	case *compiler.Chain:
		if op.Verb == compiler.Delete {
			return fmt.Errorf("%s belongs in cleanup", show(op))
		}
	case *compiler.Set:
		return k.noIntervals(op, o.Interval)
	}
	if kind, name := k.locate(op); op.Verb == compiler.Add && kind != "" && k.exists(kind, name) {
		return fmt.Errorf("%s is there already", show(op))
	}
	return nil
}

func (k *Kernel) noIntervals(op compiler.Op, intervals bool) error {
	if intervals {
		return fmt.Errorf("%s belongs in prepare or cleanup", show(op))
	}
	if kind, name := k.locate(op); op.Verb == compiler.Add && k.exists(kind, name) {
		return fmt.Errorf("%s is there already", show(op))
	}
	return nil
}

// mustChange refuses to add an element that is there. That deletions find
// theirs is seen to by the transaction.
func (k *Kernel) mustChange(s *set, op compiler.Op, o *compiler.SetElement) error {
	if s == nil || op.Verb != compiler.Add || o.Value.Do != compiler.Nothing {
		return nil
	}
	text, err := Render(knftables.InetFamily, []compiler.Op{op})
	if err != nil {
		return err
	}
	commands, err := parse(text)
	if err != nil {
		return err
	}
	elements, err := parseElements(k.sluice(), s, &commands[0].body, true)
	if err != nil {
		return err
	}
	for _, e := range elements {
		if s.clash(e) != nil {
			return fmt.Errorf("%s is there already", show(op))
		}
	}
	return nil
}

func (k *Kernel) sluice() *table {
	if t := k.tables["inet "+compiler.TableName]; t != nil {
		return t
	}
	return &table{}
}

// locate names the object of an op, with an empty kind for elements and rules.
func (k *Kernel) locate(op compiler.Op) (kind, name string) {
	switch o := op.Object.(type) {
	case *compiler.Chain:
		return "chain", o.Name
	case *compiler.Set:
		return "set", o.Name
	case *compiler.Counter:
		return "counter", o.Name
	}
	return "", ""
}

func (k *Kernel) exists(kind, name string) bool {
	t := k.sluice()
	switch kind {
	case "chain":
		return t.chains[name] != nil
	case "set":
		return t.sets[name] != nil
	}
	return t.counters[name] != nil
}

func show(op compiler.Op) string {
	text, err := Render(knftables.InetFamily, []compiler.Op{op})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q", text)
}
