package lint

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
)

// end is a Pod, or the Pods that a workload would make.
type end struct {
	object Object
	// pod has labels, named ports and whether it is on the host's network.
	pod *policy.Pod
	// ports are all that its containers declare, named or not.
	ports []policy.NamedPort
	// api is the Pod as it was written.
	api *corev1.Pod
	// open are keys of labels that a controller sets, to values that no manifest
	// tells.
	open []string
	// owned: another object made it.
	owned bool
}

func newEnd(o Object, p *corev1.Pod) *end {
	// What is wrong with a Pod the Loader has reported; the rest of it counts.
	pod, _ := policy.PodFromAPI(p)
	e := &end{object: o, pod: pod, api: p}
	for i := range p.Spec.Containers {
		e.declare(&p.Spec.Containers[i])
	}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			e.declare(c)
		}
	}
	return e
}

func (e *end) declare(c *corev1.Container) {
	for _, p := range c.Ports {
		if p.ContainerPort < 1 || p.ContainerPort > 65535 {
			continue
		}
		e.ports = append(e.ports, policy.NamedPort{Name: p.Name, Protocol: policy.ProtocolOf(p.Protocol), Number: uint16(p.ContainerPort)})
	}
}

// isOpen reports whether the value of a label is not known. Nodes' topology is
// copied to Pods, and service meshes and admission put their own labels there.
func (e *end) isOpen(key string) bool {
	if slices.Contains(e.open, key) {
		return true
	}
	return e.object.Kind != "Pod" && (strings.HasPrefix(key, "topology.kubernetes.io/") || meshKey(key)) && e.pod.Labels[key] == ""
}

func meshKey(key string) bool {
	prefix, _, found := strings.Cut(key, "/")
	return found && (prefix == "istio.io" || strings.HasSuffix(prefix, ".istio.io") || prefix == "linkerd.io" || strings.HasSuffix(prefix, ".linkerd.io"))
}

// may reports whether a podSelector may select the end.
func (e *end) may(set policy.LabelSet) bool { return set.MayContain(e.pod.Labels, e.isOpen) }

// isolable reports whether policies can say anything about it.
func (e *end) isolable() bool { return !e.pod.HostNetwork && !e.pod.Finished }

// runs reports whether it is a Pod as a cluster has it: then all that run are likely
// to be in the input.
func (e *end) runs() bool { return e.object.Kind == "Pod" && len(e.pod.Addrs) > 0 }

// injectedPorts are names of ports of containers that service meshes add to Pods
// when these are made.
var injectedPorts = []string{"http-envoy-prom", "linkerd-admin", "linkerd-proxy", "envoy-metrics", "status-port"}

// has reports whether the end has a port of this name.
func (e *end) has(name string, proto policy.Protocol) bool {
	return slices.ContainsFunc(e.pod.Ports, func(p policy.NamedPort) bool { return p.Name == name && p.Protocol == proto })
}

// declares reports whether a container declares the number.
func (e *end) declares(number uint16, proto policy.Protocol) bool {
	return slices.ContainsFunc(e.ports, func(p policy.NamedPort) bool { return p.Number == number && p.Protocol == proto })
}

func nameSelector(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
}

// named lists up to three ends for a message.
func named(list []*end) string {
	words := make([]string, 0, 4)
	for i, e := range list {
		if i == 3 {
			words = append(words, "…")
			break
		}
		words = append(words, e.object.String())
	}
	return strings.Join(words, ", ")
}
