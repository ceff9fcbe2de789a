package spectest

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// portsMatch reports whether a rule's ports let the flow through: no ports at
// all means all traffic, of protocols without ports too. Names are looked up
// on each target; there is none where the flow goes to no Pod.
func portsMatch(ports []networkingv1.NetworkPolicyPort, f Flow, target []*corev1.Pod) bool {
	if len(ports) == 0 {
		return true
	}
	for _, p := range ports {
		if portMatches(p, f, target) {
			return true
		}
	}
	return false
}

func portMatches(p networkingv1.NetworkPolicyPort, f Flow, target []*corev1.Pod) bool {
	protocol := corev1.ProtocolTCP
	if p.Protocol != nil {
		protocol = *p.Protocol
	}
	if number, known := protocolNumber(protocol); !known || number != f.Protocol {
		return false
	}
	if p.Port == nil {
		return p.EndPort == nil // endPort without port is refused
	}
	if p.Port.Type == intstr.String {
		return p.EndPort == nil && portNameValid(p.Port.StrVal) && len(target) > 0 &&
			all(target, func(pod *corev1.Pod) bool { return namedPortMatches(p.Port.StrVal, protocol, f.Port, pod) })
	}
	first, last := p.Port.IntVal, p.Port.IntVal
	if p.EndPort != nil {
		last = *p.EndPort
	}
	if first < 1 || first > 65535 || last < first || last > 65535 {
		return false
	}
	return first <= int32(f.Port) && int32(f.Port) <= last
}

// namedPortMatches reports whether the target has a port of that name,
// protocol and number, in a container that runs beside the others: a plain
// init container is gone when they start.
func namedPortMatches(name string, protocol corev1.Protocol, number uint16, target *corev1.Pod) bool {
	for _, p := range containerPorts(target) {
		if p.Name == name && p.Protocol == protocol && p.ContainerPort == int32(number) {
			return true
		}
	}
	return false
}

// containerPorts are those of all containers that run beside each other, with their
// protocol.
func containerPorts(pod *corev1.Pod) []corev1.ContainerPort {
	containers := append([]corev1.Container{}, pod.Spec.Containers...)
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	var out []corev1.ContainerPort
	for _, c := range containers {
		for _, p := range c.Ports {
			if p.Protocol == "" {
				p.Protocol = corev1.ProtocolTCP
			}
			out = append(out, p)
		}
	}
	return out
}

// arrivals are the flows to the ports of a Pod's containers, sorted, each once.
func arrivals(pod *corev1.Pod) []Flow {
	var out []Flow
	for _, p := range containerPorts(pod) {
		if number, known := protocolNumber(p.Protocol); known {
			out = append(out, Flow{Protocol: number, Port: uint16(p.ContainerPort)})
		}
	}
	slices.SortFunc(out, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(out)
}

var portName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$`)

func portNameValid(name string) bool {
	return portName.MatchString(name) && strings.ContainsAny(name, "abcdefghijklmnopqrstuvwxyz") && !strings.Contains(name, "--")
}

func protocolNumber(p corev1.Protocol) (number uint8, known bool) {
	switch p {
	case corev1.ProtocolTCP:
		return 6, true
	case corev1.ProtocolUDP:
		return 17, true
	case corev1.ProtocolSCTP:
		return 132, true
	}
	return 0, false
}
