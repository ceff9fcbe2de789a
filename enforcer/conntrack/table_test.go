package conntrack

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

func TestConntrackCountsAndClearsMarks(t *testing.T) {
	node := netnstest.New(t)
	node.Connect(0x45, 1001, 1002)
	node.Connect(0x25, 1003)
	c := Table{node}
	ctx := context.Background()
	got, err := c.Marks(ctx, 0xff)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[uint32]int{0x45: 2, 0x25: 1}, got); diff != "" {
		t.Fatalf("marks (-want +got):\n%s", diff)
	}
	n, err := c.Clear(ctx, 0xf0, func(m uint32) bool { return m == 0x45 })
	if err != nil || n != 2 {
		t.Fatalf("cleared %d: %v", n, err)
	}
	if got, err = c.Marks(ctx, 0xffffffff); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[uint32]int{0x05: 2, 0x25: 1}, got); diff != "" {
		t.Errorf("others' bits or other connections were touched (-want +got):\n%s", diff)
	}
}

// The kernel's filter and ours agree on what an end is: in both directions, before
// and after a translation of addresses.
func TestConntrackDeletesByAddress(t *testing.T) {
	node := netnstest.New(t)
	node.IP("addr add 10.9.0.1/32 dev lo\naddr add 10.9.0.2/32 dev lo\naddr add 10.9.0.3/32 dev lo\naddr add fd09::1/128 dev lo nodad\naddr add fd09::2/128 dev lo nodad\nroute add 10.9.9.9/32 dev lo")
	node.NFT(`table inet t { chain o { type filter hook output priority 0; ct state new accept; }; }
table ip n { chain o { type nat hook output priority -100; ip daddr 10.9.9.9 dnat to 10.9.0.1; };
  chain p { type nat hook postrouting priority 100; ip saddr 10.9.0.3 udp dport 53 snat to 10.9.0.1; }; }`)
	fill := func() {
		node.Send("10.9.0.1:1000", "10.9.0.2:1") // opened by it
		node.Send("10.9.0.2:1001", "10.9.0.1:1") // opened to it
		node.Send("10.9.0.2:1002", "10.9.9.9:1") // by a Service
		node.Send("10.9.0.3:1003", "10.9.0.2:53")
		node.Send("10.9.0.2:1004", "10.9.0.3:1") // others'
		node.Send("[fd09::1]:1005", "[fd09::2]:1")
		node.Send("[fd09::2]:1006", "[fd09::2]:1") // others'
	}
	c, ctx := Table{node}, context.Background()
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
		netnstest.Eventually(t, "seven connections to begin with", func() bool { fill(); return count() == 7 })
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
	node := netnstest.New(t)
	node.Connect(0x45, 1001, 1002, 1003)
	c, seen := Table{node}, 0
	for _, which := range selectionsOf(map[netip.Addr]bool{netip.MustParseAddr("10.9.0.1"): true, netip.MustParseAddr("fd09::1"): true}) {
		if err := c.dump(context.Background(), which, func() {}, func([]byte) { seen++ }); err != nil {
			t.Fatal(err)
		}
	}
	if seen > 0 {
		t.Errorf("the kernel told of %d connections of others", seen)
	}
}
