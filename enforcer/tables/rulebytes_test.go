package tables

import (
	"bytes"
	"context"
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
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
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
	key := nlsocket.Nested(element[unix.NFTA_SET_ELEM_KEY], unix.NFTA_DATA_VALUE)
	return nlsocket.Number(element[unix.NFTA_SET_ELEM_FLAGS]) == unix.NFT_SET_ELEM_INTERVAL_END && len(bytes.Trim(key, "\x00")) == 0
}

// kernelBytes is our table of a family as the kernel describes it, attribute by
// attribute. Rules of a chain keep their order.
func kernelBytes(t *testing.T, n netnstest.NS, family byte) []string {
	t.Helper()
	s, err := nlsocket.Open(n, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dump := func(kind int, set string, each func(map[uint16][]byte)) {
		req := s.Request(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
		if set != "" {
			req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_TABLE, nl.ZeroTerminated(compiler.TableName)))
			req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_SET, nl.ZeroTerminated(set)))
		}
		err := s.Each(req, func(msg []byte) {
			if namesOurs(msg) && msg[0] == family {
				a := nlsocket.AttrMap(slices.Clone(msg[nl.SizeofNfgenmsg:]))
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
			switch chain := nlsocket.ZeroEnded(a[unix.NFTA_RULE_CHAIN]); kind {
			case unix.NFT_MSG_GETSET:
				sets = append(sets, nlsocket.ZeroEnded(a[unix.NFTA_SET_NAME]))
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
			for e := range nlsocket.Attrs(a[unix.NFTA_SET_ELEM_LIST_ELEMENTS]) {
				if a := nlsocket.AttrMap(e.Value); !idleEnd(a) {
					here = append(here, set+" "+inWords(a))
				}
			}
		})
		slices.Sort(here)
		out = append(out, here...)
	}
	return out
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
			by transactor
			in netnstest.NS
		}{{w.fast, w.lane}, {w.slow, w.nft}} {
			if !strings.Contains(tx.in.Cmd("ip", "-br", "link"), p.Veth+"@") {
				tx.in.IP("link add %[1]s type veth peer name peer-%[1]s", p.Veth)
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
	for piece := range Pieces(slices.Values(plan.Prepare)) {
		n.mustBoth(t, piece)
	}
	n.guard(t, plan.Guards)
	n.mustBoth(t, plan.Commit)
	for piece := range Pieces(slices.Values(plan.Cleanup)) {
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
			list := func(n netnstest.NS) string { return n.Cmd("nft", "-s", "list", "table", "netdev", "sluice") }
			if diff := cmp.Diff(inOrder(list(n.nft)), inOrder(list(n.lane))); diff != "" {
				t.Errorf("nft lists other guards (-nft +lane):\n%s", diff)
			}
			if n.transaction[NftLane] != 0 || n.transaction[NetlinkLane] == 0 {
				t.Errorf("%v transactions by lane", n.transaction)
			}
			// nft must make sense of it, too.
			if err := ByNft(n.lane).Transact(context.Background(), knftables.InetFamily, n.compiler.Replace()); err != nil {
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
