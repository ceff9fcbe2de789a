package service

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func nameOf(pod string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: pod}
}

// pathLine is a path for a table: the egress leg, the ingress leg where it is
// another, the entry, and what else there is to know.
func pathLine(p Path) string {
	s := p.Egress.Src.String() + ">" + p.Egress.Dst.String()
	if p.Ingress != p.Egress {
		s += " then " + p.Ingress.Src.String() + ">" + p.Ingress.Dst.String()
	}
	if p.Entry != "" {
		s += " at " + p.Entry
	}
	if p.Hidden {
		s += " hidden"
	}
	if p.Hairpin {
		s += " hairpin"
	}
	return s
}

// A connection takes each path as its nodes see it: egress where the client
// is, ingress where the backend is.
func TestPaths(t *testing.T) {
	addr := netip.MustParseAddr
	backends := []Backend{
		{netip.MustParseAddrPort("10.0.1.1:8080"), "a", nameOf("on-a")},
		{netip.MustParseAddrPort("10.0.2.1:8080"), "b", nameOf("on-b")},
		{netip.MustParseAddrPort("[fd00::1]:8080"), "a", nameOf("on-a")},
	}
	nodes := []Node{{"a", addr("192.168.0.1")}, {"b", addr("192.168.0.2")}, {"c", addr("192.168.0.3")}}
	pod := Client{addr("10.0.1.9"), "a", Pod}
	host := Client{addr("192.168.0.1"), "a", Host}
	outside := Client{addr("203.0.113.7"), "", Outside}
	nodePort := func(node, at string) Door {
		return Door{Kind: AtNode, Node: node, At: netip.AddrPortFrom(addr(at), 30080)}
	}
	tests := map[string]struct {
		client            Client
		door              Door
		internal, outward string
		want              []string
	}{
		"ClusterIP":               {client: pod, want: []string{"10.0.1.9>10.0.1.1:8080", "10.0.1.9>10.0.2.1:8080"}},
		"ClusterIP, IPv6":         {client: Client{addr("fd00::9"), "a", Pod}, want: []string{"fd00::9>[fd00::1]:8080"}},
		"ClusterIP, hairpin":      {client: Client{addr("10.0.1.1"), "a", Pod}, want: []string{"10.0.1.1>10.0.1.1:8080 hairpin", "10.0.1.1>10.0.2.1:8080"}},
		"ClusterIP, host":         {client: host, want: []string{"192.168.0.1>10.0.1.1:8080", "192.168.0.1>10.0.2.1:8080"}},
		"internal policy Local":   {client: pod, internal: "Local", want: []string{"10.0.1.9>10.0.1.1:8080"}},
		"internal Local, nowhere": {client: Client{addr("10.0.3.9"), "c", Pod}, internal: "Local"},
		"headless":                {client: pod, door: Door{Kind: AtPod, At: netip.AddrPortFrom(netip.Addr{}, 80)}, want: []string{"10.0.1.9>10.0.1.1:80", "10.0.1.9>10.0.2.1:80"}},
		"headless, by name":       {client: pod, door: Door{Kind: AtPod}, want: []string{"10.0.1.9>10.0.1.1:8080", "10.0.1.9>10.0.2.1:8080"}},
		"balancer from outside": {client: outside, door: Door{Kind: AtBalancer}, want: []string{
			"203.0.113.7>10.0.1.1:8080 at a",
			"203.0.113.7>10.0.1.1:8080 then 192.168.0.2>10.0.1.1:8080 at b hidden", "203.0.113.7>10.0.1.1:8080 then 192.168.0.3>10.0.1.1:8080 at c hidden",
			"203.0.113.7>10.0.2.1:8080 at b",
			"203.0.113.7>10.0.2.1:8080 then 192.168.0.1>10.0.2.1:8080 at a hidden", "203.0.113.7>10.0.2.1:8080 then 192.168.0.3>10.0.2.1:8080 at c hidden",
		}},
		"balancer from outside, Local": {client: outside, door: Door{Kind: AtBalancer}, outward: "Local", want: []string{
			"203.0.113.7>10.0.1.1:8080 at a", "203.0.113.7>10.0.2.1:8080 at b",
		}},
		"NodePort from outside": {client: outside, door: nodePort("b", "192.168.0.2"), want: []string{
			"203.0.113.7>10.0.1.1:8080 then 192.168.0.2>10.0.1.1:8080 at b hidden", "203.0.113.7>10.0.2.1:8080 at b",
		}},
		"NodePort from outside, Local":          {client: outside, door: nodePort("b", "192.168.0.2"), outward: "Local", want: []string{"203.0.113.7>10.0.2.1:8080 at b"}},
		"NodePort from outside, Local, nowhere": {client: outside, door: nodePort("c", "192.168.0.3"), outward: "Local"},
		"NodePort of the own node": {client: pod, door: nodePort("a", "192.168.0.1"), want: []string{
			"10.0.1.9>10.0.1.1:8080 at a", "10.0.1.9>10.0.2.1:8080 then 192.168.0.1>10.0.2.1:8080 at a hidden",
		}},
		"NodePort of the own node, Local": {client: pod, door: nodePort("a", "192.168.0.1"), outward: "Local", want: []string{
			"10.0.1.9>10.0.1.1:8080 at a", "10.0.1.9>10.0.2.1:8080 at a",
		}},
		"NodePort of another node": {client: pod, door: nodePort("b", "192.168.0.2"), want: []string{
			"10.0.1.9>192.168.0.2:30080 then 192.168.0.2>10.0.1.1:8080 at b hidden", "10.0.1.9>192.168.0.2:30080 then 10.0.1.9>10.0.2.1:8080 at b",
		}},
		"NodePort from its node": {client: host, door: nodePort("a", "192.168.0.1"), want: []string{
			"192.168.0.1>10.0.1.1:8080 at a", "192.168.0.1>10.0.2.1:8080 at a",
		}},
		"balancer's address from a Pod": {client: pod, door: Door{Kind: AtBalancer}, want: []string{
			"10.0.1.9>10.0.1.1:8080 at a", "10.0.1.9>10.0.2.1:8080 then 192.168.0.1>10.0.2.1:8080 at a hidden",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := web()
			svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicy(tt.outward)
			if tt.internal != "" {
				svc.Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicy(tt.internal))
			}
			var got []string
			for _, p := range Paths(svc, tt.client, tt.door, backends, nodes) {
				got = append(got, pathLine(p))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
