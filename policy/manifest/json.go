package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// typeMeta says what an object is.
type typeMeta struct {
	APIVersion, Kind string
}

// mayBeYAML is up to what size a text that begins with a brace and is no JSON
// is tried as YAML in flow style.
const mayBeYAML = 1 << 20

// addJSON reads the JSON values in text, one after the other. It reports
// whether that is done with; otherwise nothing was added and text may be YAML.
func (l *Loader) addJSON(at place, text []byte) bool {
	for i := 0; ; i++ {
		text, at = skipSpace(text, at)
		if len(text) == 0 {
			return true
		}
		value, err := scanValue(text)
		if err != nil {
			if i == 0 && len(text) <= mayBeYAML && !cutOff(err) {
				return false
			}
			l.jsonFault(at, text, err)
			return true
		}
		if value.foreignArray() {
			l.noObject(at)
		} else {
			l.addScanned(at, text[:value.end], value, 0)
		}
		at = at.after(text[:value.end])
		text = text[value.end:]
	}
}

// addValue adds one value that was YAML. A faulty one had keys that stand
// twice.
func (l *Loader) addValue(at place, text []byte, faulty bool) {
	if bytes.Equal(text, []byte("null")) {
		return
	}
	value, err := scanValue(text)
	if err != nil || value.foreignArray() {
		l.noObject(at)
		return
	}
	value.faulty = faulty
	l.addScanned(at, text, value, 0)
}

// noObject tells of a value that is none of Kubernetes' objects.
func (l *Loader) noObject(at place) {
	if l.Repository {
		l.remark(Foreign, at, "", "", "skipped: the document is no object, so it is none of Kubernetes'")
		return
	}
	l.fail(at, "", "", "the document is no object: it needs apiVersion, kind and metadata")
}

// looksLikeJSON reports whether an object, or an array of them, begins as JSON must. Flow
// style YAML mostly has no quotes there.
func looksLikeJSON(text []byte) bool {
	if text[0] == '[' {
		text = bytes.TrimLeft(text[1:], " \t\r\n")
	}
	if len(text) == 0 || text[0] != '{' {
		return false
	}
	rest := bytes.TrimLeft(text[1:], " \t\r\n")
	return len(rest) == 0 || rest[0] == '"' || rest[0] == '}'
}

// skipSpace skips blank lines and, as a YAML parser would, comments.
func skipSpace(text []byte, at place) ([]byte, place) {
	rest := bytes.TrimLeft(text, " \t\r\n")
	for len(rest) > 0 && rest[0] == '#' {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		rest = bytes.TrimLeft(rest[end:], " \t\r\n")
	}
	return rest, at.after(text[:len(text)-len(rest)])
}

// jsonFault reports where a JSON value stops making sense.
func (l *Loader) jsonFault(at place, text []byte, err error) {
	offset := len(text)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) && int(syntax.Offset) <= len(text) {
		offset = int(syntax.Offset)
	}
	message := err.Error()
	if cutOff(err) {
		message = "it ends in the middle of a value: is the file cut off?"
	}
	l.fail(at.after(text[:offset]), "", "", "not valid JSON: "+message)
}

// cutOff reports whether all was well as far as it went.
func cutOff(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) }

// scanned is the outline of a JSON object.
type scanned struct {
	typeMeta
	// items are the bounds of the elements of "items".
	items [][2]int
	// badItems: "items" is there and no list.
	badItems bool
	end      int
	// array: it is no object, but an array.
	array bool
	// faulty: it had keys that stand twice, which are lost.
	faulty bool
}

// foreignArray reports whether it is an array without any object of Kubernetes.
func (s *scanned) foreignArray() bool { return s.array && s.Kind == "" }

// scanValue finds the outline of the object or array that text begins with. An array is
// read as a List, if one of its items is an object of Kubernetes: jq prints the items of
// one so. Else it is something else's, as many arrays are.
func scanValue(text []byte) (scanned, error) {
	if len(text) == 0 || text[0] != '[' {
		return scanObject(text)
	}
	s := scanned{array: true}
	decoder := json.NewDecoder(bytes.NewReader(text))
	var err error
	if s.items, err = scanItems(text, decoder, new(json.RawMessage)); err != nil {
		return s, err
	}
	s.end = int(decoder.InputOffset())
	for _, bounds := range s.items {
		item, err := scanObject(text[bounds[0]:bounds[1]])
		if err == nil && (item.Kind != "" && item.APIVersion != "" || item.Kind == "NetworkPolicy") {
			s.typeMeta = typeMeta{APIVersion: "v1", Kind: "List"}
			break
		}
	}
	return s, nil
}

// scanObject finds the outline of the object that text begins with. It copies
// no more than one item at a time.
func scanObject(text []byte) (scanned, error) {
	var s scanned
	decoder := json.NewDecoder(bytes.NewReader(text))
	if token, err := decoder.Token(); err != nil {
		return s, err
	} else if token != json.Delim('{') {
		return s, errors.New("a value that is no object")
	}
	var raw json.RawMessage
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return s, err
		}
		key, _ := token.(string)
		if start := valueAt(text, decoder); key == "items" && s.items == nil && start < len(text) && text[start] == '[' {
			if s.items, err = scanItems(text, decoder, &raw); err != nil {
				return s, err
			}
		} else if err := decoder.Decode(&raw); err != nil {
			return s, err
		} else if key == "items" {
			s.badItems = s.items != nil || string(raw) != "null"
		} else {
			s.note(key, raw)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return s, err
	}
	s.end = int(decoder.InputOffset())
	return s, nil
}

// note takes down a field that says what an object is. Anything but a string
// is kept as it is, for the message.
func (t *typeMeta) note(key string, raw json.RawMessage) {
	target := &t.Kind
	switch key {
	case "apiVersion":
		target = &t.APIVersion
	case "kind":
	default:
		return
	}
	if len(raw) > 0 && json.Unmarshal(raw, target) != nil {
		*target = string(raw)
	}
}

func scanItems(text []byte, decoder *json.Decoder, raw *json.RawMessage) ([][2]int, error) {
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	items := [][2]int{}
	for decoder.More() {
		start := valueAt(text, decoder)
		if err := decoder.Decode(raw); err != nil {
			return nil, err
		}
		items = append(items, [2]int{start, int(decoder.InputOffset())})
	}
	_, err := decoder.Token()
	return items, err
}

// valueAt is where the next value starts: the decoder's offset is the end of
// the last.
func valueAt(text []byte, decoder *json.Decoder) int {
	offset := int(decoder.InputOffset())
	return len(text) - len(bytes.TrimLeft(text[offset:], " \t\r\n:,"))
}
