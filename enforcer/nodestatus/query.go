package nodestatus

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Query is a question for what a node enforces. Without any of the names it is for all
// Pods of the node and the policies that isolate them.
type Query struct {
	// Summary leaves Pods and policies out.
	Summary bool
	// Namespace limits Pods and policies.
	Namespace string
	// Pod and Policy ask for one each, wherever it is; the zero value for none. With
	// Policy, the Pods are those of the node that it isolates.
	Pod, Policy types.NamespacedName
}

// Values is the query in a URL.
func (q Query) Values() url.Values {
	v := url.Values{}
	if q.Summary {
		v.Set("summary", "true")
	}
	if q.Namespace != "" {
		v.Set("namespace", q.Namespace)
	}
	if q.Pod.Name != "" {
		v.Set("pod", q.Pod.String())
	}
	if q.Policy.Name != "" {
		v.Set("policy", q.Policy.String())
	}
	return v
}

// ParseQuery is the inverse of [Query.Values]. It refuses what it does not know, so that
// nobody takes an answer to another question for one to theirs.
func ParseQuery(v url.Values) (q Query, err error) {
	if err := known(v, "summary", "namespace", "pod", "policy"); err != nil {
		return Query{}, err
	}
	if q.Summary, err = boolOf(v, "summary"); err != nil {
		return Query{}, err
	}
	q.Namespace = v.Get("namespace")
	for key, to := range map[string]*types.NamespacedName{"pod": &q.Pod, "policy": &q.Policy} {
		if *to, err = nameOf(v, key, true); err != nil {
			return Query{}, err
		}
	}
	return q, nil
}

// ObjectKind is a kind of objects that can be waited for.
type ObjectKind string

const (
	PolicyObject    ObjectKind = "policy"
	PodObject       ObjectKind = "pod"
	NamespaceObject ObjectKind = "namespace"
)

// MaxWait bounds for how long an agent holds an answer back.
const MaxWait = 20 * time.Second

// Wait asks to be told when a version of an object is enforced.
type Wait struct {
	Kind ObjectKind
	// Name is the object's; of a Namespace without Namespace.
	Name types.NamespacedName
	// UID and ResourceVersion name the version. A later one of the same UID serves as
	// well.
	UID             types.UID
	ResourceVersion string
	// Deleted: that the object of the UID is gone is what is waited for; without a UID,
	// that there is none of the name.
	Deleted bool
	// Timeout is how long to wait for a better answer, at most MaxWait; 0: not at all.
	Timeout time.Duration
}

// Values is the question in a URL.
func (w Wait) Values() url.Values {
	v := url.Values{}
	name := w.Name.Name
	if w.Kind != NamespaceObject {
		name = w.Name.String()
	}
	v.Set(string(w.Kind), name)
	if w.UID != "" {
		v.Set("uid", string(w.UID))
	}
	if w.Deleted {
		v.Set("deleted", "true")
	} else {
		v.Set("resourceVersion", w.ResourceVersion)
	}
	if w.Timeout != 0 {
		v.Set("timeout", w.Timeout.String())
	}
	return v
}

// ParseWait is the inverse of [Wait.Values].
func ParseWait(v url.Values) (Wait, error) {
	kinds := []ObjectKind{PolicyObject, PodObject, NamespaceObject}
	if err := known(v, "policy", "pod", "namespace", "uid", "resourceVersion", "deleted", "timeout"); err != nil {
		return Wait{}, err
	}
	w := Wait{UID: types.UID(v.Get("uid")), ResourceVersion: v.Get("resourceVersion")}
	for _, k := range kinds {
		if !v.Has(string(k)) {
			continue
		}
		if w.Kind != "" {
			return Wait{}, fmt.Errorf("read query: %s and %s: ask for one of them", w.Kind, k)
		}
		w.Kind = k
		var err error
		if w.Name, err = nameOf(v, string(k), k != NamespaceObject); err != nil {
			return Wait{}, err
		}
	}
	var err error
	if w.Deleted, err = boolOf(v, "deleted"); err != nil {
		return Wait{}, err
	}
	if text := v.Get("timeout"); text != "" {
		if w.Timeout, err = time.ParseDuration(text); err != nil || w.Timeout < 0 || w.Timeout > MaxWait {
			return Wait{}, fmt.Errorf("read query: timeout: %q is no duration from 0s to %v", text, MaxWait)
		}
	}
	switch {
	case w.Kind == "" || w.Name.Name == "":
		return Wait{}, fmt.Errorf("read query: give one of %v", kinds)
	case w.UID == "" && !w.Deleted:
		return Wait{}, errors.New("read query: uid: give the object's metadata.uid")
	case w.ResourceVersion == "" && !w.Deleted:
		return Wait{}, errors.New("read query: resourceVersion: give the object's metadata.resourceVersion, or deleted=true")
	case w.ResourceVersion != "" && w.Deleted:
		return Wait{}, errors.New("read query: resourceVersion and deleted: ask for one of them")
	}
	return w, nil
}

// State is how far a node is with what is waited for.
type State string

const (
	// Enforced: it is in the kernel, and nothing is known to stand in its way.
	Enforced State = "Enforced"
	// Pending: the agent has not brought it into the kernel yet.
	Pending State = "Pending"
	// Blocked: it is in the kernel, and something keeps it from having effect.
	Blocked State = "Blocked"
	// Other: the agent has another version and does not know which is the later one: it
	// has not heard of the version yet, or jumped over it.
	Other State = "Other"
	// Gone: an object of that UID was deleted, or one of another UID has taken its name.
	Gone State = "Gone"
	// Absent: the agent knows no such object and remembers no deletion of it.
	Absent State = "Absent"
)

// Answer is the answer to a [Wait].
type Answer struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Node       string `json:"node,omitempty"`
	State      State  `json:"state"`
	// Message says why it is not enforced.
	Message string `json:"message,omitempty"`
}

// ParseAnswer reads what an agent answered.
func ParseAnswer(data []byte) (*Answer, error) {
	out := &Answer{}
	if err := parse(data, "answer", AnswerKind, out); err != nil {
		return nil, err
	}
	return out, nil
}

// maxValue bounds a value of a query: a namespace and a name of 63 and 253 letters.
const maxValue = 400

func known(v url.Values, keys ...string) error {
	for key, list := range v {
		switch {
		case !slices.Contains(keys, key):
			return fmt.Errorf("read query: there is no %.40q", key)
		case len(list) > 1:
			return fmt.Errorf("read query: %s is there %d times", key, len(list))
		case len(list) == 1 && len(list[0]) > maxValue:
			return fmt.Errorf("read query: %s has %d letters: at most %d", key, len(list[0]), maxValue)
		}
	}
	return nil
}

func boolOf(v url.Values, key string) (bool, error) {
	text := v.Get(key)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("read query: %s: %q is neither true nor false", key, text)
	}
	return b, nil
}

// nameOf reads namespace/name, or a name alone.
func nameOf(v url.Values, key string, namespaced bool) (types.NamespacedName, error) {
	text := v.Get(key)
	if text == "" && !v.Has(key) {
		return types.NamespacedName{}, nil
	}
	namespace, name, found := strings.Cut(text, "/")
	switch {
	case !namespaced && !found && text != "":
		return types.NamespacedName{Name: text}, nil
	case !namespaced:
		return types.NamespacedName{}, fmt.Errorf("read query: %s: %q is no name", key, text)
	case namespace == "" || name == "" || strings.Contains(name, "/"):
		return types.NamespacedName{}, fmt.Errorf("read query: %s: %q is no namespace/name", key, text)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}
