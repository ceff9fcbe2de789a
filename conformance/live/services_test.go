package live

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

// targetPort is what the Services' port 80 and their NodePorts lead to.
const targetPort = 9090

// who has which addresses in the Services' cluster, by family.
var who = map[string][2]string{
	"client":   {"10.1.0.10", "fd00:1::10"}, // on node a
	"stranger": {"10.1.0.11", "fd00:1::11"}, // on node a
	"near":     {"10.1.0.20", "fd00:1::20"}, // on node a
	"far":      {"10.2.0.20", "fd00:2::20"}, // on node b

	"node-a": {"192.0.2.1", "2001:db8:1::1"},
	"node-b": {"192.0.2.2", "2001:db8:1::2"},

	"outside-7": {"203.0.113.7", "2001:db8:e::7"},
	"outside-8": {"203.0.113.8", "2001:db8:e::8"},

	"near-service":   {"10.96.0.1", "fd00:96::1"},
	"far-service":    {"10.96.0.2", "fd00:96::2"},
	"local-service":  {"10.96.0.3", "fd00:96::3"},
	"client-service": {"10.96.0.4", "fd00:96::4"},
}

func ofWho(name string) []netip.Addr {
	return []netip.Addr{netip.MustParseAddr(who[name][0]), netip.MustParseAddr(who[name][1])}
}

// The Services' NodePorts.
const (
	nearNodePort   = 30081
	farNodePort    = 30082
	localNodePort  = 30083
	clientNodePort = 30084
)

func service(name, app string, nodePort int32, policy corev1.ServiceExternalTrafficPolicy) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": app}, ClusterIPs: []string{who[name][0], who[name][1]}, ExternalTrafficPolicy: policy,
		},
	}
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{
			Protocol: protocol, Port: 80, TargetPort: intstr.FromInt32(targetPort), NodePort: nodePort,
		})
	}
	return s
}

// serviceCluster has a Service on each Pod. Before its agents start, everybody reaches
// them all: where that fails it is the lab's fault, or the kernel's, and not the engine's.
func serviceCluster(t *testing.T, topology lab.Topology, nat lab.ServiceNAT) *enforced.Cluster {
	t.Helper()
	o := enforced.Options{
		NoAgents: true,
		Placement: lab.Placement{
			Topology: topology, ServiceNAT: nat, External: append(ofWho("outside-7"), ofWho("outside-8")...),
			Services: []*corev1.Service{
				service("near-service", "near", nearNodePort, corev1.ServiceExternalTrafficPolicyCluster),
				service("far-service", "far", farNodePort, corev1.ServiceExternalTrafficPolicyCluster),
				service("local-service", "near", localNodePort, corev1.ServiceExternalTrafficPolicyLocal),
				service("client-service", "client", clientNodePort, corev1.ServiceExternalTrafficPolicyCluster),
			},
		},
		Objects: []any{enforced.Namespace("shop")}, Config: quick,
	}
	for _, name := range []string{"client", "stranger", "near", "far"} {
		node := "a"
		if name == "far" {
			node = "b"
		}
		p := pod("shop", name, node, who[name][0], who[name][1])
		p.Status.HostIP = who["node-"+node][0]
		p.Status.HostIPs = []corev1.HostIP{{IP: who["node-"+node][0]}, {IP: who["node-"+node][1]}}
		o.Pods = append(o.Pods, p)
	}
	c := enforced.Start(t, o)
	unexpected(t, c, "without Sluice", true, everyService()...)
	if t.Failed() {
		t.FailNow()
	}
	c.StartAgents()
	return c
}

// everyService are all ways that the cases are about.
func everyService() []lab.Flow {
	var all []way
	for _, k := range serviceCases() {
		all = append(append(all, k.allowed...), k.denied...)
	}
	return flowsOf(all)
}

// way is from whom to whom, at which port.
type way struct {
	from, to string
	port     uint16
}

// A serviceCase is policies and what they allow of the ways through Services.
// Those that are named nowhere are not tried.
type serviceCase struct {
	name            string
	policies        []any
	allowed, denied []way
}

// hairpins lead a Pod back to itself.
var hairpins = []way{
	{"near", "near-service", 80}, {"near", "local-service", 80}, {"far", "far-service", 80}, {"client", "client-service", 80},
	{"near", "node-a", nearNodePort}, {"client", "node-a", clientNodePort}, {"far", "node-b", farNodePort},
}

func serviceCases() []serviceCase {
	every := func(numbers ...int32) (list []networkingv1.NetworkPolicyPort) {
		for _, n := range numbers {
			list = append(append(list, tcpUDP(n, n)...), ports(corev1.ProtocolSCTP, n, n)...)
		}
		return list
	}
	hosts := func(names ...string) (peers []networkingv1.NetworkPolicyPeer) {
		for _, n := range names {
			for _, a := range ofWho(n) {
				peers = append(peers, blocks(netip.PrefixFrom(a, a.BitLen()).String())...)
			}
		}
		return peers
	}
	servers := func(rule networkingv1.NetworkPolicyIngressRule) []any {
		return []any{enforced.DenyIngress("shop", "near", rule), enforced.DenyIngress("shop", "far", rule)}
	}
	clients := func(rule networkingv1.NetworkPolicyEgressRule) []any {
		return []any{enforced.DenyEgress("shop", "client", rule)}
	}
	pods := []networkingv1.NetworkPolicyPeer{enforced.PeerApp("client")}
	return []serviceCase{
		{
			name:     "the source is the client before SNAT, by Pod and block",
			policies: servers(ingress(append(pods, hosts("outside-7")...), every(targetPort)...)),
			allowed: append(hairpins,
				way{"client", "near-service", 80}, way{"client", "far-service", 80}, way{"client", "local-service", 80},
				way{"client", "node-a", nearNodePort}, way{"client", "node-b", farNodePort},
				way{"outside-7", "node-a", nearNodePort}, way{"outside-7", "node-b", farNodePort}, way{"outside-7", "node-a", localNodePort},
				way{"node-a", "near-service", 80}, way{"node-b", "far-service", 80}),
			denied: []way{
				{"stranger", "near-service", 80}, {"stranger", "far-service", 80},
				{"outside-8", "node-a", nearNodePort}, {"outside-8", "node-b", farNodePort}, {"outside-8", "node-a", localNodePort},
				// The node that the client came to has put its own address.
				{"outside-7", "node-b", nearNodePort}, {"outside-7", "node-a", farNodePort}, {"client", "node-b", nearNodePort},
				{"node-a", "far-service", 80},
			},
		}, {
			name:     "the source is the node that another node's client came to",
			policies: servers(ingress(hosts("node-a", "node-b"), every(targetPort)...)),
			allowed: append(hairpins,
				way{"outside-7", "node-b", nearNodePort}, way{"outside-8", "node-a", farNodePort}, way{"client", "node-b", nearNodePort},
				way{"node-a", "far-service", 80}, way{"node-a", "near-service", 80}),
			denied: []way{
				{"outside-7", "node-a", nearNodePort}, {"outside-7", "node-b", farNodePort}, {"outside-7", "node-a", localNodePort},
				{"client", "near-service", 80}, {"client", "far-service", 80},
			},
		}, {
			name:     "the port is the Pod's",
			policies: servers(ingress(nil, every(80, nearNodePort, farNodePort, localNodePort)...)),
			allowed:  hairpins,
			denied: []way{
				{"client", "near-service", 80}, {"client", "far-service", 80}, {"client", "node-a", nearNodePort},
				{"outside-7", "node-a", nearNodePort}, {"outside-7", "node-a", farNodePort}, {"outside-7", "node-a", localNodePort},
			},
		}, {
			name:     "the destination is the Pod after DNAT",
			policies: clients(egress([]networkingv1.NetworkPolicyPeer{enforced.PeerApp("near")}, every(targetPort)...)),
			allowed: append(hairpins,
				way{"client", "near-service", 80}, way{"client", "local-service", 80}, way{"client", "node-a", nearNodePort}),
			denied: []way{
				{"client", "far-service", 80}, {"client", "node-a", farNodePort},
				// Another node's NodePort is an address of that node.
				{"client", "node-b", nearNodePort}, {"client", "node-b", farNodePort},
			},
		}, {
			name:     "a Service's address and port open nothing",
			policies: clients(egress(hosts("near-service", "far-service", "node-a"), every(80, nearNodePort, farNodePort)...)),
			allowed:  hairpins,
			denied: []way{
				{"client", "near-service", 80}, {"client", "far-service", 80}, {"client", "node-a", nearNodePort}, {"client", "node-a", farNodePort},
			},
		}, {
			name:     "another node's NodePort is an address of that node",
			policies: clients(egress(hosts("node-b"), every(farNodePort)...)),
			allowed:  append(hairpins, way{"client", "node-b", farNodePort}),
			denied:   []way{{"client", "node-b", nearNodePort}, {"client", "far-service", 80}, {"client", "near-service", 80}},
		},
	}
}

// Addresses and ports are the Pods' own, after DNAT and before SNAT, whatever
// translates them; who reaches itself through a Service is always allowed.
func TestServicesAreJudgedByThePodsEnds(t *testing.T) {
	for _, topology := range topologies {
		for nat, name := range map[lab.ServiceNAT]string{lab.NATNFT: "nft", lab.NATIPTables: "iptables"} {
			t.Run(topology.String()+"/"+name, func(t *testing.T) {
				c := serviceCluster(t, topology, nat)
				unexpected(t, c, "no policy", true, everyService()...)
				for _, k := range serviceCases() {
					c.Set(k.policies...)
					k.judge(t, c)
					c.Delete(k.policies...)
				}
			})
		}
	}
}

// judge tries all ways together: those that are denied cost a wait.
func (k *serviceCase) judge(t *testing.T, c *enforced.Cluster) {
	t.Helper()
	allowed := flowsOf(k.allowed)
	flows := append(slices.Clone(allowed), flowsOf(k.denied)...)
	got, err := c.Probe(t.Context(), flows)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range flows {
		if want := i < len(allowed); got[i] != want {
			t.Errorf("%s: %s: reached %t, want %t", k.name, f, got[i], want)
		}
	}
}

// flowsOf are the ways in both families and all protocols with ports.
func flowsOf(ways []way) (flows []lab.Flow) {
	for _, w := range ways {
		for f := range 2 {
			for _, protocol := range []uint8{lab.TCP, lab.UDP, lab.SCTP} {
				flows = append(flows, lab.Flow{Src: ofWho(w.from)[f], Dst: ofWho(w.to)[f], Protocol: protocol, Port: w.port})
			}
		}
	}
	return flows
}
