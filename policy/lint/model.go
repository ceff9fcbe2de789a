package lint

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// policyModel is a NetworkPolicy in terms that can be compared.
type policyModel struct {
	api      *networkingv1.NetworkPolicy
	object   Object
	space    *space
	subject  policy.LabelSet
	isolates [2]bool
	rules    [2][]*rule
	// broken: it has an error, so what it says is not what was meant.
	broken bool
	// audited: it counts for no verdict.
	audited bool
}

// countsFor reports whether what the policy isolates and allows counts wherever what
// another one does: an audited policy does nothing for one that is enforced.
func (m *policyModel) countsFor(o *policyModel) bool { return !m.audited || o.audited }

// beside are the policies of its namespace that count wherever it does, itself among
// them.
func (m *policyModel) beside() []*policyModel { return m.space.counting(m.audited) }

// rule is one rule. No peers, or no ports, is all of them.
type rule struct {
	of    *policyModel
	dir   policy.Direction
	index int
	path  path
	peers []*peer
	ports []*port
}

// peer is one entry of from or to: a block, or Pods in namespaces.
type peer struct {
	path  path
	block *policy.IPBlock
	pods  policy.LabelSet
	// namespaces is only set where there is a namespaceSelector; own otherwise.
	namespaces policy.LabelSet
	own        bool
	// podSelector and namespaceSelector are as written; nil where they are left out.
	podSelector, namespaceSelector *metav1.LabelSelector
}

// port is one entry of ports: a name, or a range.
type port struct {
	path path
	name string
	policy.PortRange
}

func newPolicyModel(np *networkingv1.NetworkPolicy) *policyModel {
	np = np.DeepCopy()
	policy.Default(np)
	m := &policyModel{api: np, object: Object{"NetworkPolicy", np.Namespace, np.Name}}
	m.broken = len(policy.Validate(np)) > 0
	var err error
	if m.subject, err = policy.NewLabelSet(&np.Spec.PodSelector); err != nil {
		m.broken = true
		m.subject, _ = policy.NewLabelSet(nil)
	}
	for _, t := range np.Spec.PolicyTypes {
		m.isolates[policy.Ingress] = m.isolates[policy.Ingress] || t == networkingv1.PolicyTypeIngress
		m.isolates[policy.Egress] = m.isolates[policy.Egress] || t == networkingv1.PolicyTypeEgress
	}
	if m.broken {
		return m
	}
	for i := range np.Spec.Ingress {
		m.addRule(policy.Ingress, i, np.Spec.Ingress[i].From, np.Spec.Ingress[i].Ports)
	}
	for i := range np.Spec.Egress {
		m.addRule(policy.Egress, i, np.Spec.Egress[i].To, np.Spec.Egress[i].Ports)
	}
	return m
}

func (m *policyModel) addRule(d policy.Direction, index int, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
	r := &rule{of: m, dir: d, index: index, path: path{"spec", directionField(d), index}}
	for i := range peers {
		p, err := newPeer(&peers[i], r.path.at(peerField(d), i))
		if err != nil {
			m.broken = true
			return
		}
		r.peers = append(r.peers, p)
	}
	for i := range ports {
		r.ports = append(r.ports, newPort(&ports[i], r.path.at("ports", i)))
	}
	m.rules[d] = append(m.rules[d], r)
}

func newPeer(in *networkingv1.NetworkPolicyPeer, at path) (*peer, error) {
	p := &peer{path: at, podSelector: in.PodSelector, namespaceSelector: in.NamespaceSelector}
	if in.IPBlock != nil {
		block, err := policy.NewIPBlock(in.IPBlock)
		p.block = &block
		return p, err
	}
	var err error
	if p.pods, err = policy.NewLabelSet(in.PodSelector); err != nil {
		return nil, err
	}
	if p.own = in.NamespaceSelector == nil; p.own {
		return p, nil
	}
	p.namespaces, err = policy.NewLabelSet(in.NamespaceSelector)
	return p, err
}

// newPort reads a port that was validated and defaulted.
func newPort(in *networkingv1.NetworkPolicyPort, at path) *port {
	p := &port{path: at}
	p.Protocol = policy.TCP
	if in.Protocol != nil {
		p.Protocol = policy.ProtocolOf(*in.Protocol)
	}
	switch {
	case in.Port == nil:
		p.Last = 65535
	case in.Port.Type == intstr.String:
		p.name = in.Port.StrVal
	default:
		p.First, p.Last = uint16(in.Port.IntVal), uint16(in.Port.IntVal)
		if in.EndPort != nil {
			p.Last = uint16(*in.EndPort)
		}
	}
	return p
}

func (p *port) String() string {
	if p.name != "" {
		return p.Protocol.String() + " port " + p.name
	}
	return p.PortRange.String()
}

// has reports whether the port is a range with this number.
func (p *port) has(proto policy.Protocol, number uint16) bool {
	return p.name == "" && p.Protocol == proto && p.First <= number && number <= p.Last
}

// single reports whether the port is one number.
func (p *port) single() bool { return p.name == "" && p.First == p.Last }

// selected are the ends that a policy selects, or may select.
func (m *policyModel) selected() []*end { return m.space.selects(m.subject) }

// in is where a peer looks for Pods: the namespaces of the input that it may match.
// closed says that there are no others, and that the input has Pods of each.
func (p *peer) in(w *world, r *rule) (spaces []*space, closed bool) {
	if p.block != nil {
		return nil, false
	}
	if p.own {
		return []*space{r.of.space}, len(r.of.space.ends) > 0 && !r.of.space.partial()
	}
	names, known := p.namespaces.Values(corev1.LabelMetadataName)
	closed = known
	for _, s := range w.spaces {
		if _, may := s.matches(p.namespaces); may {
			spaces = append(spaces, s)
		}
	}
	for _, name := range names {
		s := w.byName[name]
		closed = closed && s != nil && len(s.ends) > 0 && !s.partial() && slices.Contains(spaces, s)
	}
	return spaces, closed && len(spaces) > 0
}

// targets are the ends of the input that a peer may match. closed says that there
// are no others as far as the input tells.
func (p *peer) targets(w *world, r *rule) (ends []*end, spaces []*space, closed bool) {
	spaces, closed = p.in(w, r)
	for _, s := range spaces {
		ends = append(ends, s.selects(p.pods)...)
	}
	return ends, spaces, closed
}

// destinations are the ends whose ports a rule is about: those that the policy
// selects, or those that the peers of an egress rule match. known is false where
// there may be others.
func (r *rule) destinations(w *world) (ends []*end, spaces []*space, known bool) {
	if r.dir == policy.Ingress {
		ends = r.of.selected()
		return ends, []*space{r.of.space}, len(ends) > 0
	}
	for _, p := range r.peers {
		more, in, closed := p.targets(w, r)
		if !closed {
			return nil, nil, false
		}
		ends, spaces = append(ends, more...), append(spaces, in...)
	}
	return ends, spaces, len(ends) > 0
}
