package detect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/detect/detecttest"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// nft loads rules, given as for nft -f.
func nft(n netnstest.NS, rules string) {
	n.T.Helper()
	f := filepath.Join(n.T.TempDir(), "rules")
	if err := os.WriteFile(f, []byte(rules), 0o600); err != nil {
		n.T.Fatal(err)
	}
	n.Cmd("nft", "-f", f)
}

// testLinks has looked at a node once, and knows no Pod.
func testLinks(t *testing.T, node netnstest.NS) *links.Links {
	t.Helper()
	socket, err := nlsocket.Open(node, unix.NETLINK_ROUTE)
	if err == nil {
		err = socket.Strict()
	}
	if err != nil {
		t.Fatal(err)
	}
	l := links.New(socket, node, links.Patterns{Uplinks: links.DefaultUplinks, Others: links.DefaultOtherInterfaces})
	t.Cleanup(l.Close)
	if err := l.Update(links.Everything()); err != nil {
		t.Fatal(err)
	}
	if err := l.Resolve(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	return l
}

// searchOf goes by what links know.
func searchOf(node netnstest.NS, l *links.Links) Search {
	return Search{NS: node, Interfaces: l.Interfaces(), Ways: l.PodWays(), IPVS: &IPVS{ns: node}}
}

// detected are the conditions of a node, as kind and object.
func detected(t *testing.T, node netnstest.NS) ([]Finding, []string) {
	t.Helper()
	l := testLinks(t, node)
	found, err := searchOf(node, l).Findings()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range found {
		if c.Message == "" || c.Mend == "" || c.Object == "" {
			t.Errorf("something is left unsaid: %+v", c)
		}
		out = append(out, c.What+" "+c.Object)
	}
	return found, out
}

func TestDetectNamesOthersChains(t *testing.T) {
	node := netnstest.New(t)
	nft(node, `
table inet sluice { chain forward { type filter hook forward priority 0; policy drop; }; }
table bridge sluice { chain in { type filter hook prerouting priority 0; policy drop; }; }
table ip filter {
  chain INPUT { type filter hook input priority 0; policy accept; tcp dport 25 drop; }
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
	before := node.Cmd("nft", "list", "ruleset")
	found, got := detected(t, node)
	want := []string{
		"DropPolicy chain bridge guest c", "DropPolicy chain ip filter FORWARD", "DropPolicy chain ip filter OUTPUT", "DropPolicy chain ip6 early c", "DropPolicy chain netdev cloud c",
		"OtherChains table inet firewalld", "OtherChains table ip filter",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for object, says := range map[string]string{
		"chain ip6 early c": "hook prerouting, priority -300", "chain netdev cloud c": "hook ingress",
		"table inet firewalld": "filter_FORWARD (forward, priority 10)", "table ip filter": "INPUT (input, priority 0)",
	} {
		if !slices.ContainsFunc(found, func(c Finding) bool { return c.Object == object && strings.Contains(c.Message, says) }) {
			t.Errorf("%s: nothing says %q: %v", object, says, found)
		}
	}
	if node.Cmd("nft", "list", "ruleset") != before {
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
		{"kindnet", "table kindnet-network-policies", "table inet kindnet-network-policies { chain c { }; }", ""},
		{"OVN-Kubernetes", "interface ovn-k8s-mp0", "", "link add ovn-k8s-mp0 type bridge"},
		{"Weave Net", "chain WEAVE-NPC", "table ip filter { chain WEAVE-NPC { }; }", ""},
		{"", "", "table ip filter { chain KUBE-FORWARD { }; chain FLANNEL-FWD { }; chain cali { }; }", "link add cali123 type bridge"},
	} {
		node := netnstest.New(t)
		nft(node, tt.nft)
		node.IP("%s", tt.ip)
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
	node := netnstest.New(t)
	for _, name := range []string{"plain", "empty", "bandwidth", "mirror", "egress", "class", "away", "back", "out"} {
		node.IP("link add v%s type veth peer name p%s", name, name)
	}
	node.IP("link add ifb0 type ifb\nlink set ifb0 up")
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
		node.Cmd("tc", strings.Fields(line)...)
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
	node := netnstest.New(t)
	node.IP("link add vxdp type veth peer name pxdp\nlink add vtc type veth peer name ptc")
	node.Cmd("tc", "qdisc", "add", "dev", "vtc", "clsact")
	xdp, classifier := detecttest.PassAll(t, unix.BPF_PROG_TYPE_XDP, 2), detecttest.PassAll(t, unix.BPF_PROG_TYPE_SCHED_CLS, -1)
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
	for what, change := range map[string]func(*Search){
		"named":            func(s *Search) { s.Harmless = []string{"from-*", "xdp@vxdp"} },
		"not on Pods' way": func(s *Search) { s.Ways = nil },
	} {
		s := searchOf(node, l)
		change(&s)
		found, err := s.Findings()
		if err != nil || len(found) != 2 || found[0].What != "TrafficProgram" || found[1].What != "TrafficProgram" {
			t.Errorf("%s: %v, %v", what, found, err)
		}
	}
}

func TestDetectNamesLegacyTables(t *testing.T) {
	node := netnstest.New(t)
	node.Cmd("iptables-legacy", "-P", "FORWARD", "DROP")
	node.Cmd("iptables-legacy", "-t", "nat", "-L")
	node.Cmd("ip6tables-legacy", "-t", "mangle", "-L")
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
		got := Search{Ways: map[int]bool{0: true}}.describeFilters(i, at, filters)
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

// Some engines leave nothing but programs at interfaces.
func TestEnginesAreKnownByTheirPrograms(t *testing.T) {
	for program, want := range map[string]string{"cil_from_container": "Cilium", "handle_ingress": "AWS network policy agent", "from_container": ""} {
		var got []string
		for _, f := range engineFindings(nil, nil, map[string]bool{program: true}) {
			got = append(got, f.Object)
			if !strings.Contains(f.Message, "program "+program) || f.Mend == "" {
				t.Errorf("%s: %+v", program, f)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", program, got, want)
		}
	}
}

func TestDetectionIsBounded(t *testing.T) {
	var list []Finding
	for i := range 3 * maxOfAKind {
		list = append(list, Finding{What: "DropPolicy", Object: fmt.Sprint(i)}, Finding{What: "IPVS"})
	}
	list = boundKinds(append(list, Finding{What: "Flowtable"}))
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
		_ = ruleLeads(msg)
		if c, ok := foreignChainOf(msg); ok {
			_ = chainFindings([]foreignChain{c})
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

// A program on the interface itself has no qdisc, and is seen all the same. That is of
// Linux 6.6.
func TestDetectNamesProgramsWithoutAQdisc(t *testing.T) {
	node := netnstest.New(t)
	node.IP("link add vtcx type veth peer name ptcx")
	program := detecttest.PassAll(t, unix.BPF_PROG_TYPE_SCHED_CLS, -1)
	for _, at := range []struct {
		kind uint32
		want string
	}{{bpfTCXEgress, "TrafficProgram interface vtcx"}, {bpfTCXIngress, "TrafficBypass interface vtcx"}} {
		detecttest.At(node, "vtcx", func(l netlink.Link) error {
			attach := struct {
				ifindex, program, kind, flags uint32
				_                             [16]byte
			}{ifindex: uint32(l.Attrs().Index), program: uint32(program), kind: at.kind}
			_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_ATTACH, uintptr(unsafe.Pointer(&attach)), unsafe.Sizeof(attach))
			if errno != 0 {
				return fmt.Errorf("attach: %w", errno)
			}
			return nil
		})
		found, got := detected(t, node)
		if len(got) == 0 || got[0] != at.want || !strings.Contains(found[0].Message, "pass_all") {
			t.Errorf("%v, want %s first", found, at.want)
		}
	}
}

func TestDetectNamesWhatGetsInTheWay(t *testing.T) {
	node := netnstest.NewBridgeNode(t)
	node.IP("link add nodelocaldns type bridge")
	for _, nodeDNS := range []bool{false, true} {
		l := testLinks(t, node)
		s := searchOf(node, l)
		s.NodeDNS = nodeDNS
		found, err := s.Findings()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range found {
			got = append(got, w.What)
		}
		slices.Sort(got)
		want := []string{"NodeLocalDNS"}
		if nodeDNS {
			want = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with node DNS %v (-want +got):\n%s", nodeDNS, diff)
		}
	}
}
