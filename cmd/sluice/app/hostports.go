package app

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/service"
)

// hostPort finds the Pod that has a port of its node, nil if none does. Such a
// port leads where that of a Service with this one Pod and externalTrafficPolicy
// Local would: the node translates the connection, and hides nobody.
func (c *cluster) hostPort(f flowRef, node string, at netip.AddrPort) *knock {
	for _, p := range c.set.Pods {
		pod, ok := c.index.Pod(types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
		if !ok || pod.Node != node || pod.HostNetwork || pod.Finished || len(pod.Addrs) == 0 {
			continue
		}
		port := hostPortOf(p, f, at)
		if port == nil {
			continue
		}
		k := &knock{svc: &corev1.Service{}, pod: p, addressed: f.dst.kind == ""}
		k.svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		k.port = &corev1.ServicePort{Port: port.HostPort, Protocol: port.Protocol}
		k.door = service.Door{Kind: service.AtNode, Node: node, At: at}
		for _, addr := range pod.Addrs {
			k.behind.List = append(k.behind.List, service.Backend{
				AddrPort: netip.AddrPortFrom(addr, uint16(port.ContainerPort)), Node: node, Pod: pod.NamespacedName,
			})
		}
		return k
	}
	return nil
}

// hostPortOf finds the port of a Pod by the node's number for it.
func hostPortOf(p *corev1.Pod, f flowRef, at netip.AddrPort) *corev1.ContainerPort {
	containers := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for i := range c.Ports {
			port := &c.Ports[i]
			ip, err := netip.ParseAddr(port.HostIP)
			everywhere := err != nil || ip.IsUnspecified()
			if port.HostPort == int32(at.Port()) && protocolOf(port.Protocol) == f.proto && (everywhere || ip == at.Addr()) {
				return port
			}
		}
	}
	return nil
}

// describeHostPort says in a line what a knock leads to.
func (k *knock) describeHostPort() string {
	return fmt.Sprintf("hostPort %d/%s of Pod %s/%s, at node %s, leads to port %d",
		k.port.Port, protocolOf(k.port.Protocol), k.pod.Namespace, k.pod.Name, k.door.Node, k.behind.List[0].Port())
}
