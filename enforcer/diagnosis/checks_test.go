package diagnosis

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// healthy are facts as of a node on which all is well: a bridge plug-in with flannel's
// VXLAN, kube-proxy with nftables, an agent that is ready.
func healthy(change ...func(*Facts)) *Facts {
	f := &Facts{
		Kernel: "6.1.0-18-amd64", Features: []Feature{{Name: "family inet"}, {Name: "netdev egress"}},
		Nft: &Nft{Path: "/usr/sbin/nft", Version: "1.0.6"}, Bridges: &BridgeFilter{IPv4: true, IPv6: true},
		CNI: &CNI{Dir: "/etc/cni/net.d", Files: []CNIConfig{{File: "10-flannel.conflist", Name: "cbr0", Types: []string{"flannel", "portmap"}}}},
		Interfaces: []Interface{
			{Name: "cni0", Kind: "bridge", Role: RoleBridge, MTU: 1450, Up: true, IPv4: true, IPv6: true},
			{Name: "eth0", Role: RoleUplink, MTU: 1500, Up: true, ReversePath: 2},
			{Name: "flannel.1", Kind: "vxlan", Role: RoleTunnel, Lower: "eth0", MTU: 1450, Up: true},
			{Name: "veth1", Kind: "veth", Role: RolePod, Master: "cni0", MTU: 1450, Up: true},
			{Name: "veth2", Kind: "veth", Role: RolePod, Master: "cni0", MTU: 1450, Up: true},
		},
		Proxies:   map[string][]string{ProxyNftables: {"table ip kube-proxy"}},
		Conntrack: &Conntrack{Count: 1000, Max: 262144},
		Marks:     []MarkUser{{"ip mangle AWS-CONNMARK-CHAIN-0", 0x80}},
		Mask:      0xff003000,
		OurTables: []string{"bridge", "inet", "netdev"},
		Agent:     &Agent{Version: "v1", Ready: true, PodStart: "runtime (NRI)"},
	}
	for _, c := range change {
		c(f)
	}
	return f
}

func iface(name string, change func(*Interface)) func(*Facts) {
	return func(f *Facts) {
		for i := range f.Interfaces {
			if f.Interfaces[i].Name == name {
				change(&f.Interfaces[i])
				return
			}
		}
		i := Interface{Name: name, Up: true}
		change(&i)
		f.Interfaces = append(f.Interfaces, i)
	}
}

func noAgent(f *Facts) { f.Agent, f.OurTables = nil, nil }

// of are a check's findings.
func of(id string, f *Facts) []Finding {
	var out []Finding
	for _, found := range Findings(f) {
		if found.Check == id {
			out = append(out, found)
		}
	}
	return out
}

func TestAHealthyNodeHasNoFinding(t *testing.T) {
	for _, found := range Findings(healthy()) {
		if found.State != OK || found.Found == "" {
			t.Errorf("%+v", found)
		}
	}
	// Nor has one on which nothing is installed yet, but for notes.
	bare := &Facts{Kernel: "5.16.0", Features: []Feature{{Name: "x"}}, Nft: &Nft{Path: "nft", Version: "1.0.9"}, Bridges: &BridgeFilter{Missing: "x"}, CNI: &CNI{Error: "none"}}
	if worst := Worst(Findings(bare)); worst != Note {
		t.Errorf("a bare node is %s: %+v", worst, Findings(bare))
	}
}

// Each check of a node, with facts for each state that it can find.
func TestChecks(t *testing.T) {
	for _, tt := range []struct {
		id    string
		state State
		// says is in what was found, the consequence, the mend or what to type.
		says   string
		change func(*Facts)
	}{
		{IDAgent, OK, "pod start: runtime (NRI)", func(*Facts) {}},
		{IDAgent, Note, "no agent on this node", noAgent},
		{IDAgent, Note, "an agent runs (process 7 (uid 0))", func(f *Facts) { f.Agent, f.AgentProcess = nil, "process 7 (uid 0)" }},
		{IDAgent, Warning, "sudo sluice cleanup", func(f *Facts) { f.Agent = nil }},
		{IDAgent, Problem, "first sync", func(f *Facts) { f.Agent.Ready, f.Agent.Waiting = false, "the first sync is under way" }},
		{IDAgent, Problem, "not ready", func(f *Facts) { f.Agent.Ready = false }},
		{IDAgent, Problem, "boom", condition("TableFailed", true, "boom")},
		{IDAgent, Problem, "of a newer agent", condition("NobodyKnowsIt", true, "of a newer agent")},
		{IDAgent, Warning, "of a newer agent", condition("NobodyKnowsIt", false, "of a newer agent")},
		{IDSource, OK, "nothing", func(*Facts) {}},
		{IDSource, OK, "no agent was asked", noAgent},
		{IDSource, Problem, "boom", condition("SourceSilent", true, "boom")},
		{IDPods, Problem, "boom", condition("PodUnresolved", true, "boom")},
		{IDKernel, OK, "6.1.0", func(*Facts) {}},
		{IDKernel, OK, "Linux 5.16.0", func(f *Facts) { f.Kernel = "5.16.0-rc1" }},
		{IDKernel, Problem, "older than 5.16", func(f *Facts) { f.Kernel = "5.15.0-91-generic" }},
		{IDKernel, Problem, "older than 5.16", func(f *Facts) { f.Kernel = "4.18.0-513.el8" }},
		{IDKernel, Note, "uname -r", func(f *Facts) { f.Kernel = "" }},
		{IDKernel, Note, "none that can be compared", func(f *Facts) { f.Kernel = "plan9" }},
		{IDNftables, OK, "2 features tried", func(*Facts) {}},
		{IDNftables, OK, "own rules are loaded", func(f *Facts) { f.Features, f.FeaturesUntried = nil, "no right" }},
		{IDNftables, Note, "no right", func(f *Facts) { noAgent(f); f.Features, f.FeaturesUntried = nil, "no right" }},
		{IDNftables, Problem, "Linux 5.16 has it", func(f *Facts) {
			f.Features[1] = Feature{Name: "netdev egress", For: "guards", Since: "5.16", Error: "Operation not supported"}
		}},
		{IDNft, OK, "nft 1.0.6 (/usr/sbin/nft)", func(*Facts) {}},
		{IDNft, OK, "which is /opt/nft of the agent's image", func(f *Facts) { f.Nft.Real, f.Container = "/opt/nft", true }},
		{IDNft, OK, "1.1", func(f *Facts) { f.Nft.Version = "1.1" }},
		{IDNft, Warning, "older than 1.0.6", func(f *Facts) { f.Nft.Version = "1.0.2" }},
		{IDNft, Warning, "older than 1.0.6", func(f *Facts) { f.Nft.Version = "0.9.8" }},
		{IDNft, Problem, "apt-get install", func(f *Facts) { f.Nft = &Nft{Error: "it is not in PATH"} }},
		{IDNft, Problem, "not looked for", func(f *Facts) { f.Nft = nil }},
		{IDBridges, OK, "by its own switches", func(*Facts) {}},
		{IDBridges, OK, "by the namespace's", iface("cni0", func(i *Interface) { i.IPv4 = false })},
		{IDBridges, OK, "no Pod is behind a bridge", func(f *Facts) { routed("veth7")(f); plugin("ptp")(f); f.Bridges = &BridgeFilter{Missing: "gone"} }},
		{IDBridges, Problem, "modprobe br_netfilter", func(f *Facts) { f.Bridges = &BridgeFilter{Missing: "it is not there"} }},
		{IDBridges, Problem, "ip link set cni0 type bridge nf_call_iptables 1", bridgeOff},
		{IDBridges, Problem, "do not come past", func(f *Facts) { bridgeOff(f); f.Bridges.IPv4 = true }},
		{IDBridges, Note, "the agent sets them", func(f *Facts) { bridgeOff(f); noAgent(f) }},
		{IDBridges, Problem, "net.bridge.bridge-nf-filter-vlan-tagged=1", iface("cni0", func(i *Interface) { i.HidesTagged = true })},
		{IDBridges, OK, "by its own switches", func(f *Facts) {
			f.Bridges.Tagged = true
			iface("cni0", func(i *Interface) { i.HidesTagged = true })(f)
		}},
		{IDBridges, Problem, "ip link set cni0 type bridge nf_call_iptables 1", func(f *Facts) {
			bridgeOff(f)
			iface("cni0", func(i *Interface) { i.HidesTagged = true })(f)
		}},
		{IDBridges, Warning, "modprobe br_netfilter", func(f *Facts) {
			noAgent(f)
			f.Interfaces, f.Bridges = nil, &BridgeFilter{Missing: "it is not there"}
		}},
		{IDBridges, Note, "look on the node", func(f *Facts) { f.Bridges, f.Unread = nil, map[string]string{IDBridges: "permission denied"} }},
		{IDCNI, OK, "2 interfaces of Pods: bridge cni0", func(*Facts) {}},
		{IDCNI, OK, "flannel's VXLAN", func(*Facts) {}},
		{IDCNI, OK, "10-flannel.conflist says flannel + portmap", func(*Facts) {}},
		{IDCNI, OK, "cannot be seen from the agent's container", func(f *Facts) { f.CNI = nil }},
		{IDCNI, OK, "routed veths, as the plug-in ptp", routed("veth7")},
		{IDCNI, OK, "Calico's routed veths", routed("cali123")},
		{IDCNI, OK, "AWS VPC CNI's routed veths, rules to routing tables 2, 101", func(f *Facts) { routed("eni123")(f); f.Tables = []int{2, 101} }},
		{IDCNI, OK, "Azure's veths", routed("azv123")},
		{IDCNI, OK, "Azure's bridge azure0", iface("azure0", func(i *Interface) { i.Kind, i.Role, i.IPv4, i.IPv6 = "bridge", RoleBridge, true, true })},
		{IDCNI, OK, "no Pod has an interface", func(f *Facts) { f.Interfaces = nil }},
		{IDCNI, Problem, "macvlan", plugin("macvlan")},
		{IDCNI, Warning, "Cilium's BPF programs", plugin("cilium-cni")},
		{IDCNI, Warning, "Open vSwitch", iface("br-int", func(i *Interface) { i.Kind = "openvswitch" })},
		{IDCNI, Warning, "no JSON", func(f *Facts) { f.CNI.Files[0] = CNIConfig{File: "a.conf", Error: "it is no JSON"} }},
		{IDCNI, Note, "and not 99-old.conf", func(f *Facts) {
			f.CNI.Files = append(f.CNI.Files, CNIConfig{File: "99-old.conf", Types: []string{"bridge"}})
		}},
		{IDSecond, OK, "no second", func(*Facts) {}},
		{IDSecond, Note, "Multus", plugin("multus")},
		{IDSecond, Warning, "net1", condition("SecondInterface", false, "net1")},
		{IDTunnels, Warning, "learns", condition("TunnelOpen", false, "it learns")},
		{IDProxy, OK, "mode nftables (table ip kube-proxy)", func(*Facts) {}},
		{IDProxy, OK, "no trace of kube-proxy", func(f *Facts) { f.Proxies = nil }},
		{IDProxy, OK, "legacy iptables", func(f *Facts) { f.Proxies, f.LegacyNAT = nil, true }},
		{IDProxy, Warning, "kube-proxy --cleanup", func(f *Facts) { f.Proxies[ProxyIPTables] = []string{"chain ip nat KUBE-SVC-X"} }},
		{IDIPVS, Problem, "tunnel", condition("IPVS", true, "by tunnel")},
		{IDNodeDNS, Warning, "answers", condition("NodeLocalDNS", false, "it answers")},
		{IDFlowtables, Problem, "past our hooks", condition("Flowtable", true, "past our hooks")},
		{IDTraffic, Problem, "away", condition("TrafficBypass", true, "away")},
		{IDTraffic, Note, "detour", condition("TrafficRedirect", false, "detour")},
		{IDChains, Warning, "drop", condition("DropPolicy", false, "policy drop")},
		{IDChains, Note, "see", condition("OtherChains", false, "see what Pods send")},
		{IDEngines, Warning, "kube-router", condition("PolicyEngine", false, "traces of kube-router")},
		{IDConntrack, OK, "1000 of 262144 connections (0 %)", func(*Facts) {}},
		{IDConntrack, OK, "not loaded", func(f *Facts) { f.Conntrack = nil }},
		{IDConntrack, Note, "5 had to go for others", func(f *Facts) { f.Conntrack.Early = 5 }},
		{IDConntrack, Warning, "(75 %)", func(f *Facts) { f.Conntrack.Count = 262144 * 3 / 4 }},
		{IDConntrack, Problem, "nf_conntrack_max=524288", func(f *Facts) { f.Conntrack.Count = 262144 }},
		{IDMarks, OK, "as those of AWS VPC CNI", func(*Facts) {}},
		{IDMarks, OK, "nobody else", func(f *Facts) { f.Marks = nil }},
		{IDMarks, Warning, "0xff003000 of these are Sluice's", func(f *Facts) { f.Marks[0].Bits = ^uint32(0) }},
		{IDMarks, Warning, "0x3000 of these", func(f *Facts) { f.Marks, f.Mask = []MarkUser{{"ip a b", 0xf000}}, 0 }},
		{IDMarks, OK, "none of Sluice's 0xff00", func(f *Facts) { f.Marks[0].Bits, f.Mask = 0x3000, 0xff0000 }},
		{IDMarks, Note, "3 more rules write", func(f *Facts) { f.MoreMarks = 3 }},
		{IDMarks, Problem, "epochs", condition("ForeignMarks", true, "epochs that were never issued")},
		{IDMTU, OK, "Pods 1450, tunnel flannel.1 1450, uplink eth0 1500", func(*Facts) {}},
		{IDMTU, OK, "neither Pods nor an uplink", func(f *Facts) { f.Interfaces = nil }},
		{IDMTU, Warning, "the tunnel flannel.1 has 1450", iface("veth2", func(i *Interface) { i.MTU = 1500 })},
		{IDMTU, Warning, "leaves 1350 for what a vxlan carries", iface("eth0", func(i *Interface) { i.MTU = 1400 })},
		{IDMTU, Warning, "less than the 1280", iface("veth1", func(i *Interface) { i.MTU = 1000 })},
		{IDMTU, OK, "uplink eth0 1500", iface("wg0", func(i *Interface) { i.Kind, i.Role, i.MTU = "wireguard", RoleTunnel, 1380 })},
		{IDMTU, OK, "uplink eth0 1500", iface("tunl0", func(i *Interface) { i.Kind, i.Role, i.MTU, i.Up = "ipip", RoleTunnel, 1500, false })},
		{IDReversePath, OK, "not strict", func(*Facts) {}},
		{IDReversePath, OK, "the only way out", iface("eth0", func(i *Interface) { i.ReversePath = 1 })},
		{IDReversePath, OK, "not strict", func(f *Facts) { f.ReversePath = 1 }}, // eth0 has 2, and the larger counts
		{IDReversePath, Note, "other routing tables", func(f *Facts) {
			iface("eth0", func(i *Interface) { i.ReversePath = 1 })(f)
			f.Tables = []int{2}
		}},
		{IDReversePath, Warning, "net.ipv4.conf.eth1.rp_filter=2", iface("eth1", func(i *Interface) { i.Role, i.ReversePath, i.MTU = RoleUplink, 1, 1500 })},
	} {
		found := of(tt.id, healthy(tt.change))
		worst := Worst(found)
		said := slices.ContainsFunc(found, func(f Finding) bool {
			return f.State == tt.state && strings.Contains(strings.Join([]string{f.Object, f.Found, f.Consequence, f.Mend, f.Run}, "\n"), tt.says)
		})
		if worst != tt.state || !said {
			t.Errorf("%s: %s, want %s with %q: %+v", tt.id, worst, tt.state, tt.says, found)
		}
		for _, f := range found {
			if f.State != OK && (f.Consequence == "" || f.Mend == "") {
				t.Errorf("%s: something is left unsaid: %+v", tt.id, f)
			}
		}
	}
}

func bridgeOff(f *Facts) {
	f.Bridges = &BridgeFilter{}
	iface("cni0", func(i *Interface) { i.IPv4, i.IPv6 = false, false })(f)
}

func condition(what string, notReady bool, message string) func(*Facts) {
	return func(f *Facts) {
		f.Conditions = append(f.Conditions, nodestatus.Condition{What: what, NotReady: notReady, Object: "chain ip filter FORWARD", Message: message, Mend: "mend it"})
	}
}

// routed are Pods that hang on routed veths.
func routed(name string) func(*Facts) {
	return func(f *Facts) {
		f.Interfaces = []Interface{{Name: name, Kind: "veth", Role: RolePod, MTU: 1500, Up: true}}
	}
}

func plugin(kind string) func(*Facts) {
	return func(f *Facts) { f.CNI.Files[0].Types[0] = kind }
}

func TestWhatToTypeIsFound(t *testing.T) {
	for _, tt := range []struct{ object, mend, want string }{
		{"interface v1", `take it away: see "tc filter show dev v1 ingress"`, "sudo tc filter show dev v1 ingress"},
		{"Azure NPM", `"kubectl delete daemonset -n kube-system azure-npm" (AKS: "az aks")`, "kubectl delete daemonset -n kube-system azure-npm"},
		{"chain ip filter FORWARD", "let it accept", "sudo nft list chain ip filter FORWARD"},
		{"interface v1", `it is called "a name"`, ""},
		{"interface v1", `an open quote: "tc filter`, "sudo tc filter"},
	} {
		if got := toType(nodestatus.Condition{Object: tt.object, Mend: tt.mend}); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.mend, got, tt.want)
		}
	}
}

func TestTheTableIsComplete(t *testing.T) {
	seen := map[string]bool{}
	kinds := map[string]string{}
	for _, c := range Checks {
		if c.ID == "" || seen[c.ID] || c.Looks == "" || c.Consequence == "" || c.Mend == "" {
			t.Errorf("something is left unsaid: %+v", c)
		}
		seen[c.ID] = true
		if c.judge == nil && c.Clean == "" {
			t.Errorf("%s says nothing where nothing is found", c.ID)
		}
		for what, state := range c.Conditions {
			if kinds[what] != "" {
				t.Errorf("%s is told by %s and by %s", what, kinds[what], c.ID)
			}
			if kinds[what] = c.ID; !slices.Contains(States, state) || state == OK {
				t.Errorf("%s: %s is %q", c.ID, what, state)
			}
		}
	}
	if Complete(Finding{Check: "nobody's"}) != (Finding{Check: "nobody's"}) {
		t.Error("what nobody knows was completed")
	}
}

func TestStatesHaveAnOrder(t *testing.T) {
	for i, s := range States {
		for j, o := range States {
			if s.AtLeast(o) != (i >= j) {
				t.Errorf("%s, %s", s, o)
			}
		}
		if !State("unheard of").AtLeast(s) {
			t.Errorf("what nobody knows is not as bad as %s", s)
		}
	}
	if Worst(nil) != OK {
		t.Error("nothing is bad")
	}
}

func TestDiagnosesTravel(t *testing.T) {
	n := NewNode("a", "v1", time.Unix(5, 0), healthy(condition("PolicyEngine", false, "traces")))
	data, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseNode(data)
	if err != nil || back.State != Warning || fmt.Sprint(back.Findings) != fmt.Sprint(n.Findings) || back.Facts.Kernel != n.Facts.Kernel {
		t.Errorf("%v: %+v", err, back)
	}
	for text, want := range map[string]string{
		`{"apiVersion":"sluice-net.github.io/v2","kind":"NodeDiagnosis"}`:    "one version",
		`{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"NodeStatus"}`: "one version",
		`ok`: "read diagnosis",
		`{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"NodeDiagnosis","findings":3}`: "read diagnosis",
	} {
		if _, err := ParseNode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	r := &Report{Nodes: []*Node{back}, Findings: []Finding{{State: Note}}}
	if r.Judge(); r.State != Warning {
		t.Errorf("%s", r.State)
	}
	for _, q := range []Query{{}, {Ruleset: true}} {
		if back, err := ParseQuery(q.Values()); err != nil || back != q {
			t.Errorf("%+v: %+v, %v", q, back, err)
		}
	}
	for _, v := range []map[string][]string{{"rules": {"true"}}, {"ruleset": {"perhaps"}}, {"ruleset": {"true", "true"}}} {
		if _, err := ParseQuery(v); err == nil {
			t.Errorf("%v was taken", v)
		}
	}
}

// Whatever an agent answers, and whatever facts there are: it is judged, and bounded.
func FuzzParseNode(f *testing.F) {
	for _, facts := range []*Facts{healthy(), {}, healthy(bridgeOff, condition("X", true, "y"))} {
		data, err := json.Marshal(NewNode("a", "v1", time.Unix(5, 0), facts))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"NodeDiagnosis","facts":{"conntrack":{"count":-1,"max":-5}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := ParseNode(data)
		if err != nil || len(n.Findings) > maxFindings {
			return
		}
		if n.Facts == nil {
			return
		}
		for _, c := range Checks {
			if !c.Cluster && len(of(c.ID, n.Facts)) == 0 {
				t.Errorf("%s says nothing", c.ID)
			}
		}
	})
}
