package controlpath

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer/source"
)

// Selected is how the cases begin in which many policies select one Pod, Rules and Chains
// what their node has in the kernel then.
const (
	Selected = "selected, "
	Rules    = "rules"
	Chains   = "chains"
)

// SelectedKind is the case of a workload.
func SelectedKind(of scale.Selected) string {
	switch {
	case of.Everybody:
		return Selected + "all namespaces and named ports besides"
	case of.Plain:
		return Selected + "ports of their own"
	}
	return Selected + "ports that overlap"
}

// runSelected measures them all.
func runSelected(ctx context.Context, o Options, run *figures.Run) error {
	for _, of := range o.Selected {
		pods, local := of.Pods()
		m := newMeasurement(o, run, SelectedKind(of), figures.Setting{"pods": float64(pods), "policies": float64(of.Policies), "local": float64(local)})
		began := time.Now()
		err := m.selected(ctx, of)
		m.flush()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			run.Miss(Part, fmt.Sprintf("%s, %d policies", m.kind, of.Policies), err)
		}
		o.Log("control path: %s, %d policies in %.0f s", m.kind, of.Policies, time.Since(began).Seconds())
	}
	return nil
}

// selected builds the node and has policies come to its Pod, change and go.
func (m *measurement) selected(ctx context.Context, of scale.Selected) (err error) {
	_, local := of.Pods()
	var pods []*corev1.Pod
	for i := range local {
		pods = append(pods, selectedPod(of, i))
	}
	n, err := newNode(ctx, pods, lab.PTP)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	for range m.options.Starts {
		if err := n.reset(ctx); err != nil {
			return err
		}
		out, err := n.start(ctx, allSelected(of))
		if err != nil {
			return fmt.Errorf("cold start: %w", err)
		}
		m.add(ColdStart, Commit, "ms", milliseconds(out.commit))
	}
	if err := n.copyRuleset(ctx); err != nil {
		return err
	}
	text, err := os.ReadFile(n.copyPath())
	if err != nil {
		return fmt.Errorf("count rules: %w", err)
	}
	rules, chains := countRules(string(text))
	m.add(Rules, "", "rules", float64(rules))
	m.add(Chains, "", "chains", float64(chains))
	if _, err := n.load(ctx); err != nil {
		return err
	}
	return m.selectedRounds(ctx, n, of)
}

func (m *measurement) selectedRounds(ctx context.Context, n *node, of scale.Selected) error {
	began := time.Now()
	for round := 0; round < m.options.Rounds; round++ {
		if b := m.options.Budget; round >= fewest && b > 0 && time.Since(began) > b {
			return nil
		}
		for _, s := range selectedSteps(of) {
			if err := pause(ctx, quiet); err != nil {
				return err
			}
			out, err := m.measure(ctx, n, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			m.note(s, out)
		}
		if err := m.floor(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// selectedSteps leave everything as it was.
func selectedSteps(of scale.Selected) []step {
	more, middle := policyEvent(of.Policy(of.Policies)), of.Policy(of.Policies/2)
	changed := of.Policy(of.Policies + 1)
	changed.Name = middle.Name
	all, local := of.Pods()
	isolates, guest := policyEvent(of.Neighbour()), podEvent(of.Pod(all+local/2))
	event := func(e source.Event) func() source.Event { return func() source.Event { return e } }
	return []step{
		{name: "one policy more", event: event(more)},
		{name: "that policy goes", event: event(gone(more))},
		{name: "a policy changes", event: event(policyEvent(changed))},
		{name: "it changes back", event: event(policyEvent(middle))},
		{name: "a policy isolates another Pod", event: event(isolates)},
		{name: "that one goes", event: event(gone(isolates))},
		{name: "a remote Pod enters a peer set", event: event(guest)},
		{name: "it leaves", event: event(gone(guest))},
	}
}

func allSelected(of scale.Selected) []source.Event {
	out := []source.Event{namespace(of.Namespace())}
	for i := range of.Policies {
		out = append(out, policyEvent(of.Policy(i)))
	}
	all, _ := of.Pods()
	for i := range all {
		out = append(out, podEvent(of.Pod(i)))
	}
	return out
}

// selectedPod is what the lab needs of a local Pod to build it.
func selectedPod(of scale.Selected, i int) *corev1.Pod {
	p := of.Pod(i)
	out := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID, Labels: p.Labels},
		Spec:       corev1.PodSpec{NodeName: p.Node, Containers: []corev1.Container{{Name: "main"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, HostIPs: []corev1.HostIP{{IP: "192.168.0.0"}}},
	}
	for _, a := range p.Addrs {
		out.Status.PodIPs = append(out.Status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	return out
}

// countRules reads them from nft's list of tables: a rule is a line of a chain that does
// not say which hook it has.
func countRules(list string) (rules, chains int) {
	inChain := false
	for line := range strings.Lines(list) {
		switch text := strings.TrimSpace(line); {
		case strings.HasPrefix(text, "chain "):
			inChain = true
			chains++
		case text == "}":
			inChain = false
		case inChain && text != "" && !strings.HasPrefix(text, "type "):
			rules++
		}
	}
	return rules, chains
}
