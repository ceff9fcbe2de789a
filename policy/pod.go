package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PodFromAPI takes from a Pod object what policy needs. An error names every
// field that makes no sense; the Pod is usable without those parts. It is nil
// only for a nil object.
func PodFromAPI(p *corev1.Pod) (*Pod, error) {
	if p == nil {
		return nil, errors.New("Pod: no object")
	}
	out := &Pod{
		NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Name},
		UID:            uidOf(p),
		Node:           p.Spec.NodeName,
		HostNetwork:    p.Spec.HostNetwork,
		Finished:       p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed,
		Created:        created(p),
		Unguarded:      p.Annotations[GuardAnnotation] == "off",
		Terminating:    p.DeletionTimestamp != nil,
	}
	r := podReader{name: out.NamespacedName}
	if n := LabelBytes(p.Labels); n > MaxLabelBytes {
		r.fail("metadata.labels", "%d bytes are more than %d: the Pod is not taken, and its addresses are nobody's; give it fewer labels", n, MaxLabelBytes)
		out.Unread = true
	} else {
		out.Labels = maps.Clone(p.Labels) // the object may be changed and handed over again
		out.Addrs = r.podAddrs(&p.Status)
	}
	for i := range r.within("status.hostIPs", len(p.Status.HostIPs), MaxPodAddrs) {
		out.NodeAddrs = r.addr(out.NodeAddrs, p.Status.HostIPs[i].IP, "status.hostIPs", i)
	}
	out.NodeAddrs = r.addr(out.NodeAddrs, p.Status.HostIP, "status.hostIP", -1)
	for i := range p.Spec.Containers {
		out.Ports = r.ports(out.Ports, &p.Spec.Containers[i], "spec.containers", i)
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out.Ports = r.ports(out.Ports, c, "spec.initContainers", i)
		}
	}
	return out, r.err()
}

// uidOf is the UID of the Pod that runs. The object of a static Pod only mirrors it,
// comes and goes without it, and says in an annotation what the kubelet calls it.
func uidOf(p *corev1.Pod) types.UID {
	if uid := p.Annotations[corev1.MirrorPodAnnotationKey]; uid != "" {
		return types.UID(uid)
	}
	return p.UID
}

// created is zero where the object does not say.
func created(p *corev1.Pod) int64 {
	if p.CreationTimestamp.IsZero() {
		return 0
	}
	return p.CreationTimestamp.Unix()
}

// podReader collects what is wrong with one Pod object.
type podReader struct {
	name types.NamespacedName
	errs []error
	// more counts what is not in errs.
	more int
	// full: it was said that there are too many ports.
	full bool
}

func (r *podReader) err() error {
	if r.more > 0 {
		r.errs = append(r.errs, fmt.Errorf("Pod %s: and %d faults more", r.name, r.more))
	}
	return errors.Join(r.errs...)
}

// within is how many of n entries count, and says so if that is not all.
func (r *podReader) within(field string, n, limit int) int {
	if n > limit {
		r.fail(field, "%d entries are more than %d: the others are not taken", n, limit)
	}
	return min(n, limit)
}

// podAddrs are the addresses of a Pod's status.
func (r *podReader) podAddrs(s *corev1.PodStatus) []netip.Addr {
	if len(s.PodIPs) == 0 {
		return r.addr(nil, s.PodIP, "status.podIP", -1)
	}
	var out []netip.Addr
	for i := range r.within("status.podIPs", len(s.PodIPs), MaxPodAddrs) {
		out = r.addr(out, s.PodIPs[i].IP, "status.podIPs", i)
	}
	return out
}

func (r *podReader) fail(field, format string, args ...any) {
	if len(r.errs) == maxFaults {
		r.more++
		return
	}
	r.errs = append(r.errs, fmt.Errorf("Pod %s: %s: %s", r.name, field, fmt.Sprintf(format, args...)))
}

// addr appends the address s, once. An index of -1 is a field without one.
func (r *podReader) addr(to []netip.Addr, s, field string, index int) []netip.Addr {
	if s == "" && index < 0 {
		return to
	}
	if index >= 0 {
		field = fmt.Sprintf("%s[%d].ip", field, index)
	}
	a, err := parseAddr(s)
	switch {
	case err != nil:
		r.fail(field, "%s is no IP address", quoted(s))
	case noAddr(a) != "":
		r.fail(field, "%s is %s, which is nobody's: it is not taken; look at what the network plug-in answered", a, noAddr(a))
	case !slices.Contains(to, a):
		return append(to, a)
	}
	return to
}

func (r *podReader) ports(to []NamedPort, c *corev1.Container, field string, index int) []NamedPort {
	for i := range c.Ports {
		p := &c.Ports[i]
		if p.Name == "" {
			continue
		}
		proto, ok := parseProtocol(string(p.Protocol))
		if !ok {
			r.fail(fmt.Sprintf("%s[%d].ports[%d].protocol", field, index, i), "unknown protocol %s", quoted(string(p.Protocol)))
			continue
		}
		if p.ContainerPort < 1 || p.ContainerPort > 65535 {
			r.fail(fmt.Sprintf("%s[%d].ports[%d].containerPort", field, index, i), "%d is not in 1-65535", p.ContainerPort)
			continue
		}
		np := NamedPort{Name: p.Name, Protocol: proto, Number: uint16(p.ContainerPort)}
		switch {
		case slices.Contains(to, np):
		case len(to) < MaxNamedPorts:
			to = append(to, np)
		case !r.full:
			r.full = true
			r.fail(fmt.Sprintf("%s[%d].ports[%d]", field, index, i), "the Pod has more than %d named ports: this one and later ones do not count", MaxNamedPorts)
		}
	}
	return to
}

// parseProtocol reads a protocol of the Pod and NetworkPolicy APIs, where none
// means TCP.
func parseProtocol(s string) (Protocol, bool) {
	switch corev1.Protocol(s) {
	case "", corev1.ProtocolTCP:
		return TCP, true
	case corev1.ProtocolUDP:
		return UDP, true
	case corev1.ProtocolSCTP:
		return SCTP, true
	}
	return 0, false
}

// ProtocolOf is that of a port of an object, TCP where it has none that the API knows.
func ProtocolOf(p corev1.Protocol) Protocol {
	if known, ok := parseProtocol(string(p)); ok {
		return known
	}
	return TCP
}

// parseAddr reads an address as the API server accepts it in objects written
// long ago: leading zeros in IPv4 are decimal.
func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(withoutLeadingZeros(s))
	return plainAddr(a), err
}

// plainAddr is a in the one form that the index compares: no 4-in-6, no zone.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// plainAddrs is list in canonical form, each address once; list itself where
// it is so already.
func plainAddrs(list []netip.Addr) []netip.Addr {
	clean, ascending := true, true
	for i, a := range list {
		ascending = ascending && (i == 0 || list[i-1].Less(a))
		clean = clean && a.IsValid() && a == plainAddr(a) && (ascending || !slices.Contains(list[:i], a))
	}
	if clean {
		return list
	}
	var out []netip.Addr
	for _, a := range list {
		if a = plainAddr(a); a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// claims reports whether the Pod may own its addresses: a finished Pod has
// given them up, a hostNetwork Pod uses its node's.
func (p *Pod) claims() bool { return !p.Finished && !p.HostNetwork }

// newer decides whose name a contested address bears. It is a total order, so that
// the order of events never matters.
func (p *Pod) newer(q *Pod) bool {
	return cmp.Or(
		cmp.Compare(p.Created, q.Created),
		cmp.Compare(p.UID, q.UID),
		cmp.Compare(p.Name, q.Name),
		cmp.Compare(p.Namespace, q.Namespace),
	) > 0
}

// says reports whether p says nothing new over the entry.
func (e *entry) says(p *Pod) bool {
	return e.belongs(p) && slices.Equal(e.pod.Addrs, p.Addrs) && e.pod.Node == p.Node &&
		slices.Equal(e.pod.NodeAddrs, p.NodeAddrs)
}

// belongs reports whether the entry and p are the same to groups and to the
// ownership of addresses, but for which addresses they claim.
func (e *entry) belongs(p *Pod) bool {
	q := e.pod
	return q.UID == p.UID && q.HostNetwork == p.HostNetwork && q.Finished == p.Finished &&
		q.Created == p.Created && q.Unguarded == p.Unguarded &&
		samePorts(q.Ports, p.Ports) && e.class.has(p.Labels)
}

// apart are the addresses of each list that are not in the other.
func apart(a, b []netip.Addr) (onlyA, onlyB []netip.Addr) {
	// Of long lists most is the same.
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	for _, o := range a {
		if !slices.Contains(b, o) {
			onlyA = append(onlyA, o)
		}
	}
	for _, o := range b {
		if !slices.Contains(a, o) {
			onlyB = append(onlyB, o)
		}
	}
	return onlyA, onlyB
}
