// Package inventory tells of the objects of manifests, or of a cluster, what
// workloads there are: it makes of a manifest.Set what package connectivity asks
// about.
//
//   - Workloads are enough: what a template would make is an end without an address,
//     whether or not a Pod of it runs.
//   - A Pod that runs stands for its workload, with its address. A workload of which
//     a Pod runs is no end by its template unless the template is another one: then
//     the old Pods and the new ones are two ends.
//   - What another object of the set makes is named after that one: the Pods of a
//     ReplicaSet after the Deployment, those of a Job after the CronJob.
//   - Labels that controllers add to each Pod by itself are left out, so that equal
//     Pods are equal, unless a policy asks for them.
//
// It is pure: the same set gives the same cluster.
package inventory

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/workload"
)

// Cluster is the set as a question. The ranges of Pods and nodes are those of its
// Nodes, as far as the Pods agree.
func Cluster(set *manifest.Set) connectivity.Cluster {
	t := newTaker(set)
	c := connectivity.Cluster{Namespaces: set.Namespaces, Policies: set.Policies}
	t.out = &c
	for _, p := range set.Pods {
		t.pod(p)
	}
	for i := range set.Workloads {
		t.workload(&set.Workloads[i])
	}
	c.PodRanges, c.NodeRanges = ranges(set, c.Workloads)
	return c
}

type taker struct {
	// asked are keys of labels that some policy asks for.
	asked  map[string]bool
	makers *Makers
	// running are the Pods that run of each workload.
	running map[connectivity.Name][]connectivity.Workload
	out     *connectivity.Cluster
}

func newTaker(set *manifest.Set) *taker {
	return &taker{
		asked: askedFor(set.Policies), makers: NewMakers(set.Workloads),
		running: map[connectivity.Name][]connectivity.Workload{},
	}
}

func (t *taker) pod(p *corev1.Pod) {
	w, maker, ok := t.judged(p)
	if !ok {
		return
	}
	if maker.Kind != "Pod" {
		t.running[maker] = append(t.running[maker], w)
	}
	t.out.Workloads = append(t.out.Workloads, w)
}

// judged is a Pod as it is asked about, under the name of what made it. It is false for
// one that has ended, or of which the reader of the set has said what is wrong.
func (t *taker) judged(p *corev1.Pod) (w connectivity.Workload, maker connectivity.Name, ok bool) {
	w, err := connectivity.FromAPI(p)
	if err != nil && w.Name == "" || w.Finished {
		return w, maker, false
	}
	bare := connectivity.Name{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
	if makers := t.makers.Of(p); len(makers) > 0 {
		maker = makers[len(makers)-1]
	} else if maker = controllerOf(p, bare); maker == bare {
		return w, maker, true
	}
	w.Kind, w.NamespacedName = maker.Kind, types.NamespacedName{Namespace: maker.Namespace, Name: maker.Name}
	w.Labels = t.shared(w.Labels, maker.Kind)
	return w, maker, true
}

// controllerOf is what a Pod says that it was made by, for a set that has Pods only;
// the name given if it does not say. A static Pod is its own: all of a node's are
// "controlled" by the Node.
func controllerOf(p *corev1.Pod, bare connectivity.Name) connectivity.Name {
	by := metav1.GetControllerOf(p)
	if by == nil || by.Kind == "" || by.Name == "" || by.Kind == "Node" {
		return bare
	}
	return connectivity.Name{Kind: by.Kind, Namespace: p.Namespace, Name: by.Name}
}

// shared are the labels that all Pods of a workload have.
func (t *taker) shared(labels map[string]string, kind string) map[string]string {
	own := workload.Own
	if kind == "CronJob" {
		own = slices.Concat(workload.Own, workload.JobNames)
	}
	out := maps.Clone(labels)
	maps.DeleteFunc(out, func(key, _ string) bool { return slices.Contains(own, key) && !t.asked[key] })
	return out
}

func (t *taker) workload(w *manifest.Workload) {
	name := NameOf(w)
	made, ok := templateOf(w)
	if !ok || w.Done || len(t.makers.Above(w)) > 0 {
		return
	}
	for _, r := range t.running[name] {
		if len(r.Addrs) > 0 && alike(&r, &made, t.asked) {
			return // the Pods that run stand for it
		}
	}
	t.out.Workloads = append(t.out.Workloads, made)
}

// templateOf is what a workload makes, false if it does not say.
func templateOf(w *manifest.Workload) (made connectivity.Workload, ok bool) {
	if w.Pod == nil {
		return made, false
	}
	made, err := connectivity.FromAPI(w.Pod)
	if err != nil && made.Name == "" {
		return made, false
	}
	made.Kind, made.NamespacedName = w.Kind, w.NamespacedName
	if w.Kind == "Job" {
		made.LabelJob()
	}
	return made, true
}

// alike reports whether a Pod is of that template, whatever its controller added.
func alike(pod, template *connectivity.Workload, asked map[string]bool) bool {
	labels := maps.Clone(pod.Labels)
	maps.DeleteFunc(labels, func(key, _ string) bool {
		_, given := template.Labels[key]
		return !given && asked[key] && (slices.Contains(workload.Own, key) || slices.Contains(workload.JobNames, key))
	})
	return pod.HostNetwork == template.HostNetwork && maps.Equal(labels, template.Labels) && slices.Equal(pod.Ports, template.Ports)
}

// askedFor are the keys of labels that the selectors of policies name.
func askedFor(policies []*networkingv1.NetworkPolicy) map[string]bool {
	out := map[string]bool{}
	note := func(s *metav1.LabelSelector) {
		if s == nil {
			return
		}
		for k := range s.MatchLabels {
			out[k] = true
		}
		for _, e := range s.MatchExpressions {
			out[e.Key] = true
		}
	}
	for _, np := range policies {
		note(&np.Spec.PodSelector)
		for _, r := range np.Spec.Ingress {
			for _, p := range r.From {
				note(p.PodSelector)
			}
		}
		for _, r := range np.Spec.Egress {
			for _, p := range r.To {
				note(p.PodSelector)
			}
		}
	}
	return out
}

// Ranges are where the addresses of Pods and of nodes are from, as [Cluster] has them.
func Ranges(set *manifest.Set) (pods, nodes []netip.Prefix) {
	t := newTaker(&manifest.Set{})
	t.out = &connectivity.Cluster{}
	for _, p := range set.Pods {
		t.pod(p)
	}
	return ranges(set, t.out.Workloads)
}

// ranges are where addresses of Pods and of nodes are from. Nodes say of Pods what
// the network plug-in was given, which not all keep to: a Pod elsewhere shows it.
func ranges(set *manifest.Set, workloads []connectivity.Workload) (pods, nodes []netip.Prefix) {
	for _, n := range set.Nodes {
		for _, s := range podCIDRs(n) {
			if p, err := netip.ParsePrefix(s); err == nil {
				pods = append(pods, p.Masked())
			}
		}
		for _, a := range n.Status.Addresses {
			if addr, err := netip.ParseAddr(a.Address); err == nil && addr.Zone() == "" {
				addr = addr.Unmap()
				nodes = append(nodes, netip.PrefixFrom(addr, addr.BitLen()))
			}
		}
	}
	for i := range workloads {
		w := &workloads[i]
		for _, a := range w.Addrs {
			if !w.HostNetwork && !slices.ContainsFunc(pods, func(p netip.Prefix) bool { return p.Contains(a) }) {
				return nil, nodes
			}
		}
	}
	return pods, nodes
}

func podCIDRs(n *corev1.Node) []string {
	if len(n.Spec.PodCIDRs) == 0 && n.Spec.PodCIDR != "" {
		return []string{n.Spec.PodCIDR}
	}
	return n.Spec.PodCIDRs
}
