package enforcer

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/nftwire"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// passing are attributes that say nothing of what an object is: handles, and
// the number of elements, which are compared one by one.
var passing = map[int][]uint16{
	unix.NFT_MSG_GETCHAIN:   {unix.NFTA_CHAIN_HANDLE},
	unix.NFT_MSG_GETRULE:    {unix.NFTA_RULE_HANDLE, unix.NFTA_RULE_POSITION},
	unix.NFT_MSG_GETSET:     {setHandle, setElements},
	unix.NFT_MSG_GETOBJ:     {objectHandle},
	unix.NFT_MSG_GETSETELEM: nil,
}

// These are missing in package unix.
const (
	setHandle    = 16
	objectHandle = 6
	setElements  = 20
)

// idleEnd: where nothing has begun, nothing ends. nft writes one of these before
// the first range of each of its runs.
func idleEnd(element map[uint16][]byte) bool {
	key := nested(element[unix.NFTA_SET_ELEM_KEY], unix.NFTA_DATA_VALUE)
	return number(element[unix.NFTA_SET_ELEM_FLAGS]) == unix.NFT_SET_ELEM_INTERVAL_END && len(bytes.Trim(key, "\x00")) == 0
}

// kernelBytes is our table of a family as the kernel describes it, attribute by
// attribute. Rules of a chain keep their order.
func kernelBytes(t *testing.T, n testNS, family byte) []string {
	t.Helper()
	s, err := openSocket(n, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	dump := func(kind int, set string, each func(map[uint16][]byte)) {
		req := s.request(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
		if set != "" {
			req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_TABLE, nl.ZeroTerminated(compiler.TableName)))
			req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_SET, nl.ZeroTerminated(set)))
		}
		err := s.each(req, func(msg []byte) {
			if namesOurs(msg) && msg[0] == family {
				a := attrMap(slices.Clone(msg[nl.SizeofNfgenmsg:]))
				for _, skip := range passing[kind] {
					delete(a, skip)
				}
				each(a)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	var sets []string
	for _, kind := range []int{unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_GETSET, unix.NFT_MSG_GETOBJ, unix.NFT_MSG_GETRULE} {
		var here []string
		rules := map[string]int{}
		dump(kind, "", func(a map[uint16][]byte) {
			order := ""
			switch chain := zeroEnded(a[unix.NFTA_RULE_CHAIN]); kind {
			case unix.NFT_MSG_GETSET:
				sets = append(sets, zeroEnded(a[unix.NFTA_SET_NAME]))
			case unix.NFT_MSG_GETRULE:
				rules[chain]++
				order = fmt.Sprintf("%s %3d ", chain, rules[chain])
			}
			here = append(here, fmt.Sprintf("%d %s%s", kind, order, inWords(a)))
		})
		slices.Sort(here)
		out = append(out, here...)
	}
	slices.Sort(sets)
	for _, set := range sets {
		var here []string
		dump(unix.NFT_MSG_GETSETELEM, set, func(a map[uint16][]byte) {
			for e := range attrs(a[unix.NFTA_SET_ELEM_LIST_ELEMENTS]) {
				if a := attrMap(e.value); !idleEnd(a) {
					here = append(here, set+" "+inWords(a))
				}
			}
		})
		slices.Sort(here)
		out = append(out, here...)
	}
	return out
}

func zeroEnded(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// number is in network byte order, 0 if it is missing.
func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func inWords(a map[uint16][]byte) string {
	var out []string
	for kind, value := range a {
		out = append(out, fmt.Sprintf("%02d=%q", kind, value))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (w *twins) compareBytes(t *testing.T, family byte) {
	t.Helper()
	if diff := cmp.Diff(kernelBytes(t, w.nft, family), kernelBytes(t, w.lane, family)); diff != "" {
		t.Fatalf("the lane left other bytes than nft (-nft +lane):\n%s", diff)
	}
}

// laneNode is a node whose plans go to twins.
type laneNode struct {
	*twins
	index    *policy.Index
	compiler *compiler.Compiler
	links    compiler.Links
}

func newLaneNode(t *testing.T, cfg compiler.Config) *laneNode {
	t.Helper()
	cfg.Mark.Mask = compiler.DefaultMask
	c, err := compiler.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := &laneNode{twins: newTwins(t), index: policy.NewIndex(policy.Options{Node: "node-1"}), compiler: c}
	c.SetEpoch(1, false)
	n.mustBoth(t, c.Replace())
	return n
}

func (w *twins) mustBoth(t *testing.T, ops []compiler.Op) {
	t.Helper()
	if len(ops) == 0 {
		return
	}
	if err := w.both(t, ops); err != nil {
		t.Fatalf("%v\n%s", err, describeAll(ops))
	}
}

// guard brings the guards of some interfaces, which are there, to both.
func (w *twins) guard(t *testing.T, plans []compiler.GuardPlan) {
	t.Helper()
	for _, p := range plans {
		for _, tx := range []struct {
			by Transactor
			in testNS
		}{{w.fast, w.lane}, {w.slow, w.nft}} {
			if !strings.Contains(tx.in.cmd("ip", "-br", "link"), p.Veth+"@") {
				tx.in.ip("link add %[1]s type veth peer name peer-%[1]s", p.Veth)
			}
			if err := tx.by.Transact(context.Background(), knftables.NetDevFamily, p.Ops); err != nil {
				t.Fatalf("%v\n%s", err, describeAll(p.Ops))
			}
		}
	}
}

func (n *laneNode) deliver(e spectest.Event) {
	switch name := e.Name(); {
	case e.Pod != nil && e.Delete:
		n.index.DeletePod(name)
	case e.Pod != nil:
		if p, _ := policy.PodFromAPI(e.Pod); p != nil {
			p.Node = "node-1"
			n.index.SetPod(p)
		}
	case e.Policy != nil && e.Delete:
		n.index.DeletePolicy(name)
	case e.Policy != nil:
		_ = n.index.SetPolicy(e.Policy) // what is invalid in it allows nothing
	case e.Delete:
		n.index.DeleteNamespace(name.Name)
	default:
		n.index.SetNamespace(name.Name, e.Namespace.Labels)
	}
}

func (n *laneNode) find(r *rand.Rand) {
	n.links = compiler.Links{Binds: map[netip.Addr]compiler.Bind{}, PodInterfaces: []string{"cni0"}}
	i := 0
	for s := range n.index.Subjects() {
		i++
		b := compiler.Bind{Interface: "cni0", Veth: fmt.Sprintf("veth%d", i), MAC: fmt.Sprintf("0a:00:00:00:00:%02x", i)}
		if r.IntN(3) == 0 {
			b.LinkLocal = []netip.Addr{netip.MustParseAddr(fmt.Sprintf("fe80::%x:1", i))}
		}
		for _, a := range s.Addrs {
			n.links.Binds[a] = b
			if r.IntN(4) == 0 {
				b.MAC = fmt.Sprintf("0a:00:00:00:01:%02x", i)
			}
		}
	}
}

// step brings what changed to both, cut as the agent cuts it.
func (n *laneNode) step(t *testing.T) {
	t.Helper()
	plan := n.compiler.Update(n.index, n.index.Changes(), n.links)
	for piece := range cut(slices.Values(plan.Prepare)) {
		n.mustBoth(t, piece)
	}
	n.guard(t, plan.Guards)
	n.mustBoth(t, plan.Commit)
	for piece := range cut(slices.Values(plan.Cleanup)) {
		n.mustBoth(t, piece)
	}
}

// The lane carries all that a change makes of the table, and leaves what nft
// leaves, to the byte.
func TestLaneBuildsWhatNftBuilds(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(4, seed))
			n := newLaneNode(t, compiler.Config{LogGroup: 77})
			cluster := spectest.Random(r, spectest.Options{})
			events := cluster.Events(r)
			clear(n.transaction)
			for i, e := range events {
				n.deliver(e)
				if i%25 == 24 || i == len(events)-1 {
					n.find(r)
					n.step(t)
					n.compareBytes(t, unix.NFPROTO_INET)
					n.compareBytes(t, unix.NFPROTO_NETDEV)
				}
			}
			n.compare(t)
			list := func(n testNS) string { return n.cmd("nft", "-s", "list", "table", "netdev", "sluice") }
			if diff := cmp.Diff(inOrder(list(n.nft)), inOrder(list(n.lane))); diff != "" {
				t.Errorf("nft lists other guards (-nft +lane):\n%s", diff)
			}
			if n.transaction[nftLane] != 0 || n.transaction[netlinkLane] == 0 {
				t.Errorf("%v transactions by lane", n.transaction)
			}
			// nft must make sense of it, too.
			if err := (&nftTransactor{ns: n.lane, tables: map[knftables.Family]knftables.Interface{}}).Transact(context.Background(), knftables.InetFamily, n.compiler.Replace()); err != nil {
				t.Error(err)
			}
		})
	}
}

// inOrder puts the elements of the sets in each line of nft's into an order.
func inOrder(listing string) []string {
	lines := strings.Split(listing, "\n")
	for i, line := range lines {
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ,{}", r) })
		slices.Sort(words)
		lines[i] = strings.Join(words, " ")
	}
	return lines
}

// macValue is a hardware address that ends so.
func macValue(last byte) compiler.Value {
	return compiler.EtherSource.Text(string([]byte{0x0a, 0, 0, 0, 0, last}))
}

func is(f compiler.Field, v compiler.Value) compiler.Term { return compiler.Is{Field: f, Value: v} }

func isNumber(f compiler.Field, n uint32) compiler.Term { return is(f, f.Number(n)) }

func isNot(f compiler.Field, v compiler.Value) compiler.Term {
	return compiler.Is{Field: f, Not: true, Value: v}
}

func oneOf(f compiler.Field, values ...compiler.Value) compiler.Term {
	var all []byte
	for _, v := range values {
		all = append(all, v.Bytes()...)
	}
	return compiler.OneOf{Field: f, Values: string(all)}
}

func addr(text string) compiler.Value { return compiler.AddrValue(netip.MustParseAddr(text)) }

func within(f compiler.Field, prefix string) compiler.Term {
	return compiler.Within{Field: f, Prefix: netip.MustParsePrefix(prefix)}
}

func between(f compiler.Field, first, last compiler.Value) compiler.Term {
	return compiler.Between{Field: f, First: first, Last: last}
}

// Rules that the compiler does not write today: what the lane takes of them, it
// takes as nft does.
func TestLaneWritesGuardsAsNftDoes(t *testing.T) {
	w := newTwins(t)
	setup := []compiler.Op{{Verb: compiler.Add, Object: &compiler.Table{}}, {Verb: compiler.Add, Object: &compiler.Chain{Name: "plain"}}}
	for _, by := range []Transactor{w.fast, w.slow} {
		if err := by.Transact(context.Background(), knftables.NetDevFamily, setup); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(4, 13))
	for taken := 0; taken < 120; {
		ops := []compiler.Op{{Verb: compiler.Add, Object: &compiler.ChainRule{Chain: "plain", Rule: randomGuardRule(r)}}}
		if _, err := nftwire.NewTable(unix.NFPROTO_NETDEV, nil).Encode(ops); err != nil {
			continue
		}
		taken++
		for _, by := range []Transactor{w.fast, w.slow} {
			if err := by.Transact(context.Background(), knftables.NetDevFamily, ops); err != nil {
				t.Fatalf("%s: %v", describeAll(ops), err)
			}
		}
		if taken%30 == 0 {
			w.compareBytes(t, unix.NFPROTO_NETDEV)
		}
	}
	if w.transaction[nftLane] != 0 {
		t.Errorf("%v transactions by lane", w.transaction)
	}
}

func randomGuardRule(r *rand.Rand) compiler.Rule {
	var out compiler.Rule
	for range 1 + r.IntN(4) {
		out.Terms = append(out.Terms, guardMatches[r.IntN(len(guardMatches))])
	}
	if r.IntN(2) == 0 {
		out.Terms = append(out.Terms, compiler.Count{})
	}
	return compiler.Rule{Terms: append(out.Terms, [...]compiler.Term{compiler.Accept{}, compiler.Drop{}}[r.IntN(2)])}
}

var guardMatches = []compiler.Term{
	is(compiler.EtherSource, macValue(1)), isNot(compiler.EtherSource, macValue(1)), oneOf(compiler.EtherSource, macValue(1), macValue(2)),
	isNumber(compiler.EtherProtocol, unix.ETH_P_IP), isNumber(compiler.EtherProtocol, unix.ETH_P_IPV6), isNumber(compiler.EtherProtocol, unix.ETH_P_ARP),
	oneOf(compiler.EtherProtocol, compiler.EtherProtocol.Number(unix.ETH_P_8021Q), compiler.EtherProtocol.Number(unix.ETH_P_8021AD)),
	isNumber(compiler.ARPHardware, 1), isNumber(compiler.ARPProtocolLength, 4), isNumber(compiler.ARPHardwareLength, 6), is(compiler.ARPSourceEther, macValue(1)),
	oneOf(compiler.ARPSourceIP, addr("0.0.0.0"), addr("10.0.0.1")), is(compiler.ARPSourceIP, addr("10.0.0.1")),
	is(compiler.IPSource, addr("10.0.0.1")), isNot(compiler.IPSource, addr("10.0.0.1")), oneOf(compiler.IPSource, addr("10.0.0.1"), addr("10.0.0.2")),
	is(compiler.IPDestination, addr("10.0.0.1")), is(compiler.IP6Source, addr("fd00::1")), oneOf(compiler.IP6Source, addr("fd00::1"), addr("fd00::2")),
	compiler.OneOf{Field: compiler.IP6Source, Not: true, Values: compiler.AddrValues([]netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")})},
	within(compiler.IP6Destination, "fe80::/10"), within(compiler.IP6Destination, "ff00::/8"),
	compiler.Within{Field: compiler.IP6Destination, Not: true, Prefix: netip.MustParsePrefix("fe80::/10")},
	isNumber(compiler.IP6HopLimit, 255), isNot(compiler.IP6HopLimit, compiler.IP6HopLimit.Number(1)), isNumber(compiler.IP6NextHeader, unix.IPPROTO_ICMPV6),
	isNumber(compiler.ICMPv6Type, 137), oneOf(compiler.ICMPv6Type, compiler.ICMPv6Type.Number(137), compiler.ICMPv6Type.Number(134)),
	isNot(compiler.ICMPv6Type, compiler.ICMPv6Type.Number(133)), is(compiler.NeighbourTarget, addr("fd00::1")), oneOf(compiler.NeighbourTarget, addr("::1"), addr("fd00::1")),
	compiler.Masked{Field: compiler.IP6DestinationStart, Not: true, Mask: compiler.IP6DestinationStart.Number(0xffc0), Value: compiler.IP6DestinationStart.Number(0xfe80)},
	isNot(compiler.L4Protocol, compiler.L4Protocol.Number(unix.IPPROTO_ICMPV6)),
}

// Few ports and ranges are compared: the random clusters have some forms only.
func TestLaneComparesAsNftDoes(t *testing.T) {
	w := newTwins(t)
	w.mustBoth(t, []compiler.Op{
		{Verb: compiler.Add, Object: &compiler.Table{}}, {Verb: compiler.Add, Object: &compiler.Chain{Name: "c"}}, {Verb: compiler.Add, Object: &compiler.Chain{Name: "k"}},
		{Verb: compiler.Add, Object: &compiler.Set{Name: "v4", Key: compiler.KeyType{compiler.IPv4Addr}}},
	})
	clear(w.transaction)
	for _, terms := range comparingRules() {
		w.mustBoth(t, []compiler.Op{{Verb: compiler.Add, Object: &compiler.ChainRule{Chain: "c", Rule: compiler.Rule{Terms: terms}}}})
	}
	w.compareBytes(t, unix.NFPROTO_INET)
	if w.transaction[nftLane] != 0 || w.transaction[netlinkLane] != len(comparingRules()) {
		t.Errorf("%v transactions by lane", w.transaction)
	}
}

func comparingRules() [][]compiler.Term {
	const (
		sport, dport = compiler.SourcePort, compiler.DestinationPort
		tcp, udp     = unix.IPPROTO_TCP, unix.IPPROTO_UDP
	)
	protocol := func(n uint32) compiler.Term { return isNumber(compiler.L4Protocol, n) }
	ports := func(f compiler.Field, first, last uint32) compiler.Term {
		return between(f, f.Number(first), f.Number(last))
	}
	on, back := compiler.Goto{Chain: "k"}, compiler.Return{}
	return [][]compiler.Term{
		{isNumber(dport, 8080), protocol(tcp), on}, {isNumber(sport, 53), protocol(udp), back},
		{ports(dport, 1, 65535), protocol(unix.IPPROTO_SCTP), on}, {ports(dport, 0, 65535), protocol(tcp), back},
		{isNumber(dport, 8080), protocol(tcp), compiler.In{Key: compiler.Concat{compiler.IPSource}, Set: "v4"}, on},
		{ports(sport, 5200, 5209), protocol(udp), within(compiler.IPDestination, "10.0.0.0/8"), back},
		{compiler.Jump{Chain: "k"}}, {is(compiler.IPSource, addr("10.1.2.3")), on}, {within(compiler.IPSource, "10.0.0.0/9"), on},
		{within(compiler.IPDestination, "10.1.2.0/24"), back}, {within(compiler.IPDestination, "10.1.2.0/23"), back}, {within(compiler.IPSource, "0.0.0.0/1"), on},
		{between(compiler.IPSource, addr("0.0.0.0"), addr("9.255.255.255")), on}, {between(compiler.IPSource, addr("192.0.3.0"), addr("255.255.255.255")), on},
		{is(compiler.IP6Source, addr("fd00::1")), on}, {within(compiler.IP6Source, "fc00::/7"), on}, {within(compiler.IP6Destination, "fd00::/8"), back},
		{within(compiler.IP6Destination, "fd00::/17"), back}, {within(compiler.IP6Source, "fd00::/64"), on}, {between(compiler.IP6Source, addr("fd00::1"), addr("fd00::5")), on},
	}
}
