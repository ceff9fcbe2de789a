package spectest

import (
	"maps"

	networkingv1 "k8s.io/api/networking/v1"
)

// modeKey is the annotation of a policy, and the label of a Namespace, that say whether
// policies are audited. What is neither of the two values is as good as "enforce".
const modeKey = "sluice-net.github.io/mode"

// audited: the policy is not enforced. Its own word counts before that of its namespace.
func (c *Cluster) audited(np *networkingv1.NetworkPolicy) bool {
	if own, said := np.Annotations[modeKey]; said {
		return own == "audit"
	}
	for _, ns := range c.Namespaces {
		if ns.Name == np.Namespace {
			return ns.Labels[modeKey] == "audit"
		}
	}
	return false
}

// Enforced is the same cluster with no policy audited.
func (c *Cluster) Enforced() *Cluster {
	out := *c
	out.Policies = nil
	for _, np := range c.Policies {
		np = np.DeepCopy()
		np.Annotations = map[string]string{modeKey: "enforce"}
		out.Policies = append(out.Policies, np)
	}
	return &out
}

// randomMode adds a mode to annotations or labels, mostly none, and at times one that
// there is not.
func randomMode(d dice, to map[string]string, wrong bool) map[string]string {
	value := weighted(d, []weight[string]{{70, ""}, {18, "audit"}, {8, "enforce"}, {4, "audti"}})
	if value == "" || value == "audti" && !wrong {
		return to
	}
	out := maps.Clone(to)
	if out == nil {
		out = map[string]string{}
	}
	out[modeKey] = value
	return out
}
