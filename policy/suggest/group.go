package suggest

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/workload"
)

// unstable are labels that controllers set, and those that name a release of what runs
// there.
var unstable = slices.Concat(workload.Own, workload.JobNames, []string{"app.kubernetes.io/version", "helm.sh/chart", "version"})

// usual are the labels by which people select, in the order in which they are tried.
var usual = []string{
	"app.kubernetes.io/name", "app", "k8s-app", "app.kubernetes.io/component", "app.kubernetes.io/instance", "name", "component", "role", "tier",
}

// group is Pods of one namespace that have the same stable labels.
type group struct {
	namespace string
	labels    map[string]string
	pods      []*policy.Pod
	// name is what the group is called, unique in its namespace; avoids is the policy that
	// would have had it, empty where none would.
	name, avoids string
	// selector are the labels that select the group, nil if none do; also are the
	// groups that it cannot be told from by labels.
	selector map[string]string
	also     []*group
}

// String names the group as namespace/name.
func (g *group) String() string { return g.namespace + "/" + g.name }

func stable(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	for _, key := range unstable {
		delete(out, key)
	}
	return out
}

func labelText(labels map[string]string) string {
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out.WriteString(key + "=" + labels[key] + ",")
	}
	return out.String()
}

// groups sorts Pods into groups, and finds how to select each. taken says which names a
// group must not have.
func groups(pods []*policy.Pod, taken func(*group, string) bool) []*group {
	byKey := map[string]*group{}
	for _, p := range pods {
		labels := stable(p.Labels)
		key := p.Namespace + "\n" + labelText(labels)
		g := byKey[key]
		if g == nil {
			g = &group{namespace: p.Namespace, labels: labels}
			byKey[key] = g
		}
		g.pods = append(g.pods, p)
	}
	out := make([]*group, 0, len(byKey))
	spaces := map[string][]*group{}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		g := byKey[key]
		slices.SortFunc(g.pods, func(a, b *policy.Pod) int { return strings.Compare(a.Name, b.Name) })
		out = append(out, g)
		spaces[g.namespace] = append(spaces[g.namespace], g)
	}
	for _, space := range spaces {
		for _, g := range space {
			g.choose(space)
		}
		giveNames(space, taken)
	}
	return out
}

// choose finds the fewest labels that select the group and no other of its namespace.
func (g *group) choose(space []*group) {
	keys := slices.SortedFunc(maps.Keys(g.labels), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
	if len(keys) == 0 {
		return
	}
	try := func(some ...string) bool {
		selector := map[string]string{}
		for _, key := range some {
			selector[key] = g.labels[key]
		}
		g.selector, g.also = selector, nil
		for _, o := range space {
			if o != g && selects(selector, o.labels) {
				g.also = append(g.also, o)
			}
		}
		return len(g.also) == 0
	}
	for _, a := range keys {
		if try(a) {
			return
		}
	}
	for i, a := range keys {
		for _, b := range keys[i+1:] {
			if try(a, b) {
				return
			}
		}
	}
	try(keys...)
}

func rank(key string) int {
	if at := slices.Index(usual, key); at >= 0 {
		return at
	}
	return len(usual)
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if v, has := labels[key]; !has || v != value {
			return false
		}
	}
	return true
}

// giveNames calls groups by the label that selects them, else by a Pod, each by a name
// that no other has and that is not taken.
func giveNames(space []*group, taken func(*group, string) bool) {
	given := map[string]bool{}
	for _, g := range space {
		wanted := g.wantedName()
		name := wanted
		for n := 2; given[name] || taken(g, name); n++ {
			if g.avoids == "" && !given[name] {
				g.avoids = name
			}
			name = wanted + "-" + strconv.Itoa(n)
		}
		given[name], g.name = true, name
	}
}

// notInNames are what values of labels may have where names may not, or not everywhere.
var notInNames = strings.NewReplacer("_", "-", ".", "-")

func (g *group) wantedName() string {
	for _, key := range usual {
		if v := g.selector[key]; v != "" {
			return strings.ToLower(notInNames.Replace(v))
		}
	}
	return strings.ToLower(g.pods[0].Name)
}

// sharedPort is the name that a port has on all Pods of the group, empty if there is
// none that means this number alone.
func (g *group) sharedPort(proto policy.Protocol, number uint16) string {
	name := ""
	for _, p := range g.pods[0].Ports {
		if p.Protocol == proto && p.Number == number {
			name = p.Name
			break
		}
	}
	if name == "" {
		return ""
	}
	for _, pod := range g.pods {
		found := false
		for _, p := range pod.Ports {
			if p.Name == name && p.Protocol == proto {
				if p.Number != number {
					return ""
				}
				found = true
			}
		}
		if !found {
			return ""
		}
	}
	return name
}

// ownNode reports whether an end is the node on which the Pod with an address is.
func (g *group) ownNode(pod netip.Addr, e *End) bool {
	for _, p := range g.pods {
		if slices.Contains(p.Addrs, pod) {
			return slices.Contains(p.NodeAddrs, e.Addr) || e.Node != "" && e.Node == p.Node
		}
	}
	return false
}
