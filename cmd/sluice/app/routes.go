package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/service"
)

// path is one concrete way that a flow can take. Its ends judge the same flow,
// unless a node on the way translates addresses between them.
type path struct {
	egress, ingress policy.Flow
	notices         []string
	// hidden: the destination sees the address of the node entry instead of the
	// client's.
	hidden bool
	entry  string
	// nodeDNS: the client's node opens the destination with --node-dns.
	nodeDNS bool
}

// routes is everything that a flow, as a user names it, stands for.
type routes struct {
	// name repeats the question.
	name  string
	paths []path
	// plural: the question named what may stand for several Pods.
	plural bool
	// through says what is between the ends, empty if nothing.
	through string
	notices []string
}

// routes finds the paths of a flow.
func (c *cluster) routes(ctx context.Context, f flowRef) (r routes, err error) {
	var srcNotice, dstNotice string
	if f.src, srcNotice, err = c.settle(ctx, f.src); err != nil {
		return r, fmt.Errorf("src: %w", err)
	}
	if f.dst, dstNotice, err = c.settle(ctx, f.dst); err != nil {
		return r, fmt.Errorf("dst: %w", err)
	}
	r.note(srcNotice, dstNotice)
	srcs, notices, err := c.expand(ctx, f.src)
	if err != nil {
		return r, fmt.Errorf("src: %w", err)
	}
	r.note(notices...)
	r.plural = !f.src.isOne() && f.src.kind != nodeKind
	if f.dst.kind == nodeKind {
		_, notices, err := c.expand(ctx, f.dst)
		if err != nil {
			return r, fmt.Errorf("dst: %w", err)
		}
		r.note(notices...)
	}
	k, err := c.knock(ctx, f)
	switch {
	case err != nil:
		return r, fmt.Errorf("dst: %w", err)
	case k != nil:
		err = c.serviceRoutes(ctx, &r, f, srcs, k)
	default:
		err = c.plainRoutes(ctx, &r, f, srcs)
	}
	return r, err
}

// note adds what a reader might not expect, once.
func (r *routes) note(notices ...string) {
	for _, n := range notices {
		if n != "" && !slices.Contains(r.notices, n) {
			r.notices = append(r.notices, n)
		}
	}
}

// plainRoutes pairs the sources with the Pods and addresses that dst is.
func (c *cluster) plainRoutes(ctx context.Context, r *routes, f flowRef, srcs []endRef) error {
	dsts, notices, err := c.expand(ctx, f.dst)
	if err != nil {
		return fmt.Errorf("dst: %w", err)
	}
	r.note(notices...)
	r.plural = r.plural || !f.dst.isOne() && f.dst.kind != nodeKind
	if err := c.guessPort(r, &f, dsts[0]); err != nil {
		return err
	}
	if f.dst.kind == "" && !f.dst.isPod() || f.dst.kind == nodeKind {
		r.note(c.addrNotice)
	}
	r.name = f.String()
	var unusable []error
	for _, src := range srcs {
		for _, dst := range dsts {
			flow, notices, err := c.resolve(flowRef{src: src, dst: dst, proto: f.proto, port: f.port})
			if err != nil {
				unusable = append(unusable, err)
				continue
			}
			paths, more, err := c.direct(ctx, src, flow)
			if err != nil {
				return fmt.Errorf("src: %w", err)
			}
			for _, p := range paths {
				p.notices = append(notices[:len(notices):len(notices)], p.notices...)
				r.paths = append(r.paths, p)
			}
			r.plural = r.plural || len(paths) > 1
			r.note(more...)
		}
	}
	if len(r.paths) == 0 {
		return unusable[0]
	}
	for _, err := range unusable {
		r.note("left out: " + err.Error())
	}
	return nil
}

// guessPort takes the first port that the destination declares, if none was
// given and the question allows it.
func (c *cluster) guessPort(r *routes, f *flowRef, dst endRef) error {
	if !f.guess || f.port != "" || !f.proto.HasPorts() {
		return nil
	}
	port, proto, ok := c.firstPort(dst)
	if !ok {
		return errors.New("the port is missing: DST declares none, so write DST:PORT, or DST:/ICMP")
	}
	f.port, f.proto = port, proto
	r.note(fmt.Sprintf("no port was given: this is for %s/%s, the first that the Pod declares", port, proto))
	return nil
}

// String is the flow in the syntax that explain reads.
func (f flowRef) String() string {
	dst := f.dst.String()
	if strings.Contains(dst, ":") {
		dst = "[" + dst + "]"
	}
	return f.src.String() + " → " + dst + ":" + f.port + "/" + f.proto.String()
}

// serviceRoutes follows the sources through a Service.
func (c *cluster) serviceRoutes(ctx context.Context, r *routes, f flowRef, srcs []endRef, k *knock) error {
	r.plural = true
	behind := k.behind
	if k.pod == nil {
		var err error
		if behind, err = c.backends(ctx, k.svc, k.port); err != nil {
			return fmt.Errorf("dst: %w", err)
		}
	}
	if len(behind.List) == 0 {
		return fmt.Errorf("dst: %w", noBackends(k, behind))
	}
	f.proto = protocolOf(k.port.Protocol)
	if f.port == "" {
		f.port = fmt.Sprint(k.port.Port)
	}
	r.name = f.String()
	r.note(k.notices...)
	var unusable []error
	for _, src := range srcs {
		if err := c.knockFrom(ctx, r, k, behind, src, f.proto); err != nil {
			unusable = append(unusable, err)
		}
	}
	if len(r.paths) == 0 {
		return unusable[0]
	}
	for _, err := range unusable {
		r.note("left out: " + err.Error())
	}
	r.note(behind.Notice())
	return nil
}

// knockFrom adds the paths of one client.
func (c *cluster) knockFrom(ctx context.Context, r *routes, k *knock, behind service.Backends, src endRef, proto policy.Protocol) error {
	client, addrs, notice, err := c.clientOf(ctx, src)
	if err != nil {
		return fmt.Errorf("src: %w", err)
	}
	door := k.door
	if door.Kind == service.AtClusterIP && !k.addressed && client.Kind == service.Outside && service.OnNodes(k.svc) {
		door.Kind = service.AtBalancer
	}
	shown := *k
	shown.door = door
	r.through = shown.describe(behind)
	if client.Addr, err = commonFamily(addrs, door, k, behind); err != nil {
		return err
	}
	onNode, notices, all := c.onNode(&shown, client, proto)
	r.paths = append(r.paths, onNode...)
	r.note(notices...)
	if all {
		r.note(notice)
		return nil
	}
	nodes, nodeNotices, err := c.nodesFor(ctx, client, door)
	if err != nil {
		return err
	}
	if door.Kind == service.AtNode && door.At.Addr().Is4() != client.Addr.Is4() {
		at := slices.IndexFunc(nodes, func(n service.Node) bool { return n.Name == door.Node })
		if at < 0 {
			return fmt.Errorf("node %s has no address of the family of %s", door.Node, client.Addr)
		}
		door.At = netip.AddrPortFrom(nodes[at].Addr, door.At.Port())
	}
	paths := service.Paths(k.svc, client, door, behind.List, nodes)
	if len(paths) == 0 {
		return unreachable(k, client, door)
	}
	r.note(notice)
	r.note(nodeNotices...)
	r.note(routeNotices(k, client, door, paths)...)
	r.note(c.overlayNotices(client, paths)...)
	for _, p := range paths {
		r.paths = append(r.paths, c.pathOf(p, src.pod, proto))
	}
	return nil
}

// nodesFor are the nodes that matter to a connection, none inside of the
// cluster.
func (c *cluster) nodesFor(ctx context.Context, client service.Client, door service.Door) ([]service.Node, []string, error) {
	if client.Kind != service.Host && (client.Kind != service.Outside && door.Kind != service.AtNode && door.Kind != service.AtBalancer || door.Kind == service.AtPod) {
		return nil, nil, nil
	}
	table, notices, err := c.nodeTable(ctx)
	if err != nil {
		return nil, nil, err
	}
	return table.family(client.Addr), notices, nil
}

// clientOf says who the source of a connection is.
func (c *cluster) clientOf(ctx context.Context, e endRef) (client service.Client, addrs []netip.Addr, notice string, err error) {
	if addrs, notice, err = c.addrs(e); err != nil {
		return client, nil, "", err
	}
	if e.kind == nodeKind {
		return service.Client{Node: e.object.Name, Kind: service.Host}, addrs, notice, nil
	}
	pod := c.index.EndOfAddr(addrs[0]).Pod
	if e.isPod() {
		pod, _ = c.index.Pod(e.pod)
	}
	switch {
	case pod != nil && pod.HostNetwork:
		return service.Client{Node: pod.Node, Kind: service.Host}, addrs,
			fmt.Sprintf("Pod %s uses the host network: it is its node, whose address the other end sees", pod.NamespacedName), nil
	case pod != nil:
		return service.Client{Node: pod.Node, Kind: service.Pod}, addrs, notice, nil
	}
	nodes, _, err := c.nodeTable(ctx)
	if err != nil {
		return client, nil, "", err
	}
	if name := nodes.byAddr[addrs[0]]; name != "" {
		return service.Client{Node: name, Kind: service.Host}, addrs, notice, nil
	}
	return service.Client{}, addrs, notice, nil
}

// commonFamily picks the client's address: of the family that was dialled, or
// of the first of the Service's that the client and a backend have.
func commonFamily(addrs []netip.Addr, door service.Door, k *knock, behind service.Backends) (netip.Addr, error) {
	var families []netip.Addr
	switch {
	case k.addressed:
		families = []netip.Addr{door.At.Addr()}
	case door.Kind == service.AtClusterIP:
		families = clusterIPs(k.svc)
	}
	if !k.addressed {
		for _, b := range behind.List {
			families = append(families, b.Addr())
		}
	}
	for _, family := range families {
		for _, a := range addrs {
			if a.Is4() == family.Is4() && slices.ContainsFunc(behind.List, func(b service.Backend) bool { return b.Addr().Is4() == a.Is4() }) {
				return a, nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("src and %s have no address of the same family", k)
}

func unreachable(k *knock, client service.Client, door service.Door) error {
	node, knob := client.Node, "internalTrafficPolicy"
	if door.Kind != service.AtClusterIP {
		node, knob = door.Node, "externalTrafficPolicy"
	}
	return fmt.Errorf("%s has no endpoint on node %s, and its %s Local allows no other: connections fail whatever the policies say", k, node, knob)
}

// routeNotices say what the way through a Service does to a connection.
func routeNotices(k *knock, client service.Client, door service.Door, paths []service.Path) []string {
	var notices []string
	handedOn := door.Kind == service.AtNode || door.Kind == service.AtBalancer
	hidden := handedOn && slices.ContainsFunc(paths, func(p service.Path) bool { return p.Hidden })
	switch {
	case client.Kind == service.Outside && door.Kind == service.AtClusterIP:
		notices = append(notices, "a ClusterIP is not reachable from outside, unless the network routes it to a node")
	case door.Kind == service.AtPod && door.At.Port() != 0 && door.At.Port() != uint16(k.port.TargetPort.IntValue()):
		notices = append(notices, fmt.Sprintf("the Service is headless: its name leads to the Pods, and nothing translates the port, so %d is judged as dialled", door.At.Port()))
	case client.Kind == service.Outside && !hidden && k.svc.Spec.ExternalTrafficPolicy == "Local" && door.Kind == service.AtBalancer:
		notices = append(notices, "externalTrafficPolicy Local keeps the client's address, if the load balancer does")
	}
	if hidden {
		notices = append(notices, "a node that hands the connection to another node's Pod puts its own address in place of the client's (with an overlay network, that of its tunnel); externalTrafficPolicy Local avoids it")
	}
	if door.Kind == service.AtNode && client.Kind == service.Pod && door.Node != client.Node {
		notices = append(notices, fmt.Sprintf("the client's egress is judged for %s, what it dials: node %s translates it (if the network plugin masquerades Pods towards nodes, that node sees the client's node instead of the client)", door.At, door.Node))
	}
	return notices
}

func (c *cluster) pathOf(p service.Path, client types.NamespacedName, proto policy.Protocol) path {
	flow := func(l service.Leg) policy.Flow {
		f := c.flowBetween(client, l.Src, p.Backend.Pod, l.Dst.Addr())
		f.Protocol, f.Port = proto, l.Dst.Port()
		return f
	}
	out := path{egress: flow(p.Egress), ingress: flow(p.Ingress), hidden: p.Hidden, entry: p.Entry}
	out.notices = c.sharedNotices(&policy.Flow{Src: out.egress.Src, Dst: out.ingress.Dst})
	if n := c.hostNotice(p.Backend.Pod); n != "" {
		out.notices = append(out.notices, n)
	}
	switch {
	case p.Hidden && p.Tunnel && c.isNode(p.Egress.Src, p.Entry):
		out.notices = append(out.notices, fmt.Sprintf("node %s reaches the Pods of other nodes through its tunnel (%s): the Pod sees %s", p.Entry, c.nodes.overlays[p.Entry].network, p.Ingress.Src))
	case p.Hidden:
		out.notices = append(out.notices, fmt.Sprintf("node %s hides the client: the Pod sees %s", p.Entry, p.Ingress.Src))
	case p.Entry != "" && p.Entry == p.Backend.Node && p.Egress == p.Ingress && out.egress.Src.Pod == nil:
		out.notices = append(out.notices, fmt.Sprintf("it comes in at node %s, the Pod's own, which judges the client itself", p.Entry))
	case p.Hairpin && out.egress.Src.Pod == out.egress.Dst.Pod:
		out.notices = append(out.notices, "the Service leads the Pod back to itself")
	}
	return out
}

// shown is the flow from the client to the Pod that gets it in the end.
func (p *path) shown() policy.Flow {
	return policy.Flow{Src: p.egress.Src, Dst: p.ingress.Dst, Protocol: p.ingress.Protocol, Port: p.ingress.Port}
}

// judge judges each end by what it sees.
func (c *cluster) judge(p *path, judge func(policy.Flow) policy.Verdict) policy.Verdict {
	v := judge(p.egress)
	if p.egress != p.ingress {
		v.Ingress = judge(p.ingress).Ingress
		v.Allowed = v.Egress.Allowed && v.Ingress.Allowed
		v.Flow = p.shown()
	}
	if p.nodeDNS && !v.Egress.Allowed {
		v.Egress = policy.DirectionVerdict{Direction: policy.Egress, Allowed: true, Reason: reasonNodeDNS}
		v.Allowed = v.Ingress.Allowed
	}
	return v
}
