package manifest

import (
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// fieldPlaces are the lines of the fields of one object.
type fieldPlaces struct{ root *yaml.Node }

// Field is a field's place in the source. Path holds keys (string) and indices
// (int). Where the field is not there, as one that the API server fills in, it is
// what would hold it.
type Field struct {
	Line int
	// Null: the field is there, and has no value.
	Null bool
	// Lines are those of the field and of all that hold it, the object's own first.
	Lines []int
}

// Field finds a field of a policy. Of other kinds it knows the object's place alone.
func (s *Sketch) Field(path ...any) Field {
	f := Field{Line: s.Line, Lines: []int{s.Line}}
	node := s.root()
	for i, step := range path {
		if node == nil {
			break
		}
		at, value := child(node, step)
		if at == nil {
			break
		}
		f.Line = s.base + at.Line
		f.Lines = append(f.Lines, f.Line)
		f.Null = i == len(path)-1 && value.Kind == yaml.ScalarNode && value.Tag == "!!null"
		node = value
	}
	return f
}

// root parses the text, once.
func (s *Sketch) root() *yaml.Node {
	if s.text == nil {
		return nil
	}
	if s.fields == nil {
		s.fields = &fieldPlaces{}
		var document yaml.Node
		// What cannot be parsed here has no lines, and was reported if it matters.
		if err := yaml.Unmarshal(s.text, &document); err == nil && len(document.Content) > 0 {
			s.fields.root = document.Content[0]
		}
	}
	return s.fields.root
}

// child is the value of a key or the item of a list, and the node at which it
// begins. Aliases lead to what they stand for.
func child(node *yaml.Node, step any) (at, value *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch step := step.(type) {
	case string:
		if node.Kind != yaml.MappingNode {
			return nil, nil
		}
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i], node.Content[i+1]
			}
		}
	case int:
		if node.Kind == yaml.SequenceNode && step >= 0 && step < len(node.Content) {
			return node.Content[step], node.Content[step]
		}
	}
	return nil, nil
}

// Directives are the comments "# sluice-WORD: …" that stand at a field or at one
// that holds it: on its line, or on the lines right above. Each is returned without
// "# sluice-", with its line.
func (s *Sketch) Directives(f Field) []Directive {
	byLine := s.outline.directives[s.Source]
	if len(byLine) == 0 {
		return nil
	}
	var found []Directive
	seen := map[int]bool{}
	note := func(line int, r remark) {
		if !seen[line] {
			seen[line] = true
			found = append(found, Directive{Text: r.text, Source: s.Source, Line: line})
		}
	}
	for _, line := range f.Lines {
		if r, ok := byLine[line]; ok {
			note(line, r)
		}
		for above := line - 1; byLine[above].alone; above-- {
			note(above, byLine[above])
		}
	}
	return found
}

// Directive is a comment that asks for something.
type Directive struct {
	Text   string
	Source string
	Line   int
}

func (d Directive) String() string { return d.Source + ":" + strconv.Itoa(d.Line) }

// AllDirectives are those of all sources, whether or not they stand at a field, in
// the order of sources and lines.
func (o *Outline) AllDirectives() []Directive {
	var out []Directive
	for _, source := range slices.Sorted(maps.Keys(o.directives)) {
		for _, line := range slices.Sorted(maps.Keys(o.directives[source])) {
			out = append(out, Directive{o.directives[source][line].text, source, line})
		}
	}
	return out
}
