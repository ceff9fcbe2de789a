package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-net/sluice/policy/question"
)

// arrows stand between the ends of a flow that is written as text.
var arrows = []string{" -> ", " → "}

// splitArrow divides a line of text at its arrow.
func splitArrow(line string) (src, rest string, ok bool) {
	for _, arrow := range arrows {
		if src, rest, ok = strings.Cut(line, arrow); ok {
			return strings.TrimSpace(src), strings.TrimSpace(rest), true
		}
	}
	return "", "", false
}

// expectations are the words for what is expected.
var expectations = map[string]bool{"allow": true, "allowed": true, "deny": false, "denied": false}

// parseTextLine reads "SRC -> DST[:PORT[/PROTO]] [allow|deny] [# why]".
func parseTextLine(number int, text, defaultNamespace string) (flowLine, error) {
	line := flowLine{number: number}
	text, why, _ := strings.Cut(" "+text, " #")
	src, rest, ok := splitArrow(strings.TrimSpace(text))
	if !ok {
		return line, errors.New("no flow: " + flowsHint)
	}
	add := func(key string, value any) {
		data, _ := json.Marshal(value)
		line.fields = append(line.fields, field{key, data})
	}
	target := rest
	if at := strings.LastIndexAny(rest, " \t"); at >= 0 {
		word := strings.ToLower(rest[at+1:])
		expected, known := expectations[word]
		if !known && !strings.ContainsAny(rest, "(,") {
			return line, fmt.Errorf("%q says nothing of what is expected: write allow or deny, and why behind a #", rest[at+1:])
		}
		if known {
			line.expected, target = &expected, strings.TrimSpace(rest[:at])
		}
	}
	add("src", src)
	add("dst", target)
	if line.expected != nil {
		add("expected", *line.expected)
	}
	if why = strings.TrimSpace(why); why != "" {
		add("why", why)
	}
	var err error
	line.question, err = question.Parse(src, target, defaultNamespace)
	line.question.GuessPort = line.question.Port == ""
	return line, err
}

// format is how flows are written.
type format int

const (
	// byLine: each line is a flow, as JSON or as text.
	byLine format = iota
	asYAML
)

// formatOf looks at the first line that says something.
func formatOf(line []byte) format {
	text := strings.TrimSpace(string(line))
	if strings.HasPrefix(text, "- ") || strings.HasPrefix(text, "---") || text == "flows:" || text == "-" {
		return asYAML
	}
	if _, _, is := splitArrow(text); is || strings.HasPrefix(text, "{") || !strings.Contains(text, ": ") {
		return byLine
	}
	return asYAML
}

// mostYAML bounds flows that must be read whole.
const mostYAML = 64 << 20

// yamlFlow is a flow of a YAML document, as text or as JSON.
type yamlFlow struct {
	line int
	data []byte
}

// yamlFlows reads a list of flows, or one under "flows", of mappings or lines of text.
func yamlFlows(in io.Reader) ([]yamlFlow, error) {
	data, err := io.ReadAll(io.LimitReader(in, mostYAML+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read flows: %w", err)
	case len(data) > mostYAML:
		return nil, fmt.Errorf("read flows: YAML of more than %d MB: write JSON lines", mostYAML>>20)
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("read flows: not valid YAML: %w", err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("read flows: more than one YAML document: write the flows as one list")
	}
	if len(document.Content) == 0 {
		return nil, errors.New("read flows: the YAML is empty")
	}
	list := document.Content[0]
	for i := 0; list.Kind == yaml.MappingNode && i+1 < len(list.Content); i += 2 {
		if list.Content[i].Value == "flows" {
			list = list.Content[i+1]
		}
	}
	if list.Kind != yaml.SequenceNode {
		return nil, errors.New("read flows: the YAML is no list of flows, and has none under flows")
	}
	out := make([]yamlFlow, len(list.Content))
	for i, item := range list.Content {
		if out[i].data, err = yamlItem(item); err != nil {
			return nil, fmt.Errorf("read flows: line %d: %w", item.Line, err)
		}
		out[i].line = item.Line
	}
	return out, nil
}

// yamlItem is a flow as a line would have it, with its fields in their order.
func yamlItem(item *yaml.Node) ([]byte, error) {
	if item.Kind == yaml.ScalarNode {
		return []byte(item.Value), nil
	}
	if item.Kind != yaml.MappingNode {
		return nil, errors.New("is neither a flow's fields nor a line of text")
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i+1 < len(item.Content); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		var value any
		if err := item.Content[i+1].Decode(&value); err != nil {
			return nil, err
		}
		key, _ := json.Marshal(item.Content[i].Value)
		data, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", item.Content[i].Value, err)
		}
		fmt.Fprintf(&b, "%s:%s", key, data)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
