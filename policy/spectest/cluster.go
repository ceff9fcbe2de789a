package spectest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Cluster is all that decides a flow, as API objects.
type Cluster struct {
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
	// NodeEgress is the documentation's literal reading: a Pod always reaches
	// its own node.
	NodeEgress bool
	// External, when not empty, are the only addresses besides those of Pods
	// and nodes that [Cluster.RandomFlow] uses: a lab has no others.
	External []netip.Addr
	// modes: see [Options.Modes].
	modes bool
}

// Flow is the first packet of a connection. Port is 0 for protocols without
// ports.
type Flow struct {
	Src, Dst netip.Addr
	Protocol uint8
	Port     uint16
}

// Allowed reports whether the source's side lets the flow out and the
// destination's side lets it in. The flow passes if both do.
//
// An address that several Pods claim may be that of any of them, so what is
// allowed must be allowed whichever it is: the policies of each count, and a
// peer or a port's name matches only if it does for each.
func (c *Cluster) Allowed(f Flow) (egress, ingress bool) {
	if c.Self(f) {
		return true, true
	}
	src, dst := c.Claimants(f.Src), c.Claimants(f.Dst)
	egress = c.NodeEgress && c.OnNodeOfAll(src, f.Dst) ||
		!c.crowded(src, networkingv1.PolicyTypeEgress) && all(src, func(pod *corev1.Pod) bool { return c.allowedOut(f, pod, dst) })
	ingress = c.OnNodeOfAll(dst, f.Src) ||
		!c.crowded(dst, networkingv1.PolicyTypeIngress) && all(dst, func(pod *corev1.Pod) bool { return c.allowedIn(f, src, pod) })
	return egress, ingress
}

// crowded: isolated Pods of more than eight kinds claim one address, and nothing
// passes. Pods are of one kind if the same policies isolate them, and what these
// call ports by name is the same on them.
func (c *Cluster) crowded(pods []*corev1.Pod, direction networkingv1.PolicyType) bool {
	kinds := map[string]bool{}
	for _, pod := range pods {
		if c.Isolated(pod, direction) {
			kinds[c.kind(pod, direction)] = true
		}
	}
	return len(kinds) > 8
}

func (c *Cluster) kind(pod *corev1.Pod, direction networkingv1.PolicyType) string {
	var out strings.Builder
	for _, np := range c.Policies {
		if !c.applies(np, pod, direction) {
			continue
		}
		fmt.Fprintf(&out, "%s/%s\n", np.Namespace, np.Name)
		if direction == networkingv1.PolicyTypeEgress {
			continue // names are the destination's
		}
		for i, rule := range np.Spec.Ingress {
			for j, p := range rule.Ports {
				if p.Port == nil || p.Port.Type != intstr.String {
					continue
				}
				fmt.Fprintf(&out, "port %d of rule %d:", j, i)
				for _, f := range arrivals(pod) {
					if portMatches(p, f, []*corev1.Pod{pod}) {
						fmt.Fprintf(&out, " %d", f.Port)
					}
				}
				out.WriteByte('\n')
			}
		}
	}
	return out.String()
}

// Self reports whether the flow is from a Pod to itself, whoever has the
// addresses.
func (c *Cluster) Self(f Flow) bool {
	src, dst := c.Claimants(f.Src), c.Claimants(f.Dst)
	if f.Src == f.Dst {
		return len(src) > 0
	}
	return len(src) == 1 && len(dst) == 1 && src[0] == dst[0]
}

func all(pods []*corev1.Pod, ok func(*corev1.Pod) bool) bool {
	for _, pod := range pods {
		if !ok(pod) {
			return false
		}
	}
	return true
}

func (c *Cluster) allowedOut(f Flow, src *corev1.Pod, dst []*corev1.Pod) bool {
	if !c.Isolated(src, networkingv1.PolicyTypeEgress) {
		return true
	}
	for _, np := range c.Policies {
		if !c.applies(np, src, networkingv1.PolicyTypeEgress) {
			continue
		}
		for _, rule := range np.Spec.Egress {
			if c.ruleMatches(np, rule.To, rule.Ports, f.Dst, dst, f, dst) {
				return true
			}
		}
	}
	return false
}

func (c *Cluster) allowedIn(f Flow, src []*corev1.Pod, dst *corev1.Pod) bool {
	if !c.Isolated(dst, networkingv1.PolicyTypeIngress) {
		return true
	}
	for _, np := range c.Policies {
		if !c.applies(np, dst, networkingv1.PolicyTypeIngress) {
			continue
		}
		for _, rule := range np.Spec.Ingress {
			if c.ruleMatches(np, rule.From, rule.Ports, f.Src, src, f, []*corev1.Pod{dst}) {
				return true
			}
		}
	}
	return false
}

// Isolated reports whether any policy selects the Pod in the direction.
func (c *Cluster) Isolated(pod *corev1.Pod, direction networkingv1.PolicyType) bool {
	for _, np := range c.Policies {
		if c.applies(np, pod, direction) {
			return true
		}
	}
	return false
}

// applies reports whether the policy selects the Pod in the direction.
func (c *Cluster) applies(np *networkingv1.NetworkPolicy, pod *corev1.Pod, direction networkingv1.PolicyType) bool {
	if np.Namespace != pod.Namespace || c.audited(np) || !slices.Contains(directions(np), direction) {
		return false
	}
	if !selectorValid(np.Spec.PodSelector) {
		return true // fail closed: who knows which Pods were meant
	}
	return selectorMatches(np.Spec.PodSelector, pod.Labels)
}

func directions(np *networkingv1.NetworkPolicy) []networkingv1.PolicyType {
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	if len(np.Spec.PolicyTypes) == 0 {
		if len(np.Spec.Egress) > 0 {
			return both
		}
		return both[:1]
	}
	for _, t := range np.Spec.PolicyTypes {
		// Refused by the API, so fail closed: the directions meant are unknown.
		if !slices.Contains(both, t) || len(np.Spec.PolicyTypes) > 2 {
			return both
		}
	}
	return np.Spec.PolicyTypes
}

// ruleMatches reports whether some peer and some port of a rule match. The
// peer's address is looked for in the peers; target are the Pods on which the
// flow may arrive, where port names are looked up.
func (c *Cluster) ruleMatches(np *networkingv1.NetworkPolicy,
	peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort,
	addr netip.Addr, peer []*corev1.Pod, f Flow, target []*corev1.Pod,
) bool {
	if len(peers) == 0 {
		return portsMatch(ports, f, target)
	}
	for _, p := range peers {
		if !c.peerMatches(np, p, addr, peer) {
			continue
		}
		if portsMatch(ports, f, target) {
			return true
		}
	}
	return false
}

func (c *Cluster) peerMatches(np *networkingv1.NetworkPolicy, p networkingv1.NetworkPolicyPeer, addr netip.Addr, pods []*corev1.Pod) bool {
	if p.IPBlock != nil {
		return p.PodSelector == nil && p.NamespaceSelector == nil && blockContains(*p.IPBlock, addr)
	}
	if p.PodSelector == nil && p.NamespaceSelector == nil {
		return false // the API refuses a peer that says nothing
	}
	return len(pods) > 0 && all(pods, func(pod *corev1.Pod) bool { return c.podMatches(np, p, pod) })
}

func (c *Cluster) podMatches(np *networkingv1.NetworkPolicy, p networkingv1.NetworkPolicyPeer, pod *corev1.Pod) bool {
	if p.NamespaceSelector == nil {
		if pod.Namespace != np.Namespace {
			return false
		}
	} else if !c.namespaceMatches(*p.NamespaceSelector, pod.Namespace) {
		return false
	}
	if p.PodSelector == nil {
		return true
	}
	return selectorValid(*p.PodSelector) && selectorMatches(*p.PodSelector, pod.Labels)
}

func (c *Cluster) namespaceMatches(s selector, name string) bool {
	for _, ns := range c.Namespaces {
		if ns.Name == name {
			return selectorValid(s) && selectorMatches(s, ns.Labels)
		}
	}
	return false // not known, so neither are its labels
}
