//go:build linux && !nolab

package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/question"
)

// placement says how the lab fills in what manifests leave open.
func placement(topology string, external []netip.Addr) lab.Placement {
	p := lab.Placement{External: external}
	switch topology {
	case "ptp":
		p.Topology = lab.PTP
	case "two-node":
		p.Topology = lab.PTP
		p.Spread = lab.TwoNodes
	}
	return p
}

// needLab says what real packets lack, before anything is built.
func needLab() error { return needKernel() }

// probe sends a packet for each flow that can exist in a kernel.
func (v *verification) probe(ctx context.Context, answers []answer) (err error) {
	runnable, broken := runnablePods(v.cluster.set.Pods)
	flows, owners, external := v.sendable(answers, broken)
	spec, pods, err := lab.SpecFromObjects(runnable, placement(v.options.topology, external))
	if err != nil {
		return fmt.Errorf("derive the lab from the manifests: %w", err)
	}
	objects := make([]any, 0, len(pods)+len(v.cluster.set.Namespaces)+len(v.cluster.set.Policies))
	for _, p := range pods {
		objects = append(objects, p)
	}
	for _, n := range v.cluster.set.Namespaces {
		objects = append(objects, n)
	}
	for _, p := range v.cluster.set.Policies {
		objects = append(objects, p)
	}
	r, err := newRig(ctx, spec, func(string) source.Source {
		memory := &source.Memory{}
		// What is wrong with an object has been reported with the manifests;
		// the source keeps what is usable.
		for _, o := range objects {
			_ = memory.Set(o)
		}
		return memory
	})
	if err != nil {
		return fmt.Errorf("build the lab: %w", err)
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.settle(ctx); err != nil {
		return err
	}
	flows, owners = withoutStrangeNodes(spec, answers, flows, owners)
	return send(ctx, r.lab, answers, flows, owners)
}

// withoutStrangeNodes leaves out flows from a Pod's own node by an address of
// which the Pod's status.hostIPs know nothing, but another Pod's do. No rule
// ever sees what a node sends to its Pods, so in the kernel they get through; a
// manifest of a real cluster would have told the paper so.
func withoutStrangeNodes(spec lab.Spec, answers []answer, flows []lab.Flow, owners []int) ([]lab.Flow, []int) {
	nodeOf := map[netip.Addr]string{}
	for _, n := range spec.Nodes {
		for _, a := range n.Addrs {
			nodeOf[a] = n.Name
		}
	}
	podNode := map[netip.Addr]string{}
	for _, p := range spec.Pods {
		if p.HostNetwork {
			continue
		}
		for _, a := range p.Addrs {
			podNode[a] = p.Node
		}
	}
	var keptFlows []lab.Flow
	var keptOwners []int
	for i, f := range flows {
		a := &answers[owners[i]]
		node := nodeOf[f.Src]
		if node != "" && node == podNode[f.Dst] && a.First().Verdict.Ingress.Reason != policy.ReasonOwnNode {
			a.kernelWhy = fmt.Sprintf("%s is an address of the Pod's own node %s, but not in the Pod's status.hostIPs", f.Src, node)
			continue
		}
		keptFlows, keptOwners = append(keptFlows, f), append(keptOwners, owners[i])
	}
	return keptFlows, keptOwners
}

// send probes the flows and writes down what became of them.
func send(ctx context.Context, l *lab.Lab, answers []answer, flows []lab.Flow, owners []int) error {
	// Flows that the kernel cannot tell from their reverse go there first and
	// back later.
	var rounds [2]struct {
		flows  []lab.Flow
		owners []int
	}
	for i, f := range flows {
		round := &rounds[0]
		if f.SharesConnection() && f.Dst.Less(f.Src) {
			round = &rounds[1]
		}
		round.flows = append(round.flows, f)
		round.owners = append(round.owners, owners[i])
	}
	for i, round := range rounds {
		if i > 0 && len(round.flows) > 0 {
			if err := l.ForgetConnections(); err != nil {
				return err
			}
		}
		results, err := l.ProbeResults(ctx, round.flows, lab.ProbeOptions{})
		if err != nil {
			return fmt.Errorf("send packets: %w", err)
		}
		for i, result := range results {
			a := &answers[round.owners[i]]
			if result.Outcome == lab.Unsendable {
				a.kernelWhy = result.Err.Error()
				continue
			}
			reached := result.Outcome == lab.Reached
			a.kernel = &reached
		}
	}
	return nil
}

// runnablePods leaves out those that were reported as wrong: no node would run
// them.
func runnablePods(pods []*corev1.Pod) (runnable []*corev1.Pod, broken map[types.NamespacedName]bool) {
	broken = map[types.NamespacedName]bool{}
	for _, p := range pods {
		if _, err := policy.PodFromAPI(p); err != nil {
			broken[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = true
			continue
		}
		runnable = append(runnable, p)
	}
	return runnable, broken
}

// sendable picks the flows that packets can be sent for; owners gives the
// answer of each. external are the addresses that are no Pod's.
func (v *verification) sendable(answers []answer, broken map[types.NamespacedName]bool) (flows []lab.Flow, owners []int, external []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for i := range answers {
		a := &answers[i]
		if a.err != nil {
			continue
		}
		flow := a.First().Path.Flow()
		if a.kernelWhy = unsendable(flow, broken); a.kernelWhy == "" && !a.Single() {
			a.kernelWhy = "it stands for several packets, or one that a Service translates on its way"
		}
		if a.kernelWhy != "" {
			continue
		}
		for _, end := range []policy.End{flow.Src, flow.Dst} {
			if end.Pod == nil && !seen[end.Addr] {
				seen[end.Addr] = true
				external = append(external, end.Addr)
			}
		}
		flows = append(flows, lab.Flow{
			Src: flow.Src.Addr, Dst: flow.Dst.Addr,
			Protocol: uint8(flow.Protocol), Port: flow.Port,
		})
		owners = append(owners, i)
	}
	return flows, owners, external
}

// unsendable says why no packet can be sent for a flow, or is empty.
func unsendable(f policy.Flow, broken map[types.NamespacedName]bool) string {
	for _, e := range []policy.End{f.Src, f.Dst} {
		if question.StandIn(e.Addr) {
			return question.EndName(e) + " has no address: no Pod of it runs"
		}
	}
	for _, end := range []policy.End{f.Src, f.Dst} {
		if end.Pod != nil && broken[end.Pod.NamespacedName] {
			return "Pod " + end.Pod.NamespacedName.String() + " is not usable"
		}
	}
	if f.Src.Pod == nil && f.Dst.Pod == nil {
		return "neither end is a Pod, so no Pod's node sees it"
	}
	for _, a := range []netip.Addr{f.Src.Addr, f.Dst.Addr} {
		switch {
		case a.IsUnspecified(), a.IsMulticast(), a.IsLoopback(), a.IsLinkLocalUnicast() && a.Is6(),
			a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return a.String() + " is no address that a host can have"
		}
	}
	switch {
	case f.Protocol == policy.ICMP && f.Src.Addr.Is6(), f.Protocol == policy.ICMPv6 && f.Src.Addr.Is4():
		return fmt.Sprintf("no host speaks %s between %s and %s", f.Protocol, f.Src.Addr, f.Dst.Addr)
	}
	return ""
}
