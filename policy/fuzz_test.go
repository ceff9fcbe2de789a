package policy_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy/spectest"
)

// The data steers the draw of a cluster, its history and flows.
func FuzzAgreement(f *testing.F) {
	for seed := range uint64(8) {
		data := make([]byte, 64<<(seed%4))
		r := spectest.Seeded(seed)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := spectest.Steered(data)
		seed := r.Uint64()
		s := newScenario(seed, r)
		story := &story{scenario: s, events: s.cluster.Events(r), asks: r.IntN(101)}
		if _, failure := story.run(0); failure != "" {
			t.Fatal(story.shrunk(0, failure))
		}
		x := s.index(t, s.cluster.Final())
		m, err := mirrorOf(x)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			flow := s.cluster.RandomFlow(r)
			if disagreement(s.cluster, x, m, flow) != "" {
				t.Fatal(s.report(flow))
			}
		}
	})
}

// Whatever strings and numbers a policy holds, the index takes it without a
// panic and means by it what the naive evaluator reads.
func FuzzPolicyText(f *testing.F) {
	f.Add("10.0.0.0/8", "10.64.0.0/16", "app", "In", "web", "http", "TCP", int32(80), int32(90), "Ingress", "10.64.0.2")
	f.Add("010.1.2.3/08", "::ffff:10.1.2.3/120", "a.b/c", "NotIn", "", "a--b", "udp", int32(0), int32(-1), "Egress", "fd00::1")
	f.Add("::/0", "fd00:64::/33", "-", "Exists", "x,y", "8080", "", int32(65535), int32(65535), "", "fd00:64::2")
	f.Fuzz(func(t *testing.T, cidr, except, key, operator, values, name, protocol string, port, endPort int32, policyType, peer string) {
		addr, err := netip.ParseAddr(peer)
		if addr = addr.Unmap().WithZone(""); err != nil {
			return
		}
		c := textCluster(cidr, except, key, operator, values, name, protocol, port, endPort, policyType)
		s := &scenario{cluster: c, invalid: true}
		x := s.index(t, c.Final())
		m, err := mirrorOf(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range []string{"10.64.0.2", "fd00:64::2", "10.64.0.3"} {
			for _, number := range []uint16{80, 8080, uint16(port), uint16(endPort), uint16(endPort + 1)} {
				for _, protocol := range []uint8{6, 17, 132, 1} {
					to, from := netip.MustParseAddr(pod), addr
					if to.Is4() != from.Is4() {
						from = to.Next()
					}
					for _, flow := range []spectest.Flow{
						{Src: from, Dst: to, Protocol: protocol, Port: number},
						{Src: to, Dst: from, Protocol: protocol, Port: number},
					} {
						if disagreement(c, x, m, flow) != "" {
							t.Fatal(s.report(flow))
						}
					}
				}
			}
		}
	})
}

// textCluster has two Pods and one policy of the given texts in each of its
// places.
func textCluster(cidr, except, key, operator, values, name, protocol string, port, endPort int32, policyType string) *spectest.Cluster {
	pod := func(name string, labels map[string]string, addrs ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: labels}}
		for _, a := range addrs {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
		}
		p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: 80}, {Name: "8080", ContainerPort: 8080},
		}}}
		return p
	}
	selector := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: key, Operator: metav1.LabelSelectorOperator(operator), Values: strings.Split(values, ","),
	}}}
	if values == "" {
		selector.MatchExpressions[0].Values = nil
	}
	named, number, proto := intstr.FromString(name), intstr.FromInt32(port), corev1.Protocol(protocol)
	ports := []networkingv1.NetworkPolicyPort{
		{Port: &named}, {Protocol: &proto, Port: &number, EndPort: &endPort},
	}
	if proto == "" {
		ports[1].Protocol = nil
	}
	peers := []networkingv1.NetworkPolicyPeer{
		{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: []string{except}}},
		{PodSelector: &selector},
		{NamespaceSelector: &selector},
	}
	spec := networkingv1.NetworkPolicySpec{
		PodSelector: selector,
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}},
		Egress:      []networkingv1.NetworkPolicyEgressRule{{To: slices.Clone(peers), Ports: slices.Clone(ports)}},
	}
	if policyType != "" {
		spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyType(policyType)}
	}
	return &spectest.Cluster{
		Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"app": "web"}}}},
		Pods: []*corev1.Pod{
			pod("a", map[string]string{"app": "web"}, "10.64.0.2", "fd00:64::2"),
			pod("b", map[string]string{"app": "", "a.b/c": "x"}, "10.64.0.3"),
		},
		Policies: []*networkingv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "np"}, Spec: spec}},
	}
}
