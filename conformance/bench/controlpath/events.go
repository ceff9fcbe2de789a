package controlpath

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// step is a kind of event, which a cycle measures once.
type step struct {
	name  string
	event func() source.Event
	// silent events concern no local Pod: the kernel must not hear of them.
	silent bool
}

// cycle are the events of a round, in an order that leaves the cluster as it
// was. All but the silent ones change what the node's rules allow.
func cycle(c scale.Cluster) []step {
	guest := func() *policy.Pod { return c.Pod(guestNumber(c, 0)) }
	relabelled := func() *policy.Pod {
		p := guest()
		p.Labels["app"], p.Labels["num"] = "app-3", "num-9" // in other groups than the guest
		return p
	}
	pod := func(p func() *policy.Pod) func() source.Event {
		return func() source.Event { return podEvent(p()) }
	}
	without := func(e func() source.Event) func() source.Event {
		return func() source.Event { return gone(e()) }
	}
	local := pod(func() *policy.Pod { return c.Pod(0) })
	written := func(cidr string) func() source.Event {
		return func() source.Event { return policyEvent(extraPolicy(namespaceName(c, 0), cidr)) }
	}
	elsewhere := func() source.Event {
		return policyEvent(extraPolicy(namespaceName(c, c.Namespaces-1), "192.0.2.0/24"))
	}
	steps := []step{
		{name: "remote Pod comes", event: pod(guest)},
		{name: "remote Pod changes its labels", event: pod(relabelled)},
		{name: "remote Pod goes", event: without(pod(relabelled))},
		{name: "local Pod goes", event: without(local)},
		{name: "local Pod comes", event: local},
		{name: "namespace changes its labels", event: relabelledNamespace(c, "nobody's")},
		{name: "namespace gets its labels back", event: relabelledNamespace(c, "")},
		{name: "policy comes", event: written("192.0.2.0/24")},
		{name: "policy changes", event: written("198.51.100.0/24")},
		{name: "policy goes", event: without(written("192.0.2.0/24"))},
		{name: "policy elsewhere comes", event: elsewhere, silent: true},
		{name: "policy elsewhere goes", event: without(elsewhere), silent: true},
	}
	if c.Shape == scale.Published {
		// Its policies select namespaces by their names, which do not change.
		steps = slices.DeleteFunc(steps, func(s step) bool { return strings.HasPrefix(s.name, "namespace") })
	}
	return steps
}

// guestNumber is that of the n-th Pod beyond the cluster's that the node's
// policies know: app-1 of one of the first namespaces.
func guestNumber(c scale.Cluster, n int) int {
	const apps = 5
	round := apps * c.Namespaces
	return (c.Pods/round+1)*round + apps*(n%c.Namespaces) + n/c.Namespaces*round + 1
}

func namespaceName(c scale.Cluster, i int) string {
	name, _ := c.Namespace(i)
	return name
}

// relabelledNamespace is a namespace of the team of local ones.
func relabelledNamespace(c scale.Cluster, team string) func() source.Event {
	return func() source.Event {
		_, local := c.Namespace(1)
		at := 2
		for i := c.Namespaces - 1; i > at; i-- {
			if _, labels := c.Namespace(i); labels["team"] == local["team"] {
				at = i
				break
			}
		}
		name, labels := c.Namespace(at)
		if team != "" {
			labels = maps.Clone(labels)
			labels["team"] = team
		}
		return namespace(name, labels)
	}
}

// extraPolicy allows what nobody else does.
func extraPolicy(namespace, cidr string) *networkingv1.NetworkPolicy {
	port := intstr.FromInt32(4711)
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "extra"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "app-0"}},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{
					{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app-4"}}},
					{IPBlock: &networkingv1.IPBlock{CIDR: cidr}},
				},
				Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
			}},
		},
	}
}

// quiet is longer than twice the least time between two rounds of the agent, so
// that no event is held back for the one before it, or for the round in which
// the agent heard of its own change.
const quiet = 130 * time.Millisecond

// fewest rounds are measured however long they take.
const fewest = 5

// rounds measures the cycle and the floor, one after the other, again and
// again.
func (m *measurement) rounds(ctx context.Context, n *node) error {
	steps := cycle(m.size.Cluster)
	began := time.Now()
	for round := range m.options.Rounds {
		if round >= fewest && m.options.Budget > 0 && time.Since(began) > m.options.Budget {
			m.options.Log("control path: %d of %d rounds in the time there is", round, m.options.Rounds)
			return nil
		}
		for i, s := range steps {
			if err := pause(ctx, quiet); err != nil {
				return err
			}
			out, err := m.measure(ctx, n, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			m.note(s, out)
			if i%2 == 0 {
				if err := m.floor(ctx, n); err != nil {
					return err
				}
			}
		}
		if err := m.structure(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) measure(ctx context.Context, n *node, s step) (outcome, error) {
	if !s.silent {
		out, err := n.change(ctx, s.event())
		if err == nil && out.transactions == 0 {
			err = fmt.Errorf("nothing reached the kernel")
		}
		return out, err
	}
	n.rec.reset()
	n.feed.Deliver(s.event())
	err := n.settle(ctx)
	return n.rec.since(time.Now()), err
}

func (m *measurement) note(s step, out outcome) {
	if s.silent {
		m.add(s.name, "operations", "operations", float64(out.ops))
		return
	}
	m.add(s.name, Commit, "ms", milliseconds(out.commit))
	m.add(s.name, Own, "ms", milliseconds(out.own))
	m.add(s.name, "transactions", "transactions", float64(out.transactions))
}

// floor is nft adding an element to the copy, and removing it.
func (m *measurement) floor(ctx context.Context, n *node) error {
	took, err := n.nft(ctx, elements("add", 1))
	if err != nil {
		return err
	}
	m.add(OneElement, Floor, "ms", milliseconds(took))
	_, err = n.nft(ctx, elements("delete", 1))
	return err
}

// structure is nft adding a set and a chain to the copy, and removing them: it
// reads more of the tables for that than for an element.
func (m *measurement) structure(ctx context.Context, n *node) error {
	const add = `
add set inet sluice bench { type ipv4_addr; }
add chain inet sluice bench
add rule inet sluice bench ip saddr @bench return
`
	took, err := n.nft(ctx, add)
	if err != nil {
		return err
	}
	m.add(OneChain, Floor, "ms", milliseconds(took))
	_, err = n.nft(ctx, "delete chain inet sluice bench\ndelete set inet sluice bench\n")
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
