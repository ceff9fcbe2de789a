package manifest

import "github.com/sluice-net/sluice/policy"

// Index makes an index of the set's Pods, Namespaces and NetworkPolicies. What is
// wrong with one of them [Loader.Finish] has reported: the rest of a Pod counts,
// and an invalid policy isolates all the same.
func (s *Set) Index(o policy.Options) *policy.Index {
	index := policy.NewIndex(o)
	for _, ns := range s.Namespaces {
		index.SetNamespace(ns.Name, ns.Labels)
	}
	for _, p := range s.Pods {
		pod, _ := policy.PodFromAPI(p)
		index.SetPod(pod)
	}
	for _, np := range s.Policies {
		_ = index.SetPolicy(np)
	}
	return index
}
