package service

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Backend is an address and port behind a Service.
type Backend struct {
	netip.AddrPort
	// Node is where it runs, empty if that is not known.
	Node string
	// Pod is empty for an endpoint that is none.
	Pod types.NamespacedName
}

// Backends are all that is behind one port of a Service.
type Backends struct {
	// List holds those that get connections, sorted, of both families.
	List []Backend
	// Unready and Portless are Pods that the Service selects and that get no
	// connections: not ready, or without a container port of the name that is
	// the Service's targetPort.
	Unready, Portless []string
}

// Notice says what does not get connections, or is empty.
func (b Backends) Notice() string {
	switch {
	case len(b.Unready) > 0 && len(b.Portless) > 0:
		return fmt.Sprintf("%s not ready and %s without the targetPort: no connection goes there", names(b.Unready), names(b.Portless))
	case len(b.Unready) > 0:
		return names(b.Unready) + " not ready: no connection goes there"
	case len(b.Portless) > 0:
		return names(b.Portless) + " without the targetPort: no connection goes there"
	}
	return ""
}

func names(list []string) string {
	if len(list) == 1 {
		return list[0] + " is"
	}
	return fmt.Sprintf("%s and %d more are", list[0], len(list)-1)
}

// FromSlices reads the backends of a port from a Service's EndpointSlices.
func FromSlices(svc *corev1.Service, port *corev1.ServicePort, list []*discoveryv1.EndpointSlice) Backends {
	g := gathering{}
	for _, s := range list {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		number := slicePort(s, port)
		for i := range s.Endpoints {
			g.endpoint(svc.Namespace, &s.Endpoints[i], number)
		}
	}
	return g.backends()
}

// slicePort is the number of a port in a slice, 0 if the slice does not have
// it: then its endpoints lack the port of that name.
func slicePort(s *discoveryv1.EndpointSlice, port *corev1.ServicePort) uint16 {
	for _, p := range s.Ports {
		var name string
		if p.Name != nil {
			name = *p.Name
		}
		proto := corev1.ProtocolTCP
		if p.Protocol != nil {
			proto = *p.Protocol
		}
		if name != port.Name || proto != protocol(port.Protocol) {
			continue
		}
		if p.Port == nil {
			return uint16(port.Port) // all ports, of a Service without a selector
		}
		return uint16(*p.Port)
	}
	return 0
}

// FromPods finds the backends of a port among Pods, as the EndpointSlice
// controller does.
func FromPods(svc *corev1.Service, port *corev1.ServicePort, pods []*corev1.Pod) Backends {
	g := gathering{}
	if len(svc.Spec.Selector) == 0 {
		return g.backends()
	}
	selector := labels.SelectorFromSet(svc.Spec.Selector)
	for _, p := range pods {
		if p.Namespace == svc.Namespace && !finished(p) && selector.Matches(labels.Set(p.Labels)) {
			g.pod(svc, port, p)
		}
	}
	return g.backends()
}

// gathering sorts endpoints by what becomes of them.
type gathering struct {
	ready, draining   []Backend
	unready, portless []string
}

func (g *gathering) endpoint(namespace string, e *discoveryv1.Endpoint, number uint16) {
	if len(e.Addresses) == 0 {
		return
	}
	addr, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return
	}
	b := Backend{AddrPort: netip.AddrPortFrom(addr.Unmap(), number)}
	name := e.Addresses[0]
	if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
		b.Pod = types.NamespacedName{Namespace: cmp.Or(e.TargetRef.Namespace, namespace), Name: e.TargetRef.Name}
		name = "Pod " + b.Pod.String()
	}
	if e.NodeName != nil {
		b.Node = *e.NodeName
	}
	is := func(c *bool, absent bool) bool { return c == nil && absent || c != nil && *c }
	ready := is(e.Conditions.Ready, true)
	draining := is(e.Conditions.Serving, ready) && is(e.Conditions.Terminating, false)
	g.add(b, name, ready, draining)
}

func (g *gathering) pod(svc *corev1.Service, port *corev1.ServicePort, p *corev1.Pod) {
	number := targetPort(p, port)
	name := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	serving := podReady(p)
	ready := serving && p.DeletionTimestamp == nil || svc.Spec.PublishNotReadyAddresses
	for _, a := range podAddrs(p) {
		if !hasFamily(svc, a) {
			continue
		}
		g.add(Backend{AddrPort: netip.AddrPortFrom(a, number), Node: p.Spec.NodeName, Pod: name},
			"Pod "+name.String(), ready, serving && p.DeletionTimestamp != nil)
	}
}

func (g *gathering) add(b Backend, name string, ready, draining bool) {
	switch {
	case !ready && draining && b.Port() != 0:
		g.draining = append(g.draining, b)
		g.unready = append(g.unready, name)
	case !ready:
		g.unready = append(g.unready, name)
	case b.Port() == 0:
		g.portless = append(g.portless, name)
	default:
		g.ready = append(g.ready, b)
	}
}

// backends are those that are ready, or, where there is none, those that still
// serve while they terminate.
func (g *gathering) backends() Backends {
	list, unready := g.ready, g.unready
	if len(list) == 0 && len(g.draining) > 0 {
		list = g.draining
		unready = slices.DeleteFunc(unready, func(name string) bool {
			return slices.ContainsFunc(list, func(b Backend) bool { return name == "Pod "+b.Pod.String() || name == b.Addr().String() })
		})
	}
	slices.SortFunc(list, func(a, b Backend) int {
		return cmp.Or(cmp.Compare(a.Pod.Namespace, b.Pod.Namespace), cmp.Compare(a.Pod.Name, b.Pod.Name), a.Compare(b.AddrPort))
	})
	return Backends{List: slices.Compact(list), Unready: unique(unready), Portless: unique(g.portless)}
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// targetPort is the number that a Service's port leads to on a Pod, 0 if the
// Pod has no port of that name. The type says which of the two values counts.
func targetPort(p *corev1.Pod, port *corev1.ServicePort) uint16 {
	name := port.TargetPort.StrVal
	switch n := port.TargetPort.IntVal; {
	case port.TargetPort.Type == intstr.Int && n > 0:
		return uint16(n)
	case port.TargetPort.Type == intstr.Int || name == "":
		return uint16(port.Port)
	}
	sidecars := slices.DeleteFunc(slices.Clone(p.Spec.InitContainers), func(c corev1.Container) bool {
		return c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways
	})
	for _, c := range slices.Concat(p.Spec.Containers, sidecars) {
		for _, cp := range c.Ports {
			if cp.Name == name && protocol(cp.Protocol) == protocol(port.Protocol) {
				return uint16(cp.ContainerPort)
			}
		}
	}
	return 0
}

// podReady takes a Pod that says nothing about it, as written by hand, for
// ready when it runs.
func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return p.Status.Phase == corev1.PodRunning
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func podAddrs(p *corev1.Pod) []netip.Addr {
	var list []netip.Addr
	add := func(s string) {
		if a, err := netip.ParseAddr(s); err == nil && !slices.Contains(list, a.Unmap()) {
			list = append(list, a.Unmap())
		}
	}
	for _, ip := range p.Status.PodIPs {
		add(ip.IP)
	}
	if len(p.Status.PodIPs) == 0 {
		add(p.Status.PodIP)
	}
	if len(list) == 0 && p.Spec.HostNetwork {
		for _, ip := range p.Status.HostIPs {
			add(ip.IP)
		}
		add(p.Status.HostIP)
	}
	return list
}

// hasFamily reports whether a Service serves the family of a. One that does
// not say serves both.
func hasFamily(svc *corev1.Service, a netip.Addr) bool {
	if len(svc.Spec.IPFamilies) == 0 {
		return true
	}
	family := corev1.IPv4Protocol
	if a.Is6() {
		family = corev1.IPv6Protocol
	}
	return slices.Contains(svc.Spec.IPFamilies, family)
}
