package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// format is how flows are written.
type format int

const (
	// byLine: each line is a flow, as JSON or as text.
	byLine format = iota
	asYAML
	// asJSON: values that go over many lines, or a list of flows.
	asJSON
)

// formatOf looks at the first line that says something.
func formatOf(line []byte) format {
	text := strings.TrimSpace(untabbed(string(line)))
	switch _, _, arrow := splitArrow(text); {
	case strings.HasPrefix(text, "- "), strings.HasPrefix(text, "---"), text == "-", yamlKey.MatchString(text):
		return asYAML
	case beginsJSON(text):
		return asJSON
	case arrow, strings.HasPrefix(text, "{"), !strings.Contains(text, ": "):
		return byLine
	}
	return asYAML
}

// yamlKey is a key as "flows:"; an end has no blank after a colon.
var yamlKey = regexp.MustCompile(`^[\w-]+:( |$)`)

// beginsJSON reports whether a line is the begin of JSON that is no flow by itself: a list,
// one under "flows", or an object that goes on below. An address of IPv6 begins with a
// bracket, too.
func beginsJSON(text string) bool {
	if rest, is := strings.CutPrefix(text, "["); is {
		rest = strings.TrimSpace(rest)
		return rest == "" || strings.ContainsAny(rest[:1], `{["#`)
	}
	if !strings.HasPrefix(text, "{") {
		return false
	}
	var fields map[string]json.RawMessage
	err := json.NewDecoder(strings.NewReader(text)).Decode(&fields)
	return errors.Is(err, io.ErrUnexpectedEOF) || err == nil && fields["flows"] != nil && fields["src"] == nil
}

// mostWhole bounds flows that must be read whole.
const mostWhole = 64 << 20

// wholeFlow is a flow of a document, as text or as JSON.
type wholeFlow struct {
	line int
	data []byte
	// err: it is none.
	err error
}

// errNoFlow is what an item of a list is that is no flow.
var errNoFlow = errors.New("is neither a flow's fields nor a line of text")

func readWhole(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, mostWhole+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read flows: %w", err)
	case len(data) > mostWhole:
		return nil, fmt.Errorf("read flows: a document of more than %d MB: write JSON lines", mostWhole>>20)
	}
	return data, nil
}

// wholeFlows reads flows that are a document. Lines after all, as where only the first of
// them is cut off, are to be read again.
func wholeFlows(f format, in io.Reader) (flows []wholeFlow, again io.Reader, err error) {
	data, err := readWhole(in)
	if err != nil {
		return nil, nil, err
	}
	if f == asJSON {
		if flows, is := jsonFlows(data); is {
			return flows, nil, nil
		}
		if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
			return nil, bytes.NewReader(data), nil
		}
	}
	flows, err = yamlFlows(data)
	return flows, nil, err
}

// jsonFlows reads JSON values one after the other: flows, lists of flows, or objects that
// have one under "flows". It reports whether all of data is that.
func jsonFlows(data []byte) (out []wholeFlow, is bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	for {
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return out, errors.Is(err, io.EOF)
		}
		out = append(out, flowsIn(value, lineAt(1, data, d, value))...)
	}
}

// lineAt is the line of a value that a decoder has just read, of text that begins at one.
func lineAt(first int, text []byte, d *json.Decoder, value []byte) int {
	return first + bytes.Count(text[:int(d.InputOffset())-len(value)], []byte("\n"))
}

// flowsIn are the flows of a valid JSON value that begins at a line.
func flowsIn(value []byte, line int) (out []wholeFlow) {
	d := json.NewDecoder(bytes.NewReader(value))
	each := func(do func(key string, part json.RawMessage, line int)) {
		open, _ := d.Token()
		for d.More() {
			key := ""
			if open == json.Delim('{') {
				name, _ := d.Token()
				key, _ = name.(string)
			}
			var part json.RawMessage
			if d.Decode(&part) != nil {
				return
			}
			do(key, part, lineAt(line, value, d, part))
		}
	}
	if value[0] == '[' {
		each(func(_ string, item json.RawMessage, line int) { out = append(out, jsonFlow(item, line)) })
		return out
	}
	list := false
	each(func(key string, part json.RawMessage, line int) {
		if key == "flows" && part[0] == '[' {
			list, out = true, append(out, flowsIn(part, line)...)
		}
	})
	if list {
		return out
	}
	return []wholeFlow{jsonFlow(value, line)}
}

// jsonFlow is a JSON value as one flow.
func jsonFlow(value []byte, line int) wholeFlow {
	switch value[0] {
	case '{':
		var b bytes.Buffer
		_ = json.Compact(&b, value) // it is valid
		return wholeFlow{line: line, data: b.Bytes()}
	case '"':
		var text string
		_ = json.Unmarshal(value, &text)
		return wholeFlow{line: line, data: []byte(text)}
	}
	return wholeFlow{line: line, data: value, err: errNoFlow}
}

// yamlFlows reads a list of flows, or one under "flows", of mappings or lines of text.
func yamlFlows(data []byte) ([]wholeFlow, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read flows: not valid YAML: %w", err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("read flows: more than one YAML document: write the flows as one list")
	}
	if len(document.Content) == 0 {
		return nil, errors.New("read flows: the YAML is empty")
	}
	list, err := yamlList(document.Content[0])
	if err != nil {
		return nil, err
	}
	out := make([]wholeFlow, len(list.Content))
	for i, item := range list.Content {
		out[i].line = item.Line
		out[i].data, out[i].err = yamlItem(item)
	}
	return out, nil
}

// yamlList is the list of flows of a document.
func yamlList(root *yaml.Node) (*yaml.Node, error) {
	list := root
	if root.Kind == yaml.MappingNode {
		list = nil
		for i := 0; i+1 < len(root.Content); i += 2 {
			switch key := root.Content[i]; {
			case key.ShortTag() == "!!merge":
				return nil, fmt.Errorf("read flows: line %d: <<: nothing is merged around the list of flows: write flows: *NAME", key.Line)
			case key.Value == "flows" && list != nil:
				return nil, fmt.Errorf("read flows: line %d: flows stands twice: write one list", key.Line)
			case key.Value == "flows":
				list = aliased(root.Content[i+1])
			}
		}
	}
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil, errors.New("read flows: the YAML is no list of flows, and has none under flows")
	}
	return list, nil
}

// aliased is what a node stands for.
func aliased(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// yamlItem is a flow as a line would have it, with its fields in their order, those that it
// merges last.
func yamlItem(item *yaml.Node) ([]byte, error) {
	item = aliased(item)
	if item.Kind == yaml.ScalarNode {
		return []byte(item.Value), nil
	}
	if item.Kind != yaml.MappingNode {
		return nil, errNoFlow
	}
	var fields map[string]any
	if err := item.Decode(&fields); err != nil {
		return nil, errors.New(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
	}
	order := map[string]int{}
	for i := 0; i+1 < len(item.Content); i += 2 {
		order[aliased(item.Content[i]).Value] = i - len(item.Content)
	}
	keys := make([]string, 0, len(fields))
	for key := range fields {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if order[a] != order[b] {
			return order[a] - order[b]
		}
		return strings.Compare(a, b)
	})
	var b bytes.Buffer
	b.WriteByte('{')
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(key)
		value, err := json.Marshal(fields[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		fmt.Fprintf(&b, "%s:%s", name, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// openFlows opens what flows are read from, which flowsName names.
func (o *VerifyOptions) openFlows() (io.ReadCloser, error) {
	if o.flows == "-" {
		return io.NopCloser(o.In), nil
	}
	f, err := os.Open(o.flows)
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", err)
	}
	return f, nil
}

func (o *VerifyOptions) flowsName() string {
	if o.flows == "-" {
		return "stdin"
	}
	return o.flows
}
