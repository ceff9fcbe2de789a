package question

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/service"
)

// hostPort makes a door of the Pod that has the port of its node, if there is one.
// Such a port leads where that of a Service with this one Pod and
// externalTrafficPolicy Local would: the node translates the connection, and hides
// nobody.
func (p *pass) hostPort(d *door) bool {
	for _, o := range p.objects.Pods {
		pod := p.pod(types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
		if pod == nil || pod.Node != d.Node || pod.HostNetwork || pod.Finished || len(pod.Addrs) == 0 {
			continue
		}
		port := p.hostPortOf(o, d.At)
		if port == nil {
			continue
		}
		d.pod, d.svc = o, &corev1.Service{Spec: corev1.ServiceSpec{ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal}}
		d.port = &corev1.ServicePort{Port: port.HostPort, Protocol: port.Protocol}
		for _, addr := range pod.Addrs {
			d.behind.List = append(d.behind.List, service.Backend{
				AddrPort: netip.AddrPortFrom(addr, uint16(port.ContainerPort)), Node: d.Node, Pod: pod.NamespacedName,
			})
		}
		return true
	}
	return false
}

// hostPortOf finds the port of a Pod by the node's number for it.
func (p *pass) hostPortOf(o *corev1.Pod, at netip.AddrPort) *corev1.ContainerPort {
	containers := slices.Clone(o.Spec.Containers)
	for _, c := range o.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for i := range c.Ports {
			port := &c.Ports[i]
			ip, err := netip.ParseAddr(port.HostIP)
			everywhere := err != nil || ip.IsUnspecified()
			if port.HostPort == int32(at.Port()) && policy.ProtocolOf(port.Protocol) == p.q.Protocol && (everywhere || ip == at.Addr()) {
				return port
			}
		}
	}
	return nil
}
