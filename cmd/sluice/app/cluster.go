package app

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
)

// clusterReader yields the objects that questions are asked about. Manifests
// are one source of them, a live cluster's API server is to be another.
type clusterReader interface {
	read(ctx context.Context) (*cluster, error)
}

// cluster is a set of objects and the index over them.
type cluster struct {
	index *policy.Index
	set   manifest.Set
	// pods are those of the set, for what the index does not keep.
	pods map[types.NamespacedName]*corev1.Pod
	// problems are what is wrong with the objects, in the order found.
	problems []manifest.Problem
}

func newCluster(set manifest.Set, problems []manifest.Problem) *cluster {
	c := &cluster{
		index:    policy.NewIndex(policy.Options{}),
		set:      set,
		pods:     make(map[types.NamespacedName]*corev1.Pod, len(set.Pods)),
		problems: problems,
	}
	for _, ns := range set.Namespaces {
		c.index.SetNamespace(ns.Name, ns.Labels)
	}
	for _, p := range set.Pods {
		// What is wrong with a Pod the loader has reported already; the rest
		// of the Pod counts.
		pod, _ := policy.PodFromAPI(p)
		c.index.SetPod(pod)
		c.pods[pod.NamespacedName] = p
	}
	for _, np := range set.Policies {
		// Likewise; the index keeps an invalid policy, which isolates.
		_ = c.index.SetPolicy(np)
	}
	return c
}

// report prints the problems and says whether one of them is an error.
func (c *cluster) report(w io.Writer) (bad bool) {
	for _, p := range c.problems {
		if p.Notice {
			fmt.Fprintln(w, p)
			continue
		}
		bad = true
		fmt.Fprintf(w, "error: %s\n", p)
	}
	return bad
}
