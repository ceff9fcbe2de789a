package app

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/service"
)

// service finds a Service, nil if there is none.
func (c *cluster) service(ctx context.Context, name types.NamespacedName) (*corev1.Service, error) {
	list, err := c.finder.services(ctx, name.Namespace)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(s *corev1.Service) bool { return s.Namespace == name.Namespace && s.Name == name.Name })
	if at < 0 {
		return nil, nil
	}
	return list[at], nil
}

func (c *cluster) mustService(ctx context.Context, name types.NamespacedName) (*corev1.Service, error) {
	svc, err := c.service(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case svc == nil:
		return nil, fmt.Errorf("no Service %s in %s", name, c.where)
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return nil, fmt.Errorf("Service %s is a DNS alias of %s (type ExternalName): name the address that this has", name, svc.Spec.ExternalName)
	}
	return svc, nil
}

// backends finds what is behind a port of a Service: by its EndpointSlices or,
// in manifests without them, by its selector.
func (c *cluster) backends(ctx context.Context, svc *corev1.Service, port *corev1.ServicePort) (service.Backends, error) {
	list, err := c.finder.endpointSlices(ctx, types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name})
	if err != nil {
		return service.Backends{}, err
	}
	if len(list) > 0 || c.finder.live() {
		return service.FromSlices(svc, port, list), nil
	}
	return service.FromPods(svc, port, c.set.Pods), nil
}

// podsBehind lists the Pods behind all ports of a Service, for a Service that
// is named as a client.
func (c *cluster) podsBehind(ctx context.Context, e endRef) ([]endRef, []string, error) {
	svc, err := c.mustService(ctx, e.object)
	if err != nil {
		return nil, nil, err
	}
	var ends []endRef
	for i := range portsOf(svc) {
		behind, err := c.backends(ctx, svc, &portsOf(svc)[i])
		if err != nil {
			return nil, nil, err
		}
		for _, b := range behind.List {
			if end := (endRef{pod: b.Pod}); b.Pod.Name != "" && !slices.Contains(ends, end) {
				ends = append(ends, end)
			}
		}
	}
	if len(ends) == 0 {
		return nil, nil, fmt.Errorf("no Pod is behind Service %s", e.object)
	}
	return ends, []string{fmt.Sprintf("a Service opens no connections: %s is taken for the Pods behind it", e)}, nil
}

// portsOf gives a headless Service without ports one to find its Pods by.
func portsOf(svc *corev1.Service) []corev1.ServicePort {
	if len(svc.Spec.Ports) == 0 && service.Headless(svc) {
		return []corev1.ServicePort{{}}
	}
	return svc.Spec.Ports
}

// knock is a connection to a Service, before it is known from where.
type knock struct {
	svc  *corev1.Service
	port *corev1.ServicePort
	door service.Door
	// addressed: an address was named, not the Service.
	addressed bool
	notices   []string
	// pod has this port of its node itself, and the Service is made up; behind
	// is then known.
	pod    *corev1.Pod
	behind service.Backends
}

// String is for messages.
func (k *knock) String() string {
	if k.pod != nil {
		return fmt.Sprintf("the hostPort of Pod %s/%s", k.pod.Namespace, k.pod.Name)
	}
	return fmt.Sprintf("Service %s/%s", k.svc.Namespace, k.svc.Name)
}

// knock finds the Service that a flow goes to, nil if it goes elsewhere.
func (c *cluster) knock(ctx context.Context, f flowRef) (*knock, error) {
	switch {
	case f.dst.kind == serviceKind:
		svc, err := c.mustService(ctx, f.dst.object)
		if err != nil {
			return nil, err
		}
		return knockAt(svc, f)
	case f.dst.kind == nodeKind:
		addrs, _, err := c.nodeAddrs(f.dst.object.Name)
		if err != nil || len(addrs) == 0 {
			return nil, err
		}
		return c.nodeDoor(ctx, f, f.dst.object.Name, addrs[0])
	case f.dst.isPod(), c.index.EndOfAddr(f.dst.addr).Pod != nil:
		return nil, nil
	}
	k, err := c.serviceAt(ctx, f)
	if k != nil || err != nil || f.port == "" {
		return k, err
	}
	nodes, _, err := c.nodeTable(ctx)
	if err != nil || nodes.byAddr[f.dst.addr] == "" {
		return nil, err
	}
	return c.nodeDoor(ctx, f, nodes.byAddr[f.dst.addr], f.dst.addr)
}

// knockAt chooses the port of a Service that is named.
func knockAt(svc *corev1.Service, f flowRef) (*knock, error) {
	if !f.proto.HasPorts() {
		return nil, fmt.Errorf("a Service forwards ports only, not %s: name the Pods behind it", f.proto)
	}
	if f.port == "" && !f.guess {
		return nil, fmt.Errorf("port: a Service needs one")
	}
	k := &knock{svc: svc}
	number, numberErr := strconv.ParseUint(f.port, 10, 16)
	var err error
	if k.port, err = service.Port(svc, f.port, f.protocolName()); err != nil {
		if !service.Headless(svc) || numberErr != nil || number == 0 {
			return nil, err
		}
		// Nothing translates, so any port can be dialled.
		k.port = &corev1.ServicePort{Port: int32(number), Protocol: corev1.Protocol(f.proto.String())}
		if ports := portsOf(svc); len(ports) > 0 {
			k.port = ports[0].DeepCopy()
			k.port.Protocol = corev1.Protocol(f.proto.String())
		}
	}
	if f.port == "" && len(svc.Spec.Ports) > 1 {
		k.notices = append(k.notices, fmt.Sprintf("no port was given: this is for %s, the first of the Service", service.PortName(k.port)))
	}
	if service.Headless(svc) {
		k.door.Kind = service.AtPod
		k.door.At = netip.AddrPortFrom(netip.Addr{}, uint16(number))
		return k, nil
	}
	k.door.At = netip.AddrPortFrom(netip.Addr{}, uint16(k.port.Port))
	return k, nil
}

// protocolName is that for Services: empty if any will do.
func (f flowRef) protocolName() corev1.Protocol {
	if f.anyProto {
		return ""
	}
	return corev1.Protocol(f.proto.String())
}

// serviceAt finds the Service that has an address.
func (c *cluster) serviceAt(ctx context.Context, f flowRef) (*knock, error) {
	if c.serviceAddrs == nil {
		list, err := c.finder.services(ctx, "")
		if err != nil && !apierrors.IsForbidden(err) {
			return nil, err
		}
		// Whoever may not list Services is told so where an address is judged.
		c.addrNotice = ""
		if err != nil {
			c.addrNotice = fmt.Sprintf("judged as it is: whether an address is a Service's cannot be known: %v", err)
		}
		c.serviceAddrs = serviceAddrs(list)
	}
	owner, ok := c.serviceAddrs[f.dst.addr]
	if !ok || !f.proto.HasPorts() {
		return nil, nil
	}
	k, err := knockAt(owner.svc, f)
	if err != nil {
		return nil, err
	}
	k.addressed = true
	k.door.Kind = owner.kind
	k.door.At = netip.AddrPortFrom(f.dst.addr, uint16(k.port.Port))
	return k, nil
}

// addressed is a Service with a kind of address that leads to it.
type addressed struct {
	svc  *corev1.Service
	kind service.DoorKind
}

func serviceAddrs(list []*corev1.Service) map[netip.Addr]addressed {
	found := map[netip.Addr]addressed{}
	for _, svc := range list {
		for _, a := range clusterIPs(svc) {
			found[a] = addressed{svc, service.AtClusterIP}
		}
		external := slices.Clone(svc.Spec.ExternalIPs)
		for _, in := range svc.Status.LoadBalancer.Ingress {
			if in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP {
				external = append(external, in.IP)
			}
		}
		for _, s := range external {
			if a, err := netip.ParseAddr(s); err == nil {
				found[a.Unmap()] = addressed{svc, service.AtBalancer}
			}
		}
	}
	return found
}

func clusterIPs(svc *corev1.Service) []netip.Addr {
	list := svc.Spec.ClusterIPs
	if len(list) == 0 {
		list = []string{svc.Spec.ClusterIP}
	}
	var addrs []netip.Addr
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// nodeDoor finds the Service that nodes answer under a port, or the Pod that
// has this port of its node.
func (c *cluster) nodeDoor(ctx context.Context, f flowRef, node string, at netip.Addr) (*knock, error) {
	number, err := strconv.ParseUint(f.port, 10, 16)
	if err != nil || !f.proto.HasPorts() {
		return nil, nil //nolint:nilerr // a name is not the port of a node
	}
	door := netip.AddrPortFrom(at, uint16(number))
	list, err := c.finder.services(ctx, "")
	if err != nil && !apierrors.IsForbidden(err) {
		return nil, err
	}
	for _, proto := range []corev1.Protocol{corev1.Protocol(f.proto.String()), f.protocolName()} {
		for _, svc := range list {
			if port := service.NodePort(svc, door.Port(), proto); port != nil {
				door := service.Door{Kind: service.AtNode, Node: node, At: door}
				return &knock{svc: svc, port: port, door: door, addressed: f.dst.kind == ""}, nil
			}
		}
	}
	k := c.hostPort(f, node, door)
	if k == nil && err != nil {
		c.addrNotice = fmt.Sprintf("judged as the node itself: whether the port is a Service's cannot be known: %v", err)
	}
	return k, nil
}

// describe says in a line what a knock leads to.
func (k *knock) describe(behind service.Backends) string {
	if k.pod != nil {
		return k.describeHostPort()
	}
	s := fmt.Sprintf("Service %s/%s, port %s", k.svc.Namespace, k.svc.Name, service.PortName(k.port))
	switch k.door.Kind {
	case service.AtPod:
		s += ", headless"
	case service.AtNode:
		s += fmt.Sprintf(", at port %d of node %s", k.door.At.Port(), k.door.Node)
	case service.AtBalancer:
		s += ", from outside"
	default:
		if ips := clusterIPs(k.svc); len(ips) > 0 {
			s += ", ClusterIP " + joinAddrs(ips)
		}
	}
	var numbers []string
	for _, b := range behind.List {
		if n := strconv.Itoa(int(b.Port())); !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return s + ", leads to port " + strings.Join(numbers, ", ")
}

func joinAddrs(addrs []netip.Addr) string {
	list := make([]string, len(addrs))
	for i, a := range addrs {
		list[i] = a.String()
	}
	return strings.Join(list, ", ")
}

// noBackends says why a Service leads nowhere.
func noBackends(k *knock, behind service.Backends) error {
	why := "no ready Pod matches its selector"
	switch {
	case behind.Notice() != "":
		why = behind.Notice()
	case len(k.svc.Spec.Selector) == 0:
		why = "it has no selector, and nobody gave it endpoints"
	}
	return fmt.Errorf("Service %s/%s has no endpoints for port %s, so connections to it fail whatever the policies say: %s",
		k.svc.Namespace, k.svc.Name, service.PortName(k.port), why)
}
