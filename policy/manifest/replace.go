package manifest

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// remember keeps what an object of a Repository says, to compare it with another one
// of its name.
func (l *Loader) remember(id identity) {
	if !l.Repository {
		return
	}
	if l.texts == nil {
		l.texts = map[identity][]byte{}
	}
	l.texts[id] = slices.Clone(l.text)
}

// replaces reports whether the object at hand differs from the first one of its name
// in what verdicts may depend on, and says in what.
func (l *Loader) replaces(at place, id identity, first place) bool {
	var before, after any
	// Both were read as objects already.
	_ = stdjson.Unmarshal(l.texts[id], &before)
	_ = stdjson.Unmarshal(l.text, &after)
	var differ []string
	differences("", before, after, &differ)
	if len(differ) == 0 {
		return false
	}
	text := strings.Join(differ[:min(3, len(differ))], ", ")
	if more := len(differ) - 3; more > 0 {
		text += fmt.Sprintf(" and %d fields more", more)
	}
	l.remark(Replaced, at, id.String(), "", fmt.Sprintf("replaces that of %s, as the later one does with kubectl apply; they differ in %s", first, text))
	return true
}

// differences lists the paths at which two values differ.
func differences(path string, a, b any, out *[]string) {
	switch x := a.(type) {
	case map[string]any:
		y, same := b.(map[string]any)
		if !same {
			break
		}
		keys := maps.Clone(x)
		maps.Copy(keys, y)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			differences(strings.TrimPrefix(path+"."+k, "."), x[k], y[k], out)
		}
		return
	case []any:
		y, same := b.([]any)
		if !same || len(x) != len(y) {
			break
		}
		for i := range x {
			differences(path+"["+strconv.Itoa(i)+"]", x[i], y[i], out)
		}
		return
	}
	if !reflect.DeepEqual(a, b) && !containersOwn.MatchString(path) {
		*out = append(*out, path)
	}
}

// containersOwn are the fields of a container that no verdict depends on: all but its
// ports, and the restartPolicy that makes an init container a sidecar.
var containersOwn = regexp.MustCompile(`\.(initContainers|containers|ephemeralContainers)\[\d+\]\.(args|command|env|envFrom|image|imagePullPolicy|lifecycle|livenessProbe|readinessProbe|startupProbe|resources|securityContext|volumeMounts|workingDir)\b`)

// drop takes an object out of the set.
func (s *Set) drop(id identity) {
	s.Pods = without(s.Pods, id, "Pod")
	s.Namespaces = without(s.Namespaces, id, "Namespace")
	s.Policies = without(s.Policies, id, "NetworkPolicy")
	s.Services = without(s.Services, id, "Service")
	s.EndpointSlices = without(s.EndpointSlices, id, "EndpointSlice")
	s.Nodes = without(s.Nodes, id, "Node")
	s.Workloads = slices.DeleteFunc(s.Workloads, func(w Workload) bool {
		return w.Kind == id.kind && w.Namespace == id.namespace && w.Name == id.name
	})
	s.Entries = slices.DeleteFunc(s.Entries, func(e Entry) bool {
		return e.Kind == id.kind && e.Namespace == id.namespace && e.Name == id.name
	})
	s.EntryClasses = slices.DeleteFunc(s.EntryClasses, func(c EntryClass) bool { return c.Kind == id.kind && c.Name == id.name })
}

func without[T interface {
	GetNamespace() string
	GetName() string
}](list []T, id identity, kind string) []T {
	if kind != id.kind {
		return list
	}
	return slices.DeleteFunc(list, func(o T) bool { return o.GetNamespace() == id.namespace && o.GetName() == id.name })
}

// pathAt is the path of the value that ends at an offset of a JSON text, or begins
// there; empty if there is none.
func pathAt(text []byte, offset int64) string {
	type level struct {
		list  bool
		key   string
		index int
		// named: the next string is a value, not a key.
		named bool
	}
	var stack []level
	path := func() string {
		var b strings.Builder
		for _, l := range stack {
			switch {
			case l.list:
				b.WriteString("[" + strconv.Itoa(l.index) + "]")
			case strings.ContainsAny(l.key, "./"):
				b.WriteString("[" + l.key + "]")
			case b.Len() > 0:
				b.WriteString("." + l.key)
			default:
				b.WriteString(l.key)
			}
		}
		return b.String()
	}
	d := stdjson.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return ""
		}
		top := len(stack) - 1
		if key, is := token.(string); is && top >= 0 && !stack[top].list && !stack[top].named {
			stack[top].key, stack[top].named = key, true
			continue
		}
		delim, isDelim := token.(stdjson.Delim)
		switch {
		case isDelim && (delim == '}' || delim == ']'):
			stack = stack[:top]
			top--
		case d.InputOffset() >= offset:
			return path()
		case isDelim:
			stack = append(stack, level{list: delim == '['})
			continue
		}
		if top >= 0 {
			stack[top].index++
			stack[top].named = false
		}
	}
}
