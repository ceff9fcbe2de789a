package compiler

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// bench is a node with one namespace, "shop", whose Pods are local if their
// node is "here".
type bench struct {
	t     testing.TB
	x     *policy.Index
	c     *Compiler
	links Links
}

func newBench(t testing.TB, cfg Config) *bench {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	x := policy.NewIndex(policy.Options{Node: "here"})
	x.SetNamespace("shop", nil)
	return &bench{t, x, c, Links{Binds: map[netip.Addr]Bind{}, PodInterfaces: []string{"cni0"}}}
}

func shopName(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// pod makes a Pod with labels app=APP, and binds it if it is local.
func (b *bench) pod(name, node, app string, ips ...string) *policy.Pod {
	p := &policy.Pod{
		NamespacedName: shopName(name), UID: types.UID(name), Node: node,
		Labels: map[string]string{"app": app}, Addrs: addrs(ips...), Created: 1,
	}
	if node == "here" {
		for _, a := range p.Addrs {
			b.links.Binds[a] = Bind{Interface: "cni0", Veth: "v-" + name, MAC: "0a:00:00:00:00:01"}
		}
	}
	return p
}

func (b *bench) update() Plan { return b.c.Update(b.x, b.x.Changes(), b.links) }

// ingress isolates Pods app=APP in ingress and allows the given.
func ingress(name, app string, rules ...networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     rules,
		},
	}
}

func from(port int, apps ...string) networkingv1.NetworkPolicyIngressRule {
	var r networkingv1.NetworkPolicyIngressRule
	for _, app := range apps {
		r.From = append(r.From, networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}})
	}
	if port > 0 {
		p := intstr.FromInt32(int32(port))
		r.Ports = []networkingv1.NetworkPolicyPort{{Port: &p}}
	}
	return r
}

// TestNarrows: what only widens keeps the epoch, so that nothing is judged
// anew.
func TestNarrows(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*bench)
		want   bool
	}{
		{"nothing", func(*bench) {}, false},
		{"a peer comes", func(b *bench) { b.x.SetPod(b.pod("web-2", "there", "web", "10.0.9.2")) }, false},
		{"a peer goes", func(b *bench) { b.x.DeletePod(shopName("web")) }, true},
		{"a Pod that is no peer comes", func(b *bench) { b.x.SetPod(b.pod("other", "there", "other", "10.0.9.3")) }, false},
		{"a Pod that is no peer goes", func(b *bench) { b.x.DeletePod(shopName("stranger")) }, false},
		{"a local Pod is isolated no more", func(b *bench) { b.x.DeletePolicy(shopName("db")) }, false},
		{"a local Pod becomes isolated", func(b *bench) { b.x.SetPolicy(ingress("deny", "free")) }, true},
		{"a rule goes", func(b *bench) { b.x.SetPolicy(ingress("db", "db")) }, true},
		{"a policy that selects nobody here", func(b *bench) { b.x.SetPolicy(ingress("none", "nobody")) }, false},
		{"a local Pod goes", func(b *bench) { b.x.DeletePod(shopName("free")) }, true},
		{"a local Pod comes", func(b *bench) { b.x.SetPod(b.pod("free-2", "here", "free", "10.0.0.9")) }, true},
		{"a local address goes to another Pod", func(b *bench) {
			p := b.pod("free-2", "here", "free", "10.0.0.2")
			p.Created = 9
			b.x.SetPod(p)
		}, true},
		{"a local address turns out to be another Pod's, as it may have been all the time", func(b *bench) {
			p := b.pod("free-2", "here", "free", "10.0.0.2")
			p.Created = 9
			b.x.SetPod(p)
			b.links.Kept = map[netip.Addr]bool{p.Addrs[0]: true}
		}, false},
		{"and that one may less", func(b *bench) {
			p := b.pod("db-2", "here", "db", "10.0.0.2")
			p.Created = 9
			b.x.SetPod(p)
			b.links.Kept = map[netip.Addr]bool{p.Addrs[0]: true}
		}, true},
		{"an address is bound", func(b *bench) {
			b.links.Binds[netip.MustParseAddr("10.0.0.3")] = Bind{Interface: "cni0"}
		}, true},
		{"an address is elsewhere", func(b *bench) {
			b.links.Binds[netip.MustParseAddr("10.0.0.1")] = Bind{Interface: "cni1"}
		}, true},
		{"an address is nowhere", func(b *bench) { delete(b.links.Binds, netip.MustParseAddr("10.0.0.1")) }, true},
		{"another interface carries Pods", func(b *bench) { b.links.PodInterfaces = []string{"cni0", "cni1"} }, true},
		{"a tunnel comes", func(b *bench) { b.links.Tunnels = append(b.links.Tunnels, Tunnel{Protocol: 47}) }, true},
		{"the node has IPVS", func(b *bench) { b.links.IPVS = true }, true},
		{"a tunnel's far end comes", func(b *bench) { b.links.Tunnels[0].Peers = addrs("192.0.2.1", "192.0.2.2") }, true},
		{"a tunnel's far end goes", func(b *bench) { b.links.Tunnels[0].Peers = nil }, true},
		{"an interface carries no Pods any more", func(b *bench) { b.links.PodInterfaces = nil }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, testConfig())
			b.x.SetPod(b.pod("db", "here", "db", "10.0.0.1", "fd00::1"))
			b.x.SetPod(b.pod("free", "here", "free", "10.0.0.2"))
			b.x.SetPod(b.pod("lost", "here", "free", "10.0.0.3"))
			delete(b.links.Binds, netip.MustParseAddr("10.0.0.3"))
			b.x.SetPod(b.pod("web", "there", "web", "10.0.9.1"))
			b.x.SetPod(b.pod("stranger", "there", "stranger", "10.0.9.4"))
			b.x.SetPolicy(ingress("db", "db", from(5432, "web")))
			b.links.Tunnels = []Tunnel{{Protocol: 17, Port: 8472, Closed: true, Peers: addrs("192.0.2.1")}}
			b.update()
			c.change(b)
			if p := b.update(); p.Narrows != c.want {
				t.Errorf("Narrows is %t, want %t:\n%s", p.Narrows, c.want, showOps(p.Commit))
			}
		})
	}
}

func showOps(ops []Op) string {
	var b strings.Builder
	for _, op := range ops {
		b.WriteString(op.Describe() + "\n")
	}
	return b.String()
}

// TestMemberCostsOneElementASet: a Pod that joins a group is one element in
// each set that the group is part of, and nothing else.
func TestMemberCostsOneElementASet(t *testing.T) {
	b := newBench(t, testConfig())
	b.x.SetPod(b.pod("db", "here", "db", "10.0.0.1"))
	b.x.SetPod(b.pod("cache", "here", "cache", "10.0.0.2"))
	// Few groups have a set each, many are one set.
	b.x.SetPolicy(ingress("db", "db", from(5432, "web", "api")))
	b.x.SetPolicy(ingress("cache", "cache", from(0, "web", "a", "b", "c", "d")))
	b.update()
	b.x.SetPod(b.pod("web", "there", "web", "10.0.9.1"))
	p := b.update()
	if len(p.Prepare)+len(p.Cleanup)+len(p.Guards) > 0 || len(p.Commit) != 2 || p.Narrows {
		t.Errorf("narrows: %t, prepare:\n%scommit:\n%scleanup:\n%s", p.Narrows, showOps(p.Prepare), showOps(p.Commit), showOps(p.Cleanup))
	}
	// It stays in the merged set while another group of it has the Pod.
	web := b.pod("web", "there", "a", "10.0.9.1")
	b.x.SetPod(web)
	if p := b.update(); len(p.Commit) != 1 || p.Commit[0].Verb != Delete {
		t.Errorf("commit:\n%s", showOps(p.Commit))
	}
}

// TestUnknownPlaceIsClosed: an address whose place is not known is local and
// nowhere bound.
func TestUnknownPlaceIsClosed(t *testing.T) {
	b := newBench(t, testConfig())
	b.x.SetPod(b.pod("db", "here", "db", "10.0.0.1"))
	b.x.SetPod(b.pod("bad", "here", "db", "10.0.0.2"))
	b.links.Binds[netip.MustParseAddr("10.0.0.2")] = Bind{Interface: `no"name`}
	delete(b.links.Binds, netip.MustParseAddr("10.0.0.1"))
	b.update()
	got := map[string][]Element{}
	for _, s := range b.c.Ruleset().Sets {
		if s.Name == "local-v4" || s.Name == "bind-v4" {
			got[s.Name] = s.Elements
		}
	}
	want := map[string][]Element{"local-v4": {{Key: "\x0a\x00\x00\x01"}, {Key: "\x0a\x00\x00\x02"}}, "bind-v4": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPoliciesOfOtherNodesCostNothing: nothing of a Pod that is elsewhere is
// compiled but its addresses.
func TestPoliciesOfOtherNodesCostNothing(t *testing.T) {
	b := newBench(t, testConfig())
	b.update()
	empty := b.c.Ruleset().String()
	b.x.SetPod(b.pod("db", "there", "db", "10.0.0.1"))
	b.x.SetPolicy(ingress("db", "db", from(5432, "web")))
	if p := b.update(); !p.Empty() {
		t.Errorf("the plan is not empty: %+v", p)
	}
	if diff := cmp.Diff(empty, b.c.Ruleset().String()); diff != "" {
		t.Error(diff)
	}
}
