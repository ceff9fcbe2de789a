package enforcer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/source"
)

// searchOf goes by what links know.
func searchOf(node testNS, l *links.Links) search {
	return search{ns: node, ifaces: l.Interfaces(), ways: l.PodWays(), ipvs: &ipvs{ns: node}}
}

// detected are the conditions of a node, as kind and object.
func detected(t *testing.T, node testNS) ([]Condition, []string) {
	t.Helper()
	l := testLinks(t, node)
	found, err := searchOf(node, l).conditions()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range found {
		if c.Message == "" || c.Mend == "" || c.Object == "" {
			t.Errorf("something is left unsaid: %+v", c)
		}
		if !slices.ContainsFunc(ConditionKinds, func(k ConditionKind) bool { return k.What == c.What }) {
			t.Errorf("%s is no kind", c.What)
		}
		out = append(out, c.What+" "+c.Object)
	}
	return found, out
}

func TestDetectNamesOthersChains(t *testing.T) {
	node := newNS(t)
	node.nft(`
table inet sluice { chain forward { type filter hook forward priority 0; policy drop; }; }
table bridge sluice { chain in { type filter hook prerouting priority 0; policy drop; }; }
table ip filter {
  chain INPUT { type filter hook input priority 0; policy accept; }
  chain FORWARD { type filter hook forward priority 0; policy drop; }
  chain OUTPUT { type filter hook output priority 0; policy drop; }
}
table ip nat { chain POSTROUTING { type nat hook postrouting priority 100; policy accept; }; }
table inet firewalld {
  chain filter_FORWARD { type filter hook forward priority 10; policy accept; meta l4proto { 1, 6 } ct state new limit rate 1/second log prefix "x" reject; }
  chain helper { counter; drop; }
}
table ip6 early { chain c { type filter hook prerouting priority -300; policy drop; }; }
table bridge guest { chain c { type filter hook forward priority 0; policy drop; }; }
table netdev cloud { chain c { type filter hook ingress device lo priority 0; policy drop; }; }
table inet kube-proxy { chain filter-forward { type filter hook forward priority -110; policy accept; }; }
table arp a { chain c { type filter hook input priority 0; policy drop; }; }
`)
	before := node.ruleset()
	found, got := detected(t, node)
	want := []string{
		"DropPolicy chain bridge guest c", "DropPolicy chain ip filter FORWARD", "DropPolicy chain ip6 early c", "DropPolicy chain netdev cloud c",
		"OtherChains table inet firewalld", "OtherChains table ip filter",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for object, says := range map[string]string{
		"chain ip6 early c": "hook prerouting, priority -300", "chain netdev cloud c": "hook ingress",
		"table inet firewalld": "filter_FORWARD (forward, priority 10)", "table ip filter": "INPUT (input, priority 0)",
	} {
		if !slices.ContainsFunc(found, func(c Condition) bool { return c.Object == object && strings.Contains(c.Message, says) }) {
			t.Errorf("%s: nothing says %q: %v", object, says, found)
		}
	}
	if node.ruleset() != before {
		t.Error("others' tables were changed")
	}
}

func TestDetectNamesASecondPolicyEngine(t *testing.T) {
	for _, tt := range []struct{ engine, trace, nft, ip string }{
		{"kube-router", "chain KUBE-ROUTER-FORWARD", "table ip filter { chain KUBE-ROUTER-FORWARD { }; }", ""},
		{"kube-router", "chain KUBE-POD-FW-ABC", "table ip filter { chain KUBE-POD-FW-ABC { }; }", ""},
		{"Calico", "chain cali-fw-cali1", "table ip filter { chain cali-fw-cali1 { }; }", ""},
		{"Calico", "table calico", "table ip calico { chain c { }; }", ""},
		{"Cilium", "chain CILIUM_FORWARD", "table ip filter { chain CILIUM_FORWARD { }; }", ""},
		{"Cilium", "interface cilium_host", "", "link add cilium_host type bridge"},
		{"Antrea", "interface antrea-gw0", "", "link add antrea-gw0 type bridge"},
		{"Azure NPM", "chain AZURE-NPM-INGRESS", "table ip filter { chain AZURE-NPM-INGRESS { }; }", ""},
		{"kube-network-policies", "table kube-network-policies", "table inet kube-network-policies { chain c { }; }", ""},
		{"Weave Net", "chain WEAVE-NPC", "table ip filter { chain WEAVE-NPC { }; }", ""},
		{"", "", "table ip filter { chain KUBE-FORWARD { }; chain FLANNEL-FWD { }; chain cali { }; }", "link add cali123 type bridge"},
	} {
		node := newNS(t)
		node.nft(tt.nft)
		node.ip("%s", tt.ip)
		found, got := detected(t, node)
		if tt.engine == "" {
			if len(got) > 0 {
				t.Errorf("taken for an engine: %v", found)
			}
			continue
		}
		if diff := cmp.Diff([]string{"PolicyEngine " + tt.engine}, got); diff != "" || !strings.Contains(found[0].Message, tt.trace) {
			t.Errorf("%s: %v", tt.trace, found)
		}
	}
}

func TestDetectNamesTrafficControlAtInterfaces(t *testing.T) {
	node := newNS(t)
	for _, name := range []string{"plain", "empty", "bandwidth", "mirror", "egress", "class", "away", "back", "out"} {
		node.ip("link add v%s type veth peer name p%s", name, name)
	}
	node.ip("link add ifb0 type ifb\nlink set ifb0 up")
	const all = " protocol all u32 match u32 0 0 "
	for _, line := range []string{
		"qdisc add dev vempty ingress",
		// As the plug-in bandwidth writes it.
		"qdisc add dev vbandwidth ingress handle ffff:",
		"filter add dev vbandwidth parent ffff:" + all + "flowid 1:1 action mirred egress redirect dev ifb0",
		"qdisc add dev ifb0 root tbf rate 10mbit burst 10kb latency 25ms",
		"qdisc add dev vmirror clsact",
		"filter add dev vmirror ingress" + all + "action mirred egress mirror dev ifb0",
		"qdisc add dev vegress clsact",
		"filter add dev vegress egress" + all + "action mirred ingress redirect dev ifb0",
		"qdisc add dev vaway clsact",
		"filter add dev vaway ingress" + all + "action mirred egress redirect dev vplain",
		"qdisc add dev vback clsact",
		"filter add dev vback ingress" + all + "action mirred ingress redirect dev vplain",
		"qdisc add dev vout clsact",
		"filter add dev vout egress" + all + "action mirred egress redirect dev vplain",
		"qdisc add dev vclass clsact",
		"filter add dev vclass ingress" + all + "flowid 1:1",
	} {
		node.cmd("tc", strings.Fields(line)...)
	}
	found, got := detected(t, node)
	want := []string{
		"TrafficBypass interface vaway", "TrafficRedirect interface vback", "TrafficRedirect interface vbandwidth",
		"TrafficRedirect interface vegress", "TrafficRedirect interface vout",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, c := range found {
		if !strings.Contains(c.Message, "ifb ifb0") && !strings.Contains(c.Message, "veth vplain") {
			t.Errorf("where it leads to is not said: %s", c)
		}
	}
}

func TestDetectNamesPrograms(t *testing.T) {
	node := newNS(t)
	node.ip("link add vxdp type veth peer name pxdp\nlink add vtc type veth peer name ptc")
	node.cmd("tc", "qdisc", "add", "dev", "vtc", "clsact")
	xdp, classifier := passAll(t, unix.BPF_PROG_TYPE_XDP, 2), passAll(t, unix.BPF_PROG_TYPE_SCHED_CLS, -1)
	err := node.Do(func() error {
		v, err := netlink.LinkByName("vxdp")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetXdpFd(v, xdp); err != nil {
			return err
		}
		if v, err = netlink.LinkByName("vtc"); err != nil {
			return err
		}
		return netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: v.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
			Fd:          classifier, Name: "from-container", DirectAction: true,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	found, got := detected(t, node)
	if diff := cmp.Diff([]string{"TrafficBypass interface vtc", "TrafficBypass interface vxdp"}, got); diff != "" || !strings.Contains(found[0].Message, "from-container") {
		t.Errorf("%v (-want +got):\n%s", found, diff)
	}
	// Those that the operator knows, and those of interfaces without Pods, may drop.
	l := testLinks(t, node)
	for what, change := range map[string]func(*search){
		"named":            func(s *search) { s.harmless = []string{"from-*", "xdp@vxdp"} },
		"not on Pods' way": func(s *search) { s.ways = nil },
	} {
		s := searchOf(node, l)
		change(&s)
		found, err := s.conditions()
		if err != nil || len(found) != 2 || found[0].What != "TrafficProgram" || found[1].What != "TrafficProgram" {
			t.Errorf("%s: %v, %v", what, found, err)
		}
	}
}

func TestDetectNamesLegacyTables(t *testing.T) {
	node := newNS(t)
	node.cmd("iptables-legacy", "-P", "FORWARD", "DROP")
	node.cmd("iptables-legacy", "-t", "nat", "-L")
	node.cmd("ip6tables-legacy", "-t", "mangle", "-L")
	_, got := detected(t, node)
	if diff := cmp.Diff([]string{"LegacyTables table ip filter", "LegacyTables table ip6 mangle"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What this kernel may not have, as the others send it.
func TestFiltersOfEachKindAreRead(t *testing.T) {
	mirred := func(eaction, to byte) []byte {
		parms := make([]byte, mirredSize)
		parms[mirredEaction], parms[mirredIfindex] = eaction, to
		options := nl.NewRtAttr(tcaActOptions, nl.NewRtAttr(tcaMirredParms, parms).Serialize())
		return nl.NewRtAttr(1, append(nl.NewRtAttr(tcaActKind, nl.ZeroTerminated("mirred")).Serialize(), options.Serialize()...)).Serialize()
	}
	for kind, in := range actionsIn {
		options := nl.NewRtAttr(int(in), append(mirred(egressRedirect, 7), mirred(2, 8)...)).Serialize()
		if f := filterOf(kind, options); !slices.Equal(f.to, []int{7}) || len(f.actions) != 2 || len(f.back) > 0 {
			t.Errorf("%s: %+v", kind, f)
		}
	}
	program := filterOf("bpf", nl.NewRtAttr(tcaBPFName, nl.ZeroTerminated("cil_from_container")).Serialize())
	i := &links.Interface{Name: "v1"}
	filters := []tcFilter{program, {kind: "matchall", actions: []string{"bpf"}}, {kind: "strange"}}
	for at, want := range map[string]string{"ingress": "TrafficBypass", "egress": "TrafficProgram"} {
		got := search{ways: map[int]bool{0: true}}.describeFilters(i, at, filters)
		if len(got) != 1 || got[0].What != want || !strings.Contains(got[0].Message, "cil_from_container") {
			t.Errorf("%s: %+v", at, got)
		}
	}
	// IFLA_XDP { IFLA_XDP_ATTACHED, IFLA_XDP_PROG_ID }
	for mode, want := range map[byte]bool{0: false, 1: true, 2: true} {
		xdp := append(nl.NewRtAttr(iflaXDPAttached, []byte{mode}).Serialize(), nl.NewRtAttr(iflaXDPProgram, nl.Uint32Attr(77)).Serialize()...)
		msg := append(make([]byte, unix.SizeofIfInfomsg), nl.NewRtAttr(iflaXDP, xdp).Serialize()...)
		if program, has := xdpOf(msg); has != want || program != 77 {
			t.Errorf("XDP mode %d: program %d, %v", mode, program, has)
		}
	}
}

// A redirection that comes is a condition with the interface's name in readyz'
// details and the log, and the node stays ready; one that goes is none.
func TestAgentTellsOfATrafficRedirect(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.AuditInterval = 20_000_000 })
	a.set(c.objects()...)
	object := "interface " + c.web.veth
	told := func() bool {
		return strings.Contains(strings.Join(a.Status().Details(), "\n"), "TrafficRedirect ("+object+")")
	}
	c.node.ip("link add ifb0 type ifb")
	c.node.cmd("tc", "qdisc", "add", "dev", c.web.veth, "ingress")
	c.node.cmd("tc", "filter", "add", "dev", c.web.veth, "ingress", "protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "ifb0")
	eventually(t, "the redirection is told", told)
	if err := a.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
	c.node.cmd("tc", "qdisc", "del", "dev", c.web.veth, "ingress")
	eventually(t, "its end is told", func() bool { return !told() })
}

func TestDetectionIsBounded(t *testing.T) {
	var list []Condition
	for i := range 3 * maxOfAKind {
		list = append(list, Condition{What: "DropPolicy", Object: fmt.Sprint(i)}, Condition{What: "IPVS"})
	}
	list = boundKinds(append(list, Condition{What: "Flowtable"}))
	if len(list) != 2*(maxOfAKind+1)+1 || !strings.Contains(list[maxOfAKind].Message, fmt.Sprint(2*maxOfAKind)) {
		t.Errorf("%d, %v", len(list), list[maxOfAKind])
	}
}

// Whatever the kernel, or a newer one, says: it is read or left.
func FuzzDetectReadsMessages(f *testing.F) {
	chain := append([]byte{unix.NFPROTO_IPV4, 0, 0, 0}, nl.NewRtAttr(unix.NFTA_CHAIN_TABLE, nl.ZeroTerminated("filter")).Serialize()...)
	f.Add(append(chain, nl.NewRtAttr(unix.NFTA_CHAIN_NAME, nl.ZeroTerminated("FORWARD")).Serialize()...))
	f.Add(append((&nl.TcMsg{}).Serialize(), nl.NewRtAttr(tcaKind, nl.ZeroTerminated("u32")).Serialize()...))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if c, ok := foreignChainOf(msg); ok {
			_ = chainConditions([]foreignChain{c})
		}
		_, kind, options := tcMessage(msg)
		_ = filterOf(kind, options)
		for kind := range actionsIn {
			_ = filterOf(kind, msg)
		}
		if len(msg) >= unix.SizeofIfInfomsg {
			_, _ = xdpOf(msg)
		}
	})
}
