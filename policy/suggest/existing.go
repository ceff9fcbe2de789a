package suggest

import (
	"fmt"
	"maps"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

func nameOf(np *networkingv1.NetworkPolicy) types.NamespacedName {
	return types.NamespacedName{Namespace: np.Namespace, Name: np.Name}
}

// taken reports whether a group's policy must not have a name: applied, it would replace
// the policy of that name. One that is audited may be replaced if it selects the same
// Pods, for it counts for no verdict, and is most likely what was suggested before.
func (m *maker) taken(g *group, name string) bool {
	np := m.existing[types.NamespacedName{Namespace: g.namespace, Name: name}]
	return np != nil && (!m.audited(np) || !g.selectedBy(np))
}

// audited reports whether a policy that there is counts for no verdict.
func (m *maker) audited(np *networkingv1.NetworkPolicy) bool {
	return policy.Audited(np, m.in.NamespaceLabels[np.Namespace])
}

// selectedBy reports whether a policy selects by the labels by which the group is.
func (g *group) selectedBy(np *networkingv1.NetworkPolicy) bool {
	s := &np.Spec.PodSelector
	return g.selector != nil && len(s.MatchExpressions) == 0 && maps.Equal(s.MatchLabels, g.selector)
}

// noteExisting says how the policy of a group goes together with one of its name.
func (m *maker) noteExisting(g *group) {
	if m.existing[types.NamespacedName{Namespace: g.namespace, Name: g.name}] != nil {
		m.out.Notes = append(m.out.Notes, fmt.Sprintf("policy %s is there, audited, for the same Pods: this one replaces it", g))
	}
	if g.avoids != "" {
		m.out.Notes = append(m.out.Notes, fmt.Sprintf("policy %s/%s is there, and stays as it is: the one suggested is called %s", g.namespace, g.avoids, g.name))
	}
}

// setMode has a policy be audited, or enforced in a Namespace where policies are audited
// that do not say so themselves.
func (m *maker) setMode(np *networkingv1.NetworkPolicy) {
	switch {
	case m.in.Audited:
		np.Annotations = map[string]string{policy.ModeKey: policy.ModeAudit}
	case m.audited(np):
		np.Annotations = map[string]string{policy.ModeKey: policy.ModeEnforce}
	}
}

// applied are the policies that there are once those that are suggested are applied.
func (m *maker) applied() []*networkingv1.NetworkPolicy {
	all := maps.Clone(m.existing)
	for _, np := range m.out.Policies {
		all[nameOf(np)] = np
	}
	out := make([]*networkingv1.NetworkPolicy, 0, len(all))
	for _, np := range all {
		out = append(out, np)
	}
	return out
}

// verifyUnchanged asks the evaluator whether any Pod is isolated otherwise, or allowed
// otherwise, once audited policies are applied.
func (m *maker) verifyUnchanged() error {
	was := m.index()
	for _, np := range m.existing {
		// One that is invalid isolates all the same: it is not ours.
		_ = was.SetPolicy(np)
	}
	is := m.index()
	for _, np := range m.applied() {
		_ = is.SetPolicy(np)
	}
	for before := range was.Subjects() {
		if after := is.Subject(before.Pod); after == nil || !sameSets(before, after) {
			return fmt.Errorf("check what is suggested: applied, the policies would change what Pod %s may do, though they are audited", before.Pod)
		}
	}
	return nil
}

// sameSets reports whether two subjects are isolated alike, and allowed the same, by each
// of their addresses.
func sameSets(s, o *policy.Subject) bool {
	for _, a := range s.Addrs {
		ingress, egress := s.Sets(a)
		otherIngress, otherEgress := o.Sets(a)
		if !sameSet(ingress, otherIngress) || !sameSet(egress, otherEgress) {
			return false
		}
	}
	return true
}

func sameSet(a, b *policy.AllowSet) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Key == b.Key
}
