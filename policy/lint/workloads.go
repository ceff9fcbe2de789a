package lint

import (
	"fmt"
	"slices"

	"github.com/sluice-net/sluice/policy"
)

func workloadChecks() []check {
	return []check{
		{Check{
			ID: "pod-not-isolated", Severity: Note,
			Says:   "No policy that is enforced isolates a workload in a direction in which policies isolate most others of its namespace.",
			Why:    "Everybody reaches it, or it reaches everybody. Where the others are protected, this one may have been forgotten.",
			Mend:   "Write a policy for it, or one that selects every Pod of the namespace and allows nothing.",
			Silent: "Namespaces in which most workloads are open; Pods on the host's network, which nothing isolates; Pods that a workload of the input makes, for which that one stands; input with policies of other kinds, or with some that could not be read.",
		}, (*linter).podsNotIsolated},
		{Check{
			ID: "obsolete-annotation", Severity: Warning,
			Says:   "An annotation of a time before NetworkPolicy v1 asks for isolation.",
			Why:    "net.beta.kubernetes.io/network-policy has had no effect since Kubernetes 1.7: the namespace is open.",
			Mend:   "Write a NetworkPolicy that selects every Pod and allows nothing, and remove the annotation.",
			Silent: "Annotations of network plug-ins, which these read themselves.",
		}, (*linter).obsoleteAnnotations},
	}
}

func (l *linter) podsNotIsolated() {
	if l.otherPolicies != "" || l.lostPolicies {
		return
	}
	for _, s := range l.spaces {
		times := map[Object]int{}
		for _, e := range s.ends {
			times[e.object]++
		}
		var ends []*end
		for _, e := range s.ends {
			// Of several versions of one workload nobody knows which it will be.
			if e.isolable() && !e.owned && times[e.object] == 1 {
				ends = append(ends, e)
			}
		}
		for _, d := range directions {
			l.findOpen(s, d, ends)
		}
	}
}

// findOpen tells of the few ends of a namespace that are open in a direction. What is
// audited isolates nobody; where most are open, as in a namespace on trial, those are
// told of that even audited policies leave out.
func (l *linter) findOpen(s *space, d policy.Direction, ends []*end) {
	open, others := openIn(ends, s.enforced, d), "policies isolate"
	if 2*len(open) >= len(ends) {
		open, others = openIn(ends, s.policies, d), "policies, those included that are audited, isolate"
	}
	if 2*len(open) >= len(ends) {
		return
	}
	for _, e := range open {
		message := fmt.Sprintf("no policy isolates its %s, and %s that of %d of the %d workloads of namespace %s", d, others, len(ends)-len(open), len(ends), s.name)
		mend := fmt.Sprintf("write a policy for it, or one for the whole namespace with policyTypes [%s] and no rules", directionType(d))
		if p := s.isolator(e, d); p != nil {
			message += fmt.Sprintf("; %s selects it, and is audited", p.object)
			mend = "enforce that once it denies nothing that is needed, or " + mend
		}
		l.find(Note, e.object, nil, message, mend)
	}
}

// openIn are the ends that none of the policies may isolate in a direction.
func openIn(ends []*end, policies []*policyModel, d policy.Direction) []*end {
	isolated := map[*end]bool{}
	for _, p := range policies {
		if !p.isolates[d] && !p.broken {
			continue
		}
		for _, e := range p.selected() {
			isolated[e] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(ends), func(e *end) bool { return isolated[e] })
}

// isolator is the first policy that may isolate an end in a direction, nil if none does.
func (s *space) isolator(e *end, d policy.Direction) *policyModel {
	for _, p := range s.policies {
		if (p.isolates[d] || p.broken) && e.may(p.subject) {
			return p
		}
	}
	return nil
}

// obsoleteKeys asked for isolation before networking.k8s.io/v1, on Namespaces.
// https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.7.md
var obsoleteKeys = []string{"net.beta.kubernetes.io/network-policy", "net.alpha.kubernetes.io/network-isolation"}

func (l *linter) obsoleteAnnotations() {
	look := func(o Object, given map[string]string) {
		for _, key := range obsoleteKeys {
			if _, ok := given[key]; ok {
				l.find(Warning, o, path{"metadata", "annotations", key}, "has had no effect since Kubernetes 1.7: it isolates nothing",
					"write a NetworkPolicy that selects every Pod of the namespace and allows nothing, and remove the annotation")
			}
		}
	}
	for _, ns := range l.input.Set.Namespaces {
		look(Object{Kind: "Namespace", Name: ns.Name}, ns.Annotations)
	}
	for _, np := range l.input.Set.Policies {
		look(Object{"NetworkPolicy", np.Namespace, np.Name}, np.Annotations)
	}
}
