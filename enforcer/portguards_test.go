package enforcer

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

const (
	broadcast = "ff:ff:ff:ff:ff:ff"
	nobodyMAC = "02:00:00:00:00:77"
)

// trio is a node with a bridge, and Pods that may send each other anything.
type trio struct {
	node             testNS
	web, victim, bad testPod
	agent            *testAgent
}

func newTrio(t *testing.T) *trio {
	node := newBridgeNode(t)
	c := &trio{node: node, web: bridgePod(node, "web", "10.1.0.4", "fd01::4"),
		victim: bridgePod(node, "victim", "10.1.0.2", "fd01::2"), bad: bridgePod(node, "bad", "10.1.0.3", "fd01::3")}
	c.agent = startAgent(t, node, &source.Memory{})
	c.agent.set(shop(), c.web.object, c.victim.object, c.bad.object)
	return c
}

// arrives sends a frame, and says whether its token came out at a Pod.
func arrives(from testPod, at *listening, frame []byte, token string, want bool) bool {
	from.emit(frame)
	for end := time.Now().Add(map[bool]time.Duration{true: 5 * time.Second, false: soon}[want]); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if at.heard(token) > 0 {
			return true
		}
	}
	return false
}

// What tc redirects comes to the bridge by a detour that no netdev hook sees.
func TestPortGuardsSeeWhatIsRedirected(t *testing.T) {
	for _, shaped := range []bool{false, true} {
		t.Run(fmt.Sprint("shaped ", shaped), func(t *testing.T) {
			c := newTrio(t)
			c.node.redirect("vbad", shaped)
			at := c.web.tap()
			for i, family := range []string{"ipv4", "ipv6"} {
				own := datagramFrom(c.web.mac, c.bad.mac, c.bad.addr(i), c.web.addr(i), "own-"+family)
				if !arrives(c.bad, at, own, "own-"+family, true) {
					t.Errorf("%s: its own does not arrive", family)
				}
				for name, frame := range map[string][]byte{
					"spoofed":  datagramFrom(c.web.mac, c.bad.mac, c.victim.addr(i), c.web.addr(i), "spoofed-"+family),
					"foreign":  datagramFrom(c.web.mac, nobodyMAC, c.bad.addr(i), c.web.addr(i), "foreign-"+family),
					"tagged":   ethernet(c.web.mac, c.bad.mac, unix.ETH_P_8021Q, slices.Concat([]byte{0, 0, 8, 0}, packetOf(c.bad.addr(0), c.web.addr(0), "tagged-"+family))),
					"strange":  ethernet(c.web.mac, c.bad.mac, 0x88b5, []byte("strange-"+family+strings.Repeat(" ", 40))),
					"arp":      ethernet(broadcast, c.bad.mac, unix.ETH_P_ARP, append(arpFrom(c.bad.mac, c.victim.addr(0), c.web.addr(0)), "arp-"+family...)),
					"arp-long": ethernet(broadcast, c.bad.mac, unix.ETH_P_ARP, append(arpFrom(c.bad.mac, c.bad.addr(0), c.web.addr(0)), "arp-long-"+family+strings.Repeat(" ", 1000)...)),
				} {
					if arrives(c.bad, at, frame, name+"-"+family, false) {
						t.Errorf("%s: a %s frame arrives", family, name)
					}
				}
			}
		})
	}
}

func arpFrom(mac string, sender, target netip.Addr) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, hardware(mac)...)
	b = append(append(b, sender.AsSlice()...), make([]byte, 6)...)
	return append(b, target.AsSlice()...)
}

// Hardware address and address must be of one Pod: otherwise the one is a way to
// reach another than policies were asked about, or all of them.
func TestPortGuardsWantAddressesThatBelongTogether(t *testing.T) {
	c := newTrio(t)
	at := c.victim.tap()
	for i, family := range []string{"ipv4", "ipv6"} {
		for name, frame := range map[string][]byte{
			"another's address":         datagramFrom(c.victim.mac, c.bad.mac, c.bad.addr(i), c.web.addr(i), "other-"+family),
			"an unknown address":        datagramFrom(nobodyMAC, c.bad.mac, c.bad.addr(i), c.web.addr(i), "other-"+family),
			"its own, unknown hardware": datagramFrom(nobodyMAC, c.bad.mac, c.bad.addr(i), c.victim.addr(i), "other-"+family),
			"outside":                   datagramFrom(c.victim.mac, c.bad.mac, c.bad.addr(i), []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")}[i], "other-"+family),
		} {
			if arrives(c.bad, at, frame, "other-"+family, false) {
				t.Errorf("%s to %s arrives", family, name)
			}
		}
		own := datagramFrom(c.victim.mac, c.bad.mac, c.bad.addr(i), c.victim.addr(i), "own-"+family)
		if !arrives(c.bad, at, own, "own-"+family, true) {
			t.Errorf("%s: what is the victim's does not arrive", family)
		}
	}
	// The node, too, sends to all ports what it does not know the port of.
	c.node.cmd("bridge", "fdb", "del", c.web.mac, "dev", "vweb", "master")
	c.node.ip("neigh replace 10.1.0.4 lladdr %s dev cni0", c.web.mac)
	err := c.node.Do(func() error { return datagramTo(c.web.addr(0), "flooded") })
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(soon)
	if at.heard("flooded") > 0 {
		t.Error("what the node sends to web comes to the victim")
	}
}

func datagramTo(to netip.Addr, text string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Sendto(fd, []byte(text), 0, &unix.SockaddrInet4{Port: 9, Addr: to.As4()})
}

// A port is closed for as long as its Pod is not known: before its object comes,
// after it went, and while no agent runs.
func TestPortsWithoutAPodAreClosed(t *testing.T) {
	c := newTrio(t)
	unknown := bridgePod(c.node, "unknown", "10.1.0.9", "fd01::9")
	atWeb, atUnknown := c.web.tap(), unknown.tap()
	try := func(when string, want bool) {
		t.Helper()
		for i := range 2 {
			token := fmt.Sprintf("%s-%d", when, i)
			out := datagramFrom(c.web.mac, unknown.mac, unknown.addr(i), c.web.addr(i), token+"-out")
			if arrives(unknown, atWeb, out, token+"-out", want) != want {
				t.Errorf("%s: from it to web, want %t", when, want)
			}
			in := datagramFrom(unknown.mac, c.web.mac, c.web.addr(i), unknown.addr(i), token+"-in")
			if arrives(c.web, atUnknown, in, token+"-in", want) != want {
				t.Errorf("%s: from web to it, want %t", when, want)
			}
			spoofed := datagramFrom(c.web.mac, unknown.mac, c.victim.addr(i), c.web.addr(i), token+"-spoofed")
			if arrives(unknown, atWeb, spoofed, token+"-spoofed", false) {
				t.Errorf("%s: in the victim's name to web", when)
			}
		}
	}
	try("before its object", false)
	c.agent.set(unknown.object)
	try("known", true)
	c.agent.delete(unknown.object)
	try("its object is gone", false)
	c.agent.stop()
	try("no agent runs", false)
	second := bridgePod(c.node, "second", "10.1.0.10", "fd01::a")
	if arrives(second, atWeb, datagramFrom(c.web.mac, second.mac, c.victim.addr(0), c.web.addr(0), "second"), "second", false) {
		t.Error("a port that came while no agent ran is open")
	}
	c.agent = startAgent(t, c.node, c.agent.source)
	c.agent.settle()
	try("the next agent", false)
	c.agent.set(unknown.object)
	try("known again", true)
}

// A port knows its Pod for as long as it exists, whatever the Pod does to its own
// addresses, and whichever agent asks.
func TestPortGuardsOutliveTheAgent(t *testing.T) {
	c := newTrio(t)
	c.bad.ip("addr flush dev eth0 scope global")
	c.agent.stop()
	c.agent = startAgent(t, c.node, c.agent.source)
	c.agent.settle()
	if u := c.agent.Status().Unresolved; len(u) > 0 {
		t.Errorf("unresolved: %v", u)
	}
	at := c.web.tap()
	if arrives(c.bad, at, datagramFrom(c.web.mac, c.bad.mac, c.victim.addr(0), c.web.addr(0), "spoofed"), "spoofed", false) {
		t.Error("it sends in the victim's name")
	}
	if !arrives(c.bad, at, datagramFrom(c.web.mac, c.bad.mac, c.bad.addr(0), c.web.addr(0), "own"), "own", true) {
		t.Error("it cannot send in its own name")
	}
	// Nor can it be another by its hardware address.
	c.agent.stop()
	c.bad.ip("link set eth0 down\nlink set eth0 address %s\nlink set eth0 up", c.victim.mac)
	before := guardedElements(c.node)
	c.agent = startAgent(t, c.node, c.agent.source)
	c.agent.settle()
	if diff := cmp.Diff(before, guardedElements(c.node)); diff != "" {
		t.Errorf("guards changed (-before +after):\n%s", diff)
	}
	if len(c.agent.Status().Conflicts) == 0 {
		t.Error("no conflict is reported")
	}
}

func guardedElements(n testNS) string {
	return n.cmd("nft", "list", "set", "bridge", "sluice", "guarded-v4") + n.cmd("nft", "list", "set", "bridge", "sluice", "guarded-v6")
}

// A first agent that meets two ports with one hardware address closes the later one.
func TestPortGuardsOfAStolenHardwareAddress(t *testing.T) {
	node := newBridgeNode(t)
	victim, thief := bridgePod(node, "victim", "10.1.0.2"), bridgePod(node, "thief", "10.1.0.3")
	thief.ip("link set eth0 address %s", victim.mac)
	a := startAgent(t, node, &source.Memory{})
	a.set(shop(), victim.object, thief.object)
	got := guardedElements(node)
	if !strings.Contains(got, "10.1.0.2") || strings.Contains(got, "10.1.0.3") {
		t.Errorf("guards:\n%s", got)
	}
	if s := a.Status(); !strings.Contains(s.Unresolved[thief.addr(0)], victim.mac) || s.Conflicts[thief.addr(0)] != "vvictim" {
		t.Errorf("unresolved %v, conflicts %v", s.Unresolved, s.Conflicts)
	}
}

// No Pod may have the node's own hardware address.
func TestPortGuardsOfTheBridgesHardwareAddress(t *testing.T) {
	node := newBridgeNode(t)
	thief := bridgePod(node, "thief", "10.1.0.3")
	node.ip("link set cni0 address 02:00:00:00:00:01")
	thief.ip("link set eth0 address 02:00:00:00:00:01")
	a := startAgent(t, node, &source.Memory{})
	a.set(shop(), thief.object)
	if got := guardedElements(node); strings.Contains(got, "10.1.0.3") {
		t.Errorf("guards:\n%s", got)
	}
}

// Any number of addresses at a Pod's end costs the agent little, and the Pod keeps
// its guard.
func TestPortGuardsOfAPodWithManyAddresses(t *testing.T) {
	node := newBridgeNode(t)
	victim, thief := bridgePod(node, "victim", "10.1.0.2", "fd01::2"), bridgePod(node, "thief", "10.1.0.3", "fd01::3")
	var lines strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&lines, "addr add fe80::1:%x/64 dev eth0 nodad\naddr add 172.16.%d.%d/32 dev eth0\n", i+1, i/250, i%250+1)
	}
	thief.ip("%s", lines.String())
	a := startAgent(t, node, &source.Memory{})
	a.set(shop(), victim.object, thief.object)
	if got := guardedElements(node); strings.Count(got, "10.1.0.") != 2 || strings.Count(got, "fd01::") != 2 {
		t.Errorf("guards:\n%s", got)
	}
	if got := node.cmd("nft", "list", "set", "bridge", "sluice", "link-sources"); strings.Count(got, "fe80::") > 16 {
		t.Errorf("it may speak from:\n%s", got)
	}
}

// What the lane writes about ports is what nft writes, byte for byte.
func TestPortElementsAsNftWritesThem(t *testing.T) {
	node := newBridgeNode(t)
	pod := bridgePod(node, "a", "10.1.0.2", "fd01::2")
	var listed [2]string
	for i, stop := range []bool{false, true} {
		a := startAgent(t, node, &source.Memory{}, func(c *Config) {
			if i == 1 {
				c.Transactor = tables.ByNft(node)
			}
		})
		a.set(shop())
		a.set(pod.object, allow("a", "a", "b", 80))
		listed[i] = string(bytes.Join(sortedLines(node.cmd("nft", "--debug=netlink", "list", "table", "bridge", "sluice")), nil))
		a.stop()
		if !stop {
			node.cmd("nft", "delete", "table", "bridge", "sluice")
		}
	}
	if diff := cmp.Diff(listed[1], listed[0]); diff != "" {
		t.Errorf("by nft, by the lane:\n%s", diff)
	}
	if !strings.Contains(listed[0], "10.1.0.2") {
		t.Errorf("nothing is guarded:\n%s", listed[0])
	}
}

func sortedLines(text string) [][]byte {
	lines := bytes.SplitAfter([]byte(text), []byte("\n"))
	lines = slices.DeleteFunc(lines, func(line []byte) bool { return bytes.Contains(line, []byte("packets ")) })
	slices.SortFunc(lines, bytes.Compare)
	return lines
}
