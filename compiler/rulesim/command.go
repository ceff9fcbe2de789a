package rulesim

import (
	"fmt"
	"slices"
	"strings"
)

// command is one change: "verb kind family table name { body }".
type command struct {
	verb, kind, family, table, name string
	// body is what stands in the braces, or the text of a rule.
	body    cursor
	hasBody bool
	line    int
	phase   int
}

func (c command) String() string {
	return strings.TrimSpace(strings.Join([]string{c.verb, c.kind, c.family, c.table, c.name}, " "))
}

var verbs = map[string][]string{
	"add":    {"table", "chain", "set", "map", "counter", "element", "rule"},
	"delete": {"table", "chain", "set", "map", "counter", "element"},
	"flush":  {"chain", "set", "map"},
}

// parse reads commands and blocks of tables.
func parse(text string) ([]command, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	c := &cursor{tokens: tokens}
	var out []command
	for c.skipLines(); !c.done(); c.skipLines() {
		cmd := command{verb: "add", line: c.line()}
		if c.peek() != "table" {
			cmd.verb = c.word()
		}
		cmd.kind = c.word()
		if !slices.Contains(verbs[cmd.verb], cmd.kind) {
			c.fail("unknown command %q", cmd.verb+" "+cmd.kind)
		}
		cmd.family, cmd.table = c.word(), c.word()
		if cmd.kind == "table" {
			out = append(out, cmd)
			if cmd.verb == "add" && c.take("{") {
				inner := c.block()
				out = append(out, parseTable(cmd, &inner)...)
				c.adopt(inner)
			}
		} else {
			cmd.name = c.word()
			parseBody(&cmd, c)
			out = append(out, cmd)
		}
		if !c.done() && c.peek() != newline && c.peek() != ";" {
			c.fail("unexpected %q after %s", c.peek(), cmd)
		}
	}
	return out, c.err
}

// adopt takes over the error of a cursor that was cut out of c.
func (c *cursor) adopt(inner cursor) {
	if inner.err != nil && c.err == nil {
		c.err = inner.err
		c.pos = len(c.tokens)
	}
}

func parseBody(cmd *command, c *cursor) {
	if cmd.kind == "rule" {
		cmd.body, cmd.hasBody = c.statement(), true
		return
	}
	if c.take("{") {
		cmd.body, cmd.hasBody = c.block(), true
	}
}

// parseTable reads a table's block. nft turns it into commands in the order
// chains, counters, sets, elements, rules, so that rules may name what stands
// below them.
func parseTable(table command, c *cursor) []command {
	var out []command
	for c.skipLines(); !c.done(); c.skipLines() {
		cmd := command{verb: "add", family: table.family, table: table.table, line: c.line()}
		cmd.kind = c.word()
		phase, known := map[string]int{"chain": 0, "counter": 1, "set": 2, "map": 2}[cmd.kind]
		if !known {
			c.fail("unknown word %q in a table", cmd.kind)
		}
		cmd.phase = phase
		cmd.name = c.word()
		c.expect("{")
		inner := c.block()
		if cmd.kind == "chain" {
			out = append(out, parseChain(cmd, &inner)...)
		} else {
			out = append(out, splitElements(cmd, &inner)...)
		}
		c.adopt(inner)
	}
	slices.SortStableFunc(out, func(a, b command) int { return a.phase - b.phase })
	return out
}

func parseChain(chain command, c *cursor) []command {
	declared := chain
	var out []command
	for c.skipLines(); !c.done(); c.skipLines() {
		line := c.line()
		st := c.statement()
		if c.done() {
			c.fail("a statement in a chain's block without an end")
		}
		if first := st.peek(); first == "type" || first == "policy" || first == "comment" {
			declared.body.tokens = append(declared.body.tokens, st.tokens...)
			declared.body.tokens = append(declared.body.tokens, token{text: ";", line: line})
			declared.hasBody = true
			continue
		}
		r := chain
		r.kind, r.body, r.hasBody, r.line, r.phase = "rule", st, true, line, 4
		out = append(out, r)
	}
	return append([]command{declared}, out...)
}

// splitElements makes of a set's declaration with elements two commands.
func splitElements(set command, c *cursor) []command {
	declared := set
	declared.hasBody = true
	var out []command
	for c.skipLines(); !c.done(); c.skipLines() {
		line := c.line()
		st := c.statement()
		if !st.take("elements", "=") {
			declared.body.tokens = append(declared.body.tokens, st.tokens...)
			declared.body.tokens = append(declared.body.tokens, token{text: ";", line: line})
			continue
		}
		if set.kind == "counter" {
			c.fail("a counter has no elements")
		}
		st.expect("{")
		e := set
		e.kind, e.body, e.hasBody, e.line, e.phase = "element", st.block(), true, line, 3
		if !st.done() {
			st.fail("unexpected %q after elements", st.peek())
		}
		c.adopt(st)
		out = append(out, e)
	}
	return append([]command{declared}, out...)
}

// comment reads a comment if one is next, and holds it to nft's limit.
func (c *cursor) comment() {
	if c.take("comment") {
		if s := c.quoted(); len(s) > 128 {
			c.fail("comment of %d characters", len(s))
		}
	}
}

func describe(c cursor) string {
	parts := make([]string, 0, len(c.tokens))
	for _, t := range c.tokens {
		if t.quoted {
			parts = append(parts, fmt.Sprintf("%q", t.text))
		} else if t.text != newline {
			parts = append(parts, t.text)
		}
	}
	return strings.Join(parts, " ")
}
