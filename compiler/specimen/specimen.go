// Package specimen has rulesets in which each form of rule occurs that the compiler
// writes, for tests of whatever renders rules, and counts which kinds a test saw. It is
// for tests alone.
package specimen

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/policy"
)

const (
	node      = "here"
	namespace = "shop"
)

// Configs are such that each form of the fixed chains occurs in one of them.
func Configs() []compiler.Config {
	mark := compiler.MarkLayout{Mask: compiler.DefaultMask}
	return []compiler.Config{
		{Mark: mark, LogGroup: 77},
		{Mark: mark, Reject: true, UnknownPods: true, NodeEgress: true, GuardOptOut: true},
		{Mark: mark, NodeDNS: []netip.Addr{netip.MustParseAddr("169.254.20.10"), netip.MustParseAddr("fd00:20::a")}},
	}
}

// Compiled is a node with Pods behind a bridge and behind veths, and policies of every
// form, under an epoch.
func Compiled(cfg compiler.Config) (*compiler.Compiler, error) {
	c, err := compiler.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("compile a specimen: %w", err)
	}
	c.SetEpoch(1, false)
	x := policy.NewIndex(policy.Options{Node: node, NodeEgress: cfg.NodeEgress})
	x.SetNamespace(namespace, map[string]string{"kubernetes.io/metadata.name": namespace})
	links := compiler.Links{
		Binds: map[netip.Addr]compiler.Bind{}, PodInterfaces: []string{"cni0"}, OtherInterfaces: []string{"veth-other"}, Uplinks: []int{2}, OpenPorts: []int{3},
		Detours: true, SecondInterfaces: []string{"br1"}, IPVS: true,
		Tunnels: []compiler.Tunnel{
			{Protocol: uint8(policy.UDP), Port: 8472, Closed: true, Peers: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}},
			{Protocol: uint8(policy.UDP), Port: 6081}, {Protocol: 4, Closed: true},
		},
	}
	for i, app := range Apps {
		p := pod(i+1, app)
		x.SetPod(p)
		for _, a := range p.Addrs {
			b := compiler.Bind{Interface: "cni0", Veth: fmt.Sprintf("veth%d", i+1), MAC: fmt.Sprintf("0a:00:00:00:00:%02x", i+1)}
			if i%2 == 0 {
				b.Port = 100 + i
			}
			links.Binds[a] = b
		}
	}
	for i := range 6 {
		p := pod(100+i, fmt.Sprintf("caller-%d", i))
		p.Node = "there"
		x.SetPod(p)
	}
	for _, np := range policies() {
		if err := x.SetPolicy(np); err != nil {
			return nil, fmt.Errorf("compile a specimen: %w", err)
		}
	}
	c.Load(x, x.Changes(), links)
	return c, nil
}

// Apps are the Pods of the node, each selected by policies of another form.
var Apps = []string{"few", "many", "sets", "named", "shared", "branched"}

func pod(n int, app string) *policy.Pod {
	return &policy.Pod{
		NamespacedName: types.NamespacedName{Namespace: namespace, Name: fmt.Sprintf("%s-%d", app, n)}, UID: types.UID(fmt.Sprint(n)), Node: node, Created: 1,
		Labels: map[string]string{"app": app},
		Ports:  []policy.NamedPort{{Name: "http", Protocol: policy.TCP, Number: uint16(8000 + n)}},
		Addrs:  []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(n)})},
	}
}

func app(name string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}}
}

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
}

func ports(first, last int32) networkingv1.NetworkPolicyPort {
	from := intstr.FromInt32(first)
	out := networkingv1.NetworkPolicyPort{Port: &from}
	if last > first {
		out.EndPort = &last
	}
	return out
}

func on(name string, rules ...networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	np.Spec.PodSelector.MatchLabels = map[string]string{"app": name}
	np.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	np.Spec.Ingress = rules
	for _, r := range rules {
		np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: r.From, Ports: r.Ports})
	}
	return np
}

func policies() []*networkingv1.NetworkPolicy {
	type rule = networkingv1.NetworkPolicyIngressRule
	type peers = []networkingv1.NetworkPolicyPeer
	type portList = []networkingv1.NetworkPolicyPort
	few := on("few",
		rule{From: peers{app("caller-0")}, Ports: portList{ports(80, 80), ports(5000, 5999)}},
		rule{From: peers{block("10.0.0.0/8", "10.1.0.0/16"), block("172.16.0.0/12"), block("192.0.2.7/32"), block("fd00::/9"), block("fd00:1::7/128")}, Ports: portList{ports(443, 443)}},
		rule{From: peers{block("fd00:2::/32", "fd00:2:0:7::/64")}})
	// More ports than are compared, for different peers and for the same.
	var many []rule
	for i := range int32(6) {
		many = append(many, rule{From: peers{app(fmt.Sprintf("caller-%d", i%2))}, Ports: portList{ports(1000+10*i, 1000+10*i), ports(20000+100*i, 20050+100*i)}})
	}
	same := rule{From: peers{app("caller-2")}}
	var blocks peers
	for i := range int32(10) {
		same.Ports = append(same.Ports, ports(3000+10*i, 3005+10*i))
		blocks = append(blocks, block(fmt.Sprintf("198.51.%d.0/24", 2*i)), block(fmt.Sprintf("fd00:%d::/32", 0x100+2*i)))
	}
	// So many that maps lead to maps: of ports, and of addresses apart from them.
	var branches []rule
	for i := range int32(66) {
		branches = append(branches, rule{
			From: peers{
				app(fmt.Sprintf("caller-%d", i%6)), app(fmt.Sprintf("caller-%d", (i+1)%6)),
				block(fmt.Sprintf("203.0.%d.0/24", i), fmt.Sprintf("203.0.%d.64/26", i), fmt.Sprintf("203.0.%d.144/28", i), fmt.Sprintf("203.0.%d.240/30", i)),
			},
			Ports: portList{ports(10000+3*i, 10000+3*i), ports(20000+3*i, 20000+3*i), ports(30000+3*i, 30009+3*i)},
		})
	}
	branched := on("branched", branches...)
	branched.Spec.PolicyTypes, branched.Spec.Egress = branched.Spec.PolicyTypes[:1], nil
	named := on("named", rule{From: peers{app("caller-3")}})
	http := intstr.FromString("http")
	named.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers{app("caller-4")}, Ports: portList{{Port: &http}}}}
	return []*networkingv1.NetworkPolicy{
		few, on("many", many...), branched, named, on("shared", rule{}),
		on("sets", same, rule{From: blocks, Ports: portList{ports(9000, 9000)}}),
	}
}
