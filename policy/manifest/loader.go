package manifest

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Set is what the manifests hold, in their order, with defaults applied. Of
// Pods only what network policy is about is kept, and what leads from Services
// and workloads to them; see [Essence].
type Set struct {
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
	Services   []*corev1.Service
	// EndpointSlices, Nodes and Workloads judge nothing: they are for finding
	// the Pods and addresses that somebody names.
	EndpointSlices []*discoveryv1.EndpointSlice
	Nodes          []*corev1.Node
	Workloads      []Workload
	// Entries let connections in from outside, to Services.
	Entries      []Entry
	EntryClasses []EntryClass
}

// Loader gathers the objects of any number of sources. The zero value is ready.
type Loader struct {
	// Namespace is that of objects that name none, as kubectl apply -n has it; empty is
	// "default".
	Namespace string
	// Repository: the sources are those of a repository and of whoever tries
	// something, as commands read them, and not what a node enforces. Documents that
	// are no Kubernetes objects are notices. Of two objects of one name the later
	// counts, as kubectl apply has it: silently if it is the same, with a notice that
	// says what differs if it is not. Two Pods that nobody made have one address by
	// mistake.
	Repository bool
	// Addition: the sources are applied to objects from elsewhere, so that Namespaces
	// which they name and do not have are there.
	Addition bool

	set      Set
	problems []Problem
	// seen is where each object was first found.
	seen map[identity]place
	// related is where each of those was first found that decide nothing.
	related map[identity]place
	// used is where each namespace was first named by an object.
	used map[string]place
	// told counts the problems of each source.
	told map[string]tally
	// text is the object that is being read, and texts, of a Repository, those that
	// were.
	text  []byte
	texts map[identity][]byte
	// unnamed counts policies without a name.
	unnamed int
}

// identity is what makes two objects the same one.
type identity struct{ kind, namespace, name string }

func (i identity) String() string {
	switch {
	case i.name == "":
		return i.kind
	case i.namespace == "":
		return i.kind + " " + i.name
	}
	return i.kind + " " + i.namespace + "/" + i.name
}

// Add reads the objects in data. The source is only for messages; a file name
// is best. Add keeps no part of data.
func (l *Loader) Add(source string, data []byte) {
	start := place{source: source, line: 1}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		l.fail(start, "", "", "the file is UTF-16: save it as UTF-8")
		return
	}
	for chunk := range documents(data) {
		if !l.addChunk(start.below(chunk.skipped), chunk.text) {
			return
		}
	}
}

// Finish returns what was added. Namespaces that objects name and nobody gave
// are in the set too, with the one label that every namespace has.
func (l *Loader) Finish() (Set, []Problem) {
	l.sharedAddresses()
	l.withoutTemplate()
	if !l.Addition {
		l.impliedNamespaces()
	}
	l.untold()
	return l.set, l.problems
}

// largest is how large a single document may be, comments not counted. API
// servers take requests of 3 MiB at most.
const largest = 10 << 20

// addChunk reads what stands between two document markers: one YAML document,
// or any number of JSON values. It reports whether it is worth to go on.
func (l *Loader) addChunk(at place, text []byte) bool {
	// A marker alone, or comments alone, are no document.
	skipped := leadingBlank(text)
	if skipped == len(text) {
		return true
	}
	first := at.after(text[:skipped])
	if bad := invalidUTF8(text); bad >= 0 {
		l.fail(at.after(text[:bad]), "", "", fmt.Sprintf("byte 0x%02x is not UTF-8: save the file as UTF-8", text[bad]))
		return true
	}
	if looksLikeJSON(text[skipped:]) && l.addJSON(first, text[skipped:]) {
		return true
	}
	return l.addYAML(at, first, text)
}

func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
