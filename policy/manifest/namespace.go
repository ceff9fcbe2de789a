package manifest

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

func (l *Loader) addNamespace(at place, text []byte) {
	ns := &corev1.Namespace{}
	result := l.decode(at, text, "Namespace", ns)
	if result.lost {
		return
	}
	id := identity{"Namespace", "", ns.Name}
	l.unknownFields(at, id, result)
	if ns.Name == "" {
		l.missingName(at, "Namespace", ns.GenerateName)
		return
	}
	if ns.Namespace != "" {
		l.fail(at, id.String(), "metadata.namespace", "must not be set: a Namespace is in none")
		ns.Namespace = ""
	}
	ns.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}
	if given, ok := ns.Labels[corev1.LabelMetadataName]; ok && given != ns.Name {
		l.notice(at, id.String(), "metadata.labels", fmt.Sprintf("%s is %s in the API server, whatever is written", corev1.LabelMetadataName, ns.Name))
	}
	labelWithName(ns)
	l.fieldErrors(at, id.String(), validateMetadata(&ns.ObjectMeta, apivalidation.ValidateNamespaceName))
	l.fieldErrors(at, id.String(), policy.ValidateNamespace(ns.Labels))
	if l.register(at, id) {
		l.set.Namespaces = append(l.set.Namespaces, ns)
	}
}

// labelWithName sets the label that the API server sets on every namespace.
func labelWithName(ns *corev1.Namespace) {
	if ns.Labels == nil {
		ns.Labels = make(map[string]string, 1)
	}
	ns.Labels[corev1.LabelMetadataName] = ns.Name
}

// impliedNamespaces adds those that objects are in and no manifest gives.
func (l *Loader) impliedNamespaces() {
	for _, name := range slices.Sorted(maps.Keys(l.used)) {
		id := identity{"Namespace", "", name}
		if _, given := l.seen[id]; given {
			continue
		}
		ns := &corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: name},
		}
		labelWithName(ns)
		l.register(l.used[name], id)
		l.set.Namespaces = append(l.set.Namespaces, ns)
		l.remark(NotGiven, l.seen[id], id.String(), "", fmt.Sprintf("is not given: it is taken to have no label but %s=%s", corev1.LabelMetadataName, name))
	}
}

func (l *Loader) addService(at place, text []byte) {
	s := &corev1.Service{}
	id, ok := l.decodeNamespaced(at, text, "Service", s, &s.ObjectMeta)
	if !ok {
		return
	}
	s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	if s.Spec.Type == "" {
		s.Spec.Type = corev1.ServiceTypeClusterIP
	}
	for i := range s.Spec.Ports {
		port := &s.Spec.Ports[i]
		if port.Protocol == "" {
			port.Protocol = corev1.ProtocolTCP
		}
		if port.TargetPort == intstr.FromInt32(0) || port.TargetPort == intstr.FromString("") {
			port.TargetPort = intstr.FromInt32(port.Port)
		}
	}
	l.fieldErrors(at, id.String(), validateMetadata(&s.ObjectMeta, apivalidation.NameIsDNSLabel))
	if l.register(at, id) {
		l.set.Services = append(l.set.Services, s)
	}
}
