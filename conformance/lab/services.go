package lab

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Service is a ClusterIP or NodePort Service. [ServiceFromObject] makes one.
type Service struct {
	Name       types.NamespacedName
	ClusterIPs []netip.Addr
	Ports      []ServicePort
	// Local is externalTrafficPolicy Local: a NodePort leads to Pods of its
	// own node only, and the client's address stays.
	Local bool
}

// ServicePort is a port of a Service with those who answer it.
type ServicePort struct {
	Protocol uint8
	Port     uint16
	// NodePort is 0 if there is none.
	NodePort uint16
	Backends []Backend
}

// Backend is one end of a Service.
type Backend struct {
	netip.AddrPort
	Node string
}

// ServiceFromObject resolves a Service's backends among Pods that have their
// nodes and addresses already, as the copies from [SpecFromObjects] do. All
// Pods that run count as ready.
func ServiceFromObject(svc *corev1.Service, pods []*corev1.Pod) (Service, error) {
	s := Service{
		Name:  types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name},
		Local: svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
	ips := svc.Spec.ClusterIPs
	if len(ips) == 0 && svc.Spec.ClusterIP != "" {
		ips = []string{svc.Spec.ClusterIP}
	}
	for _, ip := range ips {
		if ip == corev1.ClusterIPNone {
			continue
		}
		a, err := netip.ParseAddr(ip)
		if err != nil {
			return s, fmt.Errorf("Service %s: spec.clusterIPs: %w", s.Name, err)
		}
		s.ClusterIPs = append(s.ClusterIPs, a.Unmap())
	}
	ends, err := selectBackends(svc, pods)
	if err != nil {
		return s, err
	}
	for i, p := range svc.Spec.Ports {
		if p.Port < 1 || p.Port > 65535 || p.NodePort < 0 || p.NodePort > 65535 {
			return s, fmt.Errorf("Service %s: spec.ports[%d]: not a port number", s.Name, i)
		}
		port := ServicePort{Protocol: protocolNumber(p.Protocol), Port: uint16(p.Port), NodePort: uint16(p.NodePort)}
		for _, e := range ends {
			port.Backends = append(port.Backends, backends(e, p)...)
		}
		s.Ports = append(s.Ports, port)
	}
	return s, nil
}

// selectBackends are the Pods behind a Service.
func selectBackends(svc *corev1.Service, pods []*corev1.Pod) ([]*corev1.Pod, error) {
	if len(svc.Spec.Selector) == 0 {
		return nil, nil
	}
	selector := labels.SelectorFromSet(svc.Spec.Selector)
	owners, err := addressOwners(pods)
	if err != nil {
		return nil, err
	}
	var ends []*corev1.Pod
	for i, p := range pods {
		if p.Namespace != svc.Namespace || finished(p) || !selector.Matches(labels.Set(p.Labels)) {
			continue
		}
		addrs, err := podAddrs(p)
		if err != nil {
			return nil, err
		}
		owned := slices.ContainsFunc(addrs, func(a netip.Addr) bool { return owners[a] == i })
		if p.Spec.HostNetwork || owned {
			ends = append(ends, p)
		}
	}
	return ends, nil
}

// backends are the ends of one Pod for one port of a Service, in each family.
func backends(p *corev1.Pod, port corev1.ServicePort) []Backend {
	number := targetPort(p, port)
	if number == 0 {
		return nil
	}
	// selectBackends read the addresses before.
	addrs, _ := podAddrs(p)
	if p.Spec.HostNetwork {
		addrs, _ = hostAddrs(p)
	}
	var list []Backend
	for _, a := range addrs {
		list = append(list, Backend{AddrPort: netip.AddrPortFrom(a, number), Node: p.Spec.NodeName})
	}
	return list
}

// targetPort is the number that a Service's port leads to on a Pod, 0 if the
// Pod does not have the port of that name.
func targetPort(p *corev1.Pod, port corev1.ServicePort) uint16 {
	name := port.TargetPort.StrVal
	switch n := port.TargetPort.IntVal; {
	case port.TargetPort.Type == intstr.Int && n > 0 && n <= 65535:
		return uint16(n)
	case port.TargetPort.Type == intstr.Int || name == "":
		return uint16(port.Port)
	}
	for _, c := range servingContainers(p) {
		for _, cp := range c.Ports {
			if cp.Name == name && protocolNumber(cp.Protocol) == protocolNumber(port.Protocol) {
				return uint16(cp.ContainerPort)
			}
		}
	}
	return 0
}
