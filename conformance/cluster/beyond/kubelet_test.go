package beyond

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const denyAll = `{podSelector: {}, policyTypes: [Ingress, Egress]}`

// ready says whether a Pod's containers all are.
func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// TestProbes has kubelets probe Pods that nobody else may reach. The default
// deny is there before the Pods are.
func TestProbes(t *testing.T) {
	handlers := map[string]corev1.ProbeHandler{
		"http": {HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(8080)}},
		"tcp":  {TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString(netexec)}},
		"exec": {Exec: &corev1.ExecAction{Command: []string{"/agnhost", "connect", "--timeout=3s", "127.0.0.1:8080"}}},
	}
	w := newWorld(t)
	w.policy(w.ns, "deny", denyAll)
	specs := []spec{{name: "node", onNode: true}, {name: "elsewhere", onNode: true, node: 1}, {name: "near"}}
	for name, handler := range handlers {
		specs = append(specs, spec{name: name, change: func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			probe := corev1.Probe{ProbeHandler: handler, PeriodSeconds: 1, TimeoutSeconds: 5, FailureThreshold: 3}
			started, once := probe, probe
			started.FailureThreshold = 60
			once.FailureThreshold = 1
			p.Spec.RestartPolicy = corev1.RestartPolicyAlways
			c.ReadinessProbe, c.StartupProbe, c.LivenessProbe = &probe, &started, &once
		}})
	}
	pods := w.pods(specs...)
	var cells []cell
	for name := range handlers {
		p := pods[name]
		w.reload(p, ready)
		// A kubelet probes one family. What any process of the node may do
		// shows both.
		cells = slices.Concat(cells,
			pods["node"].to(p, web, true), pods["elsewhere"].to(p, web, false), pods["near"].to(p, web, false))
	}
	w.expect("under default deny", cells...)

	time.Sleep(5 * time.Second) // some periods of the liveness probe, of which one failure is too many
	for name := range handlers {
		p := pods[name]
		w.reload(p, ready)
		if n := p.Status.ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("%s restarted %d times", name, n)
		}
	}
	t.Logf("%d Pods stayed ready and alive", len(handlers))
}
