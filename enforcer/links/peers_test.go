package links

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// What is read of a Pod's end has a limit, whatever the Pod does there.
func TestAFarEndIsReadUpToALimit(t *testing.T) {
	node := netnstest.NewBridgeNode(t)
	thief := netnstest.BridgePod(node, "thief", "10.1.0.3", "fd01::3")
	var lines strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&lines, "addr add fe80::1:%x/64 dev eth0 nodad\naddr add 172.16.%d.%d/32 dev eth0\n", i+1, i/250, i%250+1)
	}
	thief.IP("%s", lines.String())
	l := testLinks(t, node)
	l.must(t, false)
	end, err := l.peers.ask(l.byName("vthief"))
	if err != nil || !end.cut || len(end.addrs) > 2*maxPeerAddrs || len(end.linkLocal) > maxPeerAddrs {
		t.Errorf("%d and %d addresses were read, cut %t, %v", len(end.addrs), len(end.linkLocal), end.cut, err)
	}
}

// An address is read once, however often the kernel tells of it: with two prefixes, or of
// a kernel without IPv6, which answers a question for one family with the other's.
func TestAnAddressOfAFarEndCountsOnce(t *testing.T) {
	node := netnstest.NewBridgeNode(t)
	pod := netnstest.BridgePod(node, "pod", "10.1.0.3", "fd01::3")
	pod.IP("addr add 10.1.0.3/30 dev eth0\naddr add 10.1.0.3/29 dev eth0\n")
	l := testLinks(t, node)
	l.must(t, false)
	end, err := l.peers.ask(l.byName("vpod"))
	if want := []string{"10.1.0.3", "fd01::3"}; err != nil || fmt.Sprint(end.addrs) != fmt.Sprint(want) {
		t.Errorf("%v, %v, want %v", end.addrs, err, want)
	}
}
