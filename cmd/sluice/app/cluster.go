package app

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
)

// clusterReader yields the objects that questions are asked about: from
// manifests, or from a live cluster's API server.
type clusterReader interface {
	read(ctx context.Context) (*cluster, error)
}

// cluster is a set of objects and the index over them.
type cluster struct {
	index *policy.Index
	set   manifest.Set
	// pods are those of the set, for what the index does not keep.
	pods map[types.NamespacedName]*corev1.Pod
	// finder has what stands for Pods; where says where all of this was read.
	finder finder
	where  string
	// nodes, serviceAddrs and addrNotice are filled when first needed.
	nodes        *nodeTable
	serviceAddrs map[netip.Addr]addressed
	addrNotice   string
	// dns is what nodeDNSCaches found, once dnsRead.
	dns     []nodeDNS
	dnsRead bool
	// problems are what is wrong with the objects, in the order found.
	problems []manifest.Problem
}

func newCluster(set manifest.Set, problems []manifest.Problem) *cluster {
	c := &cluster{
		index:    policy.NewIndex(policy.Options{}),
		set:      set,
		pods:     make(map[types.NamespacedName]*corev1.Pod, len(set.Pods)),
		problems: problems,
		where:    "the manifests",
	}
	c.finder = setFinder{&c.set}
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
