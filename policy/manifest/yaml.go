package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// YAML becomes JSON, and JSON becomes objects: the API's types are defined by
// their JSON, and so is what the API server makes of YAML (version 1.1, where
// "on" is a bool).

// addYAML reads the YAML documents in text; first is the place of its first
// content. It reports whether it is worth to go on with the file.
func (l *Loader) addYAML(at, first place, text []byte) bool {
	list, isList := splitList(text)
	if len(text) <= largest {
		if isList && l.addBlockList(at, list) {
			return true
		}
	} else if isList {
		if added, goOn := l.addLongList(at, list); added {
			return goOn
		}
	}
	if len(text) > largest && withoutComments(text) > largest {
		l.fail(first, "", "", fmt.Sprintf("a document of %d MB is larger than any object can be: separate the objects with ---, or write their List as kubectl prints it", len(text)/1e6))
		return true
	}
	documents := newYAMLDocuments(text)
	for {
		value, faults, err := documents.next()
		if errors.Is(err, io.EOF) {
			return true
		}
		l.yamlFaults(at, text, faults)
		if err != nil {
			l.yamlFaults(at, text, []string{err.Error()})
			return !errors.Is(err, errAliases)
		}
		l.addValue(first.flattened(), value, len(faults) > 0)
	}
}

// addBlockList reads a list item by item. It reports whether the parts made
// sense by themselves; if not, nothing was added.
func (l *Loader) addBlockList(at place, list blockList) (added bool) {
	head, err := frame(list)
	if err != nil {
		return false
	}
	type read struct {
		at          place
		text, value []byte
		faults      []string
	}
	var items []read
	for item := range list.items() {
		value, faults, err := itemYAML(item.text)
		if err != nil {
			return false
		}
		items = append(items, read{at.below(item.skipped), item.text, value, faults})
	}
	for i, item := range items {
		l.yamlFaults(item.at, item.text, item.faults)
		l.addItem(item.at.flattened(), head, i, item.value, 1, len(item.faults) > 0)
	}
	return true
}

// addLongList is addBlockList for a list that is too long to be parsed as a
// whole: items that make no sense by themselves are reported. It reports
// whether text is a list, and whether it is worth to go on with the file.
func (l *Loader) addLongList(at place, list blockList) (added, goOn bool) {
	head, err := frame(list)
	if err != nil {
		return false, true
	}
	i := 0
	for item := range list.items() {
		here := at.below(item.skipped)
		value, faults, err := itemYAML(item.text)
		l.yamlFaults(here, item.text, faults)
		if err != nil {
			l.yamlFaults(here, item.text, []string{err.Error()})
		} else {
			l.addItem(here.flattened(), head, i, value, 1, len(faults) > 0)
		}
		if errors.Is(err, errAliases) {
			return true, false
		}
		i++
	}
	return true, true
}

// itemYAML is soleYAML for an item, which may be empty.
func itemYAML(text []byte) (value []byte, faults []string, err error) {
	value, faults, err = soleYAML(text)
	if errors.Is(err, io.EOF) {
		return []byte("null"), nil, nil
	}
	return value, faults, err
}

// frame is what stands around the items of a list.
func frame(list blockList) (typeMeta, error) {
	var head typeMeta
	keys := map[string]bool{"items": true}
	for _, text := range [][]byte{list.before, list.after} {
		value, faults, err := soleYAML(text)
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil || len(faults) > 0 {
			return head, errors.New("parse the list's own fields")
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(value, &fields); err != nil {
			return head, fmt.Errorf("parse the list's own fields: %w", err)
		}
		head.note("apiVersion", fields["apiVersion"])
		head.note("kind", fields["kind"])
		for key := range fields {
			if keys[key] {
				return head, fmt.Errorf("parse the list's own fields: %q is there twice", key)
			}
			keys[key] = true
		}
	}
	if !strings.HasSuffix(head.Kind, "List") {
		return head, errors.New("parse the list's own fields: its kind is no List")
	}
	return head, nil
}

// soleYAML reads text as exactly one document.
func soleYAML(text []byte) (value []byte, faults []string, err error) {
	if len(text) > largest {
		return nil, nil, errors.New("the item is larger than any object can be")
	}
	documents := newYAMLDocuments(text)
	if value, faults, err = documents.next(); err != nil {
		return nil, faults, err
	}
	if _, _, err := documents.next(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("more than one document")
	}
	return value, faults, nil
}

// errAliases ends the reading of a file: whoever wrote it wants us to choke.
var errAliases = errors.New("aliases blow the document up to many times its size: write the values out")

// jsonWriter writes what the YAML decoder returns. Aliases are shared values
// in memory and copies in JSON, hence the limit.
type jsonWriter struct {
	out  bytes.Buffer
	left int
}

func (w *jsonWriter) write(value any) error {
	before := w.out.Len()
	var err error
	switch v := value.(type) {
	case nil:
		w.out.WriteString("null")
	case string:
		if len(v) > w.left {
			return errAliases
		}
		w.text(v)
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	case int:
		w.out.WriteString(strconv.Itoa(v))
	case int64:
		w.out.WriteString(strconv.FormatInt(v, 10))
	case uint64:
		w.out.WriteString(strconv.FormatUint(v, 10))
	case float64:
		err = w.float(v)
	case []any:
		return w.list(v)
	case map[any]any:
		return w.object(v)
	default:
		return fmt.Errorf("a value of type %T has no place in an object", v)
	}
	return errors.Join(err, w.pay(w.out.Len()-before))
}

func (w *jsonWriter) pay(bytes int) error {
	if w.left -= bytes; w.left < 0 {
		return errAliases
	}
	return nil
}

func (w *jsonWriter) text(s string) {
	quoted, err := json.Marshal(s)
	if err != nil {
		// Strings always marshal.
		quoted = []byte(`""`)
	}
	w.out.Write(quoted)
}

func (w *jsonWriter) float(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return errors.New(".nan and .inf have no place in an object")
	}
	w.out.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
	return nil
}

func (w *jsonWriter) list(values []any) error {
	w.out.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.write(v); err != nil {
			return err
		}
	}
	w.out.WriteByte(']')
	return w.pay(2 + len(values))
}

func (w *jsonWriter) object(values map[any]any) error {
	byKey := make(map[string]any, len(values))
	for k, v := range values {
		key, err := jsonKey(k)
		if err != nil {
			return err
		}
		if _, twice := byKey[key]; twice {
			return fmt.Errorf("key %q stands twice in one mapping", key)
		}
		byKey[key] = v
	}
	w.out.WriteByte('{')
	for i, key := range slices.Sorted(maps.Keys(byKey)) {
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.text(key)
		w.out.WriteByte(':')
		if err := w.pay(len(key) + 4); err != nil {
			return err
		}
		if err := w.write(byKey[key]); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return w.pay(2)
}

func jsonKey(key any) (string, error) {
	switch k := key.(type) {
	case string:
		return k, nil
	case bool:
		return strconv.FormatBool(k), nil
	case int:
		return strconv.Itoa(k), nil
	case int64:
		return strconv.FormatInt(k, 10), nil
	case uint64:
		return strconv.FormatUint(k, 10), nil
	case float64:
		return strconv.FormatFloat(k, 'g', -1, 64), nil
	case nil:
		return "", errors.New("a key of a mapping is missing")
	}
	return "", fmt.Errorf("a key of type %T has no place in an object: use a string", key)
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// yamlFaults reports what the YAML parser says of text, which begins at at.
func (l *Loader) yamlFaults(at place, text []byte, faults []string) {
	for _, fault := range faults {
		prefix := yamlLine.FindStringSubmatch(fault)
		here := at.after(text[:leadingBlank(text)])
		message := strings.TrimPrefix(fault, prefix[0])
		if n, err := strconv.Atoi(prefix[1]); err == nil && n > 0 {
			// At the end of the text the parser counts one line too many.
			here = at.below(min(n-1, bytes.Count(bytes.TrimSuffix(text, newline), newline)))
			if tabIndents(text, n) {
				message += "; indent with spaces, not with tabs"
			}
		}
		l.fail(here, "", "", "not valid YAML: "+strings.Replace(message, "already set in map", "stands twice in one mapping: remove one", 1))
	}
}

// tabIndents reports whether a tab indents the line or the one after it: the
// parser names the line before an offending character, sometimes.
func tabIndents(text []byte, line int) bool {
	for from, to := range lines(text) {
		if line--; line <= 0 && bytes.HasPrefix(bytes.TrimLeft(text[from:to], " "), []byte("\t")) {
			return true
		}
		if line < 0 {
			return false
		}
	}
	return false
}
