package enforcer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// neighbour is a host on the link of cni0's uplink, eth9: no Pod, and known to nobody.
func neighbour(node testNS) testPod {
	node.t.Helper()
	p := bridgePod(node, "outside", "10.1.0.9", "fd01::9")
	node.ip("link set %s down\nlink set %s name eth9\nlink set eth9 up", p.veth, p.veth)
	p.veth = "eth9"
	return p
}

// tag is one of a VLAN, as it stands in a frame: 802.1Q's or 802.1ad's.
type tag struct{ kind, number uint16 }

var (
	priority, customer = tag{unix.ETH_P_8021Q, 0}, tag{unix.ETH_P_8021Q, 10}
	provider           = tag{unix.ETH_P_8021AD, 0}
)

func withTags(frame []byte, tags ...tag) []byte {
	out := slices.Clone(frame[:12])
	for _, t := range tags {
		out = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(out, t.kind), t.number)
	}
	return append(out, frame[12:]...)
}

// A priority is no VLAN: the node takes the tag off, and those behind it, and routes what
// is inside. Nobody passes for a Pod behind any number of them.
func TestNobodyPosesAsAPodBehindATag(t *testing.T) {
	c := newCluster(t, "bridge")
	outside := neighbour(c.node)
	a := startAgent(t, c.node, &source.Memory{})
	fromFront := allow("web", "web", "front", 80)
	fromFront.Spec.Ingress[0].Ports = nil
	a.set(append(c.objects(), fromFront)...)
	atWeb, atBad := c.web.tap(), c.bad.tap()
	node := strings.TrimSpace(c.node.cmd("cat", "/sys/class/net/cni0/address"))
	for name, tags := range map[string][]tag{
		"no tag": nil, "802.1Q": {priority}, "802.1ad": {provider}, "two of 802.1Q": {priority, priority},
		"802.1Q in 802.1ad": {provider, priority}, "802.1ad in 802.1Q": {priority, provider}, "three": {priority, priority, priority},
	} {
		for i := range 2 {
			token := fmt.Sprintf("%s-%d", name, i)
			own := withTags(datagramFrom(node, outside.mac, outside.addr(i), c.bad.addr(i), token+"-own"), tags...)
			if len(tags) < 2 && !arrives(outside, atBad, own, token+"-own", true) {
				t.Errorf("%s: what is its own does not arrive", token)
			}
			posed := withTags(datagramFrom(node, outside.mac, c.front.addr(i), c.web.addr(i), token+"-posed"), tags...)
			if arrives(outside, atWeb, posed, token+"-posed", false) {
				t.Errorf("%s: what it sends in front's name arrives", token)
			}
		}
	}
}

// Nor does it get a Pod's traffic by saying so behind a tag.
func TestNobodySaysBehindATagThatItIsAPod(t *testing.T) {
	c := newCluster(t, "bridge")
	outside := neighbour(c.node)
	a := startAgent(t, c.node, &source.Memory{})
	a.set(c.objects()...)
	node := strings.TrimSpace(c.node.cmd("cat", "/sys/class/net/cni0/address"))
	for name, tags := range map[string][]tag{"no tag": nil, "one": {priority}, "two": {priority, priority}} {
		c.node.ip("neigh replace %s lladdr %s dev cni0 nud stale\nneigh replace %s lladdr %s dev cni0 nud stale", c.front.addr(0), c.front.mac, c.front.addr(1), c.front.mac)
		c.node.ip("neigh replace %s lladdr %s dev cni0 nud stale\nneigh replace %s lladdr %s dev cni0 nud stale", outside.addr(0), nobodyMAC, outside.addr(1), nobodyMAC)
		outside.emit(
			withTags(ethernet(node, outside.mac, unix.ETH_P_ARP, arpFrom(outside.mac, c.front.addr(0), netip.MustParseAddr("10.1.0.1"))), tags...),
			withTags(ethernet(node, outside.mac, unix.ETH_P_IPV6, advertised(c.front.addr(1), outside.mac)), tags...),
			// What comes after them is its own, and tells that they were dealt with.
			ethernet(node, outside.mac, unix.ETH_P_ARP, arpFrom(outside.mac, outside.addr(0), netip.MustParseAddr("10.1.0.1"))),
			ethernet(node, outside.mac, unix.ETH_P_IPV6, advertised(outside.addr(1), outside.mac)),
		)
		known := func(a netip.Addr) string { return c.node.cmd("ip", "neigh", "show", a.String(), "dev", "cni0") }
		eventually(t, name+": its own is heard", func() bool {
			return strings.Contains(known(outside.addr(0)), outside.mac) && strings.Contains(known(outside.addr(1)), outside.mac)
		})
		for i := range 2 {
			if got := known(c.front.addr(i)); !strings.Contains(got, c.front.mac) {
				t.Errorf("%s: the node believes %s", name, got)
			}
		}
	}
}

// advertised is an advertisement that an address is at a hardware address (RFC 4861, 4.4),
// which overrides what was known.
func advertised(addr netip.Addr, mac string) []byte {
	to := netip.MustParseAddr("ff02::1")
	body := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, addr.AsSlice()...)
	body = append(append(body, 2, 1), hardware(mac)...)
	pseudo := append(append(addr.AsSlice(), to.AsSlice()...), 0, 0, 0, byte(len(body)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(body[2:], onesComplement(append(pseudo, body...)))
	h := []byte{0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_ICMPV6, 255}
	return append(append(append(h, addr.AsSlice()...), to.AsSlice()...), body...)
}

// A Pod without a guard may have a use for tags. Where policies isolate it, what comes with
// one would reach it past them: it takes a priority off, as the node does.
func TestATagLeadsNobodyPastThePoliciesOfAPodWithoutAGuard(t *testing.T) {
	c := newCluster(t, "bridge")
	outside := neighbour(c.node)
	c.web.object.Annotations = map[string]string{policy.GuardAnnotation: "off"}
	c.bad.object.Annotations = c.web.object.Annotations
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Compiler.GuardOptOut = true })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	atWeb, atBad := c.web.tap(), c.bad.tap()
	for name, tags := range map[string][]tag{"no tag": nil, "802.1Q": {priority}, "a VLAN": {customer}, "802.1ad": {provider}, "two": {provider, customer}} {
		for i := range 2 {
			token := fmt.Sprintf("%s-%d", name, i)
			for _, to := range []struct {
				pod  testPod
				at   *listening
				want bool
			}{{c.bad, atBad, true}, {c.web, atWeb, false}} {
				token := token + to.pod.object.Name
				frame := withTags(datagramFrom(to.pod.mac, outside.mac, outside.addr(i), to.pod.addr(i), token), tags...)
				if arrives(outside, to.at, frame, token, to.want) != to.want {
					t.Errorf("%s to %s, which is isolated if it is web: want %t", token, to.pod.object.Name, to.want)
				}
			}
		}
	}
	// Once policies isolate nobody, nothing has to be seen.
	a.delete(allow("web", "web", "front", 80))
	if frame := withTags(datagramFrom(c.web.mac, outside.mac, outside.addr(0), c.web.addr(0), "free"), priority); !arrives(outside, atWeb, frame, "free", true) {
		t.Error("a tag keeps a Pod that is not isolated from what it is sent")
	}
}

// The switch for tagged frames is asked for where they reach Pods, and nowhere else; and it
// is never set, for it is the whole namespace's.
func TestTheSwitchForTaggedFramesIsAskedForWhereItIsNeeded(t *testing.T) {
	node := newBridgeNode(t)
	node.ip("link set cni0 type bridge nf_call_iptables 1 nf_call_ip6tables 1")
	for _, filters := range []bool{false, true} {
		for _, strangers := range []bool{false, true} {
			for _, on := range []int{0, 1} {
				for _, checkOnly := range []bool{false, true} {
					node.cmd("sysctl", "-qw", fmt.Sprintf("net.bridge.bridge-nf-filter-vlan-tagged=%d", on))
					bridge := readBridge(t, node)
					bridge.FiltersVLANs, bridge.Strangers = filters, strangers
					got, err := bridgeNetfilter{ns: node, checkOnly: checkOnly}.Ensure([]links.Bridge{bridge})
					what := fmt.Sprintf("filters VLANs %t, strangers %t, switch %d, only checking %t", filters, strangers, on, checkOnly)
					if want := filters && strangers && on == 0; (err != nil) != want || got.changed {
						t.Errorf("%s: %+v, %v", what, got, err)
					}
					c := bridgeTroubles(err)
					if err != nil && (len(c) != 1 || c[0].Object != "bridge cni0" || !c[0].NotReady() || !strings.Contains(c[0].Mend, "sysctl -w net.bridge.bridge-nf-filter-vlan-tagged=1")) {
						t.Errorf("%s: %v", what, c)
					}
					if now := strings.TrimSpace(node.cmd("sysctl", "-n", "net.bridge.bridge-nf-filter-vlan-tagged")); now != fmt.Sprint(on) {
						t.Errorf("%s: it is %s now", what, now)
					}
				}
			}
		}
	}
}
