package lab

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// serviceCluster is the small cluster with a Service on one Pod each, and one
// on two Pods.
func serviceCluster(topology Topology, nat ServiceNAT) Spec {
	s := smallCluster(topology, families["dual"])
	s.ServiceNAT = nat
	service := func(n int, local bool, backends ...Backend) {
		ports := []ServicePort{}
		for _, protocol := range []uint8{TCP, UDP, SCTP} {
			ports = append(ports, ServicePort{Protocol: protocol, Port: 80, NodePort: uint16(30080 + n), Backends: backends})
		}
		s.Services = append(s.Services, Service{
			Name:       types.NamespacedName{Namespace: "t", Name: fmt.Sprint("svc", n)},
			ClusterIPs: addrs(fmt.Sprintf("10.96.0.%d", n), fmt.Sprintf("fd00:10:96::%d", n)),
			Ports:      ports, Local: local,
		})
	}
	end := func(i int) []Backend {
		p := s.Pods[i]
		return []Backend{
			{netip.AddrPortFrom(p.Addrs[0], 9090), p.Node},
			{netip.AddrPortFrom(p.Addrs[1], 9090), p.Node},
		}
	}
	service(1, false, end(0)...)
	service(2, false, end(2)...)
	service(3, false, append(end(1), end(3)...)...)
	service(4, true, end(0)...)
	service(5, false)
	return s
}

func TestServices(t *testing.T) {
	for _, topology := range Everyday {
		for name, nat := range map[string]ServiceNAT{"nft": NATNFT, "iptables": NATIPTables} {
			t.Run(fmt.Sprintf("%s/%s", topology, name), func(t *testing.T) { checkServices(t, topology, nat) })
		}
	}
}

// checkServices tries what Services give to whom, where no engine is at work.
func checkServices(t *testing.T, topology Topology, nat ServiceNAT) {
	l := buildLab(t, serviceCluster(topology, nat))
	var flows []Flow
	var want []Outcome
	expect := func(o Outcome, src, dst string, port uint16) {
		for _, protocol := range []uint8{TCP, UDP, SCTP} {
			flows = append(flows, Flow{addr(src), addr(dst), protocol, port})
			want = append(want, o)
		}
	}
	for n := 1; n <= 4; n++ {
		for _, src := range []string{"10.244.1.5", "10.244.1.6", "10.244.2.5", "172.16.9.1", "192.0.2.1", "192.0.2.2"} {
			expect(Reached, src, fmt.Sprintf("10.96.0.%d", n), 80)
		}
		for _, src := range []string{"fd00:10:244:1::5", "fd00:10:244:1::6", "2001:db8:ffff::1", "2001:db8:1::1"} {
			expect(Reached, src, fmt.Sprintf("fd00:10:96::%d", n), 80)
		}
	}
	for n := 1; n <= 3; n++ {
		for _, src := range []string{"10.244.1.5", "10.244.2.5", "203.0.113.7", "192.0.2.2"} {
			expect(Reached, src, "192.0.2.1", uint16(30080+n))
			expect(Reached, src, "192.0.2.2", uint16(30080+n))
		}
		expect(Reached, "2001:db8:e::7", "2001:db8:1::2", uint16(30080+n))
	}
	expect(Reached, "203.0.113.7", "192.0.2.1", 30084)
	if diff := cmp.Diff(byFlow(flows, want), byFlow(flows, outcomes(t, l, flows))); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	nowhere := []Flow{
		{addr("10.244.1.5"), addr("10.96.0.5"), TCP, 80}, // no backends
		{addr("10.244.1.5"), addr("10.96.0.1"), TCP, 81}, // no such port
		// Its Pod is on the other node.
		{addr("203.0.113.7"), addr("192.0.2.2"), TCP, 30084},
	}
	for i, o := range outcomes(t, l, nowhere) {
		if o == Reached {
			t.Errorf("%s: reached, though nobody is behind it", nowhere[i])
		}
	}
}

func byFlow(flows []Flow, outcomes []Outcome) map[string]string {
	m := map[string]string{}
	for i, f := range flows {
		m[f.String()] = outcomes[i].String()
	}
	return m
}

func TestServiceFromObject(t *testing.T) {
	labels := map[string]string{"app": "api"}
	pods := []*corev1.Pod{
		apiPod("one", "a", labels, "10.0.0.1", "fd00::1"),
		apiPod("done", "a", labels, "10.0.0.2"),
		apiPod("other", "a", nil, "10.0.0.3"),
	}
	pods[0].Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}
	pods[1].Status.Phase = corev1.PodSucceeded
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "t", Name: "api"},
		Spec: corev1.ServiceSpec{
			Selector: labels, ClusterIPs: []string{"10.96.0.1", "fd00:96::1"},
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			Ports: []corev1.ServicePort{
				{Port: 80, TargetPort: intstr.FromString("web"), NodePort: 30080},
				{Port: 53, Protocol: corev1.ProtocolUDP},
				{Port: 81, TargetPort: intstr.FromString("absent")},
			},
		},
	}
	got, err := ServiceFromObject(svc, pods)
	if err != nil {
		t.Fatal(err)
	}
	end := func(s string) Backend { return Backend{netip.MustParseAddrPort(s), "a"} }
	want := Service{
		Name:       types.NamespacedName{Namespace: "t", Name: "api"},
		ClusterIPs: addrs("10.96.0.1", "fd00:96::1"), Local: true,
		Ports: []ServicePort{
			{Protocol: TCP, Port: 80, NodePort: 30080, Backends: []Backend{end("10.0.0.1:8080"), end("[fd00::1]:8080")}},
			{Protocol: UDP, Port: 53, Backends: []Backend{end("10.0.0.1:53"), end("[fd00::1]:53")}},
			{Protocol: TCP, Port: 81},
		},
	}
	if diff := cmp.Diff(want, got, cmpAddrs...); diff != "" {
		t.Errorf("Service (-want +got):\n%s", diff)
	}
}
