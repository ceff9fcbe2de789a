package bundle

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Names gives names and addresses pseudonyms: the same name has the same one wherever it
// stands, and nobody who does not know the salt can tell which name it was.
type Names struct {
	salt  []byte
	known map[string]string
}

// NewNames gives pseudonyms that depend on a salt.
func NewNames(salt []byte) *Names { return &Names{salt: salt, known: map[string]string{}} }

// public are names that say nothing of whose cluster it is, and without which a report is
// hard to read.
var public = []string{"default", "kube-system", "kube-public", "kube-node-lease", "sluice-system", "sluice", "sluice-reader", "localhost"}

// Add has a name replaced from now on. kind is what the pseudonym begins with.
func (n *Names) Add(kind, name string) {
	if name == "" || slices.Contains(public, name) || n.known[name] != "" {
		return
	}
	n.known[name] = n.pseudonym(kind, name)
}

func (n *Names) pseudonym(kind, name string) string {
	mac := hmac.New(sha256.New, n.salt)
	mac.Write([]byte(name))
	return kind + "-" + hex.EncodeToString(mac.Sum(nil))[:10]
}

var (
	// spoken is an object as conditions and findings speak of it.
	spoken = regexp.MustCompile(`\b(Pod|NetworkPolicy|Service|Namespace|Deployment|StatefulSet|DaemonSet|Job|CronJob|ReplicaSet) ([a-z0-9][a-z0-9.-]*)(/[a-z0-9][a-z0-9.-]*)?`)
	word   = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9._-]*`)
	// address is what may be one; what is none stays.
	address = regexp.MustCompile(`\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b|(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4})`)
	// hardware addresses look like addresses of IPv6 to nobody but a computer.
	hardware = regexp.MustCompile(`\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b`)
	// named is an object of our ruleset: a letter and a hash, and something readable.
	named = regexp.MustCompile(`\b([a-z][a-z2-7]{20})-[A-Za-z0-9._-]+`)
)

// Text replaces what it knows in a text, and what a text calls an object.
func (n *Names) Text(text string) string {
	for _, m := range spoken.FindAllStringSubmatch(text, -1) {
		if m[3] != "" {
			n.Add("namespace", m[2])
			n.Add(strings.ToLower(m[1]), strings.TrimRight(m[3][1:], ".-"))
		}
	}
	text = hardware.ReplaceAllStringFunc(text, func(s string) string { return n.pseudonym("mac", s) })
	text = address.ReplaceAllStringFunc(text, n.address)
	return word.ReplaceAllStringFunc(text, n.word)
}

// address is an address's pseudonym. Those that are the same everywhere stay.
func (n *Names) address(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil || a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsLinkLocalMulticast() {
		return text
	}
	return n.pseudonym("addr", a.Unmap().String())
}

// word replaces a name, or names within one, such as web in web-0 or shop.db: the longest
// that begins at each place.
func (n *Names) word(text string) string {
	if to := n.known[text]; to != "" {
		return to
	}
	cuts := []int{0}
	for i, r := range text {
		if r == '-' || r == '.' || r == '_' {
			cuts = append(cuts, i, i+1)
		}
	}
	if len(cuts) == 1 {
		return text
	}
	cuts = append(cuts, len(text))
	var out strings.Builder
	for at := 0; at < len(cuts)-1; {
		next := at + 1
		piece := text[cuts[at]:cuts[next]]
		// A name of the API has 253 letters and so no more parts than that.
		for end := len(cuts) - 1; end > at; end-- {
			if to := n.known[text[cuts[at]:cuts[end]]]; to != "" {
				next, piece = end, to
				break
			}
		}
		out.WriteString(piece)
		at = next
	}
	return out.String()
}

// redact gives a file's names pseudonyms.
func (n *Names) redact(data []byte, form Form) ([]byte, error) {
	switch form {
	case JSON:
		return n.json(data)
	case Metrics:
		return n.metrics(data), nil
	case Ruleset:
		return []byte(n.Text(named.ReplaceAllString(string(data), "${1}-redacted"))), nil
	}
	return []byte(n.Text(string(data))), nil
}

// json replaces in the strings of a document, and leaves its keys. A text that is a ruleset
// is read as one.
func (n *Names) json(data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	n.learn(doc, "")
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(n.replaced(doc)); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return out.Bytes(), nil
}

// fields are those whose values are names, and of what. "name" is an object's only beside
// a namespace.
var fields = map[string]string{"node": "node", "namespace": "namespace", "pod": "pod", "workload": "workload"}

// learn finds names by the fields that hold them.
func (n *Names) learn(doc any, key string) {
	switch v := doc.(type) {
	case map[string]any:
		_, namespaced := v["namespace"]
		for k, inner := range v {
			if name, ok := inner.(string); ok {
				if kind := fields[k]; kind != "" {
					n.Add(kind, name)
				}
				if k == "name" && namespaced {
					n.Add("name", name)
				}
			}
			n.learn(inner, k)
		}
	case []any:
		for _, inner := range v {
			// The policies that isolate a Pod, as namespace/name.
			if text, ok := inner.(string); ok && (key == "ingress" || key == "egress") {
				if namespace, name, ok := strings.Cut(text, "/"); ok {
					n.Add("namespace", namespace)
					n.Add("name", name)
				}
			}
			n.learn(inner, key)
		}
	}
}

func (n *Names) replaced(doc any) any {
	switch v := doc.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = n.replaced(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = n.replaced(inner)
		}
	case string:
		if strings.Contains(v, "\n") {
			v = named.ReplaceAllString(v, "${1}-redacted")
		}
		return n.Text(v)
	}
	return doc
}

// harmless are labels of metrics whose values are words of ours, of Go's and of
// Prometheus'.
var harmless = []string{"cause", "code", "direction", "kind", "lane", "le", "outcome", "quantile", "reason", "version", "what"}

var label = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)

// metrics replaces the values of all labels but those whose values are ours.
func (n *Names) metrics(data []byte) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "#") {
			line = label.ReplaceAllStringFunc(line, func(s string) string {
				m := label.FindStringSubmatch(s)
				if m[2] == "" || slices.Contains(harmless, m[1]) || slices.Contains(public, m[2]) {
					return s
				}
				n.Add(m[1], m[2])
				return fmt.Sprintf("%s=%q", m[1], n.known[m[2]])
			})
		}
		out.WriteString(line)
	}
	return []byte(out.String())
}

// Learn finds the names that a document holds, by its fields.
func (n *Names) Learn(data []byte) {
	var doc any
	if json.Unmarshal(data, &doc) == nil {
		n.learn(doc, "")
	}
}
