package beyond

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// longest is how long an open connection may be silent: TCP's second attempt
// after one lost packet comes sooner.
const longest = time.Second

// stream is something that goes on while the agents are replaced.
type stream struct {
	cell
	task
}

// TestRollout replaces every agent under running connections: no forbidden
// packet passes, no allowed connection breaks, and none fails to be made.
func TestRollout(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1}, spec{name: "near-bad"}, spec{name: "far-bad", node: 1})
	server := pods["server"]
	w.policy(w.ns, "deny", `{podSelector: {}, policyTypes: [Ingress]}`)
	w.policy(w.ns, "good", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [near, far]}]}}], ports: [{port: 7000}, {port: 7000, protocol: UDP}]}]
`)
	w.policy(w.ns, "bound", `
podSelector: {matchLabels: {app: far}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]
`)
	var allowed, forbidden []cell
	for _, name := range []string{"near", "far"} {
		allowed = append(allowed, pods[name].to(server, web, true)...)
		forbidden = append(forbidden, pods[name].to(server, other, false)...)
		forbidden = append(forbidden, pods[name+"-bad"].to(server, web, false)...)
	}
	w.expect("before", append(allowed, forbidden...)...)

	var held, again, never []stream
	for _, c := range allowed {
		held = append(held, c.stream(probe.Hold, 20*time.Millisecond, 5*time.Second))
		again = append(again, c.stream(probe.Repeat, 50*time.Millisecond, 5*time.Second))
	}
	for _, c := range forbidden {
		// Most of these end unanswered: many short tries leave no gap.
		for range 4 {
			never = append(never, c.stream(probe.Repeat, 0, 200*time.Millisecond))
		}
	}
	time.Sleep(time.Second)
	began := time.Now()
	w.roll()
	took := time.Since(began)
	time.Sleep(time.Second)

	var exchanges, connections, refusals int
	for _, s := range held {
		r := s.stop()
		exchanges += r.Answers
		if r.Outcome != probe.Finished || r.Longest > longest {
			t.Errorf("%s: a connection is %s after %d answers, at most %s apart: %s", &s.cell, r.Outcome, r.Answers, r.Longest, r.Detail)
		}
	}
	for _, s := range again {
		r := s.stop()
		connections += r.Answers
		if r.Outcome != probe.Finished || r.Answers != r.Tries || r.Answers == 0 {
			t.Errorf("%s: %s, %d of %d new connections were answered: %s", &s.cell, r.Outcome, r.Answers, r.Tries, r.Detail)
		}
	}
	for _, s := range never {
		r := s.stop()
		refusals += r.Tries
		if r.Outcome != probe.Finished || r.Answers > 0 || r.Tries == 0 {
			t.Errorf("%s: %s, %d of %d forbidden connections were answered: %s", &s.cell, r.Outcome, r.Answers, r.Tries, r.Detail)
		}
	}
	t.Logf("agents replaced in %s: %d exchanges on %d open connections, %d new connections, %d forbidden tries",
		took.Round(time.Second), exchanges, len(held), connections, refusals)
	w.expect("after", append(allowed, forbidden...)...)
}

func (c cell) stream(op probe.Op, interval, timeout time.Duration) stream {
	return stream{c, c.from.start(probe.Request{Op: op, Network: c.network, Address: c.addr.String(), Interval: interval, Timeout: timeout})}
}

// roll replaces all agents' Pods as a new version's rollout does.
func (w *world) roll() {
	w.t.Helper()
	ns, name, found := strings.Cut(*agent, "/")
	if !found {
		w.t.Fatalf("-agent: %q is not namespace/name", *agent)
	}
	sets := cluster.client.AppsV1().DaemonSets(ns)
	patch := fmt.Sprintf(`{"spec": {"template": {"metadata": {"annotations": {"beyond": %q}}}}}`, w.ns)
	set, err := sets.Patch(w.ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	w.must("roll "+*agent, err)
	w.await("the rollout of "+*agent, func() error {
		now, err := sets.Get(w.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := &now.Status; now.Status.ObservedGeneration < set.Generation || s.UpdatedNumberScheduled < s.DesiredNumberScheduled || s.NumberAvailable < s.DesiredNumberScheduled {
			return fmt.Errorf("%d of %d Pods are new, %d available", s.UpdatedNumberScheduled, s.DesiredNumberScheduled, s.NumberAvailable)
		}
		return nil
	})
}
