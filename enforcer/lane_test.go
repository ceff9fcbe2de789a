package enforcer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// rangesSet may hold ranges, and is nothing for the lane.
const rangesSet = "some-ranges"

// laneSets declares a set of each kind whose elements change in place.
func laneSets() []compiler.Op {
	add := func(o knftables.Object) compiler.Op { return compiler.Op{Verb: compiler.Add, Object: o} }
	out := []compiler.Op{
		add(&knftables.Table{}),
		add(&knftables.Set{Name: rangesSet, Type: "ipv4_addr", Flags: []knftables.SetFlag{knftables.IntervalFlag}}),
	}
	for i := range 4 {
		out = append(out, add(&knftables.Chain{Name: fmt.Sprintf("chain-%d", i)}), add(&knftables.Counter{Name: fmt.Sprintf("counter-%d", i)}))
	}
	for _, name := range slices.Sorted(maps.Keys(laneKinds)) {
		if kind := laneKinds[name]; strings.Contains(kind, " : ") {
			out = append(out, add(&knftables.Map{Name: name, Type: kind}))
		} else {
			out = append(out, add(&knftables.Set{Name: name, Type: kind}))
		}
	}
	return out
}

var laneKinds = map[string]string{
	"v4": "ipv4_addr", "v6": "ipv6_addr", "self4": "ipv4_addr . ipv4_addr", "self6": "ipv6_addr . ipv6_addr",
	"ifaces": "ifname", "bind4": "ifname . ipv4_addr", "bind6": "ifname . ipv6_addr",
	"named4": "ipv4_addr . inet_proto . inet_service", "named6": "ipv6_addr . inet_proto . inet_service",
	"ports": "inet_service", "protocols": "inet_proto",
	"dispatch4": "ipv4_addr : verdict", "dispatch6": "ipv6_addr : verdict",
	"denied4": "ipv4_addr : counter", "denied6": "ipv6_addr : counter",
}

// randomElement has few values for each part, so that keys come back.
func randomElement(r *rand.Rand, name string) *knftables.Element {
	key, value, isMap := strings.Cut(laneKinds[name], " : ")
	e := &knftables.Element{Set: name}
	if isMap {
		e.Set, e.Map = "", name
		e.Value = []string{fmt.Sprintf("counter-%d", r.IntN(4))}
		if value == "verdict" {
			e.Value = []string{fmt.Sprintf("jump chain-%d", r.IntN(4))}
		}
	}
	for _, kind := range strings.Split(key, " . ") {
		e.Key = append(e.Key, randomPart(r, kind))
	}
	return e
}

func randomPart(r *rand.Rand, kind string) string {
	switch kind {
	case "ipv4_addr":
		return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), 255, byte(r.IntN(3))}).String()
	case "ipv6_addr":
		return []string{"fd00::1", "fd00:1:2:3:4:5:6:7", "::", "ff02::1"}[r.IntN(4)]
	case "inet_proto":
		return []string{"tcp", "udp", "sctp"}[r.IntN(3)]
	case "inet_service":
		return []string{"1", "80", "256", "65535"}[r.IntN(4)]
	}
	return []string{`"a"`, `"cali0123456789a"`, `"veth.100"`, `"a@b"`}[r.IntN(4)]
}

// twins are a namespace whose table the lane changes, and one where nft does.
type twins struct {
	lane, nft   testNS
	fast        *tables
	slow        Transactor
	transaction map[string]int
}

func newTwins(t *testing.T) *twins {
	t.Helper()
	w := &twins{lane: newNS(t), nft: newNS(t), transaction: map[string]int{}}
	w.fast = newTables(w.lane, func(lane string) { w.transaction[lane]++ })
	t.Cleanup(func() { _ = w.fast.Close() })
	w.slow = &nftTransactor{ns: w.nft, tables: map[knftables.Family]knftables.Interface{}}
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
		out = append(out, describe(op))
	}
	return strings.Join(out, "\n")
}

func (w *twins) compare(t *testing.T) {
	t.Helper()
	if diff := cmp.Diff(listing(t, w.nft), listing(t, w.lane)); diff != "" {
		t.Fatalf("the lane left something else than nft (-nft +lane):\n%s", diff)
	}
}

// listing is all of the table but the order of elements, which is the
// kernel's, and handles.
func listing(t *testing.T, n testNS) []string {
	t.Helper()
	var all struct{ Nftables []map[string]any }
	if err := json.Unmarshal([]byte(n.cmd("nft", "-j", "list", "table", "inet", "sluice")), &all); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, object := range all.Nftables {
		for kind, content := range object {
			fields := content.(map[string]any)
			delete(fields, "handle")
			if list, ok := fields["elem"].([]any); ok {
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(text(t, a), text(t, b)) })
			}
			out = append(out, kind+" "+text(t, fields))
		}
	}
	return out
}

func text(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
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
				op.Verb, e.Value = compiler.Delete, nil
			}
			ops = append(ops, op)
		}
		if err := w.both(t, ops); err != nil {
			refused++
		}
	}
	w.compare(t)
	if w.transaction[netlinkLane] != 150 || w.transaction[nftLane] != 1 || refused == 0 || refused == 150 {
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
			if e.Value != nil {
				e.Value[0] = e.Value[0][:len(e.Value[0])-1] + "0"
			}
			ops = append(ops, compiler.Op{Verb: compiler.Add, Object: e})
		}
		if err := w.both(t, ops); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	w.compare(t)
	if w.transaction[netlinkLane] != len(laneKinds) {
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
	before := w.transaction[netlinkLane]
	for i, epoch := range []uint32{2, 3, 511, 0, 7} {
		if err := w.both(t, c.SetEpoch(epoch, false)); err != nil {
			t.Fatal(err)
		}
		w.compare(t)
		dump := func(n testNS) string { return n.cmd("nft", "--debug=netlink", "list", "table", "inet", "sluice") }
		if diff := cmp.Diff(dump(w.nft), dump(w.lane)); diff != "" {
			t.Fatalf("epoch %d: other bytes (-nft +lane):\n%s", epoch, diff)
		}
		if got := w.transaction[netlinkLane] - before; got != i+1 {
			t.Errorf("epoch %d: %d of %d changes by the lane", epoch, got, i+1)
		}
	}
	if got := w.lane.ruleset(); !strings.Contains(got, "judged under this epoch") {
		t.Errorf("no comment:\n%s", got)
	}
}

// A rule that the lane does not know takes the whole transaction to nft.
func TestLaneLeavesToNftWhatItDoesNotKnow(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	element := compiler.Op{Verb: compiler.Add, Object: &knftables.Element{Set: "v4", Key: []string{"10.0.0.1"}}}
	undo := compiler.Op{Verb: compiler.Delete, Object: element.Object}
	comment := "why"
	for name, op := range map[string]compiler.Op{
		"interval set": {Verb: compiler.Add, Object: &knftables.Element{Set: rangesSet, Key: []string{"10.0.0.0/8"}}},
		"set of names": {Verb: compiler.Add, Object: &knftables.Set{Name: "new", Type: "ifname"}},
		"map":          {Verb: compiler.Add, Object: &knftables.Map{Name: "new-map", Type: "ipv4_addr : verdict"}},
		"other rule":   {Verb: compiler.Add, Object: &knftables.Rule{Chain: "chain-0", Rule: "ip saddr 10.0.0.1 drop"}},
		"other value":  {Verb: compiler.Add, Object: &knftables.Element{Map: "dispatch4", Key: []string{"10.9.9.9"}, Value: []string{"accept"}}},
		"comment":      {Verb: compiler.Add, Object: &knftables.Element{Set: "v4", Key: []string{"10.9.9.9"}, Comment: &comment}},
		"protocol":     {Verb: compiler.Add, Object: &knftables.Element{Set: "protocols", Key: []string{"icmp"}}},
	} {
		was := maps.Clone(w.transaction)
		if err := w.both(t, []compiler.Op{element, op}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if w.transaction[nftLane] != was[nftLane]+1 || w.transaction[netlinkLane] != was[netlinkLane] {
			t.Errorf("%s: went another way", name)
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
	before := listing(t, w.lane)
	var ops []compiler.Op
	for i := range 40 {
		ops = append(ops, compiler.Op{Verb: compiler.Add, Object: &knftables.Element{Set: "v4", Key: []string{fmt.Sprintf("10.0.0.%d", i)}}})
	}
	ops = append(ops,
		compiler.Op{Verb: compiler.Delete, Object: &knftables.Element{Set: "named4", Key: []string{"10.0.0.7", "tcp", "80"}}},
		compiler.Op{Verb: compiler.Add, Object: &knftables.Element{Set: "v6", Key: []string{"fd00::1"}}})
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
	if diff := cmp.Diff(before, listing(t, w.lane)); diff != "" {
		t.Errorf("a refused batch changed (-was +is):\n%s", diff)
	}
	if err := w.both(t, ops[5:]); err != nil {
		t.Errorf("after it: %v", err)
	}
	w.compare(t)
}

func TestLaneLargeBatches(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	for n, lane := range map[int]string{5_000: netlinkLane, maxLaneOps: netlinkLane, maxLaneOps + 1: nftLane} {
		var ops []compiler.Op
		for i := range n {
			a := netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)}).String()
			ops = append(ops, compiler.Op{Verb: compiler.Add, Object: &knftables.Element{Set: "self4", Key: []string{a, a}}})
		}
		was := w.transaction[lane]
		if err := w.both(t, ops); err != nil {
			t.Fatal(err)
		}
		if w.transaction[lane] != was+1 {
			t.Errorf("%d elements went another way", n)
		}
	}
	w.compare(t)
}

func FuzzLaneReadsAnswers(f *testing.F) {
	f.Add([]byte{36, 0, 0, 0, 2, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		eachMessage(b, func(_, flags uint16, _ uint32, payload []byte) {
			if len(payload) >= unix.SizeofNlMsgerr {
				answerOf(flags, payload)
			}
			describedLayout(payload)
		})
	})
}

// A new agent finds the sets of its forerunner.
func TestLaneKnowsSetsThatItDidNotMake(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	lanes := map[string]int{}
	other := newTables(w.lane, func(lane string) { lanes[lane]++ })
	defer func() { _ = other.Close() }()
	op := compiler.Op{Verb: compiler.Add, Object: &knftables.Element{Map: "dispatch4", Key: []string{"10.0.0.1"}, Value: []string{"jump chain-1"}}}
	for range 2 {
		if err := other.Transact(context.Background(), knftables.InetFamily, []compiler.Op{op}); err != nil {
			t.Fatal(err)
		}
	}
	if lanes[netlinkLane] != 2 {
		t.Errorf("%v transactions by lane", lanes)
	}
	// What is not there is no reason to give up the lane.
	op.Object = &knftables.Element{Set: "none", Key: []string{"10.0.0.1"}}
	if err := other.Transact(context.Background(), knftables.InetFamily, []compiler.Op{op}); !knftables.IsNotFound(err) {
		t.Errorf("an element of a set that is not there: %v", err)
	}
}
