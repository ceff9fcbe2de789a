package conntrack

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// fakeAddresses is a conntrack table of which only the addresses are known.
type fakeAddresses struct {
	deleted []string
	limits  []int
	more    bool
	err     error
}

func (f *fakeAddresses) Delete(_ context.Context, addrs map[netip.Addr]bool, limit int) (int, bool, error) {
	if f.err != nil {
		return 0, false, f.err
	}
	for a := range addrs {
		f.deleted = append(f.deleted, a.String())
	}
	slices.Sort(f.deleted)
	f.limits = append(f.limits, limit)
	return len(addrs), f.more, nil
}

var errTable = errors.New("the table cannot be read")

type departuresFixture struct {
	*Departures
	t     *testing.T
	table *fakeAddresses
	now   time.Time
}

func newDeparturesFixture(t *testing.T) *departuresFixture {
	table := &fakeAddresses{}
	return &departuresFixture{NewDepartures(table), t, table, time.Unix(1e9, 0)}
}

func has(pod, uid string, addrs ...string) policy.SubjectChange {
	name := types.NamespacedName{Namespace: "shop", Name: pod}
	s := &policy.Subject{Pod: name, UID: types.UID(uid)}
	for _, a := range addrs {
		s.Addrs = append(s.Addrs, netip.MustParseAddr(a))
	}
	return policy.SubjectChange{Pod: name, Now: s}
}

func gone(pod string) policy.SubjectChange {
	return policy.SubjectChange{Pod: types.NamespacedName{Namespace: "shop", Name: pod}}
}

// sync is a round of the sync loop: what it deletes before its commit and after.
func (f *departuresFixture) sync(changes ...policy.SubjectChange) (before, after []string) {
	f.t.Helper()
	_, handed := f.Note(changes, f.now, nil)
	if err := f.Clear(context.Background(), handed); err != nil {
		f.t.Fatal(err)
	}
	before, f.table.deleted = f.table.deleted, nil
	f.Tidy(context.Background(), f.now, false)
	after, f.table.deleted = f.table.deleted, nil
	return before, after
}

func (f *departuresFixture) expect(what string, before, after []string, changes ...policy.SubjectChange) {
	f.t.Helper()
	gotBefore, gotAfter := f.sync(changes...)
	if diff := cmp.Diff([][]string{before, after}, [][]string{gotBefore, gotAfter}); diff != "" {
		f.t.Errorf("%s: deleted before and after the commit (-want +got):\n%s", what, diff)
	}
}

func TestDeparturesAreDeletedWhenNothingWaits(t *testing.T) {
	f := newDeparturesFixture(t)
	f.expect("a Pod comes", nil, nil, has("a", "1", "10.0.0.1", "fd00::1"))
	f.expect("another comes", nil, nil, has("b", "2", "10.0.0.2"))
	f.expect("one goes", nil, nil, gone("a"))
	if got := f.Wait(f.now); got != departureTidy {
		t.Errorf("due in %v", got)
	}
	f.now = f.now.Add(departureTidy)
	f.expect("a moment later", nil, []string{"10.0.0.1", "fd00::1"})
	f.expect("once is enough", nil, nil)
	f.expect("the next owner comes", nil, nil, has("c", "3", "10.0.0.1"))
	f.expect("a Pod loses one of its addresses", nil, nil, has("c", "3"))
	f.now = f.now.Add(departureTidy)
	f.expect("a moment later", nil, []string{"10.0.0.1"})
	if got := f.Wait(f.now); got >= 0 || len(f.claims) != 1 || len(f.pods) != 2 {
		t.Errorf("due in %v, %d addresses, %d Pods are remembered", got, len(f.claims), len(f.pods))
	}
}

// The next owner may come at once, or with the same name: then its connections are
// deleted before the commit that lets it receive.
func TestDeparturesAreDeletedBeforeTheNextOwnerReceives(t *testing.T) {
	for what, next := range map[string][]policy.SubjectChange{
		"another Pod in the same round":   {gone("a"), has("b", "2", "10.0.0.1")},
		"the other order":                 {has("b", "2", "10.0.0.1"), gone("a")},
		"a new Pod of the same name":      {has("a", "2", "10.0.0.1")},
		"the old one has another address": {has("a", "1", "10.0.0.9"), has("b", "2", "10.0.0.1")},
		"without UIDs":                    {gone("a"), has("b", "", "10.0.0.1")},
	} {
		f := newDeparturesFixture(t)
		f.sync(has("a", "1", "10.0.0.1"))
		f.expect(what, []string{"10.0.0.1"}, nil, next...)
	}
	f := newDeparturesFixture(t)
	f.sync(has("a", "1", "10.0.0.1", "10.0.0.2"))
	f.sync(gone("a"))
	f.expect("in the next round", []string{"10.0.0.1"}, nil, has("b", "2", "10.0.0.1"))
	f.now = f.now.Add(departureTidy)
	f.expect("the address that nobody has", nil, []string{"10.0.0.2"})
}

// Connections of a Pod that is still there are live, whatever happens to its object.
func TestDeparturesSpareThePodThatStays(t *testing.T) {
	f := newDeparturesFixture(t)
	f.sync(has("a", "1", "10.0.0.1"))
	f.expect("its labels change", nil, nil, has("a", "1", "10.0.0.1"))
	f.expect("its address goes", nil, nil, has("a", "1"))
	f.expect("and comes back", nil, nil, has("a", "1", "10.0.0.1"))
	f.expect("another claims it, too", nil, nil, has("b", "2", "10.0.0.1"))
	f.expect("and gives it up", nil, nil, gone("b"))
	f.expect("it goes and comes in one round", nil, nil, gone("a"), has("a", "1", "10.0.0.1"))
	f.now = f.now.Add(time.Hour)
	f.expect("an hour later", nil, nil)
}

func TestDeparturesThatFailHoldUpOnlyTheNextOwner(t *testing.T) {
	f := newDeparturesFixture(t)
	f.sync(has("a", "1", "10.0.0.1"))
	f.sync(gone("a"))
	f.table.err = errTable
	f.now = f.now.Add(departureTidy)
	f.expect("a failure for which nobody waits", nil, nil)
	if got := f.Wait(f.now); got != departureRetry {
		t.Errorf("tried again in %v", got)
	}
	f.Note([]policy.SubjectChange{has("b", "2", "10.0.0.1")}, f.now, nil)
	for range 2 {
		if err := f.Clear(context.Background(), f.Handed()); !errors.Is(err, errTable) {
			t.Errorf("the next owner comes in spite of it: %v", err)
		}
	}
	f.table.err = nil
	if err := f.Clear(t.Context(), f.Handed()); err != nil || !slices.Equal(f.table.deleted, []string{"10.0.0.1"}) {
		t.Errorf("in the end: deleted %v, %v", f.table.deleted, err)
	}
}

// A large change is under way while another overtakes it. Each deletes the connections of
// the addresses that it gives away itself, just before it does: until then whoever sends
// to the last owner makes new ones.
func TestDeparturesAreDeletedByTheChangeThatGivesThemAway(t *testing.T) {
	f := newDeparturesFixture(t)
	f.sync(has("a", "1", "10.0.0.1"), has("b", "2", "10.0.0.2"))
	_, large := f.Note([]policy.SubjectChange{gone("a"), has("c", "3", "10.0.0.1")}, f.now, nil)
	_, small := f.Note([]policy.SubjectChange{gone("b"), has("d", "4", "10.0.0.2")}, f.now, nil)
	for _, step := range []struct {
		handed map[netip.Addr]bool
		want   string
	}{{small, "10.0.0.2"}, {large, "10.0.0.1"}} {
		f.table.deleted = nil
		if err := f.Clear(t.Context(), step.handed); err != nil || !slices.Equal(f.table.deleted, []string{step.want}) {
			t.Errorf("deleted %v, %v, want %s", f.table.deleted, err, step.want)
		}
	}
	if len(f.Handed()) > 0 || f.Wait(f.now) >= 0 {
		t.Errorf("left are %v", f.left)
	}
}

// A Pod may have had as many connections as the node can hold.
func TestDeparturesAreBounded(t *testing.T) {
	f := newDeparturesFixture(t)
	f.sync(has("a", "1", "10.0.0.1"))
	f.sync(gone("a"))
	f.now, f.table.more = f.now.Add(departureTidy), true
	f.sync()
	if got := f.Wait(f.now); got != departureTidy || !slices.Equal(f.table.limits, []int{deletedAtOnce}) {
		t.Errorf("the rest in %v, limits %v", got, f.table.limits)
	}
	f.now, f.table.more = f.now.Add(departureTidy), false
	f.expect("the rest", nil, []string{"10.0.0.1"})
}

// What is presumed to be one of several Pods' keeps its connections when it is known
// which one it is, and when it goes, whoever comes next gets none.
func TestDeparturesOfPresumedAddresses(t *testing.T) {
	f := newDeparturesFixture(t)
	addr := netip.MustParseAddr("10.0.0.1")
	may := func(pods ...string) map[netip.Addr]map[Tenant]bool {
		all := map[Tenant]bool{}
		for _, p := range pods {
			all[tenantOf(has(p, p).Now)] = true
		}
		return map[netip.Addr]map[Tenant]bool{addr: all}
	}
	step := func(what string, maybe map[netip.Addr]map[Tenant]bool, wantKept bool, deleted []string, changes ...policy.SubjectChange) {
		t.Helper()
		if kept, _ := f.Note(changes, f.now, maybe); kept[addr] != wantKept {
			t.Errorf("%s: kept %v", what, kept)
		}
		if err := f.Clear(t.Context(), f.Handed()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(deleted, f.table.deleted); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		f.table.deleted = nil
	}
	step("presumed", may("a", "b"), false, nil, has("b", "b", "10.0.0.1"))
	step("another speaks for it", may("a", "b", "c"), true, nil, gone("b"), has("c", "c", "10.0.0.1"))
	step("known", nil, true, nil, gone("c"), has("a", "a", "10.0.0.1"))
	step("gone", nil, false, nil, gone("a"))
	step("presumed to be others'", may("d", "e"), false, []string{"10.0.0.1"}, has("d", "d", "10.0.0.1"))
	step("nobody's", nil, false, nil, gone("d"))
	step("of one that it was presumed to be, in another sandbox", nil, false, []string{"10.0.0.1"}, has("e", "e", "10.0.0.1"))
}
