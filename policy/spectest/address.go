package spectest

import (
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Claimants are the Pods that an address may belong to: all whose objects claim
// it, have not finished and are not on the host network.
func (c *Cluster) Claimants(addr netip.Addr) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range c.Pods {
		if !finished(pod) && !pod.Spec.HostNetwork && has(podAddrs(pod), addr) {
			out = append(out, pod)
		}
	}
	return out
}

// Owner is the newest of the claimants, or nil.
func (c *Cluster) Owner(addr netip.Addr) *corev1.Pod { return Newest(c.Claimants(addr)) }

// Newest is the newest of some Pods, nil if there are none.
func Newest(pods []*corev1.Pod) *corev1.Pod {
	var out *corev1.Pod
	for _, pod := range pods {
		if out == nil || newer(pod, out) {
			out = pod
		}
	}
	return out
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func newer(a, b *corev1.Pod) bool {
	at, bt := a.CreationTimestamp.Time, b.CreationTimestamp.Time
	if !at.Equal(bt) {
		return at.After(bt)
	}
	if a.UID != b.UID {
		return a.UID > b.UID
	}
	if a.Name != b.Name {
		return a.Name > b.Name
	}
	return a.Namespace > b.Namespace
}

// OnNodeOfAll reports whether addr is the own node of each of the Pods.
func (c *Cluster) OnNodeOfAll(pods []*corev1.Pod, addr netip.Addr) bool {
	for _, pod := range pods {
		if !c.OnOwnNode(pod, addr) {
			return false
		}
	}
	return len(pods) > 0
}

// OnOwnNode reports whether addr is the Pod's own node: one of the node's
// addresses, or that of a Pod on the node's network.
func (c *Cluster) OnOwnNode(pod *corev1.Pod, addr netip.Addr) bool {
	if has(hostAddrs(pod), addr) {
		return true
	}
	for _, other := range c.Pods {
		if other.Spec.HostNetwork && !finished(other) && other.Spec.NodeName != "" &&
			other.Spec.NodeName == pod.Spec.NodeName && has(podAddrs(other), addr) {
			return true
		}
	}
	return false
}

func podAddrs(pod *corev1.Pod) []string {
	all := []string{pod.Status.PodIP}
	for _, ip := range pod.Status.PodIPs {
		all = append(all, ip.IP)
	}
	return all
}

func hostAddrs(pod *corev1.Pod) []string {
	all := []string{pod.Status.HostIP}
	for _, ip := range pod.Status.HostIPs {
		all = append(all, ip.IP)
	}
	return all
}

func has(list []string, addr netip.Addr) bool {
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil && a.Unmap().WithZone("") == addr {
			return true
		}
	}
	return false
}

// blockContains: in the CIDR and in none of the exceptions. A block of which
// any part is refused by the API contains nothing.
func blockContains(b networkingv1.IPBlock, addr netip.Addr) bool {
	outer, ok := parseCIDR(b.CIDR)
	if !ok {
		return false
	}
	within := outer.Contains(addr)
	for _, e := range b.Except {
		inner, ok := parseCIDR(e)
		if !ok || !outer.Contains(inner.Addr()) || inner.Bits() <= outer.Bits() {
			return false
		}
		if inner.Contains(addr) {
			within = false
		}
	}
	return within
}

// parseCIDR takes what the API server has always taken: host bits set, leading
// zeros in IPv4 (decimal) and IPv4 written as IPv6.
func parseCIDR(s string) (netip.Prefix, bool) {
	address, length, found := strings.Cut(s, "/")
	if !found {
		return netip.Prefix{}, false
	}
	addr, err := netip.ParseAddr(withoutLeadingZeros(address))
	if err != nil || addr.Zone() != "" || length == "" || strings.Trim(length, "0123456789") != "" {
		return netip.Prefix{}, false
	}
	bits, err := strconv.Atoi(length)
	if err != nil {
		return netip.Prefix{}, false
	}
	if addr.Is4In6() && bits >= 96 {
		addr, bits = addr.Unmap(), bits-96
	}
	prefix, err := addr.Prefix(bits)
	return prefix, err == nil
}

func withoutLeadingZeros(address string) string {
	if strings.Contains(address, ":") {
		return address
	}
	octets := strings.Split(address, ".")
	for i, o := range octets {
		for len(o) > 1 && o[0] == '0' {
			o = o[1:]
		}
		octets[i] = o
	}
	return strings.Join(octets, ".")
}
