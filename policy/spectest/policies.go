package spectest

import (
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type policyBuilder struct {
	dice
	cluster *Cluster
	invalid bool
	// names: see Options.
	names bool
}

func (b *policyBuilder) policy(i int) *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "np" + strconv.Itoa(i)}}
	np.Namespace = "ns-0"
	if len(b.cluster.Pods) > 0 {
		np.Namespace = pick(b.dice, b.cluster.Pods).Namespace
	}
	np.Spec = b.spec()
	if b.invalid && b.chance(12) {
		b.spoil(&np.Spec)
	}
	if b.cluster.modes {
		np.Annotations = randomMode(b.dice, nil, b.invalid)
	}
	return np
}

func (b *policyBuilder) spec() networkingv1.NetworkPolicySpec {
	in, out := networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	s := networkingv1.NetworkPolicySpec{PodSelector: *b.selector(podLabels, 40)}
	s.PolicyTypes = weighted(b.dice, []weight[[]networkingv1.PolicyType]{
		{30, nil}, {5, []networkingv1.PolicyType{}},
		{20, []networkingv1.PolicyType{in}}, {15, []networkingv1.PolicyType{out}},
		{20, []networkingv1.PolicyType{in, out}}, {10, []networkingv1.PolicyType{out, in}},
	})
	for range b.count() {
		s.Ingress = append(s.Ingress, networkingv1.NetworkPolicyIngressRule{From: b.peers(), Ports: b.ports()})
	}
	for range b.count() {
		s.Egress = append(s.Egress, networkingv1.NetworkPolicyEgressRule{To: b.peers(), Ports: b.ports()})
	}
	if s.Ingress == nil && b.chance(50) {
		s.Ingress = []networkingv1.NetworkPolicyIngressRule{}
	}
	return s
}

func (b *policyBuilder) count() int {
	return weighted(b.dice, []weight[int]{{20, 0}, {40, 1}, {28, 2}, {12, 3}})
}

func (b *policyBuilder) peers() []networkingv1.NetworkPolicyPeer {
	if b.chance(12) {
		return pick(b.dice, [][]networkingv1.NetworkPolicyPeer{nil, {}})
	}
	var peers []networkingv1.NetworkPolicyPeer
	most := 3
	if b.names {
		most = 8
	}
	for range 1 + b.IntN(most) {
		peers = append(peers, b.peer())
	}
	return peers
}

func (b *policyBuilder) peer() (p networkingv1.NetworkPolicyPeer) {
	switch b.IntN(10) {
	case 0, 1, 2:
		p.PodSelector = b.selector(podLabels, 15)
	case 3, 4:
		p.NamespaceSelector = b.selector(namespaceLabels, 15)
	case 5, 6:
		p.PodSelector = b.selector(podLabels, 15)
		p.NamespaceSelector = b.selector(namespaceLabels, 20)
	default:
		p.IPBlock = b.block()
	}
	return p
}

// selector is empty in so many of 100 cases, and has one or two requirements
// in the others.
func (b *policyBuilder) selector(keys []labelKey, empty int) *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	if b.chance(empty) {
		return s
	}
	for range weighted(b.dice, []weight[int]{{70, 1}, {30, 2}}) {
		k := pick(b.dice, keys)
		if k.key == "team" && b.chance(20) {
			k = labelKey{key: corev1.LabelMetadataName, values: []string{"ns-0", "ns-1", "ns-2"}}
		}
		if b.chance(35) {
			if s.MatchLabels == nil {
				s.MatchLabels = map[string]string{}
			}
			s.MatchLabels[k.key] = pick(b.dice, k.values)
			continue
		}
		s.MatchExpressions = append(s.MatchExpressions, b.requirement(k))
	}
	return s
}

func (b *policyBuilder) requirement(k labelKey) metav1.LabelSelectorRequirement {
	e := metav1.LabelSelectorRequirement{Key: k.key}
	if b.chance(5) {
		e.Key = "nobody.has/this"
	}
	e.Operator = weighted(b.dice, []weight[metav1.LabelSelectorOperator]{
		{35, metav1.LabelSelectorOpIn}, {30, metav1.LabelSelectorOpNotIn},
		{20, metav1.LabelSelectorOpExists}, {15, metav1.LabelSelectorOpDoesNotExist},
	})
	switch e.Operator {
	case metav1.LabelSelectorOpIn:
		e.Values = several(b.dice, k.values, 3)
	case metav1.LabelSelectorOpNotIn:
		e.Values = several(b.dice, k.values, 2)
	}
	return e
}

func (b *policyBuilder) ports() []networkingv1.NetworkPolicyPort {
	if b.names && b.chance(80) {
		return b.namedPorts()
	}
	if b.chance(25) {
		return pick(b.dice, [][]networkingv1.NetworkPolicyPort{nil, {}})
	}
	var ports []networkingv1.NetworkPolicyPort
	for range 1 + b.IntN(3) {
		ports = append(ports, b.port())
	}
	return ports
}

// namedPorts are most of the names there are, with several protocols.
func (b *policyBuilder) namedPorts() (ports []networkingv1.NetworkPolicyPort) {
	for range 1 + b.IntN(2*len(portNames)) {
		name := intstr.FromString(pick(b.dice, portNames))
		p := networkingv1.NetworkPolicyPort{Port: &name}
		if proto := randomProtocol(b.dice); proto != "" {
			p.Protocol = &proto
		}
		ports = append(ports, p)
	}
	return ports
}

func (b *policyBuilder) port() (p networkingv1.NetworkPolicyPort) {
	if proto := randomProtocol(b.dice); proto != "" {
		p.Protocol = &proto
	}
	switch b.IntN(20) {
	case 0, 1, 2:
		return p
	case 3, 4, 5, 6, 7, 8:
		name := intstr.FromString(pick(b.dice, portNames))
		p.Port = &name
		return p
	}
	number := pick(b.dice, portNumbers)
	port := intstr.FromInt32(number)
	p.Port = &port
	if b.chance(40) {
		end := min(number+pick(b.dice, []int32{0, 1, 2, 10, 1000, 65535}), 65535)
		p.EndPort = &end
	}
	return p
}

// block lies around an address that means something, so that blocks overlap
// and hold Pods, nodes or neither.
func (b *policyBuilder) block() *networkingv1.IPBlock {
	base := b.cluster.someEnd(b.dice, b.chance(50))
	lengths := []int{0, 8, 15, 16, 22, 24, 28, 30, 31, 32}
	if !base.Is4() {
		lengths = []int{0, 16, 32, 47, 48, 64, 112, 120, 126, 128}
	}
	bits := pick(b.dice, lengths)
	outer := netip.PrefixFrom(base, bits)
	block := &networkingv1.IPBlock{CIDR: b.spell(outer)}
	for range weighted(b.dice, []weight[int]{{45, 0}, {30, 1}, {15, 2}, {10, 3}}) {
		longer := lengths[len(lengths)-1]
		for range 3 {
			if n := pick(b.dice, lengths); n > bits {
				longer = n
				break
			}
		}
		inner := b.cluster.someEnd(b.dice, base.Is4())
		if !outer.Masked().Contains(inner) {
			inner = base
		}
		if longer > bits {
			block.Except = append(block.Except, b.spell(netip.PrefixFrom(inner, longer)))
		}
	}
	return block
}

// spell writes a prefix in one of the ways that the API server takes.
func (b *policyBuilder) spell(p netip.Prefix) string {
	switch {
	case b.chance(25):
		return p.String() // with host bits
	case p.Addr().Is4() && b.chance(3):
		return "::ffff:" + p.Addr().String() + "/" + strconv.Itoa(p.Bits()+96)
	case p.Addr().Is4() && b.chance(4):
		return "0" + strings.Replace(p.Masked().String(), ".", ".00", 1)
	}
	return p.Masked().String()
}
