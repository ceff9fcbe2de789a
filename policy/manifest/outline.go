package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
)

// Outline is what manifests say beyond the objects of a [Set]: where each object
// and each field of a policy stands, what their authors ask for in comments, which
// Pods the workloads would make, and what else there is. It reports nothing: what
// is wrong with a manifest is the [Loader]'s to say. The zero value is ready.
//
// It holds to the Loader's limits; of a document beyond them, or one that is
// broken, only the place is known.
type Outline struct {
	// Namespace is that of objects that name none; empty is "default".
	Namespace string
	// Repository keeps of the objects of one name the last, as a [Loader] of one does.
	Repository bool

	objects []*Sketch
	byName  map[identity]*Sketch
	// directives are by source and line.
	directives map[string]map[int]remark
	unread     []string
	// given: there was a document with something in it.
	given bool
}

// remark is a comment that asks for something; alone, if nothing else is on its line.
type remark struct {
	text  string
	alone bool
}

// Sketch is one object of an [Outline].
type Sketch struct {
	APIVersion, Kind string
	// Namespace is the Outline's where the object names none, and may be filled for
	// kinds that are in no namespace.
	Namespace, Name string
	Annotations     map[string]string
	// Source and Line are where it begins.
	Source string
	Line   int
	// Template is a Pod as a workload would make it, under the workload's name; nil
	// for what makes none and for one whose template could not be read.
	Template *corev1.Pod
	// Unreadable: it makes Pods, or was meant to, and what they are like is not known.
	Unreadable bool

	outline *Outline
	// text is that of a policy, and base how many lines of the source are above it.
	text   []byte
	base   int
	fields *fieldPlaces
}

// Objects are all objects in their order, of one name the first and the others.
func (o *Outline) Objects() []*Sketch { return o.objects }

// Unread are the places of documents that could not be outlined, as "file:line".
func (o *Outline) Unread() []string { return o.unread }

// Empty reports whether nothing was given at all: no document, nor one that could not be
// outlined. A List without items says something.
func (o *Outline) Empty() bool { return !o.given && len(o.unread) == 0 }

// Find is the object of a name that counts, nil if there is none. The namespace does not
// count for a Namespace. The kind is as [KindName] has it.
func (o *Outline) Find(kind, namespace, name string) *Sketch {
	return o.byName[sketchIdentity(kind, namespace, name)]
}

// KindName tells kinds of one name apart: those of other groups are written as kubectl
// takes them, "NetworkPolicy.crd.projectcalico.org", and those that are read by their kind
// alone.
func KindName(apiVersion, kind string) string {
	if !foreign(apiVersion) || isEntry(typeMeta{APIVersion: apiVersion, Kind: kind}) {
		return kind
	}
	group, _, _ := strings.Cut(apiVersion, "/")
	return kind + "." + group
}

// isRead reports whether a [Loader] makes something of the object. It does so of a policy
// of any version.
func (s *Sketch) isRead() bool {
	want := cmp.Or(apiVersions[s.Kind], related[s.Kind])
	return s.Kind == "NetworkPolicy" || want == s.APIVersion || isEntry(typeMeta{APIVersion: s.APIVersion, Kind: s.Kind})
}

// counts reports whether the object is what its name stands for, and not the first one.
func (s *Sketch) counts(first *Sketch, repository bool) bool {
	switch {
	case first == nil:
		return true
	case s.isRead() != first.isRead():
		return s.isRead()
	}
	return repository
}

func sketchIdentity(kind, namespace, name string) identity {
	if kind == "Namespace" || kind == "Node" {
		namespace = ""
	}
	return identity{kind, namespace, name}
}

// Add outlines what [Loader.Add] reads. It keeps the text of policies.
func (o *Outline) Add(source string, data []byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	o.noteDirectives(source, data)
	for chunk := range documents(data) {
		at := place{source: source, line: 1}.below(chunk.skipped)
		skipped := leadingBlank(chunk.text)
		if skipped == len(chunk.text) {
			continue
		}
		if looksLikeJSON(chunk.text[skipped:]) && o.addJSON(at.after(chunk.text[:skipped]), chunk.text[skipped:]) {
			continue
		}
		o.addYAML(at, chunk.text)
	}
}

// directive is a comment that asks for something.
var directive = regexp.MustCompile(`(?:^|\s)#\s*sluice-([a-z-]+:.*)$`)

// noteDirectives finds the comments "# sluice-…" without parsing: a line of text in
// a block scalar that looks like one belongs to no field.
func (o *Outline) noteDirectives(source string, data []byte) {
	if !bytes.Contains(data, []byte("sluice-")) {
		return
	}
	line := 0
	for from, to := range lines(data) {
		line++
		text := bytes.TrimSpace(data[from:to])
		found := directive.FindSubmatch(text)
		if found == nil {
			continue
		}
		if o.directives == nil {
			o.directives = map[string]map[int]remark{}
		}
		if o.directives[source] == nil {
			o.directives[source] = map[int]remark{}
		}
		o.directives[source][line] = remark{string(found[1]), text[0] == '#'}
	}
}

// addJSON is the Loader's: it reports whether text is JSON.
func (o *Outline) addJSON(at place, text []byte) bool {
	for i := 0; ; i++ {
		text, at = skipSpace(text, at)
		if len(text) == 0 {
			return true
		}
		value, err := scanValue(text)
		if err != nil {
			if i == 0 && !cutOff(err) {
				return false
			}
			o.unread = append(o.unread, at.String())
			return true
		}
		if value.foreignArray() {
			o.unread = append(o.unread, at.String())
		} else {
			o.addScanned(at, text[:value.end], text[:value.end], value, 0)
		}
		at = at.after(text[:value.end])
		text = text[value.end:]
	}
}

// addYAML outlines one document: a list item by item, as the Loader does.
func (o *Outline) addYAML(at place, text []byte) {
	if list, isList := splitList(text); isList {
		if head, err := frame(list); err == nil {
			for item := range list.items() {
				o.addDocument(at.below(item.skipped), item.text, head)
			}
			return
		}
	}
	o.addDocument(at, text, typeMeta{})
}

// addDocument outlines text as one object; list is what it is an item of.
func (o *Outline) addDocument(at place, text []byte, list typeMeta) {
	first := at.after(text[:leadingBlank(text)])
	value, _, err := soleYAML(text)
	if errors.Is(err, io.EOF) || err == nil && bytes.Equal(value, []byte("null")) {
		return
	}
	v, scanErr := scanned{}, err
	if err == nil {
		v, scanErr = scanValue(value)
	}
	if scanErr != nil || v.foreignArray() {
		o.unread = append(o.unread, first.String())
		return
	}
	v.typeMeta = v.itemOf(list)
	before := len(o.objects)
	o.addScanned(first, nil, value, v, 0)
	// Items of a list that is written in an unusual way have no lines of their own.
	if len(o.objects) == before+1 && len(v.items) == 0 {
		o.objects[before].keep(at, text)
	}
}

// itemOf fills in what the items of a typed list need not say.
func (t typeMeta) itemOf(list typeMeta) typeMeta {
	if t.Kind == "" && list.Kind != "List" {
		t.Kind = strings.TrimSuffix(list.Kind, "List")
		t.APIVersion = cmp.Or(t.APIVersion, list.APIVersion)
	}
	return t
}

// addScanned outlines a JSON value. Its lines are those of text, if there is one.
func (o *Outline) addScanned(at place, text, value []byte, v scanned, depth int) {
	o.given = true
	if !strings.HasSuffix(v.Kind, "List") || v.items == nil {
		o.addObject(at, value, v.typeMeta)
		if text != nil {
			o.objects[len(o.objects)-1].keep(at, text)
		}
		return
	}
	for _, bounds := range v.items {
		here, part := at, value[bounds[0]:bounds[1]]
		item, err := scanObject(part)
		if text != nil {
			here = at.after(text[:bounds[0]])
		}
		if err != nil || depth >= deepest {
			o.unread = append(o.unread, here.String())
			continue
		}
		item.typeMeta = item.itemOf(v.typeMeta)
		if text != nil {
			o.addScanned(here, part, part, item, depth+1)
		} else {
			o.addScanned(here, nil, part, item, depth+1)
		}
	}
}

func (o *Outline) addObject(at place, value []byte, is typeMeta) {
	var object struct {
		Metadata struct {
			Name        string            `json:"name"`
			Namespace   string            `json:"namespace"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	// Whatever can be made out is good enough for an outline.
	_ = json.UnmarshalCaseSensitivePreserveInts(value, &object)
	s := &Sketch{
		APIVersion: is.APIVersion, Kind: is.Kind,
		Namespace: cmp.Or(object.Metadata.Namespace, o.Namespace, metav1.NamespaceDefault), Name: object.Metadata.Name,
		Annotations: object.Metadata.Annotations,
		Source:      at.source, Line: at.line, outline: o,
	}
	s.Unreadable = badWorkload(is)
	if makesPods(is.Kind) && related[is.Kind] == is.APIVersion {
		s.Template = template(value, s)
		// Only a part of a workload has no labels: the API server refuses it, but for
		// Jobs, whose Pods it labels itself.
		if s.Template != nil && len(s.Template.Labels) == 0 && is.Kind != "Job" && is.Kind != "CronJob" {
			s.Template = nil
		}
		s.Unreadable = s.Template == nil
	}
	if o.byName == nil {
		o.byName = map[identity]*Sketch{}
	}
	id := sketchIdentity(KindName(s.APIVersion, s.Kind), s.Namespace, s.Name)
	first := o.byName[id]
	if first != nil && first.APIVersion == s.APIVersion && o.Repository {
		o.objects = slices.DeleteFunc(o.objects, func(s *Sketch) bool { return s == first })
	}
	o.objects = append(o.objects, s)
	if s.counts(first, o.Repository) {
		o.byName[id] = s
	}
}

// podTemplate is the part of a workload that its Pods are made of.
type podTemplate struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     corev1.PodSpec    `json:"spec"`
}

// template is a Pod as the workload makes it; nil if there is no template.
func template(value []byte, s *Sketch) *corev1.Pod {
	var w struct {
		Spec struct {
			Template    *podTemplate `json:"template"`
			JobTemplate struct {
				Spec struct {
					Template *podTemplate `json:"template"`
				} `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
	if json.UnmarshalCaseSensitivePreserveInts(value, &w) != nil {
		return nil
	}
	from := cmp.Or(w.Spec.Template, w.Spec.JobTemplate.Spec.Template)
	if from == nil {
		return nil
	}
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name,
			Labels: from.Metadata.Labels, Annotations: from.Metadata.Annotations,
		},
		Spec: from.Spec,
	}
	containerPorts(&pod.Spec, nil) // the Loader says what is wrong with them
	return Essence(pod)
}

// keep has a policy know the places of its fields.
func (s *Sketch) keep(at place, text []byte) {
	if s.Kind == "NetworkPolicy" && len(text) <= largestPolicy {
		s.text, s.base = slices.Clone(text), at.line-1
	}
}

// largestPolicy is more than an API server stores as one object.
const largestPolicy = 2 << 20
