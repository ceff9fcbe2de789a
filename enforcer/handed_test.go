package enforcer

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/source"
)

// deletions is a conntrack table that tells of what is deleted from it.
type deletions func(addrs map[netip.Addr]bool)

func (f deletions) Delete(_ context.Context, addrs map[netip.Addr]bool, _ int) (n int, more bool, err error) {
	f(addrs)
	return 0, false, nil
}

// An address changes hands while the objects of a huge policy are made, and the change
// overtakes them. The connections of its last owner are deleted before its next one gets a
// packet, as they are at any other time.
func TestAnAddressChangesHandsBesideAHugePolicy(t *testing.T) {
	e := newEventBench(t, 200, 10)
	old := benchPod(7)
	addr := old.Addrs[0]
	var log []string
	e.s.departures = conntrack.NewDepartures(deletions(func(addrs map[netip.Addr]bool) {
		if addrs[addr] {
			log = append(log, "deleted")
		}
	}))
	old.Labels["app"] = "app-9" // so that it is told of once more
	e.a.box.Deliver(source.Event{Kind: source.PodEvent, Name: old.NamespacedName, Pod: old})
	e.settle(t)
	next := benchPod(8)
	next.NamespacedName, next.UID, next.Addrs = types.NamespacedName{Namespace: "shop", Name: "next"}, "next", old.Addrs
	n, huge := 0, 0
	e.observe(func(ops []compiler.Op) {
		if n++; n == 5 {
			e.a.box.Deliver(
				source.Event{Kind: source.PodEvent, Name: old.NamespacedName, Deleted: true},
				source.Event{Kind: source.PodEvent, Name: next.NamespacedName, Pod: next})
		}
		if dispatches(ops, 1) {
			huge = n
		}
		if n >= 5 && huge == 0 && slices.ContainsFunc(ops, func(op compiler.Op) bool {
			s, ok := op.Object.(*compiler.SetElement)
			return ok && op.Verb == compiler.Add && s.Set.KeyText(s.Key) == addr.String()
		}) {
			log = append(log, "given")
		}
	})
	e.a.box.Deliver(policyEvent(hugePolicy(8_000, 1)))
	e.settle(t)
	if len(log) < 2 || log[0] != "deleted" || !slices.Contains(log, "given") {
		t.Errorf("%v, and the huge policy is in force with transaction %d of %d", log, huge, n)
	}
}
