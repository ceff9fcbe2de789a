package lab

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Spread is over how many nodes Pods without a node are put.
type Spread uint8

const (
	// OneNode puts them all on one.
	OneNode Spread = iota
	// TwoNodes alternates.
	TwoNodes
)

// Placement is how SpecFromObjects fills in what manifests leave open.
type Placement struct {
	Topology   Topology
	Spread     Spread
	External   []netip.Addr
	Services   []*corev1.Service
	ServiceNAT ServiceNAT
}

// SpecFromObjects derives a lab from Pods as they are in the API: each running
// Pod that has an address of its own gets a namespace on its node. Pods
// without spec.nodeName or status.hostIPs get these in the copies that are
// returned, so that an engine sees the same picture as the lab; all Pods that
// were given are among the copies, in their order.
func SpecFromObjects(given []*corev1.Pod, o Placement) (Spec, []*corev1.Pod, error) {
	pods := make([]*corev1.Pod, len(given))
	for i, p := range given {
		pods[i] = p.DeepCopy()
	}
	spec := Spec{Topology: o.Topology, ServiceNAT: o.ServiceNAT}
	owners, err := addressOwners(pods)
	if err != nil {
		return Spec{}, nil, err
	}
	c := &census{used: map[netip.Addr]bool{}, nodes: map[string][]netip.Addr{}}
	if err := c.count(pods, o); err != nil {
		return Spec{}, nil, err
	}
	c.schedule(pods, o.Spread)
	if err := c.inhabit(pods); err != nil {
		return Spec{}, nil, err
	}
	for _, name := range c.names() {
		spec.Nodes = append(spec.Nodes, Node{Name: name, Addrs: c.nodes[name]})
	}
	for i, p := range pods {
		q, alive, err := podFromAPI(p)
		if err != nil {
			return Spec{}, nil, err
		}
		if !q.HostNetwork {
			q.Addrs = slices.DeleteFunc(q.Addrs, func(a netip.Addr) bool { return owners[a] != i })
		}
		if alive && (q.HostNetwork || len(q.Addrs) > 0) {
			spec.Pods = append(spec.Pods, q)
		}
	}
	for _, s := range o.Services {
		v, err := ServiceFromObject(s, pods)
		if err != nil {
			return Spec{}, nil, err
		}
		spec.Services = append(spec.Services, v)
	}
	spec.External = strangers(&spec, o.External)
	return spec, pods, spec.Validate()
}

// strangers are the addresses that nobody in the lab has, each once. Those that
// nobody can have are left out: a probe says so of its flow.
func strangers(s *Spec, addrs []netip.Addr) []netip.Addr {
	known := knownAddrs(s)
	var list []netip.Addr
	for _, a := range addrs {
		if usable(a) == nil && !slices.Contains(known, a) && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// podFromAPI reads what the lab needs of a Pod, and whether it runs.
func podFromAPI(p *corev1.Pod) (Pod, bool, error) {
	q := Pod{
		Name:        types.NamespacedName{Namespace: p.Namespace, Name: p.Name},
		Node:        p.Spec.NodeName,
		HostNetwork: p.Spec.HostNetwork,
	}
	var err error
	if q.Addrs, err = podAddrs(p); err != nil {
		return q, false, err
	}
	for _, c := range servingContainers(p) {
		for _, cp := range c.Ports {
			port := Port{Protocol: protocolNumber(cp.Protocol), Number: uint16(cp.ContainerPort)}
			if port.Protocol != 0 && port.Number != 0 && !slices.Contains(q.Ports, port) {
				q.Ports = append(q.Ports, port)
			}
		}
	}
	return q, !finished(p), nil
}

// servingContainers are the containers and the sidecars: init containers that
// stay.
func servingContainers(p *corev1.Pod) []corev1.Container {
	all := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	return all
}

func protocolNumber(p corev1.Protocol) uint8 {
	switch p {
	case corev1.ProtocolTCP, "":
		return TCP
	case corev1.ProtocolUDP:
		return UDP
	case corev1.ProtocolSCTP:
		return SCTP
	}
	return 0
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func podAddrs(p *corev1.Pod) ([]netip.Addr, error) {
	var texts []string
	for _, ip := range p.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	if len(texts) == 0 && p.Status.PodIP != "" {
		texts = []string{p.Status.PodIP}
	}
	return parseAddrs(p, "status.podIPs", texts)
}

func hostAddrs(p *corev1.Pod) ([]netip.Addr, error) {
	var texts []string
	for _, ip := range p.Status.HostIPs {
		texts = append(texts, ip.IP)
	}
	if len(texts) == 0 && p.Status.HostIP != "" {
		texts = []string{p.Status.HostIP}
	}
	return parseAddrs(p, "status.hostIPs", texts)
}

func parseAddrs(p *corev1.Pod, field string, texts []string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for i, t := range texts {
		if t == "" {
			continue
		}
		a, err := netip.ParseAddr(t)
		if err != nil {
			return nil, fmt.Errorf("Pod %s/%s: %s[%d]: %w", p.Namespace, p.Name, field, i, err)
		}
		if a = a.Unmap().WithZone(""); !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs, nil
}

// addressOwners says for each address which of the Pods that claim it has it:
// the newest that runs.
func addressOwners(pods []*corev1.Pod) (map[netip.Addr]int, error) {
	owners := map[netip.Addr]int{}
	for i, p := range pods {
		if finished(p) || p.Spec.HostNetwork {
			continue
		}
		addrs, err := podAddrs(p)
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if j, claimed := owners[a]; !claimed || newer(p, pods[j]) {
				owners[a] = i
			}
		}
	}
	return owners, nil
}

func newer(p, q *corev1.Pod) bool {
	return cmp.Or(
		p.CreationTimestamp.Compare(q.CreationTimestamp.Time),
		cmp.Compare(p.UID, q.UID),
		cmp.Compare(p.Name, q.Name),
		cmp.Compare(p.Namespace, q.Namespace),
	) > 0
}
