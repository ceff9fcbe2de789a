package spectest

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var outside = []netip.Addr{
	netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("8.8.8.8"),
	netip.MustParseAddr("10.64.0.1"), netip.MustParseAddr("172.18.0.1"),
	netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2606:4700::1111"), netip.MustParseAddr("fd00:64::1"),
}

// RandomFlow draws a flow that has something to say about the cluster's
// policies: mostly it is aimed at one rule, at what lies just inside and just
// outside of it.
func (c *Cluster) RandomFlow(r *rand.Rand) Flow {
	d := dice{r}
	if d.chance(80) && len(c.Policies) > 0 {
		if f, ok := c.aimedFlow(d); ok {
			return f
		}
	}
	v4 := c.someEnd(d, d.chance(50)).Is4()
	f := Flow{Src: c.someEnd(d, v4), Dst: c.someEnd(d, v4)}
	if len(c.Pods) > 0 && d.chance(40) {
		// Self traffic, and what a node has to do with its Pods.
		pod := pick(d, c.Pods)
		if addrs := parsed(podAddrs(pod)); len(addrs) > 0 {
			f.Dst = pick(d, addrs)
			f.Src = pick(d, append(parsed(hostAddrs(pod)), f.Dst))
			if d.chance(30) {
				f.Src, f.Dst = f.Dst, f.Src
			}
		}
	}
	if f.Src.Is4() != f.Dst.Is4() {
		f.Src = f.Dst
	}
	f.Protocol, f.Port = randomPort(d, f.Dst.Is4())
	return f
}

// aimedFlow takes a policy, a Pod that it isolates and a rule, and draws the
// other end and the port from the rule or from its borders.
func (c *Cluster) aimedFlow(d dice) (Flow, bool) {
	np := pick(d, c.Policies)
	direction := pick(d, directions(np))
	var subjects []netip.Addr
	for _, pod := range c.Pods {
		if !c.applies(np, pod, direction) {
			continue
		}
		for _, a := range parsed(podAddrs(pod)) {
			if slices.Contains(c.Claimants(a), pod) {
				subjects = append(subjects, a)
			}
		}
	}
	if len(subjects) == 0 {
		return Flow{}, false
	}
	subject := pick(d, subjects)
	peers, ports := c.someRule(d, np, direction)
	other := c.someEnd(d, subject.Is4())
	if len(peers) > 0 && d.chance(75) {
		other = c.nearPeer(d, np, pick(d, peers), other)
	}
	f := Flow{Src: other, Dst: subject}
	if direction == networkingv1.PolicyTypeEgress {
		f.Src, f.Dst = subject, other
	}
	f.Protocol, f.Port = randomPort(d, subject.Is4())
	if len(ports) > 0 && d.chance(80) {
		f.Protocol, f.Port = c.nearPort(d, pick(d, ports), c.Owner(f.Dst), f)
	}
	return f, true
}

func (c *Cluster) someRule(d dice, np *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) (
	peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort,
) {
	if direction == networkingv1.PolicyTypeEgress {
		if len(np.Spec.Egress) > 0 {
			rule := pick(d, np.Spec.Egress)
			return rule.To, rule.Ports
		}
		return nil, nil
	}
	if len(np.Spec.Ingress) > 0 {
		rule := pick(d, np.Spec.Ingress)
		return rule.From, rule.Ports
	}
	return nil, nil
}

// nearPeer is an address that the peer matches, or just misses; otherwise the
// one given, whose family it keeps.
func (c *Cluster) nearPeer(d dice, np *networkingv1.NetworkPolicy, p networkingv1.NetworkPolicyPeer, otherwise netip.Addr) netip.Addr {
	var near []netip.Addr
	if p.IPBlock != nil {
		for _, s := range append([]string{p.IPBlock.CIDR}, p.IPBlock.Except...) {
			if prefix, ok := parseCIDR(s); ok {
				first, last := prefix.Addr(), lastOf(prefix)
				near = append(near, first, last, first.Prev(), last.Next(), first.Next(), last.Prev())
			}
		}
	}
	for _, pod := range c.Pods {
		for _, a := range parsed(podAddrs(pod)) {
			if c.peerMatches(np, p, a, c.Claimants(a)) {
				near = append(near, a)
			}
		}
	}
	near = slices.DeleteFunc(near, func(a netip.Addr) bool {
		return !a.IsValid() || a.Is4() != otherwise.Is4() || !c.exists(a)
	})
	if len(near) == 0 {
		return otherwise
	}
	return pick(d, near)
}

func (c *Cluster) nearPort(d dice, p networkingv1.NetworkPolicyPort, target *corev1.Pod, f Flow) (protocol uint8, port uint16) {
	protocol = f.Protocol
	name := corev1.ProtocolTCP
	if p.Protocol != nil {
		name = *p.Protocol
	}
	if number, known := protocolNumber(name); known && d.chance(90) {
		protocol = number
	} else if protocol != 6 && protocol != 17 && protocol != 132 {
		return protocol, 0
	}
	var near []int32
	switch {
	case p.Port == nil:
		near = []int32{1, 65535, pick(d, portNumbers)}
	case p.Port.Type == intstr.Int:
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		near = []int32{p.Port.IntVal, p.Port.IntVal, last, p.Port.IntVal - 1, last + 1, (p.Port.IntVal + last) / 2}
	case target != nil:
		for _, container := range append(slices.Clone(target.Spec.Containers), target.Spec.InitContainers...) {
			for _, cp := range container.Ports {
				if cp.Name == p.Port.StrVal || d.chance(15) {
					near = append(near, cp.ContainerPort)
				}
			}
		}
	}
	near = append(near, pick(d, portNumbers))
	n := pick(d, near)
	return protocol, uint16(min(max(n, 1), 65535))
}

func randomPort(d dice, v4 bool) (protocol uint8, port uint16) {
	icmp := uint8(58)
	if v4 {
		icmp = 1
	}
	protocol = weighted(d, []weight[uint8]{{50, 6}, {25, 17}, {12, 132}, {9, icmp}, {4, pick(d, []uint8{47, 50, 4, 255})}})
	if protocol != 6 && protocol != 17 && protocol != 132 {
		return protocol, 0
	}
	if d.chance(10) {
		return protocol, uint16(1 + d.IntN(65535))
	}
	return protocol, uint16(pick(d, portNumbers))
}

// someEnd is the address of a Pod, of a node or of neither, in the family
// asked for.
func (c *Cluster) someEnd(d dice, v4 bool) netip.Addr {
	for range 6 {
		var candidates []netip.Addr
		switch n := d.IntN(100); {
		case n < 75 && len(c.Pods) > 0:
			candidates = parsed(podAddrs(pick(d, c.Pods)))
		case n < 82 && len(c.Pods) > 0:
			candidates = parsed(hostAddrs(pick(d, c.Pods)))
		case len(c.External) > 0:
			candidates = c.External
		default:
			candidates = outside
		}
		candidates = ofFamily(candidates, v4)
		if len(candidates) > 0 {
			return pick(d, candidates)
		}
	}
	all := slices.Concat(c.External, outside)
	if len(c.External) > 0 {
		all = c.External
		for _, pod := range c.Pods {
			all = slices.Concat(all, parsed(podAddrs(pod)))
		}
	}
	if same := ofFamily(all, v4); len(same) > 0 {
		return pick(d, same)
	}
	return pick(d, all)
}

// exists reports whether a flow may have the address as an end.
func (c *Cluster) exists(a netip.Addr) bool {
	if len(c.External) == 0 || slices.Contains(c.External, a) {
		return true
	}
	return slices.ContainsFunc(c.Pods, func(p *corev1.Pod) bool { return has(podAddrs(p), a) || has(hostAddrs(p), a) })
}

func ofFamily(list []netip.Addr, v4 bool) (out []netip.Addr) {
	for _, a := range list {
		if a.Is4() == v4 {
			out = append(out, a)
		}
	}
	return out
}

func parsed(list []string) (out []netip.Addr) {
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil && !slices.Contains(out, a.Unmap()) {
			out = append(out, a.Unmap())
		}
	}
	return out
}

func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}
