package tables

import (
	"context"
	"net/netip"
	"testing"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/nftwire"
)

func TestLaneLargeBatches(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	for n, lane := range map[int]string{5_000: NetlinkLane, nftwire.MaxOps: NetlinkLane, nftwire.MaxOps + 1: NftLane} {
		var ops []compiler.Op
		for i := range n {
			a := netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)}).String()
			ops = append(ops, compiler.Op{Verb: compiler.Add, Object: element("self4", compiler.NoValue, addrPart(a), addrPart(a))})
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

// A new agent finds the sets of its forerunner.
func TestLaneKnowsSetsThatItDidNotMake(t *testing.T) {
	w := newTwins(t)
	if err := w.both(t, laneSets()); err != nil {
		t.Fatal(err)
	}
	lanes := map[string]int{}
	other := New(w.lane)
	other.Count = func(lane string) { lanes[lane]++ }
	defer func() { _ = other.Close() }()
	e := element("dispatch4", compiler.VerdictValue, addrPart("10.0.0.1"))
	e.Value = compiler.MapValue{Do: compiler.DoJump, Name: "chain-1"}
	op := compiler.Op{Verb: compiler.Add, Object: e}
	for range 2 {
		if err := other.Transact(context.Background(), knftables.InetFamily, []compiler.Op{op}); err != nil {
			t.Fatal(err)
		}
	}
	if lanes[NetlinkLane] != 2 {
		t.Errorf("%v transactions by lane", lanes)
	}
	// What is not there is no reason to give up the lane.
	op.Object = element("none", compiler.NoValue, addrPart("10.0.0.1"))
	if err := other.Transact(context.Background(), knftables.InetFamily, []compiler.Op{op}); !IsNotFound(err) {
		t.Errorf("an element of a set that is not there: %v", err)
	}
}
