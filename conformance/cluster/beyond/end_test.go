package beyond

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// TestTerminating: a Pod that is being deleted keeps what it had and what it was
// denied, until it has ended.
func TestTerminating(t *testing.T) {
	w := newWorld(t)
	w.policy(w.ns, "all", `
podSelector: {matchLabels: {role: bound}}
policyTypes: [Ingress, Egress]
ingress:
- from: [{podSelector: {matchLabels: {app: friend}}}]
egress:
- to: [{podSelector: {matchLabels: {app: friend}}}]
`)
	w.policy(w.ns, "friend", `
podSelector: {matchLabels: {app: friend}}
ingress:
- from: [{podSelector: {matchLabels: {role: bound}}}]
`)
	pods := w.pods(
		spec{name: "friend"}, spec{name: "stranger", node: 1},
		spec{name: "leaving", labels: map[string]string{"role": "bound"}, change: func(p *corev1.Pod) {
			grace := int64(300)
			p.Spec.TerminationGracePeriodSeconds = &grace
			p.Spec.Containers[0].Args = append(p.Spec.Containers[0].Args, "--delay-shutdown=280")
		}},
	)
	leaving := pods["leaving"]
	cells := slices.Concat(
		pods["friend"].to(leaving, web, true), pods["stranger"].to(leaving, web, false),
		leaving.to(pods["friend"], web, true), leaving.to(pods["stranger"], web, false), pods["stranger"].to(pods["friend"], web, false),
	)
	w.expect("before", cells...)
	held := leaving.start(probe.Request{Op: probe.Hold, Network: "tcp", Address: netip.AddrPortFrom(pods["friend"].addrs()[0], web).String(), Timeout: unanswered, Interval: 50e6})
	w.must("delete the Pod", cluster.client.CoreV1().Pods(w.ns).Delete(w.ctx, "leaving", metav1.DeleteOptions{}))
	w.reload(leaving, func(q *corev1.Pod) bool { return q.DeletionTimestamp != nil && q.Status.Phase == corev1.PodRunning })
	w.expect("while it ends", cells...)

	w.policy(w.ns, "more", `
podSelector: {matchLabels: {role: bound}}
policyTypes: [Egress]
egress:
- to: [{podSelector: {matchLabels: {app: stranger}}}]
`)
	w.expect("a policy that comes while it ends", leaving.to(pods["stranger"], web, true)...)
	if r := held.stop(); r.Outcome != probe.Finished {
		t.Errorf("a connection that was open did not last: %s", r.Detail)
	}
}

// lastAddress is where the host-local plugin remembers which address it gave
// last; it gives the next one that is free.
const lastAddress = "/cni/networks/*/last_reserved_ip."

// TestReusedAddress: a completed Pod's object stays, with its address, which
// belongs to another Pod soon. Whatever was said of the old one must not be
// true of the new one.
func TestReusedAddress(t *testing.T) {
	w := newWorld(t)
	w.policy(w.ns, "deny", `
podSelector: {matchLabels: {role: bound}}
policyTypes: [Ingress, Egress]
`)
	w.policy(w.ns, "guarded", `
podSelector: {matchLabels: {app: guarded}}
ingress:
- from: [{podSelector: {matchLabels: {role: bound}}}]
`)
	bound := map[string]string{"role": "bound"}
	pods := w.pods(
		spec{name: "old", labels: bound}, spec{name: "client"}, spec{name: "guarded", node: 1},
		spec{name: "allocator", onNode: true, change: func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "cni", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/cni"}}})
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "cni", MountPath: "/cni"})
		}},
	)
	old := pods["old"]
	w.expect("the old Pod", append(pods["client"].to(old, web, false), old.to(pods["guarded"], web, false)...)...)
	old.start(probe.Request{Op: probe.Quit})
	w.reload(old, func(q *corev1.Pod) bool { return q.Status.Phase == corev1.PodSucceeded })

	// The next Pod on the node gets the address, if nothing else comes between.
	next := &pod{}
	for try := 0; next.hand == nil; try++ {
		if try == 5 {
			t.Fatalf("no new Pod got %v", old.addrs())
		}
		for i, addr := range old.addrs() {
			r := pods["allocator"].do(probe.Request{Op: probe.Write, Path: fmt.Sprint(lastAddress, i), Data: addr.Prev().String()})
			if r.Outcome != probe.OK {
				t.Fatalf("ask for the address again, which this test can with the host-local plugin alone: %s", r.Detail)
			}
		}
		made := w.pods(spec{name: fmt.Sprint("new-", try)})
		for _, p := range made {
			if slices.Equal(p.addrs(), old.addrs()) {
				next = p
			}
		}
	}
	w.reload(old, func(q *corev1.Pod) bool { return q.Status.PodIP == next.Status.PodIP })
	w.expect("a Pod with the address of one that completed", slices.Concat(
		pods["client"].to(next, web, true), next.to(pods["client"], web, true), next.to(pods["guarded"], web, false))...)

	w.label(w.ns, "old", map[string]string{"touched": "yes"})
	w.policy(w.ns, "new", fmt.Sprintf(`
podSelector: {matchLabels: {app: %s}}
policyTypes: [Ingress]
`, next.Pod.Name))
	w.expect("a policy of the new one", pods["client"].to(next, web, false)...)
	w.must("delete the old Pod", cluster.client.CoreV1().Pods(w.ns).Delete(w.ctx, "old", metav1.DeleteOptions{}))
	w.expect("after the old one's object is gone", append(pods["client"].to(next, web, false), next.to(pods["client"], web, true)...)...)
}
