package enforcer

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/enforcer/source"
)

// nodeUnknowns are the conditions that doubt the node name.
func (a *testAgent) nodeUnknowns() []Condition {
	var out []Condition
	for _, c := range a.Status().Conditions {
		if c.What == "NodeUnknown" {
			out = append(out, c)
		}
	}
	return out
}

// A node name that is not the one that Pods are bound to enforces nothing: the
// Pods of another name that are here give it away.
func TestAgentWithAWrongNodeNameIsNotReady(t *testing.T) {
	for topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			c := newCluster(t, topology)
			pods := []*corev1.Pod{c.web.object, c.front.object, c.bad.object}
			for _, o := range pods {
				o.Spec.NodeName = "node-a.example.com"
			}
			from := &source.Memory{}
			must(t, from.Set(append(c.objects(), allow("web", "web", "front", 80))...))
			a := startAgent(t, c.node, from, func(cfg *Config) {
				cfg.Node, cfg.InspectInterval = "node-a", 50*time.Millisecond
			})
			a.settle()
			err := a.Ready()
			if err == nil || !strings.Contains(err.Error(), "NodeUnknown") || !strings.Contains(err.Error(), "node-a.example.com") || !strings.Contains(err.Error(), "spec.nodeName") {
				t.Errorf("ready: %v", err)
			}
			right := c.web.object.DeepCopy()
			right.Spec.NodeName = "node-a"
			a.set(right)
			if n := a.nodeUnknowns(); len(n) > 0 {
				t.Errorf("a Pod of the name is here, and yet: %v", n)
			}
		})
	}
}

// A node that has no Pods of its own is in order, whatever others have.
func TestAgentWithoutOwnPodsIsReady(t *testing.T) {
	for topology, top := range topologies {
		t.Run(topology, func(t *testing.T) {
			here, elsewhere := top.node(t), top.node(t)
			stranger := top.pod(here, "stranger", "10.1.0.9")
			far := top.pod(elsewhere, "far", "10.1.0.2", "fd01::2")
			far.object.Spec.NodeName = "node-b"
			// Something that is no Pod of the cluster has the far Pod's address, but
			// the node does not reach it there.
			if topology == "ptp" {
				stranger.ip("addr add 10.1.0.2/32 dev eth0")
			}
			from := &source.Memory{}
			must(t, from.Set(shop(), far.object))
			a := startAgent(t, here, from, func(cfg *Config) { cfg.Node = "node-a" })
			a.settle()
			if err := a.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
		})
	}
}
