package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/source"
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

type departuresFixture struct {
	*departures
	t     *testing.T
	table *fakeAddresses
	now   time.Time
}

func newDeparturesFixture(t *testing.T) *departuresFixture {
	table := &fakeAddresses{}
	return &departuresFixture{newDepartures(table), t, table, time.Unix(1e9, 0)}
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
	f.note(changes, f.now, nil)
	if err := f.Clear(context.Background()); err != nil {
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
	if got := f.wait(f.now); got != tidyAfter {
		t.Errorf("due in %v", got)
	}
	f.now = f.now.Add(tidyAfter)
	f.expect("a moment later", nil, []string{"10.0.0.1", "fd00::1"})
	f.expect("once is enough", nil, nil)
	f.expect("the next owner comes", nil, nil, has("c", "3", "10.0.0.1"))
	f.expect("a Pod loses one of its addresses", nil, nil, has("c", "3"))
	f.now = f.now.Add(tidyAfter)
	f.expect("a moment later", nil, []string{"10.0.0.1"})
	if got := f.wait(f.now); got >= 0 || len(f.claims) != 1 || len(f.pods) != 2 {
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
	f.now = f.now.Add(tidyAfter)
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
	f.table.err = errInjected
	f.now = f.now.Add(tidyAfter)
	f.expect("a failure for which nobody waits", nil, nil)
	if got := f.wait(f.now); got != departureRetry {
		t.Errorf("tried again in %v", got)
	}
	f.note([]policy.SubjectChange{has("b", "2", "10.0.0.1")}, f.now, nil)
	for range 2 {
		if err := f.Clear(context.Background()); !errors.Is(err, errInjected) {
			t.Errorf("the next owner comes in spite of it: %v", err)
		}
	}
	f.table.err = nil
	f.expect("in the end", []string{"10.0.0.1"}, nil)
}

// A Pod may have had as many connections as the node can hold.
func TestDeparturesAreBounded(t *testing.T) {
	f := newDeparturesFixture(t)
	f.sync(has("a", "1", "10.0.0.1"))
	f.sync(gone("a"))
	f.now, f.table.more = f.now.Add(tidyAfter), true
	f.sync()
	if got := f.wait(f.now); got != tidyAfter || !slices.Equal(f.table.limits, []int{deletedAtOnce}) {
		t.Errorf("the rest in %v, limits %v", got, f.table.limits)
	}
	f.now, f.table.more = f.now.Add(tidyAfter), false
	f.expect("the rest", nil, []string{"10.0.0.1"})
}

// send sends a datagram from one address and port to another, both of this
// namespace or not.
func (n testNS) send(from, to string) {
	n.t.Helper()
	src, dst := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
	err := n.Do(func() error {
		c, err := net.DialUDP("udp", src, dst)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_, err = c.Write([]byte("x"))
		return err
	})
	if err != nil {
		n.t.Fatalf("send from %s to %s: %v", from, to, err)
	}
}

// The kernel's filter and ours agree on what an end is: in both directions, before
// and after a translation of addresses.
func TestConntrackDeletesByAddress(t *testing.T) {
	node := newNS(t)
	node.ip("addr add 10.9.0.1/32 dev lo\naddr add 10.9.0.2/32 dev lo\naddr add 10.9.0.3/32 dev lo\naddr add fd09::1/128 dev lo nodad\naddr add fd09::2/128 dev lo nodad\nroute add 10.9.9.9/32 dev lo")
	node.nft(`table inet t { chain o { type filter hook output priority 0; ct state new accept; }; }
table ip n { chain o { type nat hook output priority -100; ip daddr 10.9.9.9 dnat to 10.9.0.1; };
  chain p { type nat hook postrouting priority 100; ip saddr 10.9.0.3 udp dport 53 snat to 10.9.0.1; }; }`)
	fill := func() {
		node.send("10.9.0.1:1000", "10.9.0.2:1") // opened by it
		node.send("10.9.0.2:1001", "10.9.0.1:1") // opened to it
		node.send("10.9.0.2:1002", "10.9.9.9:1") // by a Service
		node.send("10.9.0.3:1003", "10.9.0.2:53")
		node.send("10.9.0.2:1004", "10.9.0.3:1") // others'
		node.send("[fd09::1]:1005", "[fd09::2]:1")
		node.send("[fd09::2]:1006", "[fd09::2]:1") // others'
	}
	c, ctx := conntrack{node}, context.Background()
	count := func() int {
		marks, err := c.Marks(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		return marks[0]
	}
	four, six := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")
	for _, fillers := range []int{0, filteredAddresses} {
		// An address of IPv6 may be a moment late.
		eventually(t, "seven connections to begin with", func() bool { fill(); return count() == 7 })
		addrs := map[netip.Addr]bool{four: true, six: true}
		for i := range fillers {
			addrs[netip.AddrFrom4([4]byte{10, 8, 0, byte(i)})] = true
		}
		if n, more, err := c.Delete(ctx, addrs, 2); n != 2 || !more || err != nil {
			t.Errorf("%d addresses, two at most: deleted %d, more %v, %v", len(addrs), n, more, err)
		}
		n, more, err := c.Delete(ctx, addrs, 0)
		if n != 3 || more || err != nil || count() != 2 {
			t.Errorf("%d addresses: deleted %d, more %v, %v, left %d of others", len(addrs), n, more, err, count())
		}
		if n, _, err = c.Delete(ctx, addrs, 0); n != 0 || err != nil {
			t.Errorf("again: deleted %d, %v", n, err)
		}
	}
}

// The kernel is not asked for all connections on account of one address.
func TestConntrackDumpsOfAnAddressAreNarrow(t *testing.T) {
	node := newNS(t)
	node.connect(0x45, 1001, 1002, 1003)
	c, seen := conntrack{node}, 0
	for _, which := range selectionsOf(map[netip.Addr]bool{netip.MustParseAddr("10.9.0.1"): true, netip.MustParseAddr("fd09::1"): true}) {
		if err := c.dump(context.Background(), which, func() {}, func([]byte) { seen++ }); err != nil {
			t.Fatal(err)
		}
	}
	if seen > 0 {
		t.Errorf("the kernel told of %d connections of others", seen)
	}
}

// listen is where datagrams come in that a Pod gets at a port.
func (p testPod) listen(port int) *net.UDPConn {
	p.t.Helper()
	var c *net.UDPConn
	err := p.Do(func() (err error) {
		c, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// heard is how many datagrams wait.
func heard(c *net.UDPConn) int {
	n := 0
	for _ = c.SetReadDeadline(time.Now().Add(150 * time.Millisecond)); ; n++ {
		if _, _, err := c.ReadFrom(make([]byte, 10)); err != nil {
			return n
		}
	}
}

// A Pod asks, and goes. The next one with its address is isolated, and does not get
// the answers: neither if it comes later nor if it comes in the same moment.
func TestAgentGivesNobodyTheRepliesToTheLastOwner(t *testing.T) {
	for topology, top := range topologies {
		for _, atOnce := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s at once %v", topology, atOnce), func(t *testing.T) {
				c := newCluster(t, topology)
				a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.MinInterval = 100 * time.Millisecond })
				a.set(append(c.objects(), allow("next", "next", "web", 80))...)
				answer := func() {
					for i := range 2 {
						c.front.send(netip.AddrPortFrom(c.front.addr(i), 5353).String(), netip.AddrPortFrom(c.bad.addr(i), 4000).String())
					}
				}
				asked := c.bad.listen(4000)
				for i := range 2 {
					if _, err := asked.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(c.front.addr(i), 5353)); err != nil {
						t.Fatal(err)
					}
				}
				answer()
				if n := heard(asked); n != 2 {
					t.Fatalf("%d of 2 answers came while the Pod lived", n)
				}
				c.node.ip("link del %s", c.bad.veth)
				if err := a.source.Delete(c.bad.object); err != nil {
					t.Fatal(err)
				}
				if !atOnce {
					a.settle()
				}
				next := top.pod(c.node, "next", "10.1.0.4", "fd01::4")
				a.set(next.object)
				c.front.cmd("ip", "neigh", "flush", "all")
				c.node.cmd("ip", "neigh", "flush", "all")
				late := next.listen(4000)
				for range 5 {
					answer()
				}
				if n := heard(late); n > 0 {
					t.Errorf("the next owner of the address got %d replies to what it did not ask", n)
				}
			})
		}
	}
}
