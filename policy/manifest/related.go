package manifest

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"
)

// related are kinds by which Pods and addresses are found. They decide nothing, so to a
// node what is wrong with them is a notice, and other versions are skipped as other kinds
// are. An answer lacks what could not be read of them: of a Repository it is an error.
var related = map[string]string{
	"CronJob":               "batch/v1",
	"DaemonSet":             "apps/v1",
	"Deployment":            "apps/v1",
	"EndpointSlice":         "discovery.k8s.io/v1",
	"Job":                   "batch/v1",
	"Node":                  "v1",
	"ReplicaSet":            "apps/v1",
	"ReplicationController": "v1",
	"StatefulSet":           "apps/v1",
}

// Workload is what makes Pods, or makes others that do.
type Workload struct {
	Kind string
	types.NamespacedName
	UID types.UID
	// Owners holds the controller, if there is one.
	Owners []metav1.OwnerReference
	// Selector is that for its Pods; nil where there is none, as for a CronJob.
	Selector labels.Selector
	// Pod is what it makes, under the workload's name and without an address; nil
	// where no template says it.
	Pod *corev1.Pod
	// Done: a Job that makes no more Pods.
	Done bool
}

// WithTemplate says what Pods the workload makes.
func (w Workload) WithTemplate(t *corev1.PodTemplateSpec) Workload {
	if t == nil {
		return w
	}
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, Name: w.Name, Labels: t.Labels, Annotations: t.Annotations,
		},
		Spec: t.Spec,
	}
	containerPorts(&pod.Spec, nil) // what is wrong with them is said elsewhere
	w.Pod = Essence(pod)
	return w
}

// JobDone reports whether a Job makes no more Pods.
func JobDone(conditions []batchv1.JobCondition) bool {
	return slices.ContainsFunc(conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

// NewWorkload takes from a workload what leads to its Pods. A selector that
// does not parse is none.
func NewWorkload(kind string, meta *metav1.ObjectMeta, selector *metav1.LabelSelector) Workload {
	w := Workload{
		Kind: kind, NamespacedName: types.NamespacedName{Namespace: meta.Namespace, Name: meta.Name},
		UID: meta.UID, Owners: controller(meta.OwnerReferences),
	}
	// An empty selector is an error in every kind that has one.
	if selector == nil || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		return w
	}
	if s, err := metav1.LabelSelectorAsSelector(selector); err == nil {
		w.Selector = s
	}
	return w
}

// controller keeps the one owner that made an object.
func controller(owners []metav1.OwnerReference) []metav1.OwnerReference {
	for i := range owners {
		if owners[i].Controller != nil && *owners[i].Controller {
			return owners[i : i+1]
		}
	}
	return nil
}

func (l *Loader) addRelated(at place, text []byte, kind string) {
	switch kind {
	case "EndpointSlice":
		s := &discoveryv1.EndpointSlice{}
		if l.decodeRelated(at, text, kind, s, &s.ObjectMeta) {
			l.set.EndpointSlices = append(l.set.EndpointSlices, s)
		}
	case "Node":
		n := &corev1.Node{}
		if l.decodeRelated(at, text, kind, n, &n.ObjectMeta) {
			l.set.Nodes = append(l.set.Nodes, NodeEssence(n))
		}
	case "ReplicationController":
		c := &corev1.ReplicationController{}
		if l.decodeRelated(at, text, kind, c, &c.ObjectMeta) {
			l.checkWorkload(at, kind, &c.ObjectMeta, nil, c.Spec.Template, field.NewPath("spec", "template"))
			made := NewWorkload(kind, &c.ObjectMeta, &metav1.LabelSelector{MatchLabels: c.Spec.Selector})
			l.addWorkload(at, made.WithTemplate(c.Spec.Template))
		}
	default:
		var w struct {
			metav1.ObjectMeta `json:"metadata"`
			Spec              struct {
				Selector    *metav1.LabelSelector    `json:"selector"`
				Template    *corev1.PodTemplateSpec  `json:"template"`
				JobTemplate *batchv1.JobTemplateSpec `json:"jobTemplate"`
			} `json:"spec"`
			Status struct {
				Conditions []batchv1.JobCondition `json:"conditions"`
			} `json:"status"`
		}
		if !l.decodeRelated(at, text, kind, &w, &w.ObjectMeta) {
			return
		}
		template, path := w.Spec.Template, field.NewPath("spec", "template")
		switch {
		case kind == "CronJob" && w.Spec.JobTemplate != nil:
			template, path = &w.Spec.JobTemplate.Spec.Template, field.NewPath("spec", "jobTemplate", "spec", "template")
		case w.Spec.Selector == nil && kind == "Job" && template != nil:
			// The API server writes a Job's selector; by hand there is only the
			// template.
			w.Spec.Selector = &metav1.LabelSelector{MatchLabels: template.Labels}
		}
		l.checkWorkload(at, kind, &w.ObjectMeta, w.Spec.Selector, template, path)
		made := NewWorkload(kind, &w.ObjectMeta, w.Spec.Selector).WithTemplate(template)
		made.Done = kind == "Job" && JobDone(w.Status.Conditions)
		l.addWorkload(at, made)
	}
}

// NodeEssence is what it takes to tell whose a Node's addresses are, and by which
// of them the Pods of other nodes see it: name, annotations, the Pods' ranges and
// the addresses.
func NodeEssence(n *corev1.Node) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Annotations: n.Annotations},
		Spec:       corev1.NodeSpec{PodCIDR: n.Spec.PodCIDR, PodCIDRs: n.Spec.PodCIDRs},
		Status:     corev1.NodeStatus{Addresses: n.Status.Addresses},
	}
}

// refused tells of what an API server would refuse of an object by which others are found,
// with which it is of no use here.
func (l *Loader) refused(at place, object, path, message string) {
	if l.Repository {
		l.fail(at, object, path, message)
		return
	}
	l.notice(at, object, path, "skipped: "+message)
}

// decodeRelated reports whether the object is of use. The first of its name
// counts.
func (l *Loader) decodeRelated(at place, text []byte, kind string, object any, meta *metav1.ObjectMeta) bool {
	if err := json.UnmarshalCaseSensitivePreserveInts(text, object); err != nil {
		path, message := misfit(text, err)
		l.refused(at, l.named(text, kind).String(), path, message)
		return false
	}
	if meta.Namespace = l.namespaceOr(meta.Namespace); !inNamespace(kind) {
		meta.Namespace = ""
	}
	id := identity{kind, meta.Namespace, meta.Name}
	switch {
	case meta.Name == "" && l.Repository:
		l.missingName(at, kind, meta.GenerateName)
		return false
	case meta.Name == "":
		l.notice(at, id.String(), "metadata.name", "skipped: it has no name")
		return false
	}
	if first, twice := l.related[id]; twice && l.Repository {
		if !l.replaces(at, id, first) {
			return false
		}
		l.set.drop(id)
	} else if twice {
		l.notice(at, id.String(), "metadata.name", "skipped: the same object is already at "+first.String())
		return false
	}
	if l.related == nil {
		l.related = make(map[identity]place)
	}
	l.related[id] = at
	l.remember(id)
	return true
}

// checkWorkload says what an API server would refuse of a workload, as far as answers hang
// on it: names, labels and ports. What is missing a patch may leave out, so that is no
// mistake.
func (l *Loader) checkWorkload(at place, kind string, meta *metav1.ObjectMeta, selector *metav1.LabelSelector, t *corev1.PodTemplateSpec, path *field.Path) {
	if !l.Repository {
		return
	}
	errs := validateMetadata(meta, apivalidation.NameIsDNSSubdomain)
	if _, err := metav1.LabelSelectorAsSelector(selector); err != nil {
		errs = append(errs, field.Invalid(field.NewPath("spec", "selector"), metav1.FormatLabelSelector(selector), err.Error()))
	}
	if t != nil {
		errs = append(errs, validateLabels(t.Labels, path.Child("metadata", "labels"))...)
		errs = append(errs, containerPorts(&t.Spec, path)...)
	}
	l.fieldErrors(at, identity{kind, meta.Namespace, meta.Name}.String(), errs)
}

// addWorkload adds a workload. For whoever asks about a repository its Pods are in its
// namespace already; a node enforces nothing of them yet.
func (l *Loader) addWorkload(at place, w Workload) {
	l.set.Workloads = append(l.set.Workloads, w)
	if w.Pod != nil && l.Repository {
		l.use(at, w.Namespace)
	}
}

// withoutTemplate names the workloads of which nobody says what Pods they make. They may be
// patches of others, so that is no mistake.
func (l *Loader) withoutTemplate() {
	for i := range l.set.Workloads {
		w := &l.set.Workloads[i]
		if id := (identity{w.Kind, w.Namespace, w.Name}); w.Pod == nil && l.Repository {
			l.notice(l.related[id], id.String(), "", "is left out: it has no template, so nothing says what Pods it makes")
		}
	}
}
