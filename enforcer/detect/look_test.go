package detect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// lookedAt are the facts of a node, and what the checks say of them.
func lookedAt(t *testing.T, node netnstest.NS) (*diagnosis.Facts, []diagnosis.Finding) {
	t.Helper()
	dir := t.TempDir()
	config := `{"name":"net","plugins":[{"type":"bridge","mtu":1500},{"type":"portmap"}]}`
	if err := os.WriteFile(filepath.Join(dir, "10-net.conflist"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	f := Look{NS: node, Conditions: true, CNIDirs: []string{dir}}.Facts(t.Context())
	if len(f.Unread) > 0 {
		t.Errorf("not all was read: %v", f.Unread)
	}
	return f, diagnosis.Findings(f)
}

// withUplink has a way out.
func withUplink(n netnstest.NS, name, gateway string) {
	n.IP("link add %s type veth peer name far%s\nlink set far%s up\nlink set %s up\naddr add %s9/24 dev %s\nroute add default via %s1 dev %s metric %d",
		name, name, name, name, gateway, name, gateway, name, 100+len(gateway))
}

// A node as it should be has nothing to warn of: neither with a bridge, nor with routed
// Pods, nor with kube-proxy's chains and a tunnel besides.
func TestLookAtACleanNodeWarnsOfNothing(t *testing.T) {
	for topology, make := range map[string]func(testing.TB) netnstest.NS{"bridge": netnstest.NewBridgeNode, "ptp": netnstest.NewPTPNode} {
		t.Run(topology, func(t *testing.T) {
			node := make(t)
			withUplink(node, "eth0", "192.0.2.")
			if topology == "bridge" {
				netnstest.BridgePod(node, "a", "10.1.0.2", "fd01::2")
				netnstest.BridgePod(node, "b", "10.1.0.3")
			} else {
				netnstest.PTPPod(node, "a", "10.1.0.2", "fd01::2")
			}
			node.IP("link add flannel.1 type vxlan id 1 dev eth0 dstport 8472 nolearning\nlink set flannel.1 up mtu 1450")
			node.IP("link set va mtu 1450")
			if topology == "bridge" {
				node.IP("link set vb mtu 1450")
			}
			nft(node, `
table ip kube-proxy { chain filter-forward { type filter hook forward priority -110; policy accept; }; }
table ip nat { chain POSTROUTING { type nat hook postrouting priority 100; policy accept; }; }`)
			before := node.Cmd("nft", "list", "ruleset")
			f, found := lookedAt(t, node)
			for _, c := range found {
				if c.State.AtLeast(diagnosis.Warning) {
					t.Errorf("%+v", c)
				}
			}
			for _, want := range []struct{ name, role string }{{"va", diagnosis.RolePod}, {"eth0", diagnosis.RoleUplink}, {"flannel.1", diagnosis.RoleTunnel}} {
				if i := slices.IndexFunc(f.Interfaces, func(i diagnosis.Interface) bool { return i.Name == want.name }); i < 0 || f.Interfaces[i].Role != want.role || f.Interfaces[i].MTU == 0 || !f.Interfaces[i].Up {
					t.Errorf("%s is no %s: %+v", want.name, want.role, f.Interfaces)
				}
			}
			if f.Kernel == "" || f.Nft == nil || f.Nft.Version == "" || f.Conntrack == nil || f.Conntrack.Max == 0 || f.Mask != 0xff003000 {
				t.Errorf("%+v", f)
			}
			if after := node.Cmd("nft", "list", "ruleset"); after != before {
				t.Errorf("the node's tables were changed:\n%s", after)
			}
		})
	}
}

// What stands in the way is made for real, and told by its name.
func TestLookNamesWhatStandsInTheWay(t *testing.T) {
	for _, tt := range []struct {
		what  string
		set   func(node netnstest.NS)
		check string
		state diagnosis.State
		// object and says are what the finding must have.
		object, says string
	}{
		{"a policy drop of FORWARD", func(n netnstest.NS) {
			nft(n, "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }")
		}, diagnosis.IDChains, diagnosis.Warning, "chain ip filter FORWARD", "sudo nft list chain ip filter FORWARD"},
		{"iptables' own", func(n netnstest.NS) { n.Cmd("iptables-nft", "-P", "FORWARD", "DROP") }, diagnosis.IDChains, diagnosis.Warning, "chain ip filter FORWARD", "hook forward"},
		{"what drops the node's own", func(n netnstest.NS) {
			nft(n, "table inet host { chain out { type filter hook output priority 0; policy drop; }; }")
		}, diagnosis.IDChains, diagnosis.Warning, "chain inet host out", "the kubelet's probes"},
		{"a bridge's", func(n netnstest.NS) {
			nft(n, "table bridge host { chain c { type filter hook forward priority 0; policy drop; }; }")
		}, diagnosis.IDChains, diagnosis.Warning, "chain bridge host c", "hook forward"},
		{"kube-router", func(n netnstest.NS) { n.Cmd("iptables-nft", "-N", "KUBE-POD-FW-ABCDEF") }, diagnosis.IDEngines, diagnosis.Warning, "kube-router", "--disable-network-policy"},
		{"tc mirred", func(n netnstest.NS) {
			n.IP("link add elsewhere type veth peer name far")
			n.Cmd("tc", "qdisc", "add", "dev", "va", "clsact")
			n.Cmd("tc", "filter", "add", "dev", "va", "ingress", "protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "elsewhere")
		}, diagnosis.IDTraffic, diagnosis.Problem, "interface va", "sudo tc filter show dev va ingress"},
		{"bridge filtering that is off", func(n netnstest.NS) {
			n.Cmd("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=1")
			nft(n, "table inet sluice { chain c { }; }")
		}, diagnosis.IDBridges, diagnosis.Problem, "bridge cni0", "ip link set cni0 type bridge nf_call_iptables 1"},
		{"bridge filtering that the agent will switch on", func(n netnstest.NS) { n.Cmd("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0") }, diagnosis.IDBridges, diagnosis.Note, "bridge cni0", "the agent sets them"},
		{"Pods that are too large for the uplink", func(n netnstest.NS) { n.IP("link set va mtu 9000") }, diagnosis.IDMTU, diagnosis.Warning, "interface va", "the uplink eth0 has 1500"},
		{"a tunnel that is too large for the uplink", func(n netnstest.NS) {
			n.IP("link add flannel.1 type vxlan id 1 dev eth0 dstport 8472 nolearning\nlink set flannel.1 up\nlink set eth0 mtu 1400")
		}, diagnosis.IDMTU, diagnosis.Warning, "interface flannel.1", "eth0 (1400) leaves 1350"},
		{"an MTU that IPv6 cannot have", func(n netnstest.NS) { n.IP("link set va mtu 1000") }, diagnosis.IDMTU, diagnosis.Warning, "interface cni0, va", "1280"},
		{"a rule that writes all of the mark", func(n netnstest.NS) { nft(n, "table ip m { chain c { ct mark set 0x1; }; }") }, diagnosis.IDMarks, diagnosis.Warning, "chain ip m c", "0xffffffff"},
		{"iptables' CONNMARK", func(n netnstest.NS) {
			n.Cmd("iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-j", "CONNMARK", "--set-xmark", "0x1000/0x3000")
		}, diagnosis.IDMarks, diagnosis.Warning, "chain ip mangle PREROUTING", "0x3000"},
		{"CONNMARK of others' bits", func(n netnstest.NS) {
			n.Cmd("iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-j", "CONNMARK", "--set-xmark", "0x80/0x80")
		}, diagnosis.IDMarks, diagnosis.OK, "chain ip mangle PREROUTING", "AWS VPC CNI"},
		{"two modes of kube-proxy", func(n netnstest.NS) {
			nft(n, "table ip kube-proxy { chain c { }; }\ntable ip nat { chain KUBE-SVC-ABC { }; }")
		}, diagnosis.IDProxy, diagnosis.Warning, "", "iptables (chain ip nat KUBE-SVC-ABC), nftables (table ip kube-proxy)"},
		{"IPVS's interface", func(n netnstest.NS) { n.IP("link add kube-ipvs0 type bridge") }, diagnosis.IDProxy, diagnosis.OK, "", "mode ipvs"},
		{"a strict way back, and two ways out", func(n netnstest.NS) {
			withUplink(n, "eth1", "198.51.100.")
			n.Cmd("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth1.rp_filter=0")
		}, diagnosis.IDReversePath, diagnosis.Warning, "interface eth0", "net.ipv4.conf.eth0.rp_filter=2"},
		{"AWS VPC CNI's tables", func(n netnstest.NS) { n.IP("rule add from 10.1.0.2 lookup 2 pref 1536") }, diagnosis.IDCNI, diagnosis.OK, "", "rules to routing tables 2"},
		{"NodeLocal DNS", func(n netnstest.NS) { n.IP("link add nodelocaldns type bridge") }, diagnosis.IDNodeDNS, diagnosis.Warning, "interface nodelocaldns", "--node-dns"},
		{"rules of an agent that is gone", func(n netnstest.NS) { nft(n, "table inet sluice { chain c { }; }") }, diagnosis.IDAgent, diagnosis.Warning, "", "no agent runs"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			node := netnstest.NewBridgeNode(t)
			withUplink(node, "eth0", "192.0.2.")
			netnstest.BridgePod(node, "a", "10.1.0.2", "fd01::2")
			tt.set(node)
			_, found := lookedAt(t, node)
			for _, f := range found {
				if f.Check == tt.check && f.State == tt.state && f.Object == tt.object && strings.Contains(f.Found+f.Consequence+f.Mend+f.Run, tt.says) {
					return
				}
			}
			t.Errorf("nothing says so: %+v", slices.DeleteFunc(found, func(f diagnosis.Finding) bool { return f.State == diagnosis.OK && f.Check != tt.check }))
		})
	}
}

// What the kernel can do is tried away from the node, and what it cannot do has a name.
func TestFeaturesAreTriedInANamespaceOfTheirOwn(t *testing.T) {
	was := features
	defer func() { features = was }()
	features = append(slices.Clone(was), feature{"time travel", "nothing", "9.9", "table inet t { chain c { type filter hook yesterday priority 0; }; }"})
	before := netnstest.Run(t, "nft", "list", "ruleset")
	got, why := tryFeatures(t.Context())
	if why != "" || len(got) != len(features) {
		t.Fatalf("%v, %s", got, why)
	}
	for _, f := range got {
		if (f.Error != "") != (f.Name == "time travel") || f.For == "" || f.Since == "" {
			t.Errorf("%+v", f)
		}
	}
	if after := netnstest.Run(t, "nft", "list", "ruleset"); after != before {
		t.Errorf("the node's own tables were changed:\n%s", after)
	}
}

// Our own tables are listed, and nobody else's.
func TestOnlyOurRulesetIsListed(t *testing.T) {
	node := netnstest.New(t)
	if text, err := OurRuleset(t.Context(), node); text != "" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	nft(node, "table inet sluice { chain c { comment \"ours\"; }; }\ntable bridge sluice { chain b { }; }\ntable ip sluice { chain notours { }; }\ntable inet secret { chain hidden { }; }")
	text, err := OurRuleset(t.Context(), node)
	if err != nil || !strings.Contains(text, "chain c") || !strings.Contains(text, "table bridge sluice") || strings.Contains(text, "hidden") || strings.Contains(text, "notours") {
		t.Errorf("%v:\n%s", err, text)
	}
}

func TestFlowtablesAreToldByTheirDevices(t *testing.T) {
	// This kernel may have none: what it would say is judged.
	s := Search{Interfaces: map[int]*links.Interface{1: {Index: 1, Name: "va"}, 2: {Index: 2, Name: "lo"}}, Ways: map[int]bool{1: true}}
	for _, tt := range []struct {
		flowtable
		want bool
	}{
		{flowtable{"ip fw f", []string{"va", "eth9"}, 1}, true},
		{flowtable{"ip fw unused", []string{"va"}, 0}, false},
		{flowtable{"ip fw others", []string{"eth9"}, 3}, false},
	} {
		if found := s.describeFlowtables([]flowtable{tt.flowtable}); (len(found) == 1) != tt.want || tt.want && (found[0].Object != "flowtable ip fw f" || !strings.Contains(found[0].Message, "come by va past")) {
			t.Errorf("%+v: %+v", tt.flowtable, found)
		}
	}
}

func TestProxyTraces(t *testing.T) {
	chains := []foreignChain{
		{family: unix.NFPROTO_IPV4, table: "nat", name: "KUBE-SERVICES"}, {family: unix.NFPROTO_IPV4, table: "nat", name: "KUBE-SVC-A"},
		{family: unix.NFPROTO_IPV4, table: "nat", name: "KUBE-SVC-B"}, {family: unix.NFPROTO_IPV6, table: "kube-proxy", name: "x"},
	}
	want := map[string][]string{diagnosis.ProxyIPTables: {"chain ip nat KUBE-SVC-A"}, diagnosis.ProxyNftables: {"table ip6 kube-proxy"}}
	if diff := cmp.Diff(want, proxyTraces(chains, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
