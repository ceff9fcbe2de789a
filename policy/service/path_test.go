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
	if p.Tunnel {
		s += " tunnel"
	}
	if p.Masqueraded {
		s += " masqueraded"
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
	nodes := []Node{{Name: "a", Addr: addr("192.168.0.1")}, {Name: "b", Addr: addr("192.168.0.2")}, {Name: "c", Addr: addr("192.168.0.3")}}
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

// Nodes of an overlay network are seen by the Pods of other nodes by the addresses
// of their tunnels, whoever opened the connection; by those of their own by what
// they are. Where nothing tells which it is, all of them are given.
func TestPathsThroughTunnels(t *testing.T) {
	addr := netip.MustParseAddr
	on := func(node, at string) []Backend { return []Backend{{netip.MustParseAddrPort(at), node, nameOf("web")}} }
	tunnels := []Node{
		{Name: "a", Addr: addr("192.168.0.1"), Tunnels: []netip.Addr{addr("10.0.1.0")}},
		{Name: "b", Addr: addr("192.168.0.2"), Tunnels: []netip.Addr{addr("10.0.2.0")}},
		{Name: "c", Addr: addr("192.168.0.3")},
	}
	link := []Node{
		{Name: "a", Addr: addr("192.168.0.1"), Tunnels: []netip.Addr{addr("10.0.1.7")}, Link: netip.MustParsePrefix("192.168.0.0/24")},
		{Name: "b", Addr: addr("192.168.0.2")}, {Name: "far", Addr: addr("192.168.9.2")},
	}
	host := Client{addr("192.168.0.1"), "a", Host}
	nodePort := Door{Kind: AtNode, Node: "a", At: netip.MustParseAddrPort("192.168.0.1:30080")}
	tests := map[string]struct {
		client   Client
		door     Door
		local    bool
		nodes    []Node
		backends []Backend
		want     []string
	}{
		"ClusterIP, other node": {client: host, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"192.168.0.1>10.0.2.1:80 then 10.0.1.0>10.0.2.1:80 at a hidden tunnel"}},
		"ClusterIP, own node":   {client: host, nodes: tunnels, backends: on("a", "10.0.1.1:80"), want: []string{"192.168.0.1>10.0.1.1:80"}},
		"headless, other node":  {client: host, door: Door{Kind: AtPod}, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"192.168.0.1>10.0.2.1:80 then 10.0.1.0>10.0.2.1:80 at a hidden tunnel"}},
		"by the tunnel's own address": {client: Client{addr("10.0.1.0"), "a", Host}, nodes: tunnels, backends: on("b", "10.0.2.1:80"),
			want: []string{"10.0.1.0>10.0.2.1:80 tunnel"}},
		"a node that is not known": {client: host, nodes: tunnels, backends: on("", "10.0.2.1:80"), want: []string{
			"192.168.0.1>10.0.2.1:80 then 10.0.1.0>10.0.2.1:80 at a hidden tunnel", "192.168.0.1>10.0.2.1:80"}},
		"a node without a tunnel":     {client: Client{addr("192.168.0.3"), "c", Host}, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"192.168.0.3>10.0.2.1:80"}},
		"another address of the node": {client: Client{addr("203.0.113.3"), "c", Host}, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"203.0.113.3>10.0.2.1:80"}},
		"a Pod":                       {client: Client{addr("10.0.1.9"), "a", Pod}, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"10.0.1.9>10.0.2.1:80"}},
		"NodePort of the own node":    {client: Client{addr("10.0.1.9"), "a", Pod}, door: nodePort, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"10.0.1.9>10.0.2.1:80 then 10.0.1.0>10.0.2.1:80 at a hidden tunnel"}},
		"NodePort from outside":       {client: Client{addr("203.0.113.7"), "", Outside}, door: nodePort, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"203.0.113.7>10.0.2.1:80 then 10.0.1.0>10.0.2.1:80 at a hidden tunnel"}},
		"NodePort from another node":  {client: Client{addr("192.168.0.3"), "c", Host}, door: nodePort, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"192.168.0.3>192.168.0.1:30080 then 10.0.1.0>10.0.2.1:80 at a hidden tunnel"}},
		"NodePort, Local":             {client: host, door: nodePort, local: true, nodes: tunnels, backends: on("b", "10.0.2.1:80"), want: []string{"192.168.0.1>10.0.2.1:80 then 10.0.1.0>10.0.2.1:80 at a hidden tunnel"}},
		"within the link": {client: host, nodes: link, backends: on("b", "10.0.2.1:80"), want: []string{
			"192.168.0.1>10.0.2.1:80 then 10.0.1.7>10.0.2.1:80 at a hidden tunnel", "192.168.0.1>10.0.2.1:80"}},
		"beyond the link": {client: host, nodes: link, backends: on("far", "10.0.9.1:80"), want: []string{"192.168.0.1>10.0.9.1:80 then 10.0.1.7>10.0.9.1:80 at a hidden tunnel"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := web()
			if tt.local {
				svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
			}
			var got []string
			for _, p := range Paths(svc, tt.client, tt.door, tt.backends, tt.nodes) {
				got = append(got, pathLine(p))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A node that may masquerade its Pods towards other nodes hides them from the Pods
// of the node that is dialled, and only there: it is judged with and without.
func TestPathsThroughMasquerade(t *testing.T) {
	addr := netip.MustParseAddr
	nodes := []Node{
		{Name: "a", Addr: addr("192.168.0.1"), Tunnels: []netip.Addr{addr("10.0.1.0")}, Masquerades: true},
		{Name: "b", Addr: addr("192.168.0.2"), Tunnels: []netip.Addr{addr("10.0.2.0")}, Masquerades: true},
	}
	on := func(node, at string) Backend { return Backend{netip.MustParseAddrPort(at), node, nameOf("web")} }
	here, there := on("a", "10.0.1.1:80"), on("b", "10.0.2.1:80")
	pod, host := Client{addr("10.0.1.9"), "a", Pod}, Client{addr("192.168.0.1"), "a", Host}
	at := func(node, at string) Door { return Door{Kind: AtNode, Node: node, At: netip.MustParseAddrPort(at)} }
	for name, tt := range map[string]struct {
		client  Client
		door    Door
		backend Backend
		want    []string
	}{
		"the other node's Pod": {pod, at("b", "192.168.0.2:30080"), there, []string{
			"10.0.1.9>192.168.0.2:30080 then 10.0.1.9>10.0.2.1:80 at b",
			"10.0.1.9>192.168.0.2:30080 then 192.168.0.1>10.0.2.1:80 at a hidden masqueraded"}},
		"handed on: the other node hides everybody": {pod, at("b", "192.168.0.2:30080"), here, []string{
			"10.0.1.9>192.168.0.2:30080 then 10.0.2.0>10.0.1.1:80 at b hidden tunnel"}},
		"the own node":        {pod, at("a", "192.168.0.1:30080"), here, []string{"10.0.1.9>10.0.1.1:80 at a"}},
		"a Pod, by Pod":       {pod, Door{}, there, []string{"10.0.1.9>10.0.2.1:80"}},
		"a node is no Pod":    {host, at("b", "192.168.0.2:30080"), there, []string{"192.168.0.1>192.168.0.2:30080 then 192.168.0.1>10.0.2.1:80 at b"}},
		"an unknown node's":   {Client{addr("10.0.9.9"), "", Pod}, at("b", "192.168.0.2:30080"), there, []string{"10.0.9.9>192.168.0.2:30080 then 10.0.9.9>10.0.2.1:80 at b"}},
		"outside is nobody's": {Client{addr("203.0.113.7"), "", Outside}, at("b", "192.168.0.2:30080"), there, []string{"203.0.113.7>10.0.2.1:80 at b"}},
	} {
		var got []string
		for _, p := range Paths(web(), tt.client, tt.door, []Backend{tt.backend}, nodes) {
			got = append(got, pathLine(p))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
