package compiler

import (
	"fmt"
	"strings"

	"sigs.k8s.io/knftables"
)

// String is the ruleset as input for "nft -f", which puts it in the place of
// what is there, in one transaction.
func (r *Ruleset) String() string { return r.text(knftables.InetFamily) }

// PortText is the same for a ruleset of table bridge sluice.
func (r *Ruleset) PortText() string { return r.text(knftables.BridgeFamily) }

func (r *Ruleset) text(family knftables.Family) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %[1]s %[2]s {\n}\ndelete table %[1]s %[2]s\ntable %[1]s %[2]s {\n", family, TableName)
	for _, name := range r.Counters {
		fmt.Fprintf(&b, "\tcounter %s {\n\t}\n", name)
	}
	for i := range r.Sets {
		r.Sets[i].write(&b)
	}
	for i := range r.Chains {
		r.Chains[i].write(&b)
	}
	b.WriteString("}\n")
	return b.String()
}

func (s *Set) write(b *strings.Builder) {
	switch {
	case s.Unnamed():
		fmt.Fprintf(b, "\tset %s {\n\t\ttypeof %s\n", s.Name, s.Key.fields())
	case s.Value == NoValue:
		fmt.Fprintf(b, "\tset %s {\n\t\ttype %s\n", s.Name, s.Key)
	default:
		fmt.Fprintf(b, "\tmap %s {\n\t\ttype %s : %s\n", s.Name, s.Key, s.Value)
	}
	switch {
	case s.Interval:
		b.WriteString("\t\tflags interval\n")
	case s.Dynamic():
		fmt.Fprintf(b, "\t\tflags dynamic,timeout\n\t\ttimeout %ds\n", int(s.Timeout.Seconds()))
	}
	if s.Size != 0 {
		fmt.Fprintf(b, "\t\tsize %d\n", s.Size)
	}
	if len(s.Elements) > 0 {
		b.WriteString("\t\telements = { ")
		for i, e := range s.byText() {
			if i > 0 {
				b.WriteString(",\n\t\t             ")
			}
			b.WriteString(s.KeyText(e.Key))
			if e.Value.Do != Nothing {
				b.Write(e.Value.appendText([]byte(" : ")))
			}
		}
		b.WriteString(" }\n")
	}
	b.WriteString("\t}\n")
}

func (c *Chain) write(b *strings.Builder) {
	fmt.Fprintf(b, "\tchain %s {\n", c.Name)
	if h := c.Hook; h != nil {
		fmt.Fprintf(b, "\t\ttype filter hook %s priority %s; policy %s;\n", h.Name, h.Priority, h.Policy)
	}
	for _, r := range c.Rules {
		b.Write(r.appendText([]byte("\t\t")))
		if r.Comment != "" {
			b.WriteString(" comment " + quote(r.Comment))
		}
		b.WriteString("\n")
	}
	b.WriteString("\t}\n")
}
