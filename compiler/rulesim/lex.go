package rulesim

import (
	"fmt"
	"strings"
)

// token is a word, a quoted string, punctuation or the end of a line.
type token struct {
	text   string
	quoted bool
	line   int
}

const (
	newline     = "\n"
	punctuation = "{};,()&|^=!"
)

// lex cuts nft's input into tokens. A colon or a dot separates only between
// blanks, as nft itself prints it, so that addresses and names stay whole.
func lex(text string) ([]token, error) {
	var out []token
	line := 1
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\n':
			out = append(out, token{text: newline, line: line})
			line++
			i++
		case c == ' ' || c == '\t':
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case c == '\\' || c == '\r' || c >= 0x7f:
			return nil, fmt.Errorf("line %d: unexpected character %q", line, c)
		case c == '"':
			end := strings.IndexAny(text[i+1:], "\"\n")
			if end < 0 || text[i+1+end] == '\n' {
				return nil, fmt.Errorf("line %d: string without an end", line)
			}
			out = append(out, token{text: text[i+1 : i+1+end], quoted: true, line: line})
			i += end + 2
		case strings.IndexByte(punctuation, c) >= 0:
			n := 1
			if (c == '=' || c == '!') && i+1 < len(text) && text[i+1] == '=' {
				n = 2
			}
			out = append(out, token{text: text[i : i+n], line: line})
			i += n
		default:
			start := i
			for i < len(text) && !strings.ContainsRune(" \t\n\"#\\"+punctuation, rune(text[i])) {
				i++
			}
			out = append(out, token{text: text[start:i], line: line})
		}
	}
	return out, nil
}

// cursor walks over tokens. Its first error sticks.
type cursor struct {
	tokens []token
	pos    int
	err    error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("line %d: %w", c.line(), fmt.Errorf(format, args...))
	}
	c.pos = len(c.tokens)
}

func (c *cursor) line() int {
	switch {
	case len(c.tokens) == 0:
		return 0
	case c.pos < len(c.tokens):
		return c.tokens[c.pos].line
	}
	return c.tokens[len(c.tokens)-1].line
}

func (c *cursor) done() bool { return c.pos >= len(c.tokens) }

// peek is the next token's text, empty at the end and for a quoted string.
func (c *cursor) peek() string {
	if c.done() || c.tokens[c.pos].quoted {
		return ""
	}
	return c.tokens[c.pos].text
}

func (c *cursor) next() token {
	if c.done() {
		c.fail("unexpected end")
		return token{}
	}
	c.pos++
	return c.tokens[c.pos-1]
}

// word is the next token, which must not be a string, punctuation or the end
// of the line.
func (c *cursor) word() string {
	t := c.next()
	if t.quoted || t.text == newline || strings.Contains(punctuation, t.text) {
		c.pos--
		c.fail("unexpected %q", t.text)
		return ""
	}
	return t.text
}

func (c *cursor) quoted() string {
	t := c.next()
	if !t.quoted {
		c.pos--
		c.fail("expected a string, got %q", t.text)
		return ""
	}
	return t.text
}

// take consumes the given tokens if they are next.
func (c *cursor) take(texts ...string) bool {
	if c.pos+len(texts) > len(c.tokens) {
		return false
	}
	for i, text := range texts {
		if t := c.tokens[c.pos+i]; t.quoted || t.text != text {
			return false
		}
	}
	c.pos += len(texts)
	return true
}

func (c *cursor) expect(text string) {
	if !c.take(text) {
		c.fail("expected %q, got %q", text, c.peek())
	}
}

func (c *cursor) skipLines() {
	for c.take(newline) || c.take(";") {
	}
}

// block cuts out the tokens up to the brace that closes one already opened.
func (c *cursor) block() cursor {
	start, depth := c.pos, 1
	for !c.done() {
		switch c.peek() {
		case "{":
			depth++
		case "}":
			depth--
		}
		c.pos++
		if depth == 0 {
			return cursor{tokens: c.tokens[start : c.pos-1]}
		}
	}
	c.fail("a brace without an end")
	return cursor{}
}

// statement cuts out the tokens up to the end of the statement, which is a
// semicolon or the end of the line outside of braces.
func (c *cursor) statement() cursor {
	start, depth := c.pos, 0
	for !c.done() {
		switch t := c.peek(); {
		case t == "{":
			depth++
		case t == "}":
			depth--
		case depth == 0 && (t == newline || t == ";"):
			return cursor{tokens: c.tokens[start:c.pos]}
		}
		c.pos++
	}
	return cursor{tokens: c.tokens[start:c.pos]}
}
