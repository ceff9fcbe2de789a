package rulesim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Dump writes all tables in one canonical form, without what packets changed:
// two Kernels with equal dumps judge alike.
func (k *Kernel) Dump() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(k.tables)) {
		t := k.tables[key]
		fmt.Fprintf(&b, "table %s\n", key)
		for _, name := range slices.Sorted(maps.Keys(t.counters)) {
			fmt.Fprintf(&b, "  counter %s\n", name)
		}
		for _, name := range slices.Sorted(maps.Keys(t.sets)) {
			t.sets[name].dump(&b)
		}
		for _, name := range slices.Sorted(maps.Keys(t.chains)) {
			c := t.chains[name]
			fmt.Fprintf(&b, "  chain %s %s\n", name, c.declared)
			for _, r := range c.rules {
				fmt.Fprintf(&b, "    %s\n", r.text)
			}
		}
	}
	return b.String()
}

func (s *set) dump(b *strings.Builder) {
	fmt.Fprintf(b, "  set %s %s\n", s.name, s.declared)
	if s.dynamic {
		return
	}
	var lines []string
	for _, e := range s.all() {
		lines = append(lines, "    "+s.showKey(e)+e.showData()+"\n")
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
}

func (e *element) showData() string {
	words := map[code]string{accept: "accept", drop: "drop", back: "return", jump: "jump ", goTo: "goto "}
	switch {
	case e.counter != nil:
		return " : " + e.counter.name
	case e.verdict.chain != nil:
		return " : " + words[e.verdict.code] + e.verdict.chain.name
	}
	if w := words[e.verdict.code]; w != "" {
		return " : " + w
	}
	return ""
}

// Unreferenced lists the chains, sets and counters of a table that nothing
// refers to, as "kind name". Base chains are never listed.
func (k *Kernel) Unreferenced(family, tableName string) []string {
	var out []string
	t := k.tables[family+" "+tableName]
	if t == nil {
		return nil
	}
	for name, c := range t.chains {
		if c.n == 0 && c.hook == "" {
			out = append(out, "chain "+name)
		}
	}
	for name, s := range t.sets {
		if s.n == 0 {
			out = append(out, "set "+name)
		}
	}
	for name, c := range t.counters {
		if c.n == 0 {
			out = append(out, "counter "+name)
		}
	}
	slices.Sort(out)
	return out
}

// Elements counts the elements of all sets and maps but the dynamic ones.
func (k *Kernel) Elements() int {
	n := 0
	for _, t := range k.tables {
		for _, s := range t.sets {
			if !s.dynamic {
				n += s.len()
			}
		}
	}
	return n
}
