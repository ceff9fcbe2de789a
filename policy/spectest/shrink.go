package spectest

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// Shrink drops objects, rules, peers and ports as long as fails stays true,
// and returns what is left: a reproduction that a person can read. The cluster
// itself stays as it is.
func (c *Cluster) Shrink(fails func(*Cluster) bool) *Cluster {
	now := c
	for {
		smaller := now.smaller(fails)
		if smaller == nil {
			return now
		}
		now = smaller
	}
}

// smaller is the cluster without the first thing that is not needed, nil if
// all of it is.
func (c *Cluster) smaller(fails func(*Cluster) bool) *Cluster {
	for _, cut := range c.cuts() {
		next := c.clone()
		cut(next)
		if fails(next) {
			return next
		}
	}
	return nil
}

// clone copies as deep as the cuts go.
func (c *Cluster) clone() *Cluster {
	out := *c
	out.Pods, out.Namespaces = slices.Clone(c.Pods), slices.Clone(c.Namespaces)
	out.Policies = nil
	for _, np := range c.Policies {
		out.Policies = append(out.Policies, np.DeepCopy())
	}
	return &out
}

// cuts are all the ways to take one thing away, the largest first.
func (c *Cluster) cuts() (out []func(*Cluster)) {
	out = appendCuts(out, len(c.Policies), 0, func(c *Cluster) *[]*networkingv1.NetworkPolicy { return &c.Policies })
	out = appendCuts(out, len(c.Pods), 0, func(c *Cluster) *[]*corev1.Pod { return &c.Pods })
	out = appendCuts(out, len(c.Namespaces), 0, func(c *Cluster) *[]*corev1.Namespace { return &c.Namespaces })
	for n, np := range c.Policies {
		ingress := func(c *Cluster) *[]networkingv1.NetworkPolicyIngressRule { return &c.Policies[n].Spec.Ingress }
		egress := func(c *Cluster) *[]networkingv1.NetworkPolicyEgressRule { return &c.Policies[n].Spec.Egress }
		out = appendCuts(out, len(np.Spec.Ingress), 0, ingress)
		out = appendCuts(out, len(np.Spec.Egress), 0, egress)
		for r, rule := range np.Spec.Ingress {
			out = appendCuts(out, len(rule.From), 1, func(c *Cluster) *[]networkingv1.NetworkPolicyPeer { return &(*ingress(c))[r].From })
			out = appendCuts(out, len(rule.Ports), 1, func(c *Cluster) *[]networkingv1.NetworkPolicyPort { return &(*ingress(c))[r].Ports })
		}
		for r, rule := range np.Spec.Egress {
			out = appendCuts(out, len(rule.To), 1, func(c *Cluster) *[]networkingv1.NetworkPolicyPeer { return &(*egress(c))[r].To })
			out = appendCuts(out, len(rule.Ports), 1, func(c *Cluster) *[]networkingv1.NetworkPolicyPort { return &(*egress(c))[r].Ports })
		}
	}
	return out
}

// appendCuts adds one cut for each of n elements of a list, which keeps at
// least so many: an empty list of peers or ports would say the opposite.
func appendCuts[T any](cuts []func(*Cluster), n, least int, list func(*Cluster) *[]T) []func(*Cluster) {
	if n <= least {
		return cuts
	}
	for i := range n {
		cuts = append(cuts, func(c *Cluster) {
			l := list(c)
			*l = slices.Delete(*l, i, i+1)
		})
	}
	return cuts
}

// YAML is the cluster as manifests.
func (c *Cluster) YAML() string {
	var out strings.Builder
	write := func(apiVersion, kind string, object any) {
		text, err := yaml.Marshal(object)
		if err != nil {
			text = []byte("# " + err.Error() + "\n")
		}
		fmt.Fprintf(&out, "---\napiVersion: %s\nkind: %s\n%s", apiVersion, kind, text)
	}
	for _, ns := range c.Namespaces {
		write("v1", "Namespace", ns)
	}
	for _, pod := range c.Pods {
		write("v1", "Pod", pod)
	}
	for _, np := range c.Policies {
		write("networking.k8s.io/v1", "NetworkPolicy", np)
	}
	return out.String()
}
