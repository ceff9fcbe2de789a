package tables

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// rangesSet may hold ranges.
var rangesSet = &compiler.Set{Name: "some-ranges", Key: compiler.KeyType{compiler.IPv4Addr}, Interval: true}

// keyPart is a part of a key: its type, and its bytes in network order.
type keyPart struct {
	kind  compiler.DataType
	bytes []byte
}

// transactor is what both ways into the kernel have in common.
type transactor interface {
	Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error
}

func addrPart(text string) keyPart {
	a := netip.MustParseAddr(text)
	if a.Is4() {
		return keyPart{compiler.IPv4Addr, a.AsSlice()}
	}
	return keyPart{compiler.IPv6Addr, a.AsSlice()}
}

func protocolPart(n byte) keyPart { return keyPart{compiler.InetProto, []byte{n}} }

func portPart(n uint16) keyPart {
	return keyPart{compiler.InetService, binary.BigEndian.AppendUint16(nil, n)}
}

// element is one of a set that is told by its name and what is in the key.
func element(set string, value compiler.ValueType, parts ...keyPart) *compiler.SetElement {
	out := &compiler.SetElement{Set: &compiler.Set{Name: set, Value: value}}
	for i, p := range parts {
		out.Set.Key[i] = p.kind
		out.Key += compiler.Key(p.bytes)
	}
	return out
}

// laneSets declares a set of each kind whose elements change in place.
func laneSets() []compiler.Op {
	add := func(o compiler.Object) compiler.Op { return compiler.Op{Verb: compiler.Add, Object: o} }
	out := []compiler.Op{add(&compiler.Table{}), add(rangesSet)}
	for i := range 4 {
		out = append(out, add(&compiler.Chain{Name: fmt.Sprintf("chain-%d", i)}), add(&compiler.Counter{Name: fmt.Sprintf("counter-%d", i)}))
	}
	for _, name := range slices.Sorted(maps.Keys(laneKinds)) {
		kind := laneKinds[name]
		out = append(out, add(&compiler.Set{Name: name, Key: kind.key, Value: kind.value}))
	}
	return out
}

type laneKind struct {
	key   compiler.KeyType
	value compiler.ValueType
}

var laneKinds = func() map[string]laneKind {
	const (
		v4, v6          = compiler.IPv4Addr, compiler.IPv6Addr
		name            = compiler.IfName
		protocol, port  = compiler.InetProto, compiler.InetService
		verdict, counts = compiler.VerdictValue, compiler.CounterValue
	)
	return map[string]laneKind{
		"v4": {key: compiler.KeyType{v4}}, "v6": {key: compiler.KeyType{v6}},
		"self4": {key: compiler.KeyType{v4, v4}}, "self6": {key: compiler.KeyType{v6, v6}},
		"ifaces": {key: compiler.KeyType{name}}, "bind4": {key: compiler.KeyType{name, v4}}, "bind6": {key: compiler.KeyType{name, v6}},
		"named4": {key: compiler.KeyType{v4, protocol, port}}, "named6": {key: compiler.KeyType{v6, protocol, port}},
		"ports": {key: compiler.KeyType{port}}, "protocols": {key: compiler.KeyType{protocol}},
		"dispatch4": {compiler.KeyType{v4}, verdict}, "dispatch6": {compiler.KeyType{v6}, verdict},
		"denied4": {compiler.KeyType{v4}, counts}, "denied6": {compiler.KeyType{v6}, counts},
	}
}()

// randomElement has few values for each part, so that keys come back.
func randomElement(r *rand.Rand, name string) *compiler.SetElement {
	kind := laneKinds[name]
	var parts []keyPart
	for _, t := range kind.key[:kind.key.Len()] {
		parts = append(parts, randomPart(r, t))
	}
	e := element(name, kind.value, parts...)
	switch kind.value {
	case compiler.CounterValue:
		e.Value = compiler.MapValue{Do: compiler.DoCount, Name: fmt.Sprintf("counter-%d", r.IntN(4))}
	case compiler.VerdictValue:
		e.Value = compiler.MapValue{Do: compiler.DoJump, Name: fmt.Sprintf("chain-%d", r.IntN(4))}
	}
	return e
}

func randomPart(r *rand.Rand, kind compiler.DataType) keyPart {
	switch kind {
	case compiler.IPv4Addr:
		return keyPart{kind, []byte{10, byte(r.IntN(2)), 255, byte(r.IntN(3))}}
	case compiler.IPv6Addr:
		return addrPart([]string{"fd00::1", "fd00:1:2:3:4:5:6:7", "::", "ff02::1"}[r.IntN(4)])
	case compiler.InetProto:
		return protocolPart([]byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP}[r.IntN(3)])
	case compiler.InetService:
		return portPart([]uint16{1, 80, 256, 65535}[r.IntN(4)])
	}
	name := compiler.InterfaceIn.Text([]string{"a", "cali0123456789a", "veth.100", "a@b"}[r.IntN(4)])
	return keyPart{compiler.IfName, name.Bytes()}
}

// twins are a namespace whose table the lane changes, and one where nft does.
type twins struct {
	lane, nft   netnstest.NS
	fast        *Tables
	slow        transactor
	transaction map[string]int
}

func newTwins(t *testing.T) *twins {
	t.Helper()
	w := &twins{lane: netnstest.New(t), nft: netnstest.New(t), transaction: map[string]int{}}
	w.fast = New(w.lane)
	w.fast.Count = func(lane string) { w.transaction[lane]++ }
	t.Cleanup(func() { _ = w.fast.Close() })
	w.slow = ByNft(w.nft)
	return w
}

// both applies ops to both and expects them to agree whether it works.
func (w *twins) both(t *testing.T, ops []compiler.Op) error {
	t.Helper()
	fast := w.fast.Transact(context.Background(), knftables.InetFamily, ops)
	slow := w.slow.Transact(context.Background(), knftables.InetFamily, ops)
	if (fast == nil) != (slow == nil) {
		t.Fatalf("lane: %v\nnft: %v\n%s", fast, slow, describeAll(ops))
	}
	return fast
}

func describeAll(ops []compiler.Op) string {
	var out []string
	for _, op := range ops {
		out = append(out, op.Describe())
	}
	return strings.Join(out, "\n")
}

func (w *twins) compare(t *testing.T) {
	t.Helper()
	if diff := cmp.Diff(w.nft.Listing("inet", "sluice"), w.lane.Listing("inet", "sluice")); diff != "" {
		t.Fatalf("the lane left something else than nft (-nft +lane):\n%s", diff)
	}
}

func TestLaneLeavesWhatNftLeaves(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 11))
	names := slices.Sorted(maps.Keys(laneKinds))
	refused := 0
	for range 150 {
		var ops []compiler.Op
		for range 1 + r.IntN(8) {
			e := randomElement(r, names[r.IntN(len(names))])
			op := compiler.Op{Verb: compiler.Add, Object: e}
			if r.IntN(3) == 0 {
				op.Verb, e.Value = compiler.Delete, compiler.MapValue{}
			}
			ops = append(ops, op)
		}
		if err := w.both(t, ops); err != nil {
			refused++
		}
	}
	w.compare(t)
	if w.transaction[NetlinkLane] != 150 || w.transaction[NftLane] != 1 || refused == 0 || refused == 150 {
		t.Errorf("%v transactions by lane, %d refused", w.transaction, refused)
	}
}

func TestLaneFillsEachKindOfSetAsNftDoes(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 12))
	for name := range laneKinds {
		var ops []compiler.Op
		for range 20 {
			e := randomElement(r, name)
			// The same key with another value would be refused.
			if n := len(e.Value.Name); n > 0 {
				e.Value.Name = e.Value.Name[:n-1] + "0"
			}
			ops = append(ops, compiler.Op{Verb: compiler.Add, Object: e})
		}
		if err := w.both(t, ops); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	w.compare(t)
	if w.transaction[NetlinkLane] != len(laneKinds) {
		t.Errorf("%v transactions by lane", w.transaction)
	}
}

func TestLaneChangesTheEpochAsNftDoes(t *testing.T) {
	w := newTwins(t)
	c, err := compiler.New(compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}})
	if err != nil {
		t.Fatal(err)
	}
	c.SetEpoch(1, false)
	if err := w.both(t, c.Replace()); err != nil {
		t.Fatal(err)
	}
	before := w.transaction[NetlinkLane]
	for i, epoch := range []uint32{2, 3, 511, 0, 7} {
		if err := w.both(t, c.SetEpoch(epoch, false)); err != nil {
			t.Fatal(err)
		}
		w.compare(t)
		dump := func(n netnstest.NS) string { return n.Cmd("nft", "--debug=netlink", "list", "table", "inet", "sluice") }
		if diff := cmp.Diff(dump(w.nft), dump(w.lane)); diff != "" {
			t.Fatalf("epoch %d: other bytes (-nft +lane):\n%s", epoch, diff)
		}
		if got := w.transaction[NetlinkLane] - before; got != i+1 {
			t.Errorf("epoch %d: %d of %d changes by the lane", epoch, got, i+1)
		}
	}
	if got := w.lane.Cmd("nft", "list", "ruleset"); !strings.Contains(got, "judged under this epoch") {
		t.Errorf("no comment:\n%s", got)
	}
}

// What the lane does not know takes the whole transaction to nft, and why is told.
func TestLaneLeavesToNftWhatItDoesNotKnow(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	var causes []string
	w.fast.Slow = func(cause string) { causes = append(causes, cause) }
	whole := &compiler.SetElement{Set: rangesSet, Element: compiler.Element{Key: "\x0a\x00\x00\x00\x0a\xff\xff\xff"}}
	if err := w.both(t, []compiler.Op{{Verb: compiler.Add, Object: whole}}); err != nil {
		t.Fatal(err)
	}
	one := compiler.Op{Verb: compiler.Add, Object: element("v4", compiler.NoValue, addrPart("10.0.0.1"))}
	undo := compiler.Op{Verb: compiler.Delete, Object: one.Object}
	accepted := element("dispatch4", compiler.VerdictValue, addrPart("10.9.9.9"))
	accepted.Value = compiler.MapValue{Do: compiler.DoOther, Name: "accept"}
	for name, tc := range map[string]struct {
		op    compiler.Op
		cause string
	}{
		"a range goes":          {compiler.Op{Verb: compiler.Delete, Object: whole}, byKind},
		"set of names":          {compiler.Op{Verb: compiler.Add, Object: &compiler.Set{Name: "new", Key: compiler.KeyType{compiler.IfName}}}, byKind},
		"set that packets fill": {compiler.Op{Verb: compiler.Add, Object: &compiler.Set{Name: "filled", Key: compiler.KeyType{compiler.IPv4Addr}, Timeout: time.Second, Size: 9}}, byKind},
		"map":                   {compiler.Op{Verb: compiler.Add, Object: &compiler.Set{Name: "new-map", Key: compiler.KeyType{compiler.IPv4Addr}, Value: compiler.VerdictValue}}, byKind},
		"other value":           {compiler.Op{Verb: compiler.Add, Object: accepted}, byKind},
		"other rule": {compiler.Op{Verb: compiler.Add, Object: &compiler.ChainRule{Chain: "chain-0", Rule: compiler.Rule{Terms: []compiler.Term{
			compiler.Is{Field: compiler.IPSource, Value: compiler.AddrValue(netip.MustParseAddr("10.0.0.1"))},
			compiler.Is{Field: compiler.EtherSource, Value: macValue(1)}, compiler.Drop{},
		}}}}, byRule},
	} {
		was := maps.Clone(w.transaction)
		causes = nil
		if err := w.both(t, []compiler.Op{one, tc.op}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if w.transaction[NftLane] != was[NftLane]+1 || w.transaction[NetlinkLane] != was[NetlinkLane] || !slices.Equal(causes, []string{tc.cause}) {
			t.Errorf("%s: went another way, causes %v", name, causes)
		}
		if err := w.both(t, []compiler.Op{undo}); err != nil {
			t.Errorf("%s: not there: %v", name, err)
		}
	}
	w.compare(t)
}

func TestLaneRefusedBatchChangesNothing(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	before := w.lane.Listing("inet", "sluice")
	var ops []compiler.Op
	for i := range 40 {
		ops = append(ops, compiler.Op{Verb: compiler.Add, Object: element("v4", compiler.NoValue, addrPart(fmt.Sprintf("10.0.0.%d", i)))})
	}
	ops = append(ops,
		compiler.Op{Verb: compiler.Delete, Object: element("named4", compiler.NoValue, addrPart("10.0.0.7"), protocolPart(unix.IPPROTO_TCP), portPart(80))},
		compiler.Op{Verb: compiler.Add, Object: element("v6", compiler.NoValue, addrPart("fd00::1"))})
	err := w.both(t, ops)
	if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "delete element 10.0.0.7 . tcp . 80 of named4") {
		t.Errorf("the error does not say what failed: %v", err)
	}
	// The trouble is found within a message, too.
	ops = slices.Delete(ops, 40, 42)
	for i := range 5 {
		ops[i] = compiler.Op{Verb: compiler.Delete, Object: ops[i].Object}
	}
	if err = w.both(t, ops); err == nil || !strings.Contains(err.Error(), "delete element 10.0.0.0 of v4") {
		t.Errorf("the error does not say what failed: %v", err)
	}
	if diff := cmp.Diff(before, w.lane.Listing("inet", "sluice")); diff != "" {
		t.Errorf("a refused batch changed (-was +is):\n%s", diff)
	}
	if err := w.both(t, ops[5:]); err != nil {
		t.Errorf("after it: %v", err)
	}
	w.compare(t)
}
