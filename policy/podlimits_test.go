package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Addresses that are nobody's are no Pod's, whatever its object says; the Pod
// keeps the others.
func TestPodFromAPIRefusesAddressesThatAreNobodys(t *testing.T) {
	for _, bad := range []string{
		"0.0.0.0", "::", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0",
		"224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255",
	} {
		p := &corev1.Pod{Status: corev1.PodStatus{
			PodIPs:  []corev1.PodIP{{IP: bad}, {IP: "10.0.0.1"}, {IP: "10.0.0.1"}, {IP: "::ffff:10.0.0.1"}},
			HostIPs: []corev1.HostIP{{IP: bad}},
		}}
		p.Namespace, p.Name = "shop", "p"
		got, err := PodFromAPI(p)
		if !slices.Equal(got.Addrs, addrList("10.0.0.1")) || len(got.NodeAddrs) != 0 {
			t.Errorf("%s: addresses %v, node's %v", bad, got.Addrs, got.NodeAddrs)
		}
		if err == nil || !strings.Contains(err.Error(), "Pod shop/p: status.podIPs[0].ip: ") || !strings.Contains(err.Error(), "status.hostIPs[0].ip") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// What one Pod object makes large is bounded, and so is what is said of it.
func TestPodFromAPIBoundsLargeObjects(t *testing.T) {
	p := &corev1.Pod{}
	p.Namespace, p.Name = "shop", "p"
	a := netip.MustParseAddr("10.0.0.1")
	for range 5000 {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a.String()})
		p.Status.HostIPs = append(p.Status.HostIPs, corev1.HostIP{IP: a.String()})
		a = a.Next()
	}
	c := corev1.Container{}
	for i := range 20_000 {
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: fmt.Sprint("p", i), ContainerPort: int32(i%60_000) + 1})
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: "bad", Protocol: corev1.Protocol(strings.Repeat("x", 1000)), ContainerPort: 1})
	}
	p.Spec.Containers = []corev1.Container{c}
	got, err := PodFromAPI(p)
	if len(got.Addrs) != MaxPodAddrs || len(got.NodeAddrs) > MaxPodAddrs || len(got.Ports) != MaxNamedPorts {
		t.Errorf("%d addresses, %d of the node, %d ports", len(got.Addrs), len(got.NodeAddrs), len(got.Ports))
	}
	if err == nil || len(err.Error()) > 3000 {
		t.Fatalf("an error of %d bytes", len(err.Error()))
	}
	for _, want := range []string{"Pod shop/p: status.podIPs: 5000 entries", "status.hostIPs: 5000 entries", "faults more"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// A Pod whose labels are too large is no Pod that policies could miss: its
// addresses are nobody's.
func TestPodFromAPIDoesNotTakeAPodOfTooManyLabels(t *testing.T) {
	p := &corev1.Pod{Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}}}
	p.Namespace, p.Name, p.Labels = "shop", "p", map[string]string{}
	for n := 0; n <= MaxLabelBytes; n += 100 {
		p.Labels[fmt.Sprintf("%050d", n)] = strings.Repeat("v", 50)
	}
	got, err := PodFromAPI(p)
	if len(got.Addrs) != 0 || len(got.Labels) != 0 || !got.Unread || err == nil || !strings.Contains(err.Error(), "Pod shop/p: metadata.labels: ") {
		t.Errorf("%d addresses, %d labels, %v", len(got.Addrs), len(got.Labels), err)
	}
	clear(p.Labels)
	p.Labels["app"] = "web"
	if got, err = PodFromAPI(p); err != nil || len(got.Addrs) != 1 || got.Labels["app"] != "web" || got.Unread {
		t.Errorf("a Pod of ordinary labels: %+v, %v", got, err)
	}
}
