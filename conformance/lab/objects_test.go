package lab

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var cmpAddrs = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func apiPod(name, node string, labels map[string]string, list ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "t", Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c"}}},
	}
	for _, a := range list {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
	}
	return p
}

// with changes a Pod in place.
func with(p *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod {
	change(p)
	return p
}

func hostIP(list ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, a := range list {
			p.Status.HostIPs = append(p.Status.HostIPs, corev1.HostIP{IP: a})
		}
	}
}

func created(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(seconds, 0)) }
}

func TestSpecFromObjects(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	tests := map[string]struct {
		pods  []*corev1.Pod
		place Placement
		want  Spec
	}{
		"one node made up": {
			pods: []*corev1.Pod{apiPod("x", "", nil, "10.0.0.1"), apiPod("y", "", nil, "10.0.0.2")},
			want: Spec{
				Nodes: []Node{{"node-1", addrs("198.18.0.1")}},
				Pods:  []Pod{pod("x", "node-1", "10.0.0.1"), pod("y", "node-1", "10.0.0.2")},
			},
		},
		"two nodes made up, both families, addresses in use avoided": {
			pods:  []*corev1.Pod{apiPod("x", "", nil, "198.18.0.1", "fd00::1"), apiPod("y", "", nil, "10.0.0.2")},
			place: Placement{Topology: PTP, Spread: TwoNodes, External: addrs("2001:2::1", "10.0.0.2", "127.0.0.1", "2001:2::1")},
			want: Spec{
				Topology: PTP,
				Nodes:    []Node{{"node-1", addrs("198.18.0.2", "2001:2::2")}, {"node-2", addrs("198.18.0.3", "2001:2::3")}},
				Pods:     []Pod{pod("x", "node-1", "198.18.0.1", "fd00::1"), pod("y", "node-2", "10.0.0.2")},
				External: addrs("2001:2::1"),
			},
		},
		"nodes as given": {
			pods: []*corev1.Pod{
				with(apiPod("x", "b", nil, "10.0.0.1"), hostIP("192.0.2.2")),
				with(apiPod("y", "", nil, "10.0.0.2"), hostIP("192.0.2.2")),
				with(apiPod("z", "", nil, "10.0.0.3"), hostIP("192.0.2.3")),
				apiPod("lone", "", nil, "10.0.0.4"),
			},
			want: Spec{
				Nodes: []Node{{"b", addrs("192.0.2.2")}, {"node-1", addrs("192.0.2.3")}, {"node-2", addrs("198.18.0.1")}},
				Pods: []Pod{
					pod("x", "b", "10.0.0.1"), pod("y", "b", "10.0.0.2"),
					pod("z", "node-1", "10.0.0.3"), pod("lone", "node-2", "10.0.0.4"),
				},
			},
		},
		"who has no namespace": {
			pods: []*corev1.Pod{
				with(apiPod("old", "a", nil, "10.0.0.1", "fd00::1"), created(1)),
				with(apiPod("new", "a", nil, "10.0.0.1"), created(2)),
				with(apiPod("lost", "a", nil, "10.0.0.1"), created(1)),
				with(apiPod("done", "a", nil, "10.0.0.1"), func(p *corev1.Pod) {
					created(3)(p)
					p.Status.Phase = corev1.PodFailed
				}),
				apiPod("pending", "a", nil),
			},
			want: Spec{
				Nodes: []Node{{"a", addrs("198.18.0.1", "2001:2::1")}},
				Pods:  []Pod{pod("old", "a", "fd00::1"), pod("new", "a", "10.0.0.1")},
			},
		},
		"hostNetwork gives the node its address": {
			pods: []*corev1.Pod{
				with(apiPod("h", "a", nil, "192.0.2.1"), func(p *corev1.Pod) { p.Spec.HostNetwork = true }),
				apiPod("x", "a", nil, "10.0.0.1"),
			},
			want: Spec{
				Nodes: []Node{{"a", addrs("192.0.2.1")}},
				Pods: []Pod{
					{Name: podName("h"), Node: "a", Addrs: addrs("192.0.2.1"), HostNetwork: true},
					pod("x", "a", "10.0.0.1"),
				},
			},
		},
		"ports of containers and sidecars": {
			pods: []*corev1.Pod{with(apiPod("x", "a", nil, "10.0.0.1"), func(p *corev1.Pod) {
				p.Spec.Containers[0].Ports = []corev1.ContainerPort{
					{ContainerPort: 80}, {ContainerPort: 53, Protocol: corev1.ProtocolUDP},
				}
				p.Spec.InitContainers = []corev1.Container{
					{RestartPolicy: &always, Ports: []corev1.ContainerPort{{ContainerPort: 81, Protocol: corev1.ProtocolSCTP}}},
					{Ports: []corev1.ContainerPort{{ContainerPort: 82}}},
				}
			})},
			want: Spec{
				Nodes: []Node{{"a", addrs("198.18.0.1")}},
				Pods: []Pod{{
					Name: podName("x"), Node: "a", Addrs: addrs("10.0.0.1"),
					Ports: []Port{{TCP, 80}, {UDP, 53}, {SCTP, 81}},
				}},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := make([]*corev1.Pod, len(test.pods))
			for i, p := range test.pods {
				before[i] = p.DeepCopy()
			}
			got, copies, err := SpecFromObjects(test.pods, test.place)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpAddrs...); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, test.pods); diff != "" {
				t.Errorf("the given Pods changed (-before +after):\n%s", diff)
			}
			for _, p := range copies {
				if !finished(p) && (p.Spec.NodeName == "" || len(p.Status.HostIPs) == 0 && !p.Spec.HostNetwork) {
					t.Errorf("copy of %s: nodeName %q, hostIPs %v", p.Name, p.Spec.NodeName, p.Status.HostIPs)
				}
			}
		})
	}
}

func TestSpecFromObjectsErrors(t *testing.T) {
	tests := map[string]struct {
		pods []*corev1.Pod
		want string
	}{
		"bad address": {
			[]*corev1.Pod{apiPod("x", "", nil, "10.0.0.300")},
			"Pod t/x: status.podIPs[0]",
		},
		"one address, two nodes": {
			[]*corev1.Pod{
				with(apiPod("x", "a", nil, "10.0.0.1"), hostIP("192.0.2.1")),
				with(apiPod("y", "b", nil, "10.0.0.2"), hostIP("192.0.2.1")),
			},
			"node b: address 192.0.2.1 belongs to node a already",
		},
		"a Pod with its node's address": {
			[]*corev1.Pod{with(apiPod("x", "a", nil, "192.0.2.1"), hostIP("192.0.2.1"))},
			"Pod t/x: address 192.0.2.1 belongs to node a already",
		},
		"an address that nobody can have": {
			[]*corev1.Pod{apiPod("x", "a", nil, "127.0.0.1")},
			"Pod t/x: address 127.0.0.1",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := SpecFromObjects(test.pods, Placement{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestLayoutSharesAPrefixOnlyWhereItHoldsNobodyElse(t *testing.T) {
	tests := map[string]struct {
		pods     []string
		external string
		want     subnet
	}{
		"usual":               {[]string{"10.0.1.5", "10.0.1.6"}, "8.8.8.8", subnet{netip.MustParsePrefix("10.0.1.0/24"), addr("10.0.1.1")}},
		"gateway taken":       {[]string{"10.0.1.1", "10.0.1.2"}, "8.8.8.8", subnet{netip.MustParsePrefix("10.0.1.0/24"), addr("10.0.1.3")}},
		"wider":               {[]string{"10.0.1.5", "10.0.2.6"}, "8.8.8.8", subnet{netip.MustParsePrefix("10.0.0.0/22"), addr("10.0.0.1")}},
		"stranger inside":     {[]string{"10.0.1.5", "10.0.1.6"}, "10.0.1.200", subnet{Gateway: addr("169.254.0.5")}},
		"network address":     {[]string{"10.0.1.0", "10.0.1.6"}, "8.8.8.8", subnet{Gateway: addr("169.254.0.5")}},
		"broadcast address":   {[]string{"10.0.1.255", "10.0.1.6"}, "8.8.8.8", subnet{Gateway: addr("169.254.0.5")}},
		"nothing in common":   {[]string{"10.0.1.5", "192.168.0.1"}, "8.8.8.8", subnet{Gateway: addr("169.254.0.5")}},
		"the lab's own range": {[]string{"10.0.1.5", "169.254.0.4"}, "8.8.8.8", subnet{Gateway: addr("169.254.0.6")}},
		"IPv6":                {[]string{"fd00::5", "fd00::6"}, "8.8.8.8", subnet{netip.MustParsePrefix("fd00::/64"), addr("fd00::1")}},
		"IPv6, odd":           {[]string{"fd00::5", "fd01::6"}, "8.8.8.8", subnet{Gateway: addr("fe80::1")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := Spec{Nodes: []Node{{Name: "a"}}, External: addrs(test.external)}
			for _, a := range test.pods {
				s.Pods = append(s.Pods, Pod{Name: types.NamespacedName{Name: a}, Node: "a", Addrs: addrs(a)})
			}
			l, err := newLayout(&s)
			if err != nil {
				t.Fatal(err)
			}
			got := l.nodes[0].subnets[family(addr(test.pods[0]))]
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b subnet) bool { return a == b })); diff != "" {
				t.Errorf("subnet (-want +got):\n%s", diff)
			}
		})
	}
}
