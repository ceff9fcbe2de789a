package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// shopIndex has the Pods web, api and db in shop (team blue), eve in dark
// (team red), lost in a namespace that is not known, and the policies given as
// name and spec.
func shopIndex(t testing.TB, policies ...string) *Index {
	t.Helper()
	x := NewIndex(Options{})
	x.SetNamespace("shop", map[string]string{"team": "blue"})
	x.SetNamespace("dark", map[string]string{"team": "red"})
	http := []NamedPort{{"http", TCP, 80}}
	for i, p := range []*Pod{
		{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web"}, Labels: map[string]string{"app": "web"}},
		{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "api"}, Labels: map[string]string{"app": "api"}, Ports: http},
		{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "db"}, Labels: map[string]string{"app": "db", "tier": ""}},
		{NamespacedName: types.NamespacedName{Namespace: "dark", Name: "eve"}},
		{NamespacedName: types.NamespacedName{Namespace: "fog", Name: "lost"}, Labels: map[string]string{"app": "web"}},
	} {
		p.Node, p.NodeAddrs = "n1", addrList("192.0.2.1")
		p.Addrs = addrList(fmt.Sprintf("10.0.0.%d", i+1), fmt.Sprintf("2001:db8::%d", i+1))
		x.SetPod(p)
	}
	for i := 0; i+1 < len(policies); i += 2 {
		np := policyFromYAML(t, policies[i+1])
		np.Name = policies[i]
		_ = x.SetPolicy(np) // tests with invalid ones look at the traces
	}
	return x
}

// end is a Pod of the shop as ns/name, or an address.
func end(t testing.TB, x *Index, s string) End {
	t.Helper()
	if namespace, name, ok := strings.Cut(s, "/"); ok {
		p, found := x.Pod(types.NamespacedName{Namespace: namespace, Name: name})
		if !found {
			t.Fatalf("no Pod %s", s)
		}
		return x.EndOfPod(p, p.Addrs[0])
	}
	return x.EndOfAddr(addrList(s)[0])
}

func TestExplainWords(t *testing.T) {
	type words struct{ What, Why string }
	for _, c := range []struct {
		name, rules, src string
		flow             Flow
		peers, ports     []words
	}{
		{"selectors", `
			ingress: [{from: [
				{podSelector: {matchLabels: {app: web}}},
				{podSelector: {}, namespaceSelector: {matchLabels: {team: blue}}},
				{podSelector: {matchLabels: {app: api}}, namespaceSelector: {}},
				{podSelector: {matchExpressions: [{key: app, operator: In, values: [a, b]}]}, namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}},
				{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/30]}}]}]`,
			"dark/eve", Flow{Protocol: TCP, Port: 80},
			[]words{
				{"podSelector app=web in namespace shop", "Pod is in namespace dark, not shop"},
				{"every Pod in namespaces with team=blue", "namespace label team is red, not blue"},
				{"podSelector app=api in any namespace", "pod has no label app, which must be api"},
				{"podSelector app in (a,b) in namespaces with team", "pod has no label app, which must be a or b"},
				{"ipBlock 10.0.0.0/8 except 10.0.0.0/30", "10.0.0.4 is in 10.0.0.0/8"},
			}, nil},
		{"labels", `
			ingress: [{from: [
				{podSelector: {matchLabels: {app: api}}},
				{podSelector: {matchLabels: {app: db}}},
				{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [db]}]}},
				{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}},
				{podSelector: {matchLabels: {tier: front}}},
				{podSelector: {matchExpressions: [{key: none, operator: DoesNotExist}]}},
				{podSelector: {}}]}]`,
			"shop/db", Flow{Protocol: TCP, Port: 80},
			[]words{
				{"podSelector app=api in namespace shop", "pod label app is db, not api"},
				{"podSelector app=db in namespace shop", "pod label app is db"},
				{"podSelector app!=db in namespace shop", "pod label app is db, which is excluded"},
				{"podSelector !tier in namespace shop", `pod label tier is "", but the label must be absent`},
				{"podSelector tier=front in namespace shop", `pod label tier is "", not front`},
				{"podSelector !none in namespace shop", "pod has no label none"},
				{"every Pod in namespace shop", "Pod is in namespace shop"},
			}, nil},
		{"an address", `
			ingress: [{from: [
				{podSelector: {}},
				{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.0/25, 198.51.100.200/32]}},
				{ipBlock: {cidr: 203.0.113.0/24}},
				{ipBlock: {cidr: "2001:db8::/32"}}]}]`,
			"198.51.100.200", Flow{Protocol: TCP, Port: 80},
			[]words{
				{"every Pod in namespace shop", "198.51.100.200 is no Pod"},
				{"ipBlock 198.51.100.0/24 except 198.51.100.0/25, 198.51.100.200/32", "198.51.100.200 is in except 198.51.100.200/32"},
				{"ipBlock 203.0.113.0/24", "198.51.100.200 is not in 203.0.113.0/24"},
				{"ipBlock 2001:db8::/32", "IPv4 address, IPv6 block"},
			}, nil},
		{"a namespace that is not known", `ingress: [{from: [{namespaceSelector: {}}]}]`,
			"fog/lost", Flow{Protocol: TCP, Port: 80},
			[]words{{"every Pod in any namespace", "namespace fog is not known, so its labels are not"}}, nil},
		{"ports", `
			ingress: [{ports: [{port: 80}, {port: 80, endPort: 90}, {protocol: UDP, port: 81}, {protocol: TCP}, {port: http}, {port: db}]}]`,
			"dark/eve", Flow{Protocol: TCP, Port: 81}, nil,
			[]words{
				{"TCP 80", "port 81 is not in TCP 80"},
				{"TCP 80-90", "TCP 81 is in TCP 80-90"},
				{"UDP 81", "protocol is TCP, not UDP"},
				{"TCP (all ports)", "TCP 81 is in TCP (all ports)"},
				{"TCP port named http", "port http/TCP of destination Pod shop/api is 80, not 81"},
				{"TCP port named db", "destination Pod shop/api has no port named db/TCP"},
			}},
		{"ICMP", `ingress: [{ports: [{port: 80}]}]`, "dark/eve", Flow{Protocol: ICMP}, nil,
			[]words{{"TCP 80", "ICMP has no ports: only a rule without ports allows it"}}},
		{"invalid parts", `ingress: [{from: [{}], ports: [{port: 0}]}]`, "dark/eve", Flow{Protocol: TCP, Port: 81},
			[]words{{"invalid peer", "spec.ingress[0].from[0]"}}, []words{{"invalid port", "spec.ingress[0].ports[0].port"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := shopIndex(t, "p", strings.ReplaceAll(c.rules, "\t", " "))
			c.flow.Src, c.flow.Dst = end(t, x, c.src), end(t, x, "shop/api")
			v := x.Explain(c.flow).Ingress
			if len(v.Policies) != 1 || len(v.Policies[0].Rules) != 1 {
				t.Fatalf("traces: %+v", v.Policies)
			}
			said := func(parts []PartTrace) (out []words) {
				for i, p := range parts {
					if p.Index != i {
						t.Errorf("part %d says it is %d", i, p.Index)
					}
					if strings.HasPrefix(p.What, "invalid") {
						p.Why, _, _ = strings.Cut(p.Why, ":")
					}
					out = append(out, words{p.What, p.Why})
				}
				return out
			}
			r := v.Policies[0].Rules[0]
			if d := cmp.Diff(c.peers, said(r.Peers)); d != "" {
				t.Errorf("peers (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.ports, said(r.Ports)); d != "" {
				t.Errorf("ports (-want +got):\n%s", d)
			}
		})
	}
}

// A port name of an egress rule matches a Pod with such a port in an ipBlock,
// and what is no Pod never, which the explanation says.
func TestExplainNamedPortInBlock(t *testing.T) {
	x := shopIndex(t, "p", `{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: http}]}]}`)
	for _, c := range []struct {
		dst     string
		allowed bool
		why     string
	}{
		{"shop/api", true, "port http/TCP of destination Pod shop/api is 80"},
		{"10.9.9.9", false, "destination 10.9.9.9 is no Pod"},
	} {
		v := x.Explain(Flow{Src: end(t, x, "shop/web"), Dst: end(t, x, c.dst), Protocol: TCP, Port: 80}).Egress
		r := v.Policies[0].Rules[0]
		if v.Allowed != c.allowed || !r.PeerMatched || r.PortMatched != c.allowed || !strings.Contains(r.Ports[0].Why, c.why) {
			t.Errorf("%s: %+v", c.dst, v)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"the right peer on another port before the right port of another peer", `
			ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}, {from: [{namespaceSelector: {matchLabels: {team: red}}}], ports: [{port: 81}]}]`,
			"shop/p ingress[1]"},
		{"the right port before nothing right", `
			ingress: [{from: [{podSelector: {}}], ports: [{port: 82}]}, {from: [{podSelector: {}}], ports: [{port: 80}]}]`,
			"shop/p ingress[1]"},
		{"the fewest labels missed", `
			ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue, env: prod}}}]}, {from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]`,
			"shop/p ingress[1]"},
		{"the first among equals", `ingress: [{from: [{podSelector: {}}]}, {from: [{podSelector: {}}]}]`, "shop/p ingress[0]"},
		{"anything before an invalid rule", `ingress: [{from: [{}]}, {from: [{podSelector: {}}]}]`, "shop/p ingress[1]"},
		{"none without rules", `policyTypes: [Ingress]`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := shopIndex(t, "p", strings.ReplaceAll(c.spec, "\t", " "))
			v := x.Explain(Flow{Src: end(t, x, "dark/eve"), Dst: end(t, x, "shop/api"), Protocol: TCP, Port: 80}).Ingress
			got := ""
			if v.Nearest != nil {
				got = v.Nearest.String()
			}
			if v.Reason != ReasonNoRule || got != c.want {
				t.Errorf("%s, nearest is %q, want %q", v.Reason, got, c.want)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	deny := `{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress, Egress]}`
	x := shopIndex(t, "deny", deny, "allow", `{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`)
	for _, p := range []*Pod{
		{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "agent"}, HostNetwork: true, Node: "n1", Addrs: addrList("192.0.2.77")},
		{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "agent2"}, HostNetwork: true, Node: "n2", Addrs: addrList("192.0.2.78")},
	} {
		x.SetPod(p)
	}
	for _, c := range []struct {
		src, dst        string
		egress, ingress Reason
	}{
		{"shop/web", "shop/api", ReasonNotIsolated, ReasonRule},
		{"dark/eve", "shop/api", ReasonNotIsolated, ReasonNoRule},
		{"shop/api", "shop/api", ReasonSelf, ReasonSelf},
		{"shop/api", "dark/eve", ReasonNoRule, ReasonNotIsolated},
		{"192.0.2.1", "shop/api", ReasonNoPod, ReasonOwnNode},
		{"192.0.2.77", "shop/api", ReasonNoPod, ReasonOwnNode},
		{"192.0.2.78", "shop/api", ReasonNoPod, ReasonNoRule},
		{"shop/api", "192.0.2.1", ReasonNoRule, ReasonNoPod},
		{"192.0.2.1", "203.0.113.1", ReasonNoPod, ReasonNoPod},
	} {
		f := Flow{Src: end(t, x, c.src), Dst: end(t, x, c.dst), Protocol: TCP, Port: 80}
		for how, v := range map[string]Verdict{"evaluate": x.Evaluate(f), "explain": x.Explain(f)} {
			if v.Egress.Reason != c.egress || v.Ingress.Reason != c.ingress {
				t.Errorf("%s %s to %s: %s, %s; want %s, %s", how, c.src, c.dst, v.Egress.Reason, v.Ingress.Reason, c.egress, c.ingress)
			}
			allowed := c.egress != ReasonNoRule && c.ingress != ReasonNoRule
			if v.Allowed != allowed || (v.Ingress.AllowedBy != nil) != (c.ingress == ReasonRule) {
				t.Errorf("%s %s to %s: %+v", how, c.src, c.dst, v)
			}
		}
	}
	x.opts.NodeEgress = true
	v := x.Evaluate(Flow{Src: end(t, x, "shop/api"), Dst: end(t, x, "192.0.2.1"), Protocol: TCP, Port: 80})
	if v.Egress.Reason != ReasonOwnNode {
		t.Errorf("to the own node with NodeEgress: %s", v.Egress.Reason)
	}
}
