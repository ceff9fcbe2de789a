package enforcer

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// nodeName doubts the agent's node name. With a wrong one no Pod counts as this
// node's, and none is enforced. Where there is a Node object the source knows; a
// directory of manifests has none, and a Node may be another node's. What gives a
// wrong name away everywhere is a Pod that is bound to another node and whose
// address is behind a veth of this one, while no Pod of the name is found here. A
// node that merely has no Pods of its own reaches others' through its uplinks.
type nodeName struct {
	// looked is when the veths were last asked.
	looked time.Time
	doubts []Condition
}

// manyVeths bounds how many veths are asked for addresses: the first Pods of a
// node give a wrong name away as well as all.
const manyVeths = 64

// checkNodeName is part of each sync. It costs nothing on a node that has found a
// Pod of its own, and little from time to time on another one.
func (s *syncer) checkNodeName(ctx context.Context) {
	if s.cfg.Node == "" {
		return
	}
	now := s.cfg.Clock.Now()
	switch {
	case s.links.BindsAny():
		s.nodeName = nodeName{}
	case s.nodeName.looked.IsZero() || now.Sub(s.nodeName.looked) >= s.cfg.InspectInterval:
		s.nodeName = nodeName{looked: now}
		pod, veth, err := s.foreignPodHere()
		if err != nil {
			klog.FromContext(ctx).Error(err, "Failed to look for Pods of other node names")
		}
		if pod != nil {
			s.nodeName.doubts = []Condition{Condition(source.NodeUnknown(s.cfg.Node, fmt.Sprintf(
				"no Pod of node %q is found here, but %s has the address of Pod %s, which is bound to node %q", s.cfg.Node, veth, pod.NamespacedName, pod.Node)))}
		}
	}
	s.status.setConditions(ctx, "node name", s.nodeName.doubts)
}

// foreignPodHere finds a Pod of another node whose address is behind a veth of
// this one. A container may give itself any address; the node's routes are its own.
func (s *syncer) foreignPodHere() (*policy.Pod, string, error) {
	podOf := func(a netip.Addr) *policy.Pod { return s.index.EndOfAddr(a).Pod }
	addr, veth, err := s.links.FindBehind(manyVeths, func(a netip.Addr) bool {
		pod := podOf(a)
		return pod != nil && pod.Node != "" && pod.Node != s.cfg.Node
	})
	if err != nil || !addr.IsValid() {
		return nil, "", err
	}
	return podOf(addr), veth, nil
}
