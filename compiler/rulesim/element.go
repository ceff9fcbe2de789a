package rulesim

import "fmt"

func (k *Kernel) executeElements(c command) error {
	t, err := k.table(c)
	if err != nil {
		return err
	}
	s := t.sets[c.name]
	if s == nil {
		return ErrNotFound
	}
	elements, err := parseElements(t, s, &c.body, c.verb == "add")
	if err != nil {
		return err
	}
	for _, e := range elements {
		if err := k.changeElement(s, e, c.verb); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kernel) changeElement(s *set, e *element, verb string) error {
	if verb == "delete" {
		old, err := s.remove(e)
		if err != nil {
			return err
		}
		old.hold(-1)
		k.did(func() { s.put(old); old.hold(1) })
		return nil
	}
	changed, err := s.insert(e)
	if changed {
		e.hold(1)
		k.did(func() { s.drop(e); e.hold(-1) })
	}
	return err
}

// parseElements reads "key comment … : data" separated by commas.
func parseElements(t *table, s *set, b *cursor, withData bool) ([]*element, error) {
	var out []*element
	for b.lines(); !b.done(); b.lines() {
		e := parseKey(s, b)
		b.comment()
		if s.isMap() && (withData || b.peek() == ":") {
			b.expect(":")
			parseData(t, s, e, b)
		}
		out = append(out, e)
		b.lines()
		if !b.done() {
			b.expect(",")
		}
	}
	return out, b.err
}

// lines skips line ends inside braces, where they mean nothing.
func (c *cursor) lines() {
	for c.take(newline) {
	}
}

func parseKey(s *set, b *cursor) *element {
	e := &element{}
	for i, d := range s.key {
		if i > 0 {
			b.expect(".")
		}
		sp, err := d.parseSpan(b.next())
		if err != nil {
			b.fail("%w", err)
		}
		if sp.lo != sp.hi && !s.intervals {
			b.fail("an interval in %s, which holds none", s.name)
		}
		e.spans = append(e.spans, sp)
		e.lo += sp.lo
	}
	return e
}

func parseData(t *table, s *set, e *element, b *cursor) {
	if s.data == verdictData {
		v, err := parseVerdict(t, b)
		if err != nil {
			b.fail("%w", err)
		}
		e.verdict = v
		return
	}
	name := b.next().text
	if e.counter = t.counters[name]; e.counter == nil {
		b.fail("counter %q: %w", name, ErrNotFound)
	}
}

// code is what the evaluation of an expression tells to do next.
type code uint8

const (
	next code = iota
	broke
	accept
	drop
	reject
	jump
	goTo
	back
)

type verdict struct {
	code  code
	chain *chain
}

// parseVerdict reads a verdict.
func parseVerdict(t *table, b *cursor) (verdict, error) {
	word := b.peek()
	plain := map[string]code{"accept": accept, "drop": drop, "return": back}
	if c, ok := plain[word]; ok {
		b.pos++
		return verdict{code: c}, nil
	}
	targeted := map[string]code{"jump": jump, "goto": goTo}
	c, ok := targeted[word]
	if !ok {
		return verdict{}, fmt.Errorf("unknown verdict %q", word)
	}
	b.pos++
	name := b.word()
	to := t.chains[name]
	if to == nil {
		return verdict{}, fmt.Errorf("chain %q: %w", name, ErrNotFound)
	}
	return verdict{code: c, chain: to}, nil
}
