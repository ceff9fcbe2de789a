package suggest

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// port is a port of a rule: by its number, or by its name.
type port struct {
	proto  policy.Protocol
	name   string
	number uint16
}

func (p port) compare(q port) int {
	return cmp.Or(cmp.Compare(p.proto, q.proto), cmp.Compare(p.number, q.number), strings.Compare(p.name, q.name))
}

// ports is a set of them.
type ports map[port]struct{}

// text is the same for equal sets.
func (s ports) text() string {
	var out strings.Builder
	for _, p := range slices.SortedFunc(maps.Keys(s), port.compare) {
		out.WriteString(p.name + " " + portText(p.proto, p.number) + ",")
	}
	return out.String()
}

// side is what was seen of a group in one direction.
type side struct {
	peers   map[*group]ports
	outside map[netip.Addr]ports
}

func newSide() *side {
	return &side{peers: map[*group]ports{}, outside: map[netip.Addr]ports{}}
}

func add[K comparable](to map[K]ports, peer K, p port) {
	if to[peer] == nil {
		to[peer] = ports{}
	}
	to[peer][p] = struct{}{}
}

// names lets whoever resolves names by UDP do so by TCP.
func (s *side) names() {
	for _, list := range slices.Concat(slices.Collect(maps.Values(s.peers)), slices.Collect(maps.Values(s.outside))) {
		for p := range maps.Clone(list) {
			if p.proto == policy.UDP && p.number == 53 {
				list[port{proto: policy.TCP, number: 53}] = struct{}{}
			}
		}
	}
}

// entry is a rule in the making: peers that are let through on the same ports.
type entry struct {
	ports ports
	peers []networkingv1.NetworkPolicyPeer
	// outside: no Pod is among the peers.
	outside bool
}

// entries are the rules of a side, for a group: Pods first, then what is outside, by the
// ports that they have in common.
func (s *side) entries(of *group) []entry {
	byPorts := map[string]*entry{}
	at := func(list ports) *entry {
		e := byPorts[list.text()]
		if e == nil {
			e = &entry{ports: list}
			byPorts[list.text()] = e
		}
		return e
	}
	for _, g := range slices.SortedFunc(maps.Keys(s.peers), compareGroups) {
		e := at(s.peers[g])
		e.peers = append(e.peers, g.peer(of.namespace))
	}
	alike := map[string][]netip.Addr{}
	for _, a := range slices.SortedFunc(maps.Keys(s.outside), netip.Addr.Compare) {
		list := s.outside[a]
		at(list)
		alike[list.text()] = append(alike[list.text()], a)
	}
	var out []entry
	for _, key := range slices.Sorted(maps.Keys(byPorts)) {
		e := byPorts[key]
		e.outside = len(e.peers) == 0
		for _, b := range fold(alike[key]) {
			e.peers = append(e.peers, b.peer())
		}
		out = append(out, *e)
	}
	slices.SortStableFunc(out, func(a, b entry) int {
		switch {
		case a.outside != b.outside && b.outside:
			return -1
		case a.outside != b.outside:
			return 1
		}
		return a.ports.first().compare(b.ports.first())
	})
	return out
}

// first is the least of the ports, of which there is one at least.
func (s ports) first() port {
	return slices.MinFunc(slices.Collect(maps.Keys(s)), port.compare)
}

func compareGroups(a, b *group) int {
	return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.name, b.name))
}

// peer selects the group from a namespace.
func (g *group) peer(from string) networkingv1.NetworkPolicyPeer {
	p := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: g.selector}}
	if g.namespace != from {
		p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: g.namespace}}
	}
	return p
}

func (b block) peer() networkingv1.NetworkPolicyPeer {
	out := &networkingv1.IPBlock{CIDR: b.cidr.String()}
	for _, e := range b.except {
		out.Except = append(out.Except, e.String())
	}
	return networkingv1.NetworkPolicyPeer{IPBlock: out}
}

// api writes the ports of a rule.
func (s ports) api() []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for _, p := range slices.SortedFunc(maps.Keys(s), port.compare) {
		proto := corev1.Protocol(p.proto.String())
		value := intstr.FromInt32(int32(p.number))
		if p.name != "" {
			value = intstr.FromString(p.name)
		}
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: &proto, Port: &value})
	}
	return out
}
