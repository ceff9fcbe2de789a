package question

import (
	"fmt"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Nearly is a policy that does not select a Pod, and only just: by one label of several,
// by a letter or two, or by the namespace that it is in.
type Nearly struct {
	Policy    types.NamespacedName
	Direction policy.Direction
	// Allows: it would allow the flow, which is denied. Otherwise it would isolate the
	// Pod, which no policy does.
	Allows bool
	// Why says what of its podSelector, or namespace, does not fit.
	Why string
}

// String says it in a sentence.
func (n Nearly) String() string {
	would := "isolate the Pod"
	if n.Allows {
		would = "allow this"
	}
	return fmt.Sprintf("policy %s would %s for %s, and does not select the Pod: %s", n.Policy, would, n.Direction, n.Why)
}

// mostNearly bounds what is named of one direction.
const mostNearly = 3

// nearly finds the policies that would change a verdict and only just do not select the
// Pod that it is about.
func (w *World) nearly(f policy.Flow, v *policy.Verdict) []Nearly {
	var out []Nearly
	for _, d := range []*policy.DirectionVerdict{&v.Egress, &v.Ingress} {
		if len(d.Claims) > 0 || d.Reason != policy.ReasonNoRule && d.Reason != policy.ReasonNotIsolated {
			continue
		}
		pod, known := w.Index.Pod(d.Subject)
		if !known {
			continue
		}
		found := 0
		for _, np := range w.objects.Policies {
			if found == mostNearly {
				break
			}
			why := misses(np, pod)
			if why == "" {
				continue
			}
			is, allows := w.ifSelected(np, pod, f, d.Direction)
			if !is || allows != (d.Reason == policy.ReasonNoRule) {
				continue
			}
			found++
			out = append(out, Nearly{
				Policy: types.NamespacedName{Namespace: np.Namespace, Name: np.Name}, Direction: d.Direction, Allows: allows, Why: why,
			})
		}
	}
	return out
}

// misses says why a policy does not select a Pod, if it only just does not; empty
// otherwise.
func misses(np *networkingv1.NetworkPolicy, pod *policy.Pod) string {
	want := np.Spec.PodSelector.MatchLabels
	if len(want) == 0 || len(np.Spec.PodSelector.MatchExpressions) > 0 {
		return ""
	}
	var off []string
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if pod.Labels[key] != want[key] {
			off = append(off, key)
		}
	}
	if np.Namespace != pod.Namespace {
		if len(off) > 0 {
			return ""
		}
		return fmt.Sprintf("it is in namespace %s, and selects Pods of that alone", np.Namespace)
	}
	if len(off) != 1 {
		return ""
	}
	key := off[0]
	value, has := pod.Labels[key]
	alike := has && nearTo(value, want[key]) <= slips(value)
	if !alike && len(want) == 1 {
		return "" // it selects somebody else
	}
	if !has {
		return fmt.Sprintf("it wants label %s=%s, which the Pod does not have", key, want[key])
	}
	return fmt.Sprintf("it wants label %s=%s, and the Pod has %s", key, want[key], value)
}

// ifSelected judges a flow in one direction by one policy as if it selected the Pod:
// whether it isolates it, and whether it allows the flow.
func (w *World) ifSelected(np *networkingv1.NetworkPolicy, pod *policy.Pod, f policy.Flow, d policy.Direction) (isolates, allows bool) {
	x := policy.NewIndex(policy.Options{})
	for _, ns := range w.objects.Namespaces {
		if ns.Name == pod.Namespace || f.Src.Pod != nil && ns.Name == f.Src.Pod.Namespace || f.Dst.Pod != nil && ns.Name == f.Dst.Pod.Namespace {
			x.SetNamespace(ns.Name, ns.Labels)
		}
	}
	for _, end := range []policy.End{f.Src, f.Dst} {
		if end.Pod == nil {
			continue
		}
		if whole, known := w.Index.Pod(end.Pod.NamespacedName); known {
			x.SetPod(whole)
		}
	}
	all := np.DeepCopy()
	all.Namespace, all.Spec.PodSelector = pod.Namespace, metav1.LabelSelector{MatchLabels: pod.Labels}
	all.Annotations = nil
	if x.SetPolicy(all) != nil {
		return false, false
	}
	v := x.Evaluate(policy.Flow{Src: x.EndOfAddr(f.Src.Addr), Dst: x.EndOfAddr(f.Dst.Addr), Protocol: f.Protocol, Port: f.Port})
	of := v.Egress
	if d == policy.Ingress {
		of = v.Ingress
	}
	return of.Reason != policy.ReasonNotIsolated, of.Allowed && of.Reason == policy.ReasonRule
}
