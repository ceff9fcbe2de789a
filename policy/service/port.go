package service

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Port finds a port of a Service by its number or name, or the first if port is
// empty. An empty protocol is any, TCP before others.
func Port(svc *corev1.Service, port string, proto corev1.Protocol) (*corev1.ServicePort, error) {
	var found *corev1.ServicePort
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if proto != "" && protocol(p.Protocol) != proto {
			continue
		}
		switch {
		case port == "":
			return p, nil
		case port != p.Name && port != strconv.Itoa(int(p.Port)):
			continue
		case found == nil || protocol(p.Protocol) == corev1.ProtocolTCP:
			found = p
		}
	}
	if found != nil {
		return found, nil
	}
	if port != "" && proto != "" {
		port += "/" + string(proto)
	}
	if len(svc.Spec.Ports) == 0 {
		return nil, fmt.Errorf("Service %s/%s has no ports", svc.Namespace, svc.Name)
	}
	return nil, fmt.Errorf("Service %s/%s has no port %s: it has %s", svc.Namespace, svc.Name, port, portList(svc.Spec.Ports))
}

// Means reports whether the target of an OpenShift Route is this port of a Service, where
// it leads to number on a Pod: a target is the port's name or that number, and if it is
// empty it is every port. Routes carry TCP only.
// https://docs.redhat.com/en/documentation/openshift_container_platform/4.20/html/network_apis/route-route-openshift-io-v1
func Means(p *corev1.ServicePort, target string, number uint16) bool {
	if protocol(p.Protocol) != corev1.ProtocolTCP {
		return false
	}
	return target == "" || target == p.Name || target == strconv.Itoa(int(number))
}

// NoTarget says that nothing behind a Service is what the target of a Route means.
func NoTarget(svc *corev1.Service, target string) string {
	name := "Service " + svc.Namespace + "/" + svc.Name
	switch {
	case len(svc.Spec.Ports) == 0:
		return name + " has no ports"
	case target == "":
		return name + " has no TCP port of a Pod behind it"
	}
	return fmt.Sprintf("no Pod behind %s has the TCP port %s, by its number or by the Service's name for it: the Service has %s", name, target, portList(svc.Spec.Ports))
}

// NodePort finds the port of a Service that nodes answer under a number, nil
// if there is none.
func NodePort(svc *corev1.Service, number uint16, proto corev1.Protocol) *corev1.ServicePort {
	if number == 0 || !OnNodes(svc) {
		return nil
	}
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if int(p.NodePort) == int(number) && (proto == "" || protocol(p.Protocol) == proto) {
			return p
		}
	}
	return nil
}

// OnNodes reports whether a Service can be reached from outside, at its nodes
// or a load balancer.
func OnNodes(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeNodePort || svc.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// Headless reports whether a Service has no address of its own, so that its
// name leads to the Pods' addresses.
func Headless(svc *corev1.Service) bool { return svc.Spec.ClusterIP == corev1.ClusterIPNone }

// PortName shows a port of a Service to a reader.
func PortName(p *corev1.ServicePort) string {
	s := strconv.Itoa(int(p.Port)) + "/" + string(protocol(p.Protocol))
	if p.Name != "" {
		s += " (" + p.Name + ")"
	}
	return s
}

func portList(ports []corev1.ServicePort) string {
	names := make([]string, len(ports))
	for i := range ports {
		names[i] = PortName(&ports[i])
	}
	return strings.Join(names, ", ")
}

// protocol is p with the API's default.
func protocol(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}
