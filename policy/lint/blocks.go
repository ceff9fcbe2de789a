package lint

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/policy"
)

func blockChecks() []check {
	return []check{
		{Check{
			ID: "block-empty", Severity: Error,
			Says:   "The exceptions of an ipBlock leave nothing of its cidr.",
			Why:    "The peer matches no address ever.",
			Mend:   "Remove an exception, or the block.",
			Silent: "Blocks of which one address is left.",
		}, (*linter).blocksEmpty},
		{Check{
			ID: "block-one-family", Severity: Warning,
			Says:   "A block of all addresses is of one family, and the cluster has both.",
			Why:    "0.0.0.0/0 says nothing of IPv6, nor ::/0 of IPv4: half of everywhere is denied.",
			Mend:   "Add an entry for the other family, with its own exceptions.",
			Silent: "Clusters of which the input does not show both families (addresses of Pods, ranges of Nodes, Services with both); blocks that are not of all addresses, which may well have one family; Pods for which another policy allows all addresses of the other family.",
		}, (*linter).blocksOneFamily},
		{Check{
			ID: "block-service-address", Severity: Warning,
			Says:   "A block is the ClusterIP of a Service.",
			Why:    "A connection to a Service is judged by the address of the Pod that it is led to; its ClusterIP is nobody's.",
			Mend:   "Select the Pods behind the Service, or, where these are no Pods, allow their addresses.",
			Silent: "Services that answer DNS, as node-local DNS takes over their address; blocks of more than one address.",
		}, (*linter).blocksOfServices},
	}
}

// eachBlock visits the blocks of all rules.
func (l *linter) eachBlock(visit func(*rule, *peer)) {
	for _, r := range l.allRules() {
		for _, p := range r.peers {
			if p.block != nil {
				visit(r, p)
			}
		}
	}
}

func (l *linter) blocksEmpty() {
	l.eachBlock(func(r *rule, p *peer) {
		if p.block.Empty() {
			l.find(Error, r.of.object, p.path.at("ipBlock", "except"), fmt.Sprintf("leaves nothing of %s: the peer matches no address", p.block.CIDR), "remove an exception, or the block")
		}
	})
}

func (l *linter) blocksOneFamily() {
	shown := l.dualStack()
	if shown == "" {
		return
	}
	l.eachBlock(func(r *rule, p *peer) {
		if p.block.CIDR.Bits() != 0 || l.allowsAll(r, !p.block.CIDR.Addr().Is4()) {
			return
		}
		other, family := "::/0", "IPv6"
		if !p.block.CIDR.Addr().Is4() {
			other, family = "0.0.0.0/0", "IPv4"
		}
		l.find(Warning, r.of.object, p.path.at("ipBlock", "cidr"),
			fmt.Sprintf("%s says nothing of %s, and the cluster has both families (%s)", p.block.CIDR, family, shown),
			fmt.Sprintf("add an entry with %s and its exceptions, if everywhere is meant", other))
	})
}

// allowsAll reports whether a policy that may select the same Pods as the rule's, and
// counts where that does, allows all addresses of a family in its direction.
func (l *linter) allowsAll(r *rule, ipv4 bool) bool {
	return slices.ContainsFunc(r.of.beside(), func(q *policyModel) bool {
		return q.broken || q.subject.Overlaps(r.of.subject) && slices.ContainsFunc(q.rules[r.dir], func(o *rule) bool {
			return len(o.peers) == 0 || slices.ContainsFunc(o.peers, func(p *peer) bool {
				return p.block != nil && p.block.CIDR.Bits() == 0 && p.block.CIDR.Addr().Is4() == ipv4
			})
		})
	})
}

// dualStack says what shows that the cluster has both families, empty if nothing
// does.
func (l *linter) dualStack() string {
	for _, p := range l.input.Set.Pods {
		if both(p.Status.PodIPs, func(ip corev1.PodIP) string { return ip.IP }) {
			return fmt.Sprintf("Pod %s/%s has an address of each", p.Namespace, p.Name)
		}
	}
	for _, n := range l.input.Set.Nodes {
		if both(n.Spec.PodCIDRs, func(s string) string { return s }) {
			return fmt.Sprintf("Node %s has Pods of each", n.Name)
		}
	}
	for _, s := range l.input.Set.Services {
		required := s.Spec.IPFamilyPolicy != nil && *s.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack
		if required || both(s.Spec.ClusterIPs, func(s string) string { return s }) {
			return fmt.Sprintf("Service %s/%s has both", s.Namespace, s.Name)
		}
	}
	return ""
}

// both reports whether a list has addresses or ranges of both families.
func both[T any](list []T, text func(T) string) bool {
	var seen [2]bool
	for _, entry := range list {
		s := text(entry)
		addr, err := netip.ParseAddr(s)
		if prefix, bad := policy.ParseCIDR(s); bad == nil {
			addr, err = prefix.Addr(), nil
		}
		if err == nil && addr.Unmap().Is4() {
			seen[0] = true
		} else if err == nil {
			seen[1] = true
		}
	}
	return seen[0] && seen[1]
}

func (l *linter) blocksOfServices() {
	owner := map[netip.Addr]*corev1.Service{}
	for _, s := range l.services {
		for _, text := range append([]string{s.Spec.ClusterIP}, s.Spec.ClusterIPs...) {
			if a, err := netip.ParseAddr(text); err == nil && !answersDNS(s) {
				owner[a.Unmap()] = s
			}
		}
	}
	l.eachBlock(func(r *rule, p *peer) {
		s := owner[p.block.CIDR.Addr()]
		if s == nil || !p.block.CIDR.IsSingleIP() {
			return
		}
		mend := "select the Pods behind it by a podSelector"
		if len(s.Spec.Selector) == 0 {
			mend = "allow the addresses of its endpoints, and their port"
		}
		l.find(Warning, r.of.object, p.path.at("ipBlock", "cidr"),
			fmt.Sprintf("is the ClusterIP of Service %s/%s: policies see the address of the Pod behind it, so this matches nobody", s.Namespace, s.Name), mend)
	})
}

func answersDNS(s *corev1.Service) bool {
	return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == 53 })
}
