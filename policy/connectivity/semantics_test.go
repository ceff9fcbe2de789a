package connectivity_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/manifest"
)

// cluster reads manifests of policies, Namespaces and Pods.
func cluster(t testing.TB, text string) *connectivity.Cluster {
	t.Helper()
	var l manifest.Loader
	l.Add("test", []byte(text))
	set, problems := l.Finish()
	for _, p := range problems {
		if !p.Notice {
			t.Fatal(p)
		}
	}
	out := &connectivity.Cluster{Namespaces: set.Namespaces, Policies: set.Policies}
	for _, p := range set.Pods {
		w, err := connectivity.FromAPI(p)
		if err != nil {
			t.Fatal(err)
		}
		out.Workloads = append(out.Workloads, w)
	}
	return out
}

func pod(namespace, name string) string {
	return fmt.Sprintf("---\n{apiVersion: v1, kind: Pod, metadata: {namespace: %s, name: %s, labels: {app: %s}}, "+
		"spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}}\n", namespace, name, name)
}

func netpol(namespace, name, spec string) string {
	return fmt.Sprintf("---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: %s, name: %s}, spec: %s}\n", namespace, name, spec)
}

// find is the end of the Pod, or of an address.
func find(t testing.TB, m *connectivity.Matrix, what string) int {
	t.Helper()
	for i := range m.Ends() {
		e := &m.Ends()[i]
		if slices.ContainsFunc(e.Workloads, func(w connectivity.Name) bool { return w.Namespace+"/"+w.Name == what }) {
			return i
		}
		if addr, err := netip.ParseAddr(what); err == nil && slices.ContainsFunc(e.Ranges, func(r connectivity.AddrRange) bool {
			return r.First.Compare(addr) <= 0 && addr.Compare(r.Last) <= 0
		}) {
			return i
		}
	}
	t.Fatalf("there is no end %s", what)
	return -1
}

// said is a connection as text, a stretch a line.
func said(list []connectivity.Stretch) []string {
	var out []string
	side := func(s *connectivity.Side) string {
		if s.Reason != policy.ReasonRule {
			return string(s.Reason)
		}
		var grants []string
		for _, g := range s.Grants {
			text := g.Policy.String() + " " + g.Path()
			if g.If != nil {
				text = strings.TrimSpace(strings.TrimPrefix(text, "/ ")) + " if " + g.If.String()
			}
			grants = append(grants, strings.TrimSpace(text))
		}
		return strings.Join(grants, ", ")
	}
	for i := range list {
		s := &list[i]
		out = append(out, fmt.Sprintf("%s %s: %s → %s", s.Ports, s.Answer, side(&s.Egress), side(&s.Ingress)))
	}
	return out
}

type asked struct {
	src, dst string
	want     []string
}

func check(t *testing.T, c *connectivity.Cluster, questions ...asked) {
	t.Helper()
	m := connectivity.New(c)
	for _, q := range questions {
		got := said(m.Connection(find(t, m, q.src), find(t, m, q.dst)))
		if diff := cmp.Diff(q.want, got); diff != "" {
			t.Errorf("%s → %s: %s", q.src, q.dst, diff)
		}
	}
}

func TestRulesAreNamedByTheirPeers(t *testing.T) {
	check(t, cluster(t, pod("shop", "web")+pod("shop", "db")+pod("ops", "probe")+
		netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}, {podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}, {port: http}]}]}`)+
		netpol("shop", "probes", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}]}]}`)+
		netpol("shop", "dbs", `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5000, endPort: 6000}]}]}`)),
		asked{"shop/web", "shop/db", []string{
			"TCP 5000-5431 allowed: NotIsolated → shop/dbs spec.ingress[0]",
			"TCP 5432 allowed: NotIsolated → shop/db spec.ingress[0].from[1], shop/dbs spec.ingress[0]",
			"TCP 5433-6000 allowed: NotIsolated → shop/dbs spec.ingress[0]",
			"TCP 8080 allowed: NotIsolated → shop/db spec.ingress[0].from[1]",
		}},
		asked{"shop/db", "shop/web", nil},
		asked{"192.0.2.1", "shop/db", []string{"TCP 5000-6000 allowed: NoPod → shop/dbs spec.ingress[0]"}},
		asked{"ops/probe", "shop/web", []string{
			"TCP allowed: NotIsolated → shop/probes spec.ingress[0].from[0]",
			"UDP allowed: NotIsolated → shop/probes spec.ingress[0].from[0]",
			"SCTP allowed: NotIsolated → shop/probes spec.ingress[0].from[0]",
			"other protocols allowed: NotIsolated → shop/probes spec.ingress[0].from[0]",
		}},
	)
}

func TestBlocksDependOnWhatIsKnownOfPods(t *testing.T) {
	text := pod("shop", "web") + pod("shop", "db") +
		netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/9}}, {ipBlock: {cidr: 10.128.0.0/9}}], ports: [{port: 1}]}]}`) +
		netpol("shop", "out", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.9.0.0/16]}}], ports: [{port: http}, {port: 1}]}]}`)
	depends := "shop/out spec.egress[0].to[0] if the address is in 10.0.0.0/8 except 10.9.0.0/16"
	halves := "shop/db spec.ingress[0].from[0] if the address is in 10.0.0.0/9, shop/db spec.ingress[0].from[1] if the address is in 10.128.0.0/9"
	for _, c := range []struct {
		pods []string
		want []string
	}{
		{nil, []string{"TCP 1 depends: " + depends + " → " + halves}},
		// The blocks hold all addresses, but only together.
		{[]string{"10.0.0.0/8"}, []string{"TCP 1 depends: " + depends + " → " + halves}},
		{[]string{"10.9.0.0/16"}, nil},
		{[]string{"fd00::/64"}, nil},
		{[]string{"10.3.0.0/16"}, []string{"TCP 1 allowed: shop/out spec.egress[0].to[0] → shop/db spec.ingress[0].from[0]"}},
		{[]string{"10.3.0.0/16", "10.200.0.0/16"}, []string{"TCP 1 allowed: shop/out spec.egress[0].to[0] → " + halves}},
		// Dual stack: over IPv6 nothing passes.
		{[]string{"10.3.0.0/16", "fd00::/64"}, []string{
			"TCP 1 depends: shop/out spec.egress[0].to[0] if the address is in 10.0.0.0/8 except 10.9.0.0/16 → shop/db spec.ingress[0].from[0] if the address is in 10.0.0.0/9",
		}},
	} {
		given := cluster(t, text)
		for _, p := range c.pods {
			given.PodRanges = append(given.PodRanges, netip.MustParsePrefix(p))
		}
		t.Run(strings.ReplaceAll(fmt.Sprint(c.pods), "/", "_"), func(t *testing.T) {
			check(t, given, asked{"shop/web", "shop/db", c.want})
		})
	}
}

// A port that egress names is the destination Pod's, and what is no Pod has none.
func TestNamedPortsOfDestinations(t *testing.T) {
	c := cluster(t, pod("shop", "web")+pod("shop", "db")+
		netpol("shop", "out", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}, {podSelector: {}}], ports: [{port: http}]}]}`))
	check(t, c,
		asked{"shop/web", "shop/db", []string{
			"TCP 8080 allowed: shop/out spec.egress[0].to[0] if the address is in 0.0.0.0/0, shop/out spec.egress[0].to[1] → NotIsolated",
		}},
		asked{"shop/web", "8.8.8.8", nil},
	)
}

func TestHostNetworkIsTheNode(t *testing.T) {
	text := pod("shop", "db") +
		"---\n{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: agent, labels: {app: agent}}, spec: {hostNetwork: true, containers: [{name: c}]}}\n" +
		netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}, {from: [{ipBlock: {cidr: 192.168.0.0/16}}], ports: [{port: 1}]}]}`)
	own := "if it is the Pod's own node"
	rest := []string{
		"UDP depends: NoPod → " + own, "SCTP depends: NoPod → " + own, "other protocols depends: NoPod → " + own,
	}
	block := "shop/db spec.ingress[1].from[0]"
	tcp := func(one string) []string {
		return slices.Concat([]string{"TCP 0 depends: NoPod → " + own, one, "TCP 2-65535 depends: NoPod → " + own}, rest)
	}
	c := cluster(t, text)
	check(t, c, asked{"shop/agent", "shop/db", tcp("TCP 1 depends: NoPod → " + own + ", " + block + " if the address is in 192.168.0.0/16")},
		asked{"shop/db", "shop/agent", nil})
	c.NodeRanges = []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}
	check(t, c,
		asked{"shop/agent", "shop/db", tcp("TCP 1 allowed: NoPod → " + own + ", " + block)},
		asked{"192.168.7.1", "shop/db", tcp("TCP 1 allowed: NoPod → " + own + ", " + block)},
		asked{"192.168.8.1", "shop/db", []string{"TCP 1 allowed: NoPod → " + block}},
	)
	c.NodeEgress = true
	check(t, c, asked{"shop/db", "192.168.7.1", []string{
		"TCP depends: " + own + " → NoPod", "UDP depends: " + own + " → NoPod", "SCTP depends: " + own + " → NoPod", "other protocols depends: " + own + " → NoPod",
	}})
}

// What each end demands of one address cannot be of two Pods.
func TestTwoPodsHaveTwoAddresses(t *testing.T) {
	text := func(other string) string {
		return pod("shop", "web") + pod("shop", "db") +
			netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/32}}], ports: [{port: 1}]}]}`) +
			netpol("shop", "out", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: `+other+`/32}}]}]}`)
	}
	check(t, cluster(t, text("10.0.0.1")), asked{"shop/web", "shop/db", nil})
	check(t, cluster(t, text("10.0.0.2")), asked{"shop/web", "shop/db", []string{
		"TCP 1 depends: shop/out spec.egress[0].to[0] if the address is in 10.0.0.2/32 → shop/db spec.ingress[0].from[0] if the address is in 10.0.0.1/32",
	}})
}

// Of an invalid rule nothing is allowed, and the fault is told.
func TestInvalidRulesAllowNothing(t *testing.T) {
	c := cluster(t, pod("shop", "web")+pod("shop", "db")+
		netpol("shop", "db", `{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`))
	c.Policies[0].Spec.Ingress[0].From[0].PodSelector = nil
	check(t, c, asked{"shop/web", "shop/db", nil})
	if m := connectivity.New(c); len(m.Problems()) != 1 || !strings.Contains(m.Problems()[0].Error(), "spec.ingress[0].from[0]") {
		t.Errorf("problems: %v", m.Problems())
	}
}

func TestDescribeEnds(t *testing.T) {
	c := cluster(t, pod("shop", "web")+pod("shop", "db")+
		netpol("shop", "db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 1}]}, {ports: [{port: 2}]}]}`))
	list := connectivity.New(c).List(connectivity.ListOptions{To: func(e *connectivity.End) bool { return e.Namespace == "shop" && e.Labels["app"] == "db" }})
	var got []string
	for _, line := range list.Lines {
		var ports []connectivity.Ports
		for _, s := range line.Stretches {
			ports = append(ports, s.Ports)
		}
		got = append(got, fmt.Sprintf("%s → %s: %s", strings.Join(list.Describe(line.Sources), ", "), strings.Join(list.Describe(line.Destinations), ", "), connectivity.Describe(ports)))
	}
	want := []string{
		"Pod shop/db, Pod shop/web → Pod shop/db: TCP 1-2",
		"0.0.0.0-9.255.255.255, 11.0.0.0-255.255.255.255, ::/0 → Pod shop/db: TCP 2",
		"10.0.0.0/8 → Pod shop/db: TCP 1-2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if all := list.Describe([]int{0, 2, 3, 4}); !slices.Equal(all, []string{"Pod shop/db", "internet"}) {
		t.Errorf("all of the outside is called %q", all)
	}
}

func TestOverlappingRanges(t *testing.T) {
	m := connectivity.New(cluster(t, pod("shop", "db")+
		netpol("shop", "db", `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}`)))
	in, out, v6 := find(t, m, "10.0.0.1"), find(t, m, "10.1.0.1"), find(t, m, "2001:db8::1")
	for prefix, want := range map[string][]int{
		"10.2.0.0/16": {in}, "10.1.2.3/16": {out}, "10.0.0.0/15": {out, in}, "11.0.0.0/8": {out}, "0.0.0.0/0": {out, in}, "::/0": {v6}, "2001:db8::/32": {v6},
	} {
		if got := m.Overlapping(netip.MustParsePrefix(prefix)); !slices.Equal(got, want) {
			t.Errorf("%s overlaps %v, not %v", prefix, got, want)
		}
	}
	if got := m.Overlapping(netip.Prefix{}); got != nil {
		t.Errorf("no prefix overlaps %v", got)
	}
}

// Where there is nothing, nothing is listed.
func TestNothing(t *testing.T) {
	for _, c := range []*connectivity.Cluster{nil, {}} {
		m := connectivity.New(c)
		if list := m.List(connectivity.ListOptions{}); len(list.Lines) > 0 || len(m.Ends()) != 2 {
			t.Errorf("%d ends, %d lines", len(m.Ends()), len(list.Lines))
		}
		if x := connectivity.NewExposure(c); len(x.Groups) > 0 {
			t.Errorf("exposed: %+v", x.Groups)
		}
		if d := connectivity.Diff(c, c); len(d.Changes)+len(d.Policies) > 0 {
			t.Errorf("different: %+v", d)
		}
	}
}
