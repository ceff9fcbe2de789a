package manifest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (l *Loader) addPod(at place, text []byte) {
	p := &corev1.Pod{}
	id, ok := l.decodeNamespaced(at, text, "Pod", p, &p.ObjectMeta)
	if !ok {
		return
	}
	p.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	if p.Status.Phase == "" {
		p.Status.Phase = corev1.PodRunning
	}
	l.fieldErrors(at, id.String(), validateMetadata(&p.ObjectMeta, apivalidation.NameIsDNSSubdomain))
	l.fieldErrors(at, id.String(), podAddresses(&p.Status))
	l.fieldErrors(at, id.String(), containerPorts(&p.Spec, nil))
	if !l.register(at, id) {
		return
	}
	if len(p.Status.PodIPs) == 0 && !finished(p) {
		l.remark(NoAddress, at, id.String(), "status.podIP", "is missing: nothing is enforced on the Pod until it has one")
	}
	l.set.Pods = append(l.set.Pods, Essence(p))
}

// Essence is what network policy, those who act out a Pod and those who look
// for it need of it: metadata without managed fields, the controller among the
// owners, node, host network, how it asks for names, the containers' names and ports, phase,
// addresses and readiness, and of those on the host network the command lines,
// for some answer in others' place. The rest is most of a large cluster.
func Essence(p *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta: p.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Namespace: p.Namespace, UID: p.UID,
			Labels: p.Labels, Annotations: p.Annotations,
			CreationTimestamp: p.CreationTimestamp, DeletionTimestamp: p.DeletionTimestamp,
			OwnerReferences: controller(p.OwnerReferences),
		},
		Spec: corev1.PodSpec{
			NodeName: p.Spec.NodeName, HostNetwork: p.Spec.HostNetwork, DNSConfig: p.Spec.DNSConfig,
			InitContainers: portsOnly(p.Spec.InitContainers, false), Containers: portsOnly(p.Spec.Containers, p.Spec.HostNetwork),
		},
		Status: corev1.PodStatus{
			Phase:  p.Status.Phase,
			HostIP: p.Status.HostIP, HostIPs: p.Status.HostIPs,
			PodIP: p.Status.PodIP, PodIPs: p.Status.PodIPs,
			Conditions: readiness(p.Status.Conditions),
		},
	}
}

// readiness keeps the one condition by which Services choose.
func readiness(conditions []corev1.PodCondition) []corev1.PodCondition {
	for _, c := range conditions {
		if c.Type == corev1.PodReady {
			return []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return nil
}

func portsOnly(containers []corev1.Container, commands bool) []corev1.Container {
	if containers == nil {
		return nil
	}
	kept := make([]corev1.Container, len(containers))
	for i, c := range containers {
		kept[i] = corev1.Container{Name: c.Name, Ports: c.Ports, RestartPolicy: c.RestartPolicy}
		if commands {
			kept[i].Command, kept[i].Args = c.Command, c.Args
		}
	}
	return kept
}

// decodeNamespaced decodes an object that lives in a namespace and is of no
// use if it is incomplete.
func (l *Loader) decodeNamespaced(at place, text []byte, kind string, object any, meta *metav1.ObjectMeta) (identity, bool) {
	result := l.decode(at, text, kind, object)
	if result.lost {
		return identity{}, false
	}
	meta.Namespace = l.namespaceOr(meta.Namespace)
	id := identity{kind, meta.Namespace, meta.Name}
	l.unknownFields(at, id, result)
	if meta.Name == "" {
		l.missingName(at, kind, meta.GenerateName)
		return id, false
	}
	return id, true
}

// unknownFields are a notice where a newer API may have them and policy does
// not care.
func (l *Loader) unknownFields(at place, id identity, result misread) {
	for _, f := range result.unknown {
		l.notice(at, id.String(), f.field, f.message)
	}
}

// validateMetadata looks at what selectors and names depend on.
func validateMetadata(meta *metav1.ObjectMeta, name apivalidation.ValidateNameFunc) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("metadata")
	for _, msg := range name(meta.Name, false) {
		errs = append(errs, field.Invalid(path.Child("name"), meta.Name, msg))
	}
	if meta.Namespace != "" {
		for _, msg := range apivalidation.ValidateNamespaceName(meta.Namespace, false) {
			errs = append(errs, field.Invalid(path.Child("namespace"), meta.Namespace, msg))
		}
	}
	return append(errs, validateLabels(meta.Labels, path.Child("labels"))...)
}

func validateLabels(labels map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		for _, msg := range validation.IsQualifiedName(key) {
			errs = append(errs, field.Invalid(path, key, msg))
		}
		for _, msg := range validation.IsValidLabelValue(labels[key]) {
			errs = append(errs, field.Invalid(path, labels[key], fmt.Sprintf("of key %q: %s", key, msg)))
		}
	}
	return errs
}

// podAddresses makes podIP and podIPs agree and validates them.
func podAddresses(s *corev1.PodStatus) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("status", "podIPs")
	switch {
	case len(s.PodIPs) == 0 && s.PodIP != "":
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
		path = nil
	case len(s.PodIPs) > 0 && s.PodIP == "":
		s.PodIP = s.PodIPs[0].IP
	case len(s.PodIPs) > 0 && s.PodIP != s.PodIPs[0].IP:
		errs = append(errs, field.Invalid(field.NewPath("status", "podIP"), s.PodIP, fmt.Sprintf("must be the first of podIPs, which is %q", s.PodIPs[0].IP)))
	}
	for i, ip := range s.PodIPs {
		at := field.NewPath("status", "podIP")
		if path != nil {
			at = path.Index(i).Child("ip")
		}
		addr, err := netip.ParseAddr(ip.IP)
		if err != nil || addr.Zone() != "" {
			errs = append(errs, field.Invalid(at, ip.IP, "must be an IP address, e.g. 10.9.8.7 or 2001:db8::7"))
		}
	}
	return errs
}

// containerPorts applies the default protocol and validates what named ports
// depend on. The spec is that of a Pod, or of the template at a path.
func containerPorts(s *corev1.PodSpec, template *field.Path) field.ErrorList {
	var errs field.ErrorList
	each := func(containers []corev1.Container, path *field.Path) {
		for i := range containers {
			for j := range containers[i].Ports {
				port := &containers[i].Ports[j]
				if port.Protocol == "" {
					port.Protocol = corev1.ProtocolTCP
				}
				errs = append(errs, containerPort(port, path.Index(i).Child("ports").Index(j))...)
			}
		}
	}
	each(s.InitContainers, template.Child("spec", "initContainers"))
	each(s.Containers, template.Child("spec", "containers"))
	return errs
}

func containerPort(p *corev1.ContainerPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Name != "" {
		for _, msg := range validation.IsValidPortName(p.Name) {
			errs = append(errs, field.Invalid(path.Child("name"), p.Name, msg))
		}
	}
	if p.ContainerPort < 1 || p.ContainerPort > 65535 {
		errs = append(errs, field.Invalid(path.Child("containerPort"), p.ContainerPort, "must be from 1 to 65535"))
	}
	switch p.Protocol {
	case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
	default:
		errs = append(errs, field.NotSupported(path.Child("protocol"), p.Protocol, []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
	}
	return errs
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// sharedAddresses tells where an address decides nothing by itself.
func (l *Loader) sharedAddresses() {
	first := make(map[netip.Addr]*corev1.Pod)
	for _, p := range l.set.Pods {
		if finished(p) || p.Spec.HostNetwork {
			continue
		}
		for _, ip := range p.Status.PodIPs {
			addr, err := netip.ParseAddr(ip.IP)
			if err != nil {
				continue
			}
			addr = addr.Unmap()
			if other := first[addr]; other != nil && other != p {
				id := identity{"Pod", p.Namespace, p.Name}
				if l.Repository && p.UID == "" && other.UID == "" {
					l.fail(l.seen[id], id.String(), "status.podIP", fmt.Sprintf("%s is also the address of Pod %s/%s: give each its own, or none", addr, other.Namespace, other.Name))
					continue
				}
				l.notice(l.seen[id], id.String(), "status.podIPs", fmt.Sprintf("%s is also the address of Pod %s/%s: the policies of each count", addr, other.Namespace, other.Name))
				continue
			}
			first[addr] = p
		}
	}
}
