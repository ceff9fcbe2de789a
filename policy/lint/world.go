package lint

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/workload"
)

// world is the input as the checks see it.
type world struct {
	// ends are all Pods and workloads, spaces the namespaces that are given or
	// named, policies those of all namespaces, all in a stable order.
	ends     []*end
	spaces   []*space
	policies []*policyModel
	services []*corev1.Service
	byName   map[string]*space
	// annotated are the annotations of objects that the outline does not have.
	annotated map[Object]map[string]string
	// otherPolicies names a policy of another kind, which may isolate and allow
	// what NetworkPolicies do not; lostPolicies says that policies could not be read.
	otherPolicies string
	lostPolicies  bool
	// doubt is why Pods may be there that are not seen, in any namespace.
	doubt string
}

// space is a namespace.
type space struct {
	name   string
	labels map[string]string
	// given: its labels are known. Otherwise only its name is.
	given bool
	ends  []*end
	// policies are those of the namespace, enforced those of them that count for
	// verdicts.
	policies, enforced []*policyModel
	// doubt is why it may have Pods that are not seen, empty if nothing says so.
	doubt string
	// found are the ends that a selector may select, by its text.
	found map[string][]*end
	// asks is who may ask a DNS server, once that was wanted: by what is enforced, and
	// by all.
	asks [2]*askers
}

// counting are the policies that count where one does that is audited, or enforced.
func (s *space) counting(audited bool) []*policyModel {
	if audited {
		return s.policies
	}
	return s.enforced
}

// selects are the ends that a podSelector may select. The same selectors are asked
// for again and again.
func (s *space) selects(set policy.LabelSet) []*end {
	text := set.String()
	list, known := s.found[text]
	if known {
		return list
	}
	for _, e := range s.ends {
		if e.may(set) {
			list = append(list, e)
		}
	}
	if s.found == nil {
		s.found = map[string][]*end{}
	}
	s.found[text] = list
	return list
}

func newWorld(in Input) *world {
	w := &world{byName: map[string]*space{}, annotated: map[Object]map[string]string{}, services: in.Set.Services}
	w.addSpaces(in)
	w.addPods(in)
	w.addTemplates(in)
	w.addDoubts(in)
	broken := map[string]bool{}
	for _, p := range in.Problems {
		if !p.Notice {
			broken[p.Object] = true
		}
	}
	for _, np := range in.Set.Policies {
		m := newPolicyModel(np)
		m.broken = m.broken || broken[m.object.String()]
		w.annotated[m.object] = np.Annotations
		m.space = w.space(np.Namespace)
		m.audited = policy.Audited(np, m.space.labels)
		m.space.policies = append(m.space.policies, m)
		w.policies = append(w.policies, m)
	}
	slices.SortFunc(w.policies, func(a, b *policyModel) int { return a.object.compare(b.object) })
	w.spaces = slices.SortedFunc(maps.Values(w.byName), func(a, b *space) int { return strings.Compare(a.name, b.name) })
	for _, s := range w.spaces {
		slices.SortFunc(s.policies, func(a, b *policyModel) int { return a.object.compare(b.object) })
		s.enforced = slices.DeleteFunc(slices.Clone(s.policies), func(p *policyModel) bool { return p.audited })
		slices.SortStableFunc(s.ends, func(a, b *end) int { return a.object.compare(b.object) })
		w.ends = append(w.ends, s.ends...)
	}
	return w
}

func (w *world) space(name string) *space {
	s := w.byName[name]
	if s == nil {
		s = &space{name: name, labels: map[string]string{corev1.LabelMetadataName: name}}
		w.byName[name] = s
	}
	return s
}

// addSpaces takes namespaces for given that a manifest gives: the Loader adds those
// that objects name. Without an outline, as from a cluster, all are.
func (w *world) addSpaces(in Input) {
	all := len(in.Outline.Objects()) == 0
	for _, ns := range in.Set.Namespaces {
		s := w.space(ns.Name)
		s.labels = ns.Labels
		s.given = all || in.Outline.Find("Namespace", "", ns.Name) != nil
		w.annotated[Object{Kind: "Namespace", Name: ns.Name}] = ns.Annotations
	}
}

func (w *world) addPods(in Input) {
	for _, p := range in.Set.Pods {
		e := newEnd(Object{"Pod", p.Namespace, p.Name}, p)
		e.owned = ownedIn(in.Outline, p.Namespace, p.OwnerReferences)
		w.annotated[e.object] = p.Annotations
		w.add(e)
	}
}

// ownedIn reports whether the input has what made an object.
func ownedIn(o *manifest.Outline, namespace string, owners []metav1.OwnerReference) bool {
	return len(owners) > 0 && o.Find(manifest.KindName(owners[0].APIVersion, owners[0].Kind), namespace, owners[0].Name) != nil
}

func (w *world) addTemplates(in Input) {
	owned := map[Object]bool{}
	for _, work := range in.Set.Workloads {
		owned[Object{work.Kind, work.Namespace, work.Name}] = ownedIn(in.Outline, work.Namespace, work.Owners)
	}
	for _, s := range in.Outline.Objects() {
		object := Object{s.Kind, s.Namespace, s.Name}
		switch {
		case s.Unreadable:
			w.space(s.Namespace).doubt = "the template of " + object.String() + " could not be read"
		case s.Template != nil:
			e := newEnd(object, s.Template)
			e.open, e.owned = workload.SetBy(s.Kind), owned[object]
			w.add(e)
		}
	}
}

func (w *world) add(e *end) {
	s := w.space(e.pod.Namespace)
	s.ends = append(s.ends, e)
}

// addDoubts looks for what may make Pods, or policies, that are not seen.
func (w *world) addDoubts(in Input) {
	for _, s := range in.Outline.Objects() {
		group, _, _ := strings.Cut(s.APIVersion, "/")
		switch {
		case otherPolicyKind(s.Kind, group):
			w.otherPolicies = s.Kind + " " + s.Name
		case strings.HasSuffix(group, "kustomize.config.k8s.io"):
			w.doubt = "there is a kustomization that is not built (" + s.Source + "): lint what kubectl kustomize prints"
		case mayMakePods(s.Kind, group):
			w.space(s.Namespace).doubt = s.Kind + " " + s.Name + " may make Pods that are not in the input"
		}
	}
	for _, s := range w.byName {
		if s.doubt == "" && s.partial() {
			s.doubt = "the cluster itself has Pods there"
		}
	}
	if unread := in.Outline.Unread(); len(unread) > 0 {
		w.doubt = unread[0] + " could not be read"
		w.lostPolicies = true
	}
	read := map[string]bool{}
	for _, p := range in.Set.Pods {
		read[Object{"Pod", p.Namespace, p.Name}.String()] = true
	}
	for _, p := range in.Problems {
		switch {
		case p.Notice:
		case p.Object == "":
			w.lostPolicies = w.lostPolicies || p.Field != "kind"
		case strings.HasPrefix(p.Object, "Pod") && !read[p.Object]:
			w.doubt = p.Object + " could not be read"
		}
	}
}

// partial reports whether the namespace is the cluster's own, and the input is not of
// a cluster.
func (s *space) partial() bool {
	return ofTheCluster(s.name) && !slices.ContainsFunc(s.ends, (*end).runs)
}

// ofTheCluster reports whether a namespace is one in which clusters come with Pods
// that no repository has.
func ofTheCluster(name string) bool {
	return strings.HasPrefix(name, "kube-") || strings.HasPrefix(name, "openshift-")
}

// otherPolicyKind reports whether a kind isolates or allows as NetworkPolicies do.
func otherPolicyKind(kind, group string) bool {
	switch group {
	case "cilium.io", "crd.projectcalico.org", "projectcalico.org", "policy.networking.k8s.io", "crd.antrea.io", "isovalent.com":
		return strings.HasSuffix(kind, "Policy")
	}
	return false
}

// podless are kinds of other groups that make no Pods, of those that are met most.
var podless = []string{
	"AppProject", "Application", "AuthorizationPolicy", "BackendConfig", "Certificate", "ClusterIssuer", "ClusterSecretStore",
	"DestinationRule", "EnvoyFilter", "ExternalSecret", "FrontendConfig", "GitRepository", "HelmRepository", "IngressRoute",
	"Issuer", "ManagedCertificate", "Middleware", "PeerAuthentication", "PodMonitor", "PrometheusRule", "RequestAuthentication",
	"ScaledObject", "SealedSecret", "SecretStore", "ServiceEntry", "ServiceMonitor", "Sidecar", "VirtualService",
}

// mayMakePods reports whether an object of this kind may make Pods that no manifest
// shows. Kubernetes' own kinds do not, but for Gateways and for workloads, which are
// seen.
func mayMakePods(kind, group string) bool {
	switch {
	case group == "gateway.networking.k8s.io":
		return kind == "Gateway"
	case group == "route.openshift.io":
		return false
	case !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io"):
		return false
	}
	return !slices.Contains(podless, kind)
}

// doubtAbout is why there may be Pods in the namespace that are not seen.
func (w *world) doubtAbout(s *space) string {
	if s.doubt != "" {
		return s.doubt
	}
	return w.doubt
}

// unless lowers a severity to a note where the input may not show all Pods, and
// says so.
func (w *world) unless(s *space, severity Severity, message string) (Severity, string) {
	doubt := w.doubtAbout(s)
	if doubt == "" {
		return severity, message
	}
	return Note, message + " (" + doubt + ")"
}

// matches reports whether a namespaceSelector matches the namespace, as far as its
// labels are known, and whether it may.
func (s *space) matches(set policy.LabelSet) (does, may bool) {
	if s.given {
		does = set.Contains(s.labels)
		return does, does
	}
	may = set.MayContain(s.labels, func(key string) bool { return key != corev1.LabelMetadataName })
	names, known := set.Values(corev1.LabelMetadataName)
	// Nothing but the name is asked for.
	does = may && (set.All() || known && slices.Contains(names, s.name) && onlyName(set, s.name))
	return does, may
}

// onlyName reports whether a selector matches every namespace of the name.
func onlyName(set policy.LabelSet, name string) bool {
	pinned, err := policy.NewLabelSet(nameSelector(name))
	return err == nil && set.Covers(pinned)
}
