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
			from += 3
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
	// before and after are the rest of the document.
	before, after []byte
	// items still begin with their dash.
	items  []chunk
	indent int
}

// splitList cuts a document into the items of its list without parsing it, so
// that a long list costs no more memory than its longest item, and each item
// knows its line. It may take something for a list that is none (in a quoted
// string, say): then a part of it is not valid YAML by itself, and the whole
// has to be parsed.
func splitList(text []byte) (blockList, bool) {
	var l blockList
	const (
		beforeItems = iota
		inItems
		afterItems
	)
	state, line, start, end := beforeItems, 0, 0, len(text)
	for from, to := range lines(text) {
		content := bytes.TrimLeft(text[from:to], " ")
		indent := to - from - len(content)
		blank := len(bytes.TrimLeft(content, "\t\r\n")) == 0 || content[0] == '#'
		dash := isDash(content)
		switch {
		case state == beforeItems && indent == 0 && isItemsKey(content):
			l.before, state, start = text[:from], inItems, -1
		case state != inItems || blank:
		case dash && start < 0:
			l.indent = indent
			fallthrough
		case dash && indent == l.indent:
			if start >= 0 {
				l.items[len(l.items)-1].text = text[start:from]
			}
			start = from
			l.items = append(l.items, chunk{skipped: line})
		case start >= 0 && indent > l.indent:
		case start >= 0 && indent == 0:
			state, end = afterItems, from
		default:
			return l, false
		}
		line++
	}
	if len(l.items) == 0 {
		return l, false
	}
	l.items[len(l.items)-1].text = text[start:end]
	l.after = text[end:]
	return l, true
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

// item is the text of an item as a document of its own.
func (l blockList) item(i int) []byte {
	text := bytes.Clone(l.items[i].text)
	text[l.indent] = ' '
	return text
}
