//go:build kernels

package enforcer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/source"
)

// vlans is a node whose bridge filters VLANs: its Pods, and itself, are in VLAN 10 and know
// nothing of it. By the uplink VLAN 10 goes tagged, to a host with an interface in it.
type vlans struct {
	cluster
	outside testPod
}

// newVLANs has tags of 802.1Q or 802.1ad.
func newVLANs(t *testing.T, protocol string) vlans {
	c := vlans{cluster: newCluster(t, "bridge")}
	c.outside = neighbour(c.node)
	c.node.ip("link set cni0 type bridge vlan_protocol %s vlan_default_pvid 10\nlink set cni0 type bridge vlan_filtering 1", protocol)
	c.node.cmd("bridge", "vlan", "add", "dev", "eth9", "vid", "10")
	c.outside.ip("link add link eth0 name vlan10 type vlan id 10 protocol %s\naddr flush dev eth0", protocol)
	c.outside.ip("link set vlan10 up\naddr add 10.1.0.9/24 dev vlan10\naddr add fd01::9/64 dev vlan10 nodad")
	c.outside.serve(80)
	c.outside.serve(81)
	c.front.serve(80)
	return c
}

// policies: front has none; web takes only what comes from outside to port 81; bad
// may send only to outside's port 81.
func (c vlans) policies() []any {
	both := func(port int32) ([]networkingv1.NetworkPolicyPeer, []networkingv1.NetworkPolicyPort) {
		tcp, p := corev1.ProtocolTCP, intstr.FromInt32(port)
		return []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.1.0.9/32"}}, {IPBlock: &networkingv1.IPBlock{CIDR: "fd01::9/128"}}},
			[]networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &p}}
	}
	of := func(app string, kind networkingv1.PolicyType) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: app}, Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, PolicyTypes: []networkingv1.PolicyType{kind},
		}}
	}
	in, out := of("web", networkingv1.PolicyTypeIngress), of("bad", networkingv1.PolicyTypeEgress)
	peers, ports := both(81)
	in.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}}
	out.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: ports}}
	return []any{in, out}
}

func (c vlans) filterTagged(on int) {
	c.node.t.Helper()
	c.node.cmd("sysctl", "-qw", fmt.Sprintf("net.bridge.bridge-nf-filter-vlan-tagged=%d", on))
}

// isTold reports whether the node is not ready for the sake of cni0's tags.
func isTold(a *testAgent) bool {
	err := a.Ready()
	return err != nil && strings.Contains(err.Error(), "bridge cni0") && strings.Contains(err.Error(), "net.bridge.bridge-nf-filter-vlan-tagged=1")
}

// Between a tagged uplink and Pods that are untagged no policy is asked without the switch,
// and the node is not ready. With it all are asked, in both directions.
func TestPoliciesHoldBetweenPodsAndATaggedUplink(t *testing.T) {
	for _, protocol := range []string{"802.1Q", "802.1ad"} {
		t.Run(protocol, func(t *testing.T) {
			c := newVLANs(t, protocol)
			a := startAgent(t, c.node, &source.Memory{})
			a.set(append(c.objects(), c.policies()...)...)
			if !isTold(a) {
				t.Errorf("ready: %v", a.Ready())
			}
			// What is told is so: nobody is asked.
			c.outside.expect(c.web, 80, true)
			c.bad.expect(c.outside, 80, true)

			c.filterTagged(1)
			a.settle()
			eventually(t, "the node is ready", func() bool { return a.Ready() == nil })
			for _, flow := range []struct {
				from, to testPod
				port     int
				want     bool
			}{
				{c.outside, c.web, 80, false}, {c.outside, c.web, 81, true}, {c.outside, c.front, 80, true},
				{c.bad, c.outside, 80, false}, {c.bad, c.outside, 81, true}, {c.front, c.outside, 80, true}, {c.web, c.outside, 80, true},
				{c.front, c.web, 80, false}, {c.web, c.front, 80, true}, {c.bad, c.front, 80, false},
			} {
				flow.from.expect(flow.to, flow.port, flow.want)
			}
			// A neighbour who may reach web poses as nobody's Pod, and brings nothing in tags
			// that the bridge does not take off.
			at := c.web.tap()
			node := strings.TrimSpace(c.node.cmd("cat", "/sys/class/net/cni0/address"))
			for i := range 2 {
				for to, mac := range map[string]string{"web": c.web.mac, "the node": node} {
					token := fmt.Sprintf("posed-%d-to-%s", i, to)
					if arrives(c.outside, at, withTags(datagramFrom(mac, c.outside.mac, c.front.addr(i), c.web.addr(i), token), tagOf(protocol, 10)), token, false) {
						t.Errorf("%s arrives", token)
					}
				}
				for _, inner := range []tag{priority, provider, customer} {
					token := fmt.Sprintf("inner-%d-%x-%d", i, inner.kind, inner.number)
					if arrives(c.outside, at, withTags(datagramFrom(c.web.mac, c.outside.mac, c.outside.addr(i), c.web.addr(i), token), tagOf(protocol, 10), inner), token, false) {
						t.Errorf("%s arrives", token)
					}
				}
			}
			// With packets of a VLAN on an interface of its own nothing is open that was closed.
			c.node.ip("link add link cni0 name cni0.10 type vlan id 10 protocol %s\nlink set cni0.10 up", protocol)
			c.node.cmd("sysctl", "-qw", "net.bridge.bridge-nf-pass-vlan-input-dev=1")
			c.outside.expect(c.web, 80, false)
			c.bad.expect(c.outside, 80, false)
			c.front.expect(c.outside, 80, false)
		})
	}
}

func tagOf(protocol string, number uint16) tag {
	return tag{map[string]uint16{"802.1Q": priority.kind, "802.1ad": provider.kind}[protocol], number}
}

// An uplink that goes untagged takes tags all the same: the VLAN's, and a priority.
func TestTagsByAnUntaggedUplinkAreSeen(t *testing.T) {
	c := newVLANs(t, "802.1Q")
	c.node.cmd("bridge", "vlan", "add", "dev", "eth9", "vid", "10", "pvid", "untagged")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), c.policies()...)...)
	if !isTold(a) {
		t.Errorf("ready: %v", a.Ready())
	}
	at := c.web.tap()
	try := func(on int) {
		t.Helper()
		for i := range 2 {
			for _, one := range []tag{priority, customer} {
				token := fmt.Sprintf("switch-%d-%d-%d", on, i, one.number)
				frame := withTags(datagramFrom(c.web.mac, c.outside.mac, c.outside.addr(i), c.web.addr(i), token), one)
				if want := on == 0; arrives(c.outside, at, frame, token, want) != want {
					t.Errorf("%s: want %t", token, want)
				}
			}
		}
	}
	try(0) // so that it is told for a reason
	c.filterTagged(1)
	a.settle()
	eventually(t, "the node is ready", func() bool { return a.Ready() == nil })
	try(1)
}

// A bridge can be told to filter VLANs at any time, and a port can come to it that leads out.
func TestABridgeThatBeginsToFilterVLANsIsTold(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(c.objects()...)
	ready := func(what string, want bool) {
		t.Helper()
		eventually(t, what, func() bool { return (a.Ready() == nil) == want && isTold(a) == !want })
	}
	ready("a bridge without VLANs is well", true)
	c.node.ip("link set cni0 type bridge vlan_filtering 1")
	a.settle()
	ready("one with Pods alone is well: their ports pass no tag", true)
	neighbour(c.node)
	ready("one with an uplink besides is told", false)
	if !slices.ContainsFunc(a.Diagnose(t.Context()).Findings, func(f diagnosis.Finding) bool {
		return f.Check == diagnosis.IDBridges && f.State == diagnosis.Problem && f.Object == "bridge cni0" && strings.Contains(f.Run, "bridge-nf-filter-vlan-tagged=1")
	}) {
		t.Error("doctor does not find it")
	}
	c.node.ip("link set cni0 type bridge vlan_filtering 0")
	ready("without VLANs again", true)
	c.node.cmd("sh", "-c", "echo 1 >/sys/class/net/cni0/bridge/vlan_filtering")
	ready("by sysfs, too", false)
	c.node.ip("link del eth9")
	ready("the uplink is gone", true)
	c.front.expect(c.web, 80, true)
}

// Where the node has its address in an interface of a VLAN on top of the bridge, no Pod's
// place is known, and nothing reaches one.
func TestPodsBehindAnInterfaceOfAVLANAreClosedAndTold(t *testing.T) {
	c := newVLANs(t, "802.1Q")
	c.node.ip("addr flush dev cni0\nlink add link cni0 name cni0.10 type vlan id 10\nlink set cni0.10 up\naddr add 10.1.0.1/24 dev cni0.10")
	c.node.cmd("bridge", "vlan", "add", "dev", "cni0", "vid", "10", "self")
	c.filterTagged(1)
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Node = "a" })
	for _, p := range []testPod{c.web, c.front, c.bad} {
		p.object.Spec.NodeName = "a"
	}
	a.set(append(c.objects(), c.policies()...)...)
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "PodUnresolved (Pod shop/web): 10.1.0.2: its route leads out of cni0.10") {
		t.Errorf("ready: %v", err)
	}
	for _, to := range []netip.Addr{c.web.addr(0), c.front.addr(0)} {
		if c.outside.reaches(to, 80, false) || c.bad.reaches(to, 80, false) || c.node.reaches(to, 80, false) {
			t.Errorf("%s is reached", to)
		}
	}
}
