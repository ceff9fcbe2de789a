package question

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/service"
)

// door is where a flow meets a Service, or the Pod that has a port of its node:
// what is between its ends, before it is known from where it comes.
type door struct {
	service.Door
	svc  *corev1.Service
	port *corev1.ServicePort
	// behind is what it leads to.
	behind service.Backends
	// addressed: an address was named, not the Service.
	addressed bool
	// guessed: no port was given, and there are several.
	guessed bool
	// pod has this port of its node itself, and the Service is made up.
	pod *corev1.Pod
}

// String is for messages.
func (d *door) String() string {
	if d.pod != nil {
		return fmt.Sprintf("the hostPort of Pod %s/%s", d.pod.Namespace, d.pod.Name)
	}
	return fmt.Sprintf("Service %s/%s", d.svc.Namespace, d.svc.Name)
}

// door finds what a question goes to that is not itself a Pod or an address, with
// what is behind it; nil if it goes elsewhere. dsts are a Node's addresses, where
// that is the destination.
func (p *pass) door(dsts []member) (*door, error) {
	d, err := p.doorAt(dsts)
	if d == nil || err != nil {
		return nil, err
	}
	if d.pod == nil {
		if d.behind, err = p.backends(d.svc, d.port); err != nil {
			return nil, err
		}
	}
	if len(d.behind.List) == 0 {
		return nil, d.leadsNowhere()
	}
	return d, nil
}

func (p *pass) doorAt(dsts []member) (*door, error) {
	dst := p.q.Dst
	switch {
	case dst.Kind == KindService:
		svc, err := p.mustService(dst.Object)
		if err != nil {
			return nil, err
		}
		return p.doorOf(svc)
	case dst.Kind == KindNode:
		return p.nodeDoor(dst.Object.Name, dsts[0].addrs[0])
	case dst.Kind != KindAddress, p.Index.EndOfAddr(dst.Addr).Pod != nil:
		return nil, nil
	}
	d, err := p.addressedDoor(dst.Addr)
	if d != nil || err != nil || p.q.Port == "" {
		return d, err
	}
	nodes, err := p.nodeTable()
	if err != nil || nodes.byAddr[dst.Addr] == "" {
		return nil, err
	}
	return p.nodeDoor(nodes.byAddr[dst.Addr], dst.Addr)
}

// mustService finds a Service that leads to Pods.
func (w *World) mustService(name types.NamespacedName) (*corev1.Service, error) {
	svc, err := w.service(name)
	switch {
	case err != nil:
		return nil, err
	case svc == nil:
		return nil, fmt.Errorf("no Service %s in %s", name, w.where)
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return nil, fmt.Errorf("Service %s is a DNS alias of %s (type ExternalName): name the address that this has", name, svc.Spec.ExternalName)
	}
	return svc, nil
}

// doorOf chooses the port of a Service that is named.
func (p *pass) doorOf(svc *corev1.Service) (*door, error) {
	if !p.q.Protocol.HasPorts() {
		return nil, fmt.Errorf("a Service forwards ports only, not %s: name the Pods behind it", p.q.Protocol)
	}
	if p.q.Port == "" && !p.q.GuessPort {
		return nil, fmt.Errorf("port: a Service needs one")
	}
	d := &door{svc: svc, guessed: p.q.Port == "" && len(svc.Spec.Ports) > 1}
	number, numberErr := strconv.ParseUint(p.q.Port, 10, 16)
	var err error
	if d.port, err = service.Port(svc, p.q.Port, p.q.servicePorts()); err != nil {
		if !service.Headless(svc) || numberErr != nil || number == 0 {
			return nil, err
		}
		// Nothing translates, so any port can be dialled.
		d.port = &corev1.ServicePort{Port: int32(number)}
		if len(svc.Spec.Ports) > 0 {
			d.port = svc.Spec.Ports[0].DeepCopy()
		}
		d.port.Protocol = corev1.Protocol(p.q.Protocol.String())
	}
	if service.Headless(svc) {
		d.Kind = service.AtPod
		d.At = netip.AddrPortFrom(netip.Addr{}, uint16(number))
		return d, nil
	}
	d.At = netip.AddrPortFrom(netip.Addr{}, uint16(d.port.Port))
	return d, nil
}

// portsOf gives a headless Service without ports one to find its Pods by.
func portsOf(svc *corev1.Service) []corev1.ServicePort {
	if len(svc.Spec.Ports) == 0 && service.Headless(svc) {
		return []corev1.ServicePort{{}}
	}
	return svc.Spec.Ports
}

// backends finds what is behind a port of a Service: by its EndpointSlices or,
// in manifests without them, by its selector.
func (w *World) backends(svc *corev1.Service, port *corev1.ServicePort) (service.Backends, error) {
	list, err := w.endpointSlices(svc)
	if err != nil {
		return service.Backends{}, err
	}
	if len(list) > 0 || w.live {
		return service.FromSlices(svc, port, list), nil
	}
	return service.FromPods(svc, port, w.objects.Pods), nil
}

// serviceAddrs are the Services by the addresses that lead to them.
type serviceAddrs struct {
	owners map[netip.Addr]addressOwner
	// doubt is why they may not be all.
	doubt string
}

// addressOwner is a Service with a kind of address that leads to it.
type addressOwner struct {
	svc  *corev1.Service
	kind service.DoorKind
}

// serviceAddrs gathers the addresses of all Services. Whoever may not list these
// is told so where an address is judged.
func (w *World) serviceAddrs() (*serviceAddrs, error) {
	if w.addressed != nil {
		return w.addressed, nil
	}
	list, err := w.services("")
	if err != nil && !apierrors.IsForbidden(err) {
		return nil, err
	}
	found := &serviceAddrs{owners: map[netip.Addr]addressOwner{}}
	if err != nil {
		found.doubt = fmt.Sprintf("judged as it is: whether an address is a Service's cannot be known: %v", err)
	}
	for _, svc := range list {
		for _, a := range clusterIPs(svc) {
			found.owners[a] = addressOwner{svc, service.AtClusterIP}
		}
		external := slices.Clone(svc.Spec.ExternalIPs)
		for _, in := range svc.Status.LoadBalancer.Ingress {
			if in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP {
				external = append(external, in.IP)
			}
		}
		for _, a := range parseAddrs(external) {
			found.owners[a] = addressOwner{svc, service.AtBalancer}
		}
	}
	w.addressed = found
	return found, nil
}

// addressedDoor finds the Service that has an address.
func (p *pass) addressedDoor(a netip.Addr) (*door, error) {
	known, err := p.serviceAddrs()
	if err != nil {
		return nil, err
	}
	p.doubt = known.doubt
	owner, ok := known.owners[a]
	if !ok || !p.q.Protocol.HasPorts() {
		return nil, nil
	}
	d, err := p.doorOf(owner.svc)
	if err != nil {
		return nil, err
	}
	d.addressed = true
	d.Kind = owner.kind
	d.At = netip.AddrPortFrom(a, uint16(d.port.Port))
	return d, nil
}

func clusterIPs(svc *corev1.Service) []netip.Addr {
	if len(svc.Spec.ClusterIPs) == 0 {
		return parseAddrs([]string{svc.Spec.ClusterIP})
	}
	return parseAddrs(svc.Spec.ClusterIPs)
}

// parseAddrs leaves out what is no address.
func parseAddrs(list []string) []netip.Addr {
	var addrs []netip.Addr
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// nodeDoor finds the Service that nodes answer under a port, or the Pod that has
// this port of its node.
func (p *pass) nodeDoor(node string, at netip.Addr) (*door, error) {
	number, err := strconv.ParseUint(p.q.Port, 10, 16)
	if err != nil || !p.q.Protocol.HasPorts() {
		return nil, nil //nolint:nilerr // a name is not the port of a node
	}
	list, err := p.services("")
	if err != nil && !apierrors.IsForbidden(err) {
		return nil, err
	}
	d := &door{addressed: p.q.Dst.Kind == KindAddress}
	d.Door = service.Door{Kind: service.AtNode, Node: node, At: netip.AddrPortFrom(at, uint16(number))}
	for _, proto := range []corev1.Protocol{corev1.Protocol(p.q.Protocol.String()), p.q.servicePorts()} {
		for _, svc := range list {
			if port := service.NodePort(svc, d.At.Port(), proto); port != nil {
				d.svc, d.port = svc, port
				return d, nil
			}
		}
	}
	if p.hostPort(d) {
		return d, nil
	}
	if err != nil {
		p.doubt = fmt.Sprintf("judged as the node itself: whether the port is a Service's cannot be known: %v", err)
	}
	return nil, nil
}

// describe says in a line what a door leads to.
func (d *door) describe() string {
	if d.pod != nil {
		return fmt.Sprintf("hostPort %d/%s of Pod %s/%s, at node %s, leads to port %d",
			d.port.Port, policy.ProtocolOf(d.port.Protocol), d.pod.Namespace, d.pod.Name, d.Node, d.behind.List[0].Port())
	}
	s := fmt.Sprintf("Service %s/%s, port %s", d.svc.Namespace, d.svc.Name, service.PortName(d.port))
	switch d.Kind {
	case service.AtPod:
		s += ", headless"
	case service.AtNode:
		s += fmt.Sprintf(", at port %d of node %s", d.At.Port(), d.Node)
	case service.AtBalancer:
		s += ", from outside"
	default:
		if ips := clusterIPs(d.svc); len(ips) > 0 {
			s += ", ClusterIP " + joined(ips)
		}
	}
	var numbers []string
	for _, b := range d.behind.List {
		numbers = once(numbers, strconv.Itoa(int(b.Port())))
	}
	slices.Sort(numbers)
	return s + ", leads to port " + strings.Join(numbers, ", ")
}

func joined(addrs []netip.Addr) string {
	list := make([]string, len(addrs))
	for i, a := range addrs {
		list[i] = a.String()
	}
	return strings.Join(list, ", ")
}

// leadsNowhere says why a Service has nothing behind it.
func (d *door) leadsNowhere() error {
	why := "no ready Pod matches its selector"
	switch {
	case d.behind.Notice() != "":
		why = d.behind.Notice()
	case len(d.svc.Spec.Selector) == 0:
		why = "it has no selector, and nobody gave it endpoints"
	}
	return fmt.Errorf("Service %s/%s has no endpoints for port %s, so connections to it fail whatever the policies say: %s",
		d.svc.Namespace, d.svc.Name, service.PortName(d.port), why)
}
