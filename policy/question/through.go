package question

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/service"
)

// enter completes a question that goes through a door.
func (p *pass) enter(d *door) {
	p.q.Protocol = policy.ProtocolOf(d.port.Protocol)
	if p.q.Port == "" {
		p.q.Port = fmt.Sprint(d.port.Port)
	}
	if d.guessed {
		p.note(fmt.Sprintf("no port was given: this is for %s, the first of the Service", service.PortName(d.port)))
	}
}

// through adds the paths of one client through a door.
func (p *pass) through(named *door, src *member) error {
	client, notice, err := p.client(src)
	if err != nil {
		return fmt.Errorf("src: %w", err)
	}
	at := *named
	d := &at
	if d.Kind == service.AtClusterIP && !d.addressed && client.Kind == service.Outside && service.OnNodes(d.svc) {
		d.Kind = service.AtBalancer
	}
	p.answer.Through = d.describe()
	if client.Addr, err = d.clientAddr(src.addrs); err != nil {
		return err
	}
	first, notes, err := p.throughOver(d, client, src)
	if err != nil {
		return err
	}
	p.note(once(nil, append([]string{notice}, notes...)...)...)
	var other []Path
	if client.Addr = d.otherAddr(src.addrs, client.Addr); client.Addr.IsValid() {
		// Where it does not lead over the other family, there is the first.
		other, notes, _ = p.throughOver(d, client, src)
	}
	p.add(first, other, notes)
	return nil
}

// throughOver finds the paths through a door over the family of a client's address, and
// what is to be said of them.
func (p *pass) throughOver(named *door, client service.Client, src *member) (out []Path, notes []string, err error) {
	at := *named
	d := &at
	out, notes, all := p.onNode(d, client)
	if all {
		return out, notes, nil
	}
	nodes, nodeNotice, err := p.nodesFor(client, d.Door)
	if err != nil {
		return nil, nil, err
	}
	if d.Kind == service.AtNode && d.At.Addr().Is4() != client.Addr.Is4() {
		i := slices.IndexFunc(nodes, func(n service.Node) bool { return n.Name == d.Node })
		if i < 0 {
			return nil, nil, fmt.Errorf("node %s has no address of the family of %s", d.Node, client.Addr)
		}
		d.At = netip.AddrPortFrom(nodes[i].Addr, d.At.Port())
	}
	paths := service.Paths(d.svc, client, d.Door, d.behind.List, nodes)
	if len(paths) == 0 {
		return nil, nil, d.unreachable(client)
	}
	notes = append(append(notes, nodeNotice), d.notices(client, paths)...)
	notes = append(notes, p.overlayNotices(client, paths)...)
	for _, f := range paths {
		out = append(out, p.path(f, src.pod(), p.q.Protocol))
	}
	return out, notes, nil
}

// otherAddr is an address of a client over whose family a Service that is named, and
// something behind it, can be reached, too: not valid if there is none.
func (d *door) otherAddr(addrs []netip.Addr, first netip.Addr) netip.Addr {
	if d.addressed {
		return netip.Addr{}
	}
	ips := clusterIPs(d.svc)
	for _, a := range otherFamily(addrs, first) {
		same := func(b netip.Addr) bool { return b.Is4() == a.Is4() }
		if (len(ips) == 0 || slices.ContainsFunc(ips, same)) && slices.ContainsFunc(d.behind.List, func(b service.Backend) bool { return same(b.Addr()) }) {
			return a
		}
	}
	return netip.Addr{}
}

// clientAddr picks the client's address: of the family that was dialled, or of the
// first family of the Service that both the client and a backend have.
func (d *door) clientAddr(addrs []netip.Addr) (netip.Addr, error) {
	var families []netip.Addr
	switch {
	case d.addressed:
		families = []netip.Addr{d.At.Addr()}
	case d.Kind == service.AtClusterIP:
		families = clusterIPs(d.svc)
	}
	if !d.addressed {
		for _, b := range d.behind.List {
			families = append(families, b.Addr())
		}
	}
	for _, family := range families {
		for _, a := range addrs {
			if a.Is4() == family.Is4() && slices.ContainsFunc(d.behind.List, func(b service.Backend) bool { return b.Addr().Is4() == a.Is4() }) {
				return a, nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("src and %s have no address of the same family", d)
}

func (d *door) unreachable(client service.Client) error {
	node, knob := client.Node, "internalTrafficPolicy"
	if d.Kind != service.AtClusterIP {
		node, knob = d.Node, "externalTrafficPolicy"
	}
	return fmt.Errorf("%s has no endpoint on node %s, and its %s Local allows no other: connections fail whatever the policies say", d, node, knob)
}

// notices say what the way through a door does to a connection.
func (d *door) notices(client service.Client, paths []service.Path) []string {
	var notices []string
	hidden := (d.Kind == service.AtNode || d.Kind == service.AtBalancer) &&
		slices.ContainsFunc(paths, func(p service.Path) bool { return p.Hidden && !p.Masqueraded })
	switch {
	case client.Kind == service.Outside && d.Kind == service.AtClusterIP:
		notices = append(notices, "a ClusterIP is not reachable from outside, unless the network routes it to a node")
	case d.Kind == service.AtPod && d.At.Port() != 0 && d.At.Port() != uint16(d.port.TargetPort.IntValue()):
		notices = append(notices, fmt.Sprintf("the Service is headless: its name leads to the Pods, and nothing translates the port, so %d is judged as dialled", d.At.Port()))
	case client.Kind == service.Outside && !hidden && d.svc.Spec.ExternalTrafficPolicy == "Local" && d.Kind == service.AtBalancer:
		notices = append(notices, "externalTrafficPolicy Local keeps the client's address, if the load balancer does")
	}
	if hidden {
		notices = append(notices, "a node that hands the connection to another node's Pod puts its own address in place of the client's (with an overlay network, that of its tunnel); externalTrafficPolicy Local avoids it")
	}
	if d.Kind == service.AtNode && client.Kind == service.Pod && d.Node != client.Node {
		doubt := "if the network plugin masquerades Pods towards nodes, that node sees the client's node instead of the client"
		if slices.ContainsFunc(paths, func(p service.Path) bool { return p.Masqueraded }) {
			doubt = fmt.Sprintf("flannel with --ip-masq, as its manifest and k3s have it, shows that node the address of node %s instead of the client's; nothing tells whether it is set, so both ways are judged", client.Node)
		}
		notices = append(notices, fmt.Sprintf("the client's egress is judged for %s, what it dials: node %s translates it (%s)", d.At, d.Node, doubt))
	}
	return notices
}

// path is what a way through a Service looks like to the two ends' nodes.
func (w *World) path(f service.Path, client types.NamespacedName, proto policy.Protocol) Path {
	leg := func(l service.Leg) policy.Flow {
		flow := w.flowBetween(client, l.Src, f.Backend.Pod, l.Dst.Addr())
		flow.Protocol, flow.Port = proto, l.Dst.Port()
		return flow
	}
	p := Path{Egress: leg(f.Egress), Ingress: leg(f.Ingress), Hidden: f.Hidden, Entry: f.Entry}
	p.Notices = w.sharedNotices(&policy.Flow{Src: p.Egress.Src, Dst: p.Ingress.Dst})
	if n := w.hostNotice(f.Backend.Pod); n != "" {
		p.Notices = append(p.Notices, n)
	}
	switch {
	case f.Hidden && f.Tunnel && w.isNode(f.Egress.Src, f.Entry):
		p.Notices = append(p.Notices, fmt.Sprintf("node %s reaches the Pods of other nodes through its tunnel (%s): the Pod sees %s", f.Entry, w.nodes.overlays[f.Entry].network, f.Ingress.Src))
	case f.Hidden:
		p.Notices = append(p.Notices, fmt.Sprintf("node %s hides the client: the Pod sees %s", f.Entry, f.Ingress.Src))
	case f.Entry != "" && f.Entry == f.Backend.Node && f.Egress == f.Ingress && p.Egress.Src.Pod == nil:
		p.Notices = append(p.Notices, fmt.Sprintf("it comes in at node %s, the Pod's own, which judges the client itself", f.Entry))
	case f.Hairpin && p.Egress.Src.Pod == p.Egress.Dst.Pod:
		p.Notices = append(p.Notices, "the Service leads the Pod back to itself")
	}
	return p
}
