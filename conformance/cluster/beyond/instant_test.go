package beyond

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// gap is how long a new Pod's packets may pass. An agent hears of a Pod's
// address from the API server, where the kubelet writes it when it next looks,
// which is about a second after the first container has started.
const gap = 5 * time.Second

// TestFirstInstant has containers try what is forbidden with their first
// instruction. What they get through until the agent can know of their Pod must
// end: no connection of that time outlives it.
func TestFirstInstant(t *testing.T) {
	w := newWorld(t)
	w.policy(w.ns, "deny", `{podSelector: {matchLabels: {role: bound}}, policyTypes: [Egress]}`)
	pods := w.pods(spec{name: "near"}, spec{name: "far", node: 1})
	nursery := w.nursery()

	containers := map[string]probe.Request{}
	for _, server := range []string{"near", "far"} {
		for _, network := range []string{"tcp", "udp"} {
			r := probe.Request{
				Op: probe.Repeat, Network: network, Address: netip.AddrPortFrom(pods[server].addrs()[0], web).String(),
				Timeout: 300 * time.Millisecond, Interval: 20 * time.Millisecond,
			}
			containers[strings.Join([]string{"repeat", network, server}, "-")] = r
			r.Op = probe.Hold
			containers[strings.Join([]string{"hold", network, server}, "-")] = r
		}
	}
	newborn := func(name, role string, patience time.Duration) spec {
		return spec{name: name, labels: map[string]string{"role": role}, pending: true, change: func(p *corev1.Pod) {
			p.Spec.Volumes[0] = nursery.volume
			p.Spec.Containers = nil
			for name, r := range containers {
				if r.Op == probe.Hold {
					r.Timeout = patience
				}
				p.Spec.Containers = append(p.Spec.Containers, nursery.container(name, r, 12))
			}
		}}
	}
	// What is bound nobody waits for; what is free is held up only until the
	// agent knows it, which takes a busy machine some seconds.
	born := w.pods(newborn("bound", "bound", 3*time.Second), newborn("free", "free", 10*time.Second))
	for _, p := range born {
		w.reload(p, func(q *corev1.Pod) bool { return q.Status.Phase == corev1.PodSucceeded })
	}
	for name := range containers {
		if r := w.logged("free", name); r.Outcome != probe.Finished || r.Answers == 0 {
			t.Errorf("%s: of a Pod that nothing binds, %d of %d tries were answered: %s", name, r.Answers, r.Tries, r.Detail)
		}
		r := w.logged("bound", name)
		switch {
		case strings.HasPrefix(name, "hold") && r.Outcome != probe.Timeout && r.Outcome != probe.Broken:
			t.Errorf("%s: a connection of the first instant is %s: %s", name, r.Outcome, r.Detail)
		case strings.HasPrefix(name, "repeat") && (r.Outcome != probe.Finished || r.Until > gap):
			t.Errorf("%s: %s, the last answer to what is forbidden came after %s: %s", name, r.Outcome, r.Until, r.Detail)
		default:
			t.Logf("%s: %d of %d tries were answered, the last after %s", name, r.Answers, r.Tries, r.Until.Round(time.Millisecond))
		}
	}
}

// logged reads what a container's prober said.
func (w *world) logged(pod, container string) probe.Response {
	w.t.Helper()
	log, err := cluster.client.CoreV1().Pods(w.ns).GetLogs(pod, &corev1.PodLogOptions{Container: container}).DoRaw(w.ctx)
	w.must("read the log of "+container, err)
	var r probe.Response
	w.must("understand the log of "+container, json.Unmarshal(log, &r))
	return r
}
