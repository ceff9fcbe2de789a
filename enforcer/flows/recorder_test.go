package flows

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/policy"
)

type bench struct {
	*Recorder
	clock *testingclock.FakeClock
	store *denials.Store
	index *policy.Index
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
	told, err := denials.New(denials.Config{Node: "n1", Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Node: "n1", Denials: told, Cut: 1 << 31, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	x := policy.NewIndex(policy.Options{Node: "n1"})
	for i, node := range []string{"n1", "n1", "n2"} {
		x.SetPod(&policy.Pod{
			NamespacedName: types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("p%d", i)}, Node: node,
			Labels: map[string]string{"i": fmt.Sprint(i)}, Addrs: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i))},
		})
	}
	told.Watch(x)
	r.Watch(x)
	return &bench{r, c, told.Store(), x}
}

func (b *bench) deny(t *testing.T, mode string) {
	t.Helper()
	np := &networkingv1.NetworkPolicy{}
	np.Namespace, np.Name, np.Annotations = "shop", "deny", map[string]string{policy.ModeKey: mode}
	if err := b.index.SetPolicy(np); err != nil {
		t.Fatal(err)
	}
	b.Audit(b.index.Audits())
}

func connection(src, dst int, port uint16) Connection {
	a, b := netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", src)), netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", dst))
	return Connection{Src: a, Dst: b, Protocol: policy.TCP, Port: port, Original: netip.AddrPortFrom(b, port)}
}

func (b *bench) audited() (out []string) {
	b.Explain()
	for _, d := range b.store.Find(nil, 0) {
		out = append(out, fmt.Sprintf("%s %s %s %s:%d", d.Reason, d.Direction, d.Src.Name(), d.Dst.Name(), d.Port))
	}
	return out
}

// Each flow that audited policies would deny is told of once an interval, at the end that
// is the node's own.
func TestAudit(t *testing.T) {
	b := newBench(t)
	b.deny(t, "audit")
	for _, c := range []Connection{
		connection(0, 1, 80), connection(0, 1, 80), connection(2, 1, 81),
		connection(0, 2, 82), // the other node's to tell
		connection(200, 201, 83),
	} {
		b.Take(c)
	}
	b.setOwn(map[netip.Addr]bool{netip.MustParseAddr("10.0.0.9"): true})
	b.Take(connection(9, 1, 85)) // from the node itself
	cut := connection(0, 1, 84)
	cut.Mark = 1 << 31
	b.Take(cut)
	want := "[Audit ingress shop/p0 shop/p1:80 Audit ingress shop/p2 shop/p1:81]"
	if got := fmt.Sprint(b.audited()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.clock.Step(2 * Interval)
	b.Take(connection(0, 1, 80))
	if n := len(b.audited()); n != 3 {
		t.Errorf("%d after an interval, want 3", n)
	}
	// Enforced, it is the kernel's to deny.
	b.deny(t, "enforce")
	b.Take(connection(0, 1, 90))
	if n := len(b.audited()); n != 3 {
		t.Errorf("%d though no policy is audited, want 3", n)
	}
}

// Nothing is wanted until somebody follows or a policy is audited, and then at once.
func TestWanted(t *testing.T) {
	b := newBench(t)
	now, changed := b.wanted()
	if now {
		t.Fatal("wanted by nobody")
	}
	sub, err := b.Follow(nil)
	if err != nil {
		t.Fatal(err)
	}
	<-changed
	if now, changed = b.wanted(); !now {
		t.Error("somebody follows")
	}
	sub.Close()
	<-changed
	if now, changed = b.wanted(); now {
		t.Error("nobody follows")
	}
	b.deny(t, "audit")
	<-changed
	if now, _ = b.wanted(); !now {
		t.Error("a policy is audited")
	}
}

// Whoever follows is told by the destination's node, where it has passed at both ends, and
// of what goes outside by the source's; a slow one misses some and is told how many.
func TestFollow(t *testing.T) {
	b := newBench(t)
	sub, err := b.Follow(&denials.Filter{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	b.setOwn(map[netip.Addr]bool{netip.MustParseAddr("10.0.0.201"): true})
	for _, c := range []Connection{connection(0, 2, 80), connection(2, 0, 81), connection(200, 1, 82), connection(1, 200, 83), connection(201, 1, 84)} {
		b.Take(c)
	}
	b.Explain()
	var got []string
	for range len(sub.ch) {
		f := <-sub.ch
		got = append(got, fmt.Sprintf("%s %s:%d", f.Src.Name(), f.Dst.Name(), f.Port))
	}
	want := "[shop/p2 shop/p0:81 10.0.0.200 shop/p1:82 shop/p1 10.0.0.200:83 node n1 (10.0.0.201) shop/p1:84]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	// Conntrack remembers what a policy has denied since, and what has ended.
	b.deny(t, "enforce")
	b.Take(connection(2, 0, 91))
	b.Take(connection(201, 1, 92))
	b.Explain()
	if f := <-sub.ch; f.Port != 92 || len(sub.ch) != 0 {
		t.Errorf("told of %d, and of %d more: want what the node sends, and no more", f.Port, len(sub.ch))
	}
	for range mostBehind + 3 {
		b.tell(&Flow{Src: denials.End{Namespace: "shop"}})
	}
	if n := sub.took(); n != 3 {
		t.Errorf("%d missed, want 3", n)
	}
}

// Whatever comes, what is kept is bounded and what is left out is counted.
func TestIntakeIsBounded(t *testing.T) {
	q := newIntake()
	at := time.Unix(1_700_000_000, 0)
	for i := range 100_000 {
		c := connection(1, 2, uint16(i))
		c.Original = netip.AddrPortFrom(c.Dst, uint16(i/65536))
		q.add(c, at)
	}
	waiting := 0
	for _, ok := q.take(); ok; _, ok = q.take() {
		waiting++
	}
	left := q.left()
	if waiting != MostRate || left[LeftOutRate] != 100_000-MostRate {
		t.Errorf("%d wait, left out %v", waiting, left)
	}
	for i := range 10 * mostFlows {
		at = at.Add(time.Millisecond)
		q.add(connection(1, 2, uint16(i)), at)
		if len(q.now) > mostFlows || len(q.queue)-q.head > mostWaiting {
			t.Fatalf("%d flows, %d wait", len(q.now), len(q.queue)-q.head)
		}
	}
	if q.left()[LeftOutQueue] == 0 {
		t.Error("nobody takes them, and none is left out")
	}
}
