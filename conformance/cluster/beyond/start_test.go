package beyond

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// withInit puts a netexec before the Pod's container, which itself has none to
// be reached by.
func withInit(restart *corev1.ContainerRestartPolicy, ports ...corev1.ContainerPort) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := netexecContainer("first", 8080)
		c.RestartPolicy = restart
		c.Ports = append(c.Ports, ports...)
		p.Spec.InitContainers = []corev1.Container{c}
		p.Spec.Containers[0].Args, p.Spec.Containers[0].Ports = []string{"pause"}, nil
	}
}

// reachInit waits until a Pod's first init container runs, and reaches into it.
func (w *world) reachInit(p *pod) {
	w.t.Helper()
	w.reload(p, func(q *corev1.Pod) bool {
		return q.Status.PodIP != "" && len(q.Status.InitContainerStatuses) > 0 && q.Status.InitContainerStatuses[0].State.Running != nil
	})
	p.hand = reachInto(w.t, p.Pod, p.Spec.InitContainers[0].Name)
	w.listen(p, web, other)
}

// TestInitContainer: a Pod that is Pending is bound like any other, as soon as
// it has an address.
func TestInitContainer(t *testing.T) {
	w := newWorld(t)
	w.policy(w.ns, "bound", `
podSelector: {matchLabels: {role: bound}}
policyTypes: [Ingress, Egress]
ingress:
- from: [{podSelector: {matchLabels: {app: friend}}}]
egress:
- to: [{podSelector: {matchLabels: {app: friend}}}]
`)
	w.policy(w.ns, "far", `
podSelector: {matchLabels: {app: far}}
ingress:
- from: [{podSelector: {matchLabels: {role: bound}}}]
`)
	pods := w.pods(
		spec{name: "friend"}, spec{name: "stranger"}, spec{name: "far", node: 1}, spec{name: "node", onNode: true},
		spec{name: "starting", labels: map[string]string{"role": "bound"}, change: withInit(nil), pending: true},
	)
	starting := pods["starting"]
	w.reachInit(starting)
	if starting.Status.Phase != corev1.PodPending {
		t.Fatalf("the Pod is %s, want Pending", starting.Status.Phase)
	}
	cells := slices.Concat(
		pods["friend"].to(starting, web, true), pods["stranger"].to(starting, web, false),
		pods["far"].to(starting, web, false), pods["node"].to(starting, web, true),
		starting.to(pods["friend"], web, true), starting.to(pods["stranger"], web, false),
		starting.to(pods["far"], web, false), starting.to(pods["node"], web, false),
	)
	w.expect("while it starts", cells...)

	w.policy(w.ns, "more", `
podSelector: {matchLabels: {role: bound}}
policyTypes: [Egress]
egress:
- to: [{podSelector: {matchLabels: {app: far}}}]
`)
	w.expect("a peer while it starts", starting.to(pods["far"], web, true)...)

	// With the init container its prober ends. The address remains.
	starting.start(probe.Request{Op: probe.Quit})
	w.reload(starting, func(q *corev1.Pod) bool { return q.Status.Phase == corev1.PodRunning })
}

// TestSidecar: it serves while the Pod is Pending, and its ports have names.
func TestSidecar(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	w := newWorld(t)
	w.policy(w.ns, "bound", `
podSelector: {matchLabels: {app: server}}
ingress:
- from: [{podSelector: {matchLabels: {app: friend}}}]
  ports: [{port: sidecar}]
`)
	w.policy(w.ns, "out", `
podSelector: {matchLabels: {app: caller}}
policyTypes: [Egress]
egress:
- ports: [{port: sidecar}]
`)
	server := withInit(&always, corev1.ContainerPort{Name: "sidecar", ContainerPort: web})
	pods := w.pods(
		spec{name: "friend"}, spec{name: "far", node: 1}, spec{name: "caller"},
		spec{name: "open", change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{Name: "sidecar", ContainerPort: other})
		}},
		spec{name: "server", pending: true, change: func(p *corev1.Pod) {
			server(p)
			// Something more has to end before the Pod's own container starts.
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{
				Name: "gate", Image: *image, ImagePullPolicy: corev1.PullIfNotPresent, Args: []string{"pause"},
			})
		}},
	)
	w.reachInit(pods["server"])
	if phase := pods["server"].Status.Phase; phase != corev1.PodPending {
		t.Fatalf("the Pod is %s, want Pending", phase)
	}
	w.expect("a sidecar of a Pod that starts", slices.Concat(
		only("tcp", pods["friend"].to(pods["server"], web, true)), only("udp", pods["friend"].to(pods["server"], web, false)),
		pods["friend"].to(pods["server"], other, false), pods["far"].to(pods["server"], web, false),
		pods["caller"].to(pods["open"], web, false), only("tcp", pods["caller"].to(pods["open"], other, true)),
	)...)
}
