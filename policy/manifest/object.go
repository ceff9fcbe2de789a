package manifest

import (
	"cmp"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
)

// deepest is how deep lists may lie in lists: each level is read once more.
const deepest = 16

// addScanned adds an object or, if it is a list, its items.
func (l *Loader) addScanned(at place, text []byte, v scanned, depth int) {
	switch {
	case !strings.HasSuffix(v.Kind, "List") || v.items == nil && v.Kind != "List" && !v.badItems:
		l.addObject(at, text, v)
	case v.badItems:
		l.fail(at, v.Kind, "items", "must be one list of objects")
	case depth >= deepest:
		l.fail(at, v.Kind, "items", fmt.Sprintf("lists lie more than %d deep in one another: write them flat", deepest))
	default:
		here, done := at, 0
		for i, item := range v.items {
			here, done = here.after(text[done:item[0]]), item[0]
			l.addItem(here, v.typeMeta, i, text[item[0]:item[1]], depth+1, v.faulty)
		}
	}
}

// addItem adds the item of a list. Items of a typed list, as a PodList, need
// not say what they are. Where it is not known in which item of a list a key stands
// twice, each is taken for faulty.
func (l *Loader) addItem(at place, list typeMeta, index int, text []byte, depth int, faulty bool) {
	item, err := scanObject(text)
	if err != nil {
		l.fail(at, list.Kind, fmt.Sprintf("items[%d]", index), "is no object: it needs apiVersion, kind and metadata")
		return
	}
	if item.Kind == "" && list.Kind != "List" {
		item.Kind = strings.TrimSuffix(list.Kind, "List")
		if item.APIVersion == "" {
			item.APIVersion = list.APIVersion
		}
	}
	item.faulty = faulty
	l.addScanned(at, text, item, depth)
}

// addObject adds an object of a kind that is read, and says so of any other.
func (l *Loader) addObject(at place, text []byte, v scanned) {
	want, known := apiVersions[v.Kind]
	l.text = text
	switch {
	case l.Repository && v.Kind == "" && v.APIVersion == "":
		l.remark(Foreign, at, "", "", "skipped: the document has no apiVersion and no kind, so it is no Kubernetes object")
	case v.APIVersion != "" && related[v.Kind] == v.APIVersion:
		l.addRelated(at, text, v.Kind)
	case isEntry(v.typeMeta):
		l.addEntry(at, text, v.Kind)
	case v.Kind == "":
		l.fail(at, "", "kind", "is missing: every object needs apiVersion, kind and metadata")
	case known && v.APIVersion == want:
		l.read(at, text, v)
	case known && foreign(v.APIVersion):
		l.notice(at, l.named(text, v.Kind).String(), "apiVersion", fmt.Sprintf("skipped: %s %s is not Kubernetes' own %s, which is %s", v.APIVersion, v.Kind, v.Kind, want))
	case l.mistaken(v.typeMeta):
		l.wrongVersion(at, text, v)
	case v.APIVersion == "":
		l.fail(at, l.named(text, v.Kind).String(), "apiVersion", "is missing: every object needs apiVersion, kind and metadata")
	case l.counts(misspelt(v.typeMeta)):
		l.fail(at, l.named(text, v.Kind).String(), "kind", "is misspelt: write "+misspelt(v.typeMeta))
	default:
		l.remark(OtherKind, at, l.named(text, v.Kind).String(), "", fmt.Sprintf("skipped: of %s %s nothing is read, only of Namespaces, NetworkPolicies, Nodes, Pods, Services, workloads, Ingresses, Gateways and routes", v.APIVersion, v.Kind))
	}
}

// counts reports whether an object of a kind that cannot be read is an error. To whoever
// asks about a repository that is each by which Pods and addresses are found: the answer
// lacks them. A node enforces the same without them, and goes on.
func (l *Loader) counts(kind string) bool {
	return apiVersions[kind] != "" || l.Repository && versionOf(kind) != ""
}

// mistaken reports whether an object is of a kind that is read, by its name, and of a
// version that no current API server has of it.
func (l *Loader) mistaken(t typeMeta) bool {
	return l.counts(t.Kind) && !foreign(t.APIVersion) || t.APIVersion == "" && versionOf(t.Kind) != ""
}

func (l *Loader) read(at place, text []byte, v scanned) {
	switch v.Kind {
	case "Namespace":
		l.addNamespace(at, text)
	case "NetworkPolicy":
		l.addPolicy(at, text, v.faulty)
	case "Pod":
		l.addPod(at, text)
	case "Service":
		l.addService(at, text)
	}
}

// wrongVersion reports a kind under a version that no current API server has.
// A policy isolates nevertheless: its author believes that it does.
func (l *Loader) wrongVersion(at place, text []byte, v scanned) {
	want := versionOf(v.Kind)
	if want == GatewayGroup {
		want = "a version of " + want
	}
	a := "a"
	if strings.ContainsAny(v.Kind[:1], "AEIOU") {
		a = "an"
	}
	message := fmt.Sprintf("must be %s for %s %s, not %q", want, a, v.Kind, v.APIVersion)
	if v.APIVersion == "" {
		message = fmt.Sprintf("is missing: write apiVersion: %s", want)
	}
	id := l.named(text, v.Kind)
	if v.Kind != "NetworkPolicy" {
		l.fail(at, id.String(), "apiVersion", message)
		return
	}
	policy := isolating(text)
	l.fail(at, identity{v.Kind, l.namespaceOr(policy.Namespace), policy.Name}.String(), "apiVersion", message)
	l.finishPolicy(at, policy)
}

// named is the identity of an object that is not read any further.
func (l *Loader) named(text []byte, kind string) identity {
	var object struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	// Whatever can be made out is good enough for a message.
	_ = json.UnmarshalCaseSensitivePreserveInts(text, &object)
	id := identity{kind, object.Metadata.Namespace, object.Metadata.Name}
	switch {
	case !inNamespace(kind):
		id.namespace = ""
	case versionOf(kind) != "" && id.name != "":
		id.namespace = l.namespaceOr(id.namespace)
	}
	return id
}

// namespaceOr is the namespace of an object that may name none.
func (l *Loader) namespaceOr(namespace string) string {
	return cmp.Or(namespace, l.Namespace, metav1.NamespaceDefault)
}

// misread says how an object was not understood.
type misread struct {
	// lost: a value is of the wrong type, so the object is incomplete.
	lost bool
	// unknown are fields that the kind does not have or that stand twice.
	unknown []fieldMessage
}

type fieldMessage struct{ field, message string }

// decode reads text as an object. Errors of type are reported at once, as the
// object is of no use then.
func (l *Loader) decode(at place, text []byte, kind string, object any) misread {
	strict, err := json.UnmarshalStrict(text, object)
	if err != nil {
		path, message := misfit(text, err)
		l.fail(at, l.named(text, kind).String(), path, message)
	}
	result := misread{lost: err != nil}
	for _, err := range strict {
		result.unknown = append(result.unknown, unknownField(err, kind))
	}
	return result
}

// misfit says which field is of a wrong type, and how.
func misfit(text []byte, err error) (path, message string) {
	wrong := (*stdjson.UnmarshalTypeError)(nil)
	if !errors.As(err, &wrong) {
		return "", "cannot be read: " + err.Error()
	}
	if path = pathAt(text, wrong.Offset); path == "" {
		path = wrong.Field
	}
	return path, typeMessage(wrong)
}

func unknownField(err error, kind string) fieldMessage {
	var path string
	if at := json.FieldError(nil); errors.As(err, &at) {
		path = at.FieldPath()
	}
	if strings.HasPrefix(err.Error(), "duplicate") {
		return fieldMessage{path, "stands twice: remove one"}
	}
	return fieldMessage{path, fmt.Sprintf("is no field of a %s: check its spelling and its indentation", kind)}
}

func typeMessage(err *stdjson.UnmarshalTypeError) string {
	got, _, _ := strings.Cut(err.Value, " ")
	if plain, ok := map[string]string{"array": "list", "object": "mapping"}[got]; ok {
		got = plain
	}
	message := fmt.Sprintf("is a %s where a %s is needed", got, kindWord(err.Type.Kind()))
	switch {
	case err.Type.Kind() == reflect.String && (got == "bool" || got == "number"):
		message += ": put it in quotes"
	case got == "string" && kindWord(err.Type.Kind()) == "number":
		message += ": remove the quotes"
	case got == "number":
		message += ": " + strings.TrimPrefix(err.Value, "number ") + " does not fit"
	}
	return message
}

func kindWord(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Slice, reflect.Array:
		return "list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "mapping"
	}
	return "number"
}

// register takes an object's identity. It reports whether the object is the
// first of it.
func (l *Loader) register(at place, id identity) bool {
	if first, twice := l.seen[id]; twice && l.Repository {
		if !l.replaces(at, id, first) {
			return false
		}
		l.set.drop(id)
	} else if twice {
		l.fail(at, id.String(), "metadata.name", fmt.Sprintf("the same object is already at %s, and that one counts: remove or rename one", first))
		return false
	}
	if l.seen == nil {
		l.seen = make(map[identity]place)
	}
	l.seen[id] = at
	l.remember(id)
	l.use(at, id.namespace)
	return true
}

// use notes that an object is in a namespace, unless it is in none.
func (l *Loader) use(at place, namespace string) {
	if _, known := l.used[namespace]; known || namespace == "" {
		return
	}
	if l.used == nil {
		l.used = make(map[string]place)
	}
	l.used[namespace] = at
}
