package rulesim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (k *Kernel) execute(c command) error {
	switch c.kind {
	case "table":
		return k.executeTable(c)
	case "chain", "set", "map", "counter":
		return k.executeObject(c)
	case "rule":
		return k.addRule(c)
	case "element":
		return k.executeElements(c)
	}
	return fmt.Errorf("unknown kind %q", c.kind)
}

func (k *Kernel) executeTable(c command) error {
	key := c.family + " " + c.table
	old := k.tables[key]
	switch {
	case c.verb == "delete" && old == nil:
		return ErrNotFound
	case c.verb == "delete":
		delete(k.tables, key)
		k.did(func() { k.tables[key] = old })
	case old == nil:
		if c.family != "inet" && c.family != "netdev" {
			return fmt.Errorf("unknown family %q", c.family)
		}
		if err := checkName(c.table); err != nil {
			return err
		}
		k.tables[key] = &table{family: c.family, name: c.table, chains: map[string]*chain{}, sets: map[string]*set{}, counters: map[string]*counter{}}
		k.did(func() { delete(k.tables, key) })
	}
	return nil
}

func (k *Kernel) executeObject(c command) error {
	t, err := k.table(c)
	if err != nil {
		return err
	}
	switch c.verb + " " + c.kind {
	case "add chain":
		return k.addChain(t, c)
	case "add set", "add map":
		return k.addSet(t, c)
	case "add counter":
		return k.addCounter(t, c)
	case "delete chain", "flush chain":
		ch := t.chains[c.name]
		if ch == nil {
			return ErrNotFound
		}
		k.flushChain(ch)
		if c.verb == "delete" {
			return remove(k, t.chains, c.name, &ch.refs)
		}
	case "delete set", "delete map", "flush set", "flush map":
		s := t.sets[c.name]
		if s == nil || s.isMap() != (c.kind == "map") {
			return ErrNotFound
		}
		if c.verb == "delete" && s.n > 0 {
			return ErrBusy
		}
		k.flushSet(s)
		if c.verb == "delete" {
			return remove(k, t.sets, c.name, &s.refs)
		}
	case "delete counter":
		if o := t.counters[c.name]; o != nil {
			return remove(k, t.counters, c.name, &o.refs)
		}
		return ErrNotFound
	}
	return nil
}

// remove takes an object that nothing refers to out of its table.
func remove[T any](k *Kernel, from map[string]T, name string, r *refs) error {
	if r.n > 0 {
		return ErrBusy
	}
	old := from[name]
	delete(from, name)
	k.did(func() { from[name] = old })
	return nil
}

func (k *Kernel) flushChain(c *chain) {
	old := c.rules
	for _, r := range old {
		r.hold(-1)
	}
	c.rules = nil
	k.did(func() {
		c.rules = old
		for _, r := range old {
			r.hold(1)
		}
	})
}

func (k *Kernel) flushSet(s *set) {
	for _, e := range s.all() {
		k.dropElement(s, e)
	}
}

func (k *Kernel) dropElement(s *set, e *element) {
	s.drop(e)
	e.hold(-1)
	k.did(func() { s.put(e); e.hold(1) })
}

func (k *Kernel) addChain(t *table, c command) error {
	n := &chain{name: c.name}
	if c.hasBody {
		if err := parseChainBody(n, t, &c.body); err != nil {
			return err
		}
	}
	if old := t.chains[c.name]; old != nil {
		if old.declared != n.declared && n.declared != "" {
			return fmt.Errorf("chain %s is there with another definition: %w", c.name, ErrExists)
		}
		return nil
	}
	if err := checkName(c.name); err != nil {
		return err
	}
	t.chains[c.name] = n
	k.did(func() { delete(t.chains, c.name) })
	return nil
}

var hooks = map[string][]string{"inet": {string(Forward), string(Input), string(Output)}, "netdev": {"ingress", "egress"}}

func parseChainBody(n *chain, t *table, b *cursor) error {
	for b.skipLines(); !b.done(); b.skipLines() {
		switch {
		case b.take("type", "filter", "hook"):
			n.hook = Hook(b.word())
			if !slices.Contains(hooks[t.family], string(n.hook)) {
				b.fail("unknown hook %q of %s", n.hook, t.family)
			}
			if b.take("device") {
				n.device = b.next().text
			}
			if (n.device == "") == (t.family == "netdev") {
				b.fail("a chain has a device in netdev and nowhere else")
			}
			b.expect("priority")
			n.priority = parsePriority(b)
		case b.take("policy"):
			p := b.word()
			if n.hook == "" || p != "accept" && p != "drop" {
				b.fail("unknown policy %q", p)
			}
			n.drop = p == "drop"
		case b.peek() == "comment":
			b.comment()
		default:
			b.fail("unknown word %q in a chain's definition", b.peek())
		}
	}
	if n.hook != "" {
		n.declared = fmt.Sprintf("hook %s device %q priority %d drop %t", n.hook, n.device, n.priority, n.drop)
	}
	return b.err
}

// parsePriority reads a number, or "filter" with one added or taken off.
func parsePriority(b *cursor) int {
	var s string
	for !b.done() && b.peek() != ";" && b.peek() != newline {
		s += b.word()
	}
	s = strings.TrimPrefix(s, "filter")
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		b.fail("unknown priority %q", s)
	}
	return n
}

func (k *Kernel) addCounter(t *table, c command) error {
	for b := &c.body; c.hasBody && !b.done(); b.skipLines() {
		b.comment()
		if !b.done() && b.peek() != ";" && b.peek() != newline {
			return fmt.Errorf("unknown word %q in a counter", b.peek())
		}
	}
	if t.counters[c.name] != nil {
		return nil
	}
	if err := checkName(c.name); err != nil {
		return err
	}
	t.counters[c.name] = &counter{name: c.name}
	k.did(func() { delete(t.counters, c.name) })
	return nil
}

func (k *Kernel) addSet(t *table, c command) error {
	s := newSet(c.name)
	if err := parseSetBody(s, c.kind == "map", &c.body); err != nil {
		return err
	}
	if old := t.sets[c.name]; old != nil {
		if old.declared != s.declared {
			return fmt.Errorf("%s is there as %q: %w", c.name, old.declared, ErrExists)
		}
		return nil
	}
	if err := checkName(c.name); err != nil {
		return err
	}
	t.sets[c.name] = s
	k.did(func() { delete(t.sets, c.name) })
	return nil
}

func parseSetBody(s *set, isMap bool, b *cursor) error {
	for b.skipLines(); !b.done(); b.skipLines() {
		switch w := b.word(); w {
		case "type":
			s.key = parseKeyType(b)
			if isMap {
				b.expect(":")
				s.data = map[string]dataKind{"verdict": verdictData, "counter": counterData}[b.word()]
				if s.data == noData {
					b.fail("unknown type of a map's data")
				}
			}
		case "flags":
			parseFlags(s, b)
		case "timeout":
			if _, err := time.ParseDuration(b.word()); err != nil || !s.dynamic {
				b.fail("unknown timeout")
			}
			s.timeout = true
		case "size":
			n, err := strconv.Atoi(b.word())
			if err != nil || n <= 0 {
				b.fail("unknown size")
			}
			s.size = n
		case "comment":
			b.pos--
			b.comment()
		default:
			b.fail("unknown word %q in a set's definition", w)
		}
	}
	switch {
	case b.err != nil:
	case len(s.key) == 0:
		b.fail("a set without a type")
	case s.width() > 64:
		b.fail("a key of %d bytes", s.width())
	case s.dynamic && (s.intervals || s.size == 0):
		b.fail("a dynamic set needs a size and cannot hold intervals")
	}
	s.declared = fmt.Sprintf("%v data %d intervals %t dynamic %t timeout %t size %d", s.key, s.data, s.intervals, s.dynamic, s.timeout, s.size)
	return b.err
}

func parseKeyType(b *cursor) []*datatype {
	var key []*datatype
	for {
		w := b.word()
		d := datatypes[w]
		if d == nil {
			b.fail("unknown type %q; I know %q", w, slices.Sorted(maps.Keys(datatypes)))
			return nil
		}
		key = append(key, d)
		if !b.take(".") {
			return key
		}
	}
}

func parseFlags(s *set, b *cursor) {
	for {
		switch f := b.word(); f {
		case "interval":
			s.intervals = true
		case "dynamic":
			s.dynamic = true
		case "timeout":
			s.timeout = true
		default:
			b.fail("unknown flag %q", f)
		}
		if !b.take(",") {
			return
		}
	}
}
