package suggest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Input is what policies are made of.
type Input struct {
	// Pods of the cluster, those on the host network included.
	Pods []*policy.Pod
	// NamespaceLabels are those of each namespace that is known.
	NamespaceLabels map[string]map[string]string
	// Namespaces are those whose Pods get policies.
	Namespaces []string
	// Directions in which they are isolated; both where there are none.
	Directions []policy.Direction
	Flows      []Flow
	// Existing are the policies that there are, of whatever namespaces.
	Existing []*networkingv1.NetworkPolicy
	// Audited: the policies are to be audited, so that no verdict is another with them.
	Audited bool
}

// Result is what was made.
type Result struct {
	// Policies are sorted by namespace and name.
	Policies []*networkingv1.NetworkPolicy
	// Used is how many different flows the policies are made of, Left why others did not
	// count, with how many.
	Used int
	Left map[string]int
	// Unseen are groups of Pods of the chosen namespaces of which no flow was seen, so
	// that nothing is suggested for them.
	Unseen []string
	// Notes are what a reader should know of single policies.
	Notes []string
	// Allowed of Possible is how much the policies let through: of all pairs of groups of
	// which one has a policy, on the ports on which anything of the chosen namespaces was
	// seen.
	Allowed, Possible int
}

// maker is a suggestion in the making.
type maker struct {
	in     *Input
	groups []*group
	byPod  map[string]*group
	byAddr map[netip.Addr]*policy.Pod
	sides  map[*group]*[2]*side
	used   []Flow
	// existing are the policies that there are, by name.
	existing map[types.NamespacedName]*networkingv1.NetworkPolicy
	out      Result
}

// Make makes policies of flows. An error says which of the flows they would deny, if any:
// then there is a mistake in this package or flows that contradict the objects.
func Make(in *Input) (*Result, error) {
	m := &maker{
		in: in, byPod: map[string]*group{}, byAddr: map[netip.Addr]*policy.Pod{}, sides: map[*group]*[2]*side{},
		existing: map[types.NamespacedName]*networkingv1.NetworkPolicy{},
	}
	for _, np := range in.Existing {
		m.existing[nameOf(np)] = np
	}
	m.out.Left = map[string]int{}
	flows := slices.SortedFunc(slices.Values(in.Flows), Flow.compare)
	flows = slices.CompactFunc(flows, func(a, b Flow) bool { return a.compare(b) == 0 })
	m.know(flows)
	for i := range flows {
		if why := m.see(&flows[i]); why != "" {
			m.out.Left[why]++
			continue
		}
		m.used = append(m.used, flows[i])
	}
	m.out.Used = len(m.used)
	m.write()
	if err := m.verify(); err != nil {
		return nil, err
	}
	return &m.out, nil
}

// know sorts the Pods into groups, those included that only flows know.
func (m *maker) know(flows []Flow) {
	var pods []*policy.Pod
	known := map[string]bool{}
	for _, p := range slices.SortedFunc(slices.Values(m.in.Pods), comparePods) {
		if p.Finished {
			continue
		}
		known[p.Namespace+"/"+p.Name] = true
		for _, a := range p.Addrs {
			if m.byAddr[a] == nil || m.byAddr[a].HostNetwork {
				m.byAddr[a] = p
			}
		}
		if !p.HostNetwork {
			pods = append(pods, p)
		}
	}
	for i := range flows {
		for _, e := range []*End{&flows[i].Src, &flows[i].Dst} {
			if e.Pod == "" || known[e.Namespace+"/"+e.Pod] || len(e.Labels) == 0 {
				continue
			}
			known[e.Namespace+"/"+e.Pod] = true
			p := &policy.Pod{Labels: e.Labels, Addrs: []netip.Addr{e.Addr}}
			p.Namespace, p.Name = e.Namespace, e.Pod
			pods = append(pods, p)
		}
	}
	m.groups = groups(pods, m.taken)
	for _, g := range m.groups {
		for _, p := range g.pods {
			m.byPod[p.Namespace+"/"+p.Name] = g
		}
	}
}

func comparePods(a, b *policy.Pod) int {
	return End{Namespace: a.Namespace, Pod: a.Name}.compare(End{Namespace: b.Namespace, Pod: b.Name})
}

// find is the group of an end; nil for what is no Pod on the Pod network. It is false
// for a Pod of which nothing is known any more.
func (m *maker) find(e *End) (*group, bool) {
	if e.Pod != "" {
		if g := m.byPod[e.Namespace+"/"+e.Pod]; g != nil {
			return g, true
		}
		for _, p := range m.in.Pods {
			if p.Namespace == e.Namespace && p.Name == e.Pod && p.HostNetwork {
				return nil, true
			}
		}
		return nil, false
	}
	if p := m.byAddr[e.Addr]; p != nil {
		return m.byPod[p.Namespace+"/"+p.Name], true
	}
	return nil, true
}

// see takes a flow into account, or says why it does not count.
func (m *maker) see(f *Flow) string {
	src, known := m.find(&f.Src)
	dst, also := m.find(&f.Dst)
	switch {
	case !known || !also:
		return "their Pods are gone, and nobody wrote down their labels"
	case !m.chosen(src, policy.Egress) && !m.chosen(dst, policy.Ingress):
		return "they concern no Pod of the chosen namespaces"
	case src == dst && f.Src.Addr == f.Dst.Addr:
		return "a Pod always reaches itself"
	case !f.Protocol.HasPorts():
		return "of protocols without ports: a rule that allows " + f.Protocol.String() + " allows everything"
	}
	p := port{proto: f.Protocol, number: f.Port}
	if dst != nil {
		p.name = dst.sharedPort(f.Protocol, f.Port)
	}
	if m.chosen(src, policy.Egress) {
		m.side(src, policy.Egress).note(dst, f.Dst.Addr, p)
	}
	if m.chosen(dst, policy.Ingress) {
		if src == nil && dst.ownNode(f.Dst.Addr, &f.Src) {
			return "from a Pod's own node, which always reaches it"
		}
		m.side(dst, policy.Ingress).note(src, f.Src.Addr, p)
	}
	return ""
}

func (s *side) note(peer *group, addr netip.Addr, p port) {
	if peer != nil && peer.selector != nil {
		add(s.peers, peer, p)
		return
	}
	p.name = "" // what is no Pod for the rule has no names
	add(s.outside, addr, p)
}

// chosen reports whether a group gets a policy in the direction.
func (m *maker) chosen(g *group, d policy.Direction) bool {
	return g != nil && g.selector != nil && slices.Contains(m.in.Namespaces, g.namespace) &&
		(len(m.in.Directions) == 0 || slices.Contains(m.in.Directions, d))
}

func (m *maker) side(g *group, d policy.Direction) *side {
	if m.sides[g] == nil {
		m.sides[g] = &[2]*side{}
	}
	if m.sides[g][d] == nil {
		m.sides[g][d] = newSide()
	}
	return m.sides[g][d]
}

// write writes the policies, and what is to be said of them.
func (m *maker) write() {
	for _, g := range slices.SortedFunc(maps.Keys(m.sides), compareGroups) {
		m.out.Policies = append(m.out.Policies, m.policy(g))
		m.noteExisting(g)
		for _, o := range g.also {
			m.out.Notes = append(m.out.Notes, fmt.Sprintf("policy %s selects %s, too: no label tells them apart", g, o))
		}
	}
	for _, g := range m.groups {
		switch {
		case !slices.Contains(m.in.Namespaces, g.namespace):
		case g.selector == nil:
			m.out.Notes = append(m.out.Notes, fmt.Sprintf("Pod %s/%s and %d more like it have no label by which a policy could select them", g.namespace, g.pods[0].Name, len(g.pods)-1))
		case m.sides[g] == nil:
			m.out.Unseen = append(m.out.Unseen, g.String())
		}
	}
}

func (m *maker) policy(g *group) *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: g.name},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: g.selector}},
	}
	m.setMode(np)
	for _, d := range []policy.Direction{policy.Ingress, policy.Egress} {
		if !m.chosen(g, d) {
			continue
		}
		s := m.side(g, d)
		if len(s.peers)+len(s.outside) == 0 {
			m.out.Notes = append(m.out.Notes, fmt.Sprintf("policy %s allows no %s: none was seen", g, d))
		}
		s.names()
		if d == policy.Ingress {
			np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
			for _, e := range s.entries(g) {
				np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: e.peers, Ports: e.ports.api()})
			}
			continue
		}
		np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		for _, e := range s.entries(g) {
			np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: e.peers, Ports: e.ports.api()})
		}
	}
	return np
}
