package policy

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// everyForm has a rule of every form in both directions.
const everyForm = `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [
	{},
	{from: [], ports: []},
	{from: [{podSelector: {}}, {ipBlock: {cidr: 10.1.2.3/8, except: [10.2.0.0/16, 10.1.0.0/16]}}, {namespaceSelector: {}}],
	 ports: [{port: 80}, {port: 80, endPort: 90, protocol: UDP}, {protocol: SCTP}, {port: http}, {port: none}]},
	{from: [{}], ports: [{port: 0}]}
	], egress: [
	{ports: [{port: http}, {port: 53, protocol: UDP}]},
	{to: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {}}], ports: [{port: http}]},
	{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: http}]}]}`

func subjectOf(t testing.TB, x *Index, name string) *Subject {
	t.Helper()
	s := x.Subject(types.NamespacedName{Namespace: "shop", Name: name})
	if s == nil {
		t.Fatalf("%s is no subject", name)
	}
	return s
}

func TestAllowSet(t *testing.T) {
	x := shopIndex(t, "p", strings.ReplaceAll(everyForm, "\t", " "))
	s := subjectOf(t, x, "api")
	p := types.NamespacedName{Namespace: "shop", Name: "p"}
	ref := func(d Direction, i int) RuleRef { return RuleRef{Policy: p, Direction: d, Rule: i} }
	block := func(cidr string, except ...string) IPBlock {
		b := IPBlock{CIDR: netip.MustParsePrefix(cidr)}
		for _, e := range except {
			b.Except = append(b.Except, netip.MustParsePrefix(e))
		}
		return b
	}
	http := []NamedPortRef{{TCP, "http"}}
	want := [2][]AllowRule{{
		{RuleRef: ref(Ingress, 0), AllPeers: true, AllPorts: true},
		{RuleRef: ref(Ingress, 1), AllPeers: true, AllPorts: true},
		{RuleRef: ref(Ingress, 2),
			Groups: []GroupPeer{{0, "shop/*"}, {2, "{*}/*"}},
			Blocks: []BlockPeer{{1, block("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16")}},
			Ports:  []PortRange{{TCP, 80, 80}, {UDP, 80, 90}, {SCTP, 0, 65535}, {TCP, 80, 80}}},
		{RuleRef: ref(Ingress, 3)},
	}, {
		{RuleRef: ref(Egress, 0), AllPeers: true, Ports: []PortRange{{UDP, 53, 53}}, NamedPorts: http, NamedGroups: []GroupKey{"*/*"}},
		{RuleRef: ref(Egress, 1),
			Groups: []GroupPeer{{0, "shop/*"}, {2, "shop/*"}}, Blocks: []BlockPeer{{1, block("10.0.0.0/8")}},
			NamedPorts: http, NamedGroups: []GroupKey{"shop/*", "[10.0.0.0/8]"}},
		{RuleRef: ref(Egress, 2), Blocks: []BlockPeer{{0, block("10.0.0.0/8")}}, NamedPorts: http, NamedGroups: []GroupKey{"[10.0.0.0/8]"}},
	}}
	for d, set := range []*AllowSet{s.Ingress, s.Egress} {
		if diff := cmp.Diff(want[d], set.Rules, equateAddrs); diff != "" {
			t.Errorf("%s rules (-want +got):\n%s", Direction(d), diff)
		}
		if diff := cmp.Diff([]types.NamespacedName{p}, set.Policies); diff != "" || set.Direction != Direction(d) {
			t.Errorf("%s: %s %s", Direction(d), set.Direction, diff)
		}
	}
	members := 0
	for range x.Members("*/*") {
		members++
	}
	if members != 10 {
		t.Errorf("the group of all Pods has %d members, of unknown namespaces too it should have 10", members)
	}
}

// Pods share an allow set where its rules and the numbers of its named ports
// are the same.
func TestAllowSetsAreShared(t *testing.T) {
	x := shopIndex(t, "p", strings.ReplaceAll(everyForm, "\t", " "))
	web, db, api := subjectOf(t, x, "web"), subjectOf(t, x, "db"), subjectOf(t, x, "api")
	if web.Ingress != db.Ingress || web.Egress != api.Egress {
		t.Error("equal allow sets are not shared")
	}
	if web.Ingress.Key == api.Ingress.Key {
		t.Error("api has a port named http, web has none, and they share an allow set")
	}
}

// A key depends on what the policy says and not on how it says it.
func TestAllowSetKey(t *testing.T) {
	key := func(spec string) string {
		return subjectOf(t, shopIndex(t, "p", spec), "api").Ingress.Key
	}
	one := key(`{ingress: [{from: [{podSelector: {matchLabels: {a: b}}}]}]}`)
	for _, same := range []string{
		`{ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: In, values: [b, b]}]}}], ports: []}]}`,
		`{policyTypes: [Ingress], egress: [{}], ingress: [{from: [{podSelector: {matchLabels: {a: b}}}]}]}`,
		`{policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {a: b}}}]}]}`,
	} {
		if key(same) != one {
			t.Errorf("another key for %s", same)
		}
	}
	for _, other := range []string{
		`{ingress: []}`,
		`{ingress: [{from: [{podSelector: {matchLabels: {a: c}}}]}]}`,
		`{ingress: [{from: [{podSelector: {matchLabels: {a: b}}}], ports: [{port: 80}]}]}`,
		`{ingress: [{from: [{podSelector: {matchLabels: {a: b}}}]}, {}]}`,
	} {
		if key(other) == one {
			t.Errorf("the same key for %s", other)
		}
	}
}

// An invalid policy never disappears: it is reported, and the Pods that it
// selects, or might, stay isolated in the directions it names, or might.
func TestInvalidPolicyIsolates(t *testing.T) {
	bad := `{matchExpressions: [{key: app, operator: Equals, values: [web]}]}`
	for _, c := range []struct {
		name, spec, field string
		ingress, egress   bool
	}{
		{"podSelector", `{podSelector: ` + bad + `, ingress: [{}]}`, "spec.podSelector", true, false},
		{"policyTypes", `{policyTypes: [Inbound]}`, "spec.policyTypes[0]", true, true},
		{"peer", `{ingress: [{from: [{podSelector: ` + bad + `}]}]}`, "spec.ingress[0].from[0].podSelector", true, false},
		{"CIDR", `{ingress: [{from: [{ipBlock: {cidr: ten}}]}]}`, "spec.ingress[0].from[0].ipBlock.cidr", true, false},
		{"except", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}`, "spec.ingress[0].from[0].ipBlock.except[0]", true, false},
		{"endPort", `{ingress: [{ports: [{port: 90, endPort: 80}]}]}`, "spec.ingress[0].ports[0].endPort", true, false},
		{"protocol", `{ingress: [{ports: [{port: 80, protocol: HTTP}]}]}`, "spec.ingress[0].ports[0].protocol", true, false},
		{"port name", `{ingress: [{ports: [{port: "80"}]}]}`, "spec.ingress[0].ports[0].port", true, false},
		{"peer of two kinds", `{ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 0.0.0.0/0}}]}]}`, "spec.ingress[0].from[0]", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			np := policyFromYAML(t, c.spec)
			x := shopIndex(t)
			err := x.SetPolicy(np)
			if !strings.HasPrefix(errorText(err), "NetworkPolicy shop/p: ") || !strings.Contains(errorText(err), c.field) {
				t.Errorf("error %v names not policy and field", err)
			}
			s := subjectOf(t, x, "api")
			if (s.Ingress != nil) != c.ingress || (s.Egress != nil) != c.egress {
				t.Errorf("isolated: %v, %v", s.Ingress != nil, s.Egress != nil)
			}
			v := x.Explain(Flow{Src: end(t, x, "shop/web"), Dst: end(t, x, "shop/api"), Protocol: TCP, Port: 80})
			if problems := v.Ingress.Policies[0].Problems; len(problems) == 0 || !strings.HasPrefix(problems[0], c.field) {
				t.Errorf("problems: %v", problems)
			}
			if open := c.name == "podSelector"; v.Ingress.Allowed != open {
				t.Errorf("allowed: %v", v.Ingress.Allowed)
			}
		})
	}
}

// Whatever is invalid about a peer or port, its neighbours still allow.
func TestInvalidPartLeavesTheOthers(t *testing.T) {
	x := shopIndex(t, "p", `{ingress: [{from: [{}, {podSelector: {}}], ports: [{port: 0}, {port: 80}]}]}`)
	v := x.Explain(Flow{Src: end(t, x, "shop/web"), Dst: end(t, x, "shop/api"), Protocol: TCP, Port: 80})
	if !v.Allowed || v.Ingress.Policies[0].Rules[0].Invalid != "" {
		t.Errorf("%+v", v.Ingress)
	}
}

func TestOddInput(t *testing.T) {
	x := NewIndex(Options{})
	x.SetPod(nil)
	if x.SetPolicy(nil) == nil {
		t.Error("no error for no policy")
	}
	if err := x.SetPolicy(&networkingv1.NetworkPolicy{}); err == nil {
		t.Error("no error for a policy without name")
	}
	x.SetPod(&Pod{})
	x.SetPod(&Pod{NamespacedName: types.NamespacedName{Namespace: "{*}", Name: "*/*"},
		Addrs: []netip.Addr{{}, netip.MustParseAddr("::ffff:10.0.0.1"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")}})
	x.SetNamespace("", nil)
	x.DeletePod(types.NamespacedName{Name: "never"})
	x.DeletePolicy(types.NamespacedName{Name: "never"})
	x.DeleteNamespace("never")
	got := []string{}
	for _, s := range x.Changes().Subjects {
		for _, a := range s.Now.Addrs {
			got = append(got, s.Pod.String()+" "+a.String())
		}
	}
	if d := cmp.Diff([]string{"{*}/*/* 10.0.0.1", "{*}/*/* fe80::1"}, got); d != "" {
		t.Errorf("subjects (-want +got):\n%s", d)
	}
	for range x.Members("never") {
		t.Error("a group that is not in use has members")
	}
	for _, f := range []Flow{{}, {Src: End{Pod: &Pod{}}}, {Dst: x.EndOfAddr(netip.MustParseAddr("::ffff:10.0.0.1"))}} {
		if v := x.Explain(f); !v.Allowed {
			t.Errorf("%+v is denied", f)
		}
	}
}

// FuzzSetPolicy: whatever a policy says, the index takes it, reports the same
// each time, and explains as it evaluates.
func FuzzSetPolicy(f *testing.F) {
	for _, spec := range []string{everyForm, `{}`, `{policyTypes: [x]}`, `{ingress: [{from: [{}]}]}`} {
		spec, err := json.Marshal(policyFromYAML(f, strings.ReplaceAll(spec, "\t", " ")).Spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(spec, uint8(6), uint16(80))
	}
	f.Fuzz(func(t *testing.T, spec []byte, proto uint8, port uint16) {
		np := &networkingv1.NetworkPolicy{}
		if json.Unmarshal(spec, &np.Spec) != nil {
			return
		}
		np.Namespace, np.Name = "shop", "p"
		x := shopIndex(t)
		x.Changes()
		err := x.SetPolicy(np)
		x.Changes()
		if again := x.SetPolicy(np); errorText(again) != errorText(err) || !x.Changes().Empty() {
			t.Errorf("the second time: %v, the first: %v", again, err)
		}
		for _, src := range []string{"shop/web", "dark/eve", "203.0.113.1"} {
			flow := Flow{Src: end(t, x, src), Dst: end(t, x, "shop/api"), Protocol: Protocol(proto), Port: port}
			if fast, full := x.Evaluate(flow), x.Explain(flow); fast.Allowed != full.Allowed || fast.Ingress.Reason != full.Ingress.Reason {
				t.Errorf("%s: evaluated %v, explained %+v", src, fast.Allowed, full)
			}
		}
		x.DeletePolicy(types.NamespacedName{Namespace: "shop", Name: "p"})
		x.Changes()
		if len(x.groups)+len(x.scopes)+len(x.sets) > 0 {
			t.Error("groups outlive their policy")
		}
	})
}
