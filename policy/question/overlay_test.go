package question

import (
	"fmt"
	"strings"
	"testing"
)

// overlayNode writes a Node object.
func overlayNode(name, address, spec, annotations string) string {
	return fmt.Sprintf("\n---\n{apiVersion: v1, kind: Node, metadata: {name: %s, annotations: {%s}}, spec: {%s}, status: {addresses: [{type: InternalIP, address: %s}]}}", name, annotations, spec, address)
}

// What the Pods of other nodes see of a node is what the kernel judges: the
// address of its tunnel in an overlay network.
func TestNodeSourceInAnOverlay(t *testing.T) {
	const flannel, calico = "flannel.alpha.coreos.com/", "projectcalico.org/"
	type network struct{ cp, worker string }
	plain := func(spec, annotations string) network {
		return network{overlayNode("cp", "192.0.2.1", spec, annotations), overlayNode("worker", "192.0.2.2", "podCIDR: 10.244.1.0/24", "")}
	}
	ranges := "podCIDR: 10.244.0.0/24"
	vxlan := plain(ranges, flannel+"backend-type: vxlan, "+flannel+"public-ip: 192.0.2.1")
	silent := network{overlayNode("cp", "192.0.2.1", ranges, ""), overlayNode("worker", "192.0.2.2", "podCIDR: 10.244.1.0/24", flannel+"backend-type: vxlan")}
	crossSubnet := func(worker string) network {
		return network{overlayNode("cp", "192.0.2.1", "", calico+"IPv4Address: 192.0.2.1/24, "+calico+"IPv4IPIPTunnelAddr: 10.244.7.1"), overlayNode("worker", worker, "", "")}
	}
	const own, tunnel = "192.0.2.1/32", "10.244.0.0/32"
	tests := map[string]struct {
		network
		src, dst string
		block    string
		// want is the verdict: allowed, denied or partly; note is in the text.
		want, note string
	}{
		"flannel vxlan, node, allowed by its own address":    {vxlan, "node/cp", "hooks/there:9443", own, "DENIED", "the Pod sees 10.244.0.0"},
		"flannel vxlan, node, allowed by its tunnel's":       {vxlan, "node/cp", "hooks/there:9443", tunnel, "ALLOWED", "through its tunnel (flannel vxlan)"},
		"flannel vxlan, hostNetwork Pod":                     {vxlan, "hooks/apiserver", "hooks/there:9443", own, "DENIED", "the Pod sees 10.244.0.0"},
		"flannel vxlan, hostNetwork Pod by its tunnel":       {vxlan, "hooks/apiserver", "svc/hooks/webhook:443", tunnel, "ALLOWED", ""},
		"flannel vxlan, the node's address":                  {vxlan, "192.0.2.1", "hooks/there:9443", own, "DENIED", "the Pod sees 10.244.0.0"},
		"flannel vxlan, ClusterIP":                           {vxlan, "node/cp", "10.96.0.20:443", own, "DENIED", "the Pod sees 10.244.0.0"},
		"flannel vxlan, ICMP":                                {vxlan, "node/cp", "hooks/there:/ICMP", own, "DENIED", "the Pod sees 10.244.0.0"},
		"flannel vxlan, the tunnel's address itself":         {vxlan, "10.244.0.0", "hooks/there:9443", tunnel, "ALLOWED", ""},
		"flannel vxlan, own node":                            {vxlan, "node/cp", "hooks/here:9443", "203.0.113.0/24", "ALLOWED", "own node always reaches it"},
		"flannel vxlan, NodePort of the tunnel's node":       {vxlan, "203.0.113.7", "node/cp:30443", tunnel, "ALLOWED", "node cp hides the client: the Pod sees 10.244.0.0"},
		"flannel vxlan, NodePort by the node's address":      {vxlan, "203.0.113.7", "node/cp:30443", own, "DENIED", ""},
		"flannel, NodePort of another node, by the Pod":      {vxlan, "hooks/here", "node/worker:30443", "10.244.0.10/32", "PARTLY ALLOWED", "flannel with --ip-masq"},
		"flannel, NodePort of another node, by its node":     {vxlan, "hooks/here", "192.0.2.2:30443", own, "PARTLY ALLOWED", "node cp hides the client: the Pod sees 192.0.2.1"},
		"flannel, NodePort of another node, by both":         {vxlan, "hooks/here", "node/worker:30443", "0.0.0.0/0", "ALLOWED", "so both ways are judged"},
		"flannel, NodePort of the own node":                  {vxlan, "hooks/here", "node/cp:30443", own, "DENIED", "node cp hides the client: the Pod sees 10.244.0.0"},
		"flannel vxlan, a Pod keeps its address":             {vxlan, "hooks/here", "10.244.1.10:9443", "10.244.0.10/32", "ALLOWED", ""},
		"flannel vxlan, an outsider keeps its address":       {vxlan, "203.0.113.7", "hooks/there:9443", "203.0.113.7/32", "ALLOWED", ""},
		"flannel vxlan, node of the Pod not known":           {vxlan, "node/cp", "hooks/anywhere:9443", tunnel, "PARTLY ALLOWED", "is not known"},
		"flannel vxlan told by another node":                 {silent, "node/cp", "hooks/there:9443", tunnel, "ALLOWED", "the Pod sees 10.244.0.0"},
		"flannel vxlan without a range":                      {plain("", flannel+"backend-type: vxlan"), "node/cp", "hooks/there:9443", own, "ALLOWED", "the Node has no podCIDR"},
		"flannel wireguard":                                  {plain(ranges, flannel+"backend-type: wireguard"), "node/cp", "hooks/there:9443", own, "DENIED", "the Pod sees 10.244.0.0"},
		"flannel ipip":                                       {plain(ranges, flannel+"backend-type: ipip"), "node/cp", "hooks/there:9443", own, "DENIED", "the Pod sees 10.244.0.0"},
		"flannel host-gw":                                    {plain(ranges, flannel+"backend-type: host-gw"), "node/cp", "hooks/there:9443", own, "ALLOWED", ""},
		"flannel of another kind":                            {plain(ranges, flannel+"backend-type: ipsec"), "node/cp", "hooks/there:9443", own, "ALLOWED", "depends on what is not known"},
		"flannel, podCIDRs with bits beyond":                 {plain("podCIDRs: [10.244.0.3/24]", flannel+"backend-type: vxlan"), "node/cp", "hooks/there:9443", tunnel, "ALLOWED", ""},
		"Calico VXLAN":                                       {plain("", calico+"IPv4VXLANTunnelAddr: 10.244.7.1"), "node/cp", "hooks/there:9443", own, "DENIED", "the Pod sees 10.244.7.1"},
		"Calico VXLAN, allowed":                              {plain("", calico+"IPv4VXLANTunnelAddr: 10.244.7.1"), "node/cp", "svc/hooks/webhook:443", "10.244.7.1/32", "ALLOWED", "(Calico)"},
		"Calico IPIP":                                        {plain("", calico+"IPv4IPIPTunnelAddr: 10.244.7.1"), "node/cp", "hooks/there:9443", "10.244.7.1/32", "ALLOWED", ""},
		"Calico WireGuard before VXLAN":                      {plain("", calico+"IPv4VXLANTunnelAddr: 10.244.7.1, "+calico+"IPv4WireguardInterfaceAddr: 10.244.7.2"), "node/cp", "hooks/there:9443", "10.244.7.2/32", "ALLOWED", ""},
		"Calico, NodePort of another node":                   {plain("", calico+"IPv4VXLANTunnelAddr: 10.244.7.1"), "hooks/here", "node/worker:30443", "10.244.0.10/32", "ALLOWED", "if the network plugin masquerades"},
		"Calico, nodes of one subnet":                        {crossSubnet("192.0.2.2"), "node/cp", "hooks/there:9443", own, "PARTLY ALLOWED", "CrossSubnet"},
		"Calico, nodes of two subnets":                       {crossSubnet("198.51.100.2"), "node/cp", "hooks/there:9443", own, "DENIED", "the Pod sees 10.244.7.1"},
		"Calico without a tunnel":                            {plain("", calico+"IPv4Address: 192.0.2.1/24"), "node/cp", "hooks/there:9443", own, "ALLOWED", ""},
		"nothing tells":                                      {plain(ranges, ""), "node/cp", "hooks/there:9443", own, "ALLOWED", "only if the network is no overlay"},
		"nothing tells, and no Node objects":                 {network{}, "node/cp", "hooks/there:9443", own, "ALLOWED", "only if the network is no overlay"},
		"nothing tells, and nothing depends on it: own node": {plain(ranges, ""), "node/cp", "hooks/here:9443", own, "ALLOWED", ""},
	}
	for name, tt := range tests {
		w := New(load(t, fixture(t, "overlay.yaml", "BLOCK", tt.block)+tt.cp+tt.worker))
		t.Run(name, func(t *testing.T) {
			got := told(t, w, tt.src, tt.dst)
			if !strings.HasPrefix(got, strings.TrimSuffix(tt.want, " ALLOWED")) || !strings.Contains(got, tt.note) {
				t.Errorf("want %q and %q in\n%s", tt.want, tt.note, got)
			}
			if tt.note == "" && strings.Contains(got, "overlay:") {
				t.Errorf("it is known, and doubted:\n%s", got)
			}
		})
	}
}

func TestNodeSourceInADualStackOverlay(t *testing.T) {
	for name, annotations := range map[string]string{
		"flannel": "flannel.alpha.coreos.com/backend-type: vxlan",
		"Calico":  `projectcalico.org/IPv4VXLANTunnelAddr: 10.244.0.0, projectcalico.org/IPv6VXLANTunnelAddr: "fd00:10::"`,
	} {
		for block, want := range map[string]string{"fd00:10::/128": "ALLOWED", "2001:db8::1/128": "DENIED", "10.244.0.0/32": "DENIED"} {
			node := strings.Replace(overlayNode("cp", "192.0.2.1", `podCIDRs: [10.244.0.0/24, "fd00:10::/64"]`, annotations),
				"address: 192.0.2.1}", `address: 192.0.2.1}, {type: InternalIP, address: "2001:db8::1"}`, 1)
			w := New(load(t, fixture(t, "overlay.yaml", "BLOCK", block)+node))
			got := told(t, w, "2001:db8::1", "[fd00:10:1::10]:9443")
			if !strings.HasPrefix(got, want) || !strings.Contains(got, "the Pod sees fd00:10::") {
				t.Errorf("%s, %s: want %s\n%s", name, block, want, got)
			}
		}
	}
}
