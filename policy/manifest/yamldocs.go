package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v2"
	yamlnode "go.yaml.in/yaml/v3"
)

// yamlDocuments reads the YAML documents of a text, one after the other.
type yamlDocuments struct {
	text   []byte
	strict *yaml.Decoder
	// read counts the documents, and merged those of them that again has come to.
	read, merged int
	// again and nodes read the text once more, for documents with merge keys.
	again *yaml.Decoder
	nodes *yamlnode.Decoder
}

func newYAMLDocuments(text []byte) *yamlDocuments {
	d := &yamlDocuments{text: text, strict: yaml.NewDecoder(bytes.NewReader(text))}
	d.strict.SetStrict(true)
	return d
}

// next reads the next document as JSON. Faults are errors that leave a value to go on
// with: keys that stand twice.
func (d *yamlDocuments) next() (value []byte, faults []string, err error) {
	var decoded any
	err = d.strict.Decode(&decoded)
	d.read++
	if faulty := (*yaml.TypeError)(nil); errors.As(err, &faulty) {
		faults = faulty.Errors
	} else if err != nil {
		if strings.Contains(err.Error(), "excessive aliasing") {
			err = errAliases
		}
		return nil, nil, err
	}
	if len(faults) > 0 && bytes.Contains(d.text, []byte(mergeKey)) {
		decoded, faults = d.withMerges(decoded, faults)
	}
	w := jsonWriter{left: 16*len(d.text) + 64<<10}
	if err := w.write(decoded); err != nil {
		return nil, faults, err
	}
	return w.out.Bytes(), faults, nil
}

// mergeKey takes the keys of other mappings into one.
const mergeKey = "<<"

// withMerges reads the document at hand anew. To the strict decoder a key that a mapping
// merges and also has by itself stands twice, which is what merging is for; so what is
// written is looked at, and what was wrong before is wrong still if it cannot be.
func (d *yamlDocuments) withMerges(strict any, faults []string) (any, []string) {
	if d.again == nil {
		d.again, d.nodes = yaml.NewDecoder(bytes.NewReader(d.text)), yamlnode.NewDecoder(bytes.NewReader(d.text))
	}
	var decoded any
	var written yamlnode.Node
	for ; d.merged < d.read; d.merged++ {
		decoded, written = nil, yamlnode.Node{}
		if d.again.Decode(&decoded) != nil || d.nodes.Decode(&written) != nil {
			d.merged = d.read
			return strict, faults
		}
	}
	return decoded, standTwice(nil, &written)
}

// standTwice adds the keys that a mapping has twice by itself, in the decoder's words.
// What aliases stand for is looked at where it is written.
func standTwice(faults []string, n *yamlnode.Node) []string {
	seen := map[string]bool{}
	for i := 0; n.Kind == yamlnode.MappingNode && i+1 < len(n.Content); i += 2 {
		key, is := keyText(n.Content[i])
		if is && seen[key] {
			faults = append(faults, fmt.Sprintf("line %d: key %q already set in map", n.Content[i].Line, key))
		}
		seen[key] = true
	}
	for _, part := range n.Content {
		faults = standTwice(faults, part)
	}
	return faults
}

// keyText is a key as JSON has it; a merge key is none, and what is no scalar is refused
// elsewhere.
func keyText(n *yamlnode.Node) (string, bool) {
	if n.Kind == yamlnode.AliasNode {
		n = n.Alias
	}
	if n.Kind != yamlnode.ScalarNode || n.ShortTag() == "!!merge" {
		return "", false
	}
	const quoted = yamlnode.SingleQuotedStyle | yamlnode.DoubleQuotedStyle | yamlnode.LiteralStyle | yamlnode.FoldedStyle
	plain := n.Value
	switch {
	case n.Style&yamlnode.TaggedStyle != 0:
		plain = n.ShortTag() + " " + strconv.Quote(n.Value)
	case n.Style&quoted != 0:
		return n.Value, true
	}
	// The decoder that makes the values has its own mind of what "on" is.
	var key any
	if yaml.Unmarshal([]byte(plain), &key) != nil {
		return n.Value, true
	}
	text, err := jsonKey(key)
	if err != nil {
		return n.Value, true
	}
	return text, true
}
