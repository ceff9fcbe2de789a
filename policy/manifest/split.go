package manifest

import (
	"bytes"
	"iter"
)

// chunk is a part of a file, and how many lines stand before it.
type chunk struct {
	text    []byte
	skipped int
}

// documents cuts a file at its YAML document markers. A marker stands at the
// start of a line and cannot be part of any value: block scalars are indented,
// and in quotes it is a syntax error. A chunk that "---" opens begins with it.
func documents(data []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		start, skipped, line := 0, 0, 0
		for from, to := range lines(data) {
			switch {
			case isMarker(data[from:to], "---"):
				if from > start && !yield(chunk{data[start:from], skipped}) {
					return
				}
				start, skipped = from, line
			case isMarker(data[from:to], "..."):
				if !yield(chunk{data[start:from], skipped}) {
					return
				}
				start, skipped = to, line+1
			}
			line++
		}
		if start < len(data) {
			yield(chunk{data[start:], skipped})
		}
	}
}

// lines yields the bounds of each line with its line break.
func lines(data []byte) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for from := 0; from < len(data); {
			to := len(data)
			if i := bytes.IndexByte(data[from:], '\n'); i >= 0 {
				to = from + i + 1
			}
			if !yield(from, to) {
				return
			}
			from = to
		}
	}
}

func isMarker(line []byte, marker string) bool {
	return bytes.HasPrefix(line, []byte(marker)) && (len(line) == 3 || isSpace(line[3]))
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// leadingBlank is the length of the markers, comments, directives and blank
// lines that text begins with, and of the indentation of what follows.
func leadingBlank(text []byte) int {
	for from, to := range lines(text) {
		line := text[from:to]
		if isMarker(line, "---") {
			line = line[3:]
		}
		content := bytes.TrimLeft(line, " \t\r\n\ufeff")
		if len(content) > 0 && content[0] != '#' && line[0] != '%' {
			return to - len(content)
		}
	}
	return len(text)
}

// withoutComments is the size of text but for the lines that are comments.
func withoutComments(text []byte) int {
	size := 0
	for from, to := range lines(text) {
		if content := bytes.TrimLeft(text[from:to], " \t"); len(content) > 0 && content[0] != '#' {
			size += to - from
		}
	}
	return size
}

// blockList is a document "items:" of which are written as kubectl writes them:
// in block style, each from the start of a line.
type blockList struct {
	// before and after are the rest of the document, body are the items.
	before, body, after []byte
	// indent is where the dashes stand.
	indent int
	// skipped is how many lines stand before body.
	skipped int
}

// splitList cuts a document at its list without parsing it, so that a long
// list costs no more memory than its longest item, and each item knows its
// line. It may take something for a list that is none (in a quoted string,
// say): then a part of it is not valid YAML by itself, and the whole has to be
// parsed.
func splitList(text []byte) (blockList, bool) {
	const (
		beforeItems = iota
		beforeFirst
		inItems
	)
	l := blockList{}
	state, line, start := beforeItems, 0, 0
	for from, to := range lines(text) {
		line++
		content, indent, blank := outline(text[from:to])
		switch {
		case state == beforeItems:
			if indent == 0 && isItemsKey(content) {
				state, start, l.before, l.skipped = beforeFirst, to, text[:from], line
			}
		case blank:
		case state == beforeFirst:
			if !isDash(content) {
				return l, false
			}
			state, l.indent = inItems, indent
		case indent > l.indent || indent == l.indent && isDash(content):
		case indent == 0:
			l.body, l.after = text[start:from], text[from:]
			return l, true
		default:
			return l, false
		}
	}
	l.body = text[start:]
	return l, state == inItems
}

// outline is a line without its indentation. A blank one may be a comment.
func outline(line []byte) (content []byte, indent int, blank bool) {
	content = bytes.TrimLeft(line, " ")
	return content, len(line) - len(content), len(bytes.TrimLeft(content, "\t\r\n")) == 0 || content[0] == '#'
}

// items yields each item as a document of its own: with a space for its dash.
func (l blockList) items() iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		start, skipped, line := -1, 0, l.skipped
		send := func(end int) bool {
			if start < 0 {
				return true
			}
			text := bytes.Clone(l.body[start:end])
			text[l.indent] = ' '
			return yield(chunk{text, skipped})
		}
		for from, to := range lines(l.body) {
			content, indent, blank := outline(l.body[from:to])
			if !blank && indent == l.indent && isDash(content) {
				if !send(from) {
					return
				}
				start, skipped = from, line
			}
			line++
		}
		send(len(l.body))
	}
}

// isDash reports whether line opens an item. A tab after the dash is left to
// the parser.
func isDash(line []byte) bool {
	return bytes.HasPrefix(line, []byte("-")) && (len(line) == 1 || isSpace(line[1]) && line[1] != '\t')
}

func isItemsKey(line []byte) bool {
	rest, found := bytes.CutPrefix(line, []byte("items:"))
	if !found {
		return false
	}
	value := bytes.TrimLeft(rest, " \t\r\n")
	return len(value) == 0 || value[0] == '#' && len(value) < len(rest)
}
