package attack_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

const (
	tunnelPort = 8472
	tunnelID   = 42
)

// remote is a Pod of another node, as the overlay knows it.
func remote(is6 bool) netip.Addr {
	if is6 {
		return netip.MustParseAddr("fd88::5")
	}
	return netip.MustParseAddr("10.88.0.5")
}

func (w *world) command(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out []byte
	err := w.node.Do(func() error {
		var err error
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// overlay gives the node a device as flannel makes it, for outer packets of one
// family, and brings its hardware address.
func (w *world) overlay(t *testing.T, is6 bool) string {
	t.Helper()
	name := "vx4"
	if is6 {
		name = "vx6"
	}
	w.command(t, "ip", "link", "add", name, "type", "vxlan", "id", fmt.Sprint(tunnelID), "dstport", fmt.Sprint(tunnelPort),
		"nolearning", "local", w.nodeAddr(is6).String())
	w.command(t, "ip", "link", "set", name, "up")
	t.Cleanup(func() { w.command(t, "ip", "link", "del", name) })
	return name
}

// farEnd adds the address of another node.
func (w *world) farEnd(t *testing.T, device string, a netip.Addr) {
	t.Helper()
	b := a.AsSlice()
	mac := net.HardwareAddr{0x0a, 0x58, 0, 0, b[0], b[len(b)-1]}
	w.command(t, "bridge", "fdb", "append", mac.String(), "dev", device, "dst", a.String())
}

// awaitFarEnd waits until the agent has a far end in force. Elsewhere in the table an
// address may stand for other reasons, as in what was reported of it.
func (w *world) awaitFarEnd(t *testing.T, a netip.Addr) {
	t.Helper()
	set := "tunnel-peers-v4"
	if a.Is6() {
		set = "tunnel-peers-v6"
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if strings.Contains(w.nftList(t, "set", "inet", "sluice", set), a.String()) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v is in no set of far ends", a)
		}
	}
}

// tunnelled is a packet of the remote Pod's to the target, in VXLAN to one of the
// node's addresses or another node's.
func (s *scene) tunnelled(device string, to netip.Addr) []byte {
	inner := s.from(remote(s.is6()))
	inner.srcMAC, inner.dstMAC = []byte{0x0a, 0x58, 0, 0, 0, 5}, hardwareAddr(s.t, s.w.node, device)
	header := []byte{8, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(header[4:], tunnelID<<8)
	outer := s.to(to, nil)
	if s.sender != s.w.Outside() {
		for _, name := range podNames {
			if p := s.w.pod(name); p.Namespace == s.sender {
				outer.dstMAC = p.GatewayMAC
			}
		}
	}
	outer.token = slices.Concat(header, inner.udp(deniedPort))
	return outer.ip(unix.IPPROTO_UDP, outer.datagram(s.sourcePort(), tunnelPort))
}

// TestAttackThroughTheTunnel: nobody but the far ends reaches a tunnel of the node's,
// by whatever address, and no Pod those of other nodes.
func TestAttackThroughTheTunnel(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			t.Parallel()
			bare, guarded := newWorld(t, topology, false), newWorld(t, topology, true)
			for _, is6 := range []bool{false, true} {
				t.Run(map[bool]string{false: "ipv4", true: "ipv6"}[is6], func(t *testing.T) {
					throughTheTunnel(t, bare, guarded, is6)
				})
			}
		})
	}
}

func throughTheTunnel(t *testing.T, bare, guarded *world, is6 bool) {
	other, outside := netip.MustParseAddr("192.0.2.77"), outsider
	if is6 {
		other, outside = netip.MustParseAddr("2001:db8:77::1"), netip.MustParseAddr("2001:db8::66")
	}
	send := func(w *world, device string, by origin, to func(s *scene) netip.Addr, want bool) {
		t.Helper()
		s := newScene(t, w, by, open, is6, newToken())
		s.expect(t, "inner packet from "+by.name, want, func(s *scene) []byte { return s.tunnelled(device, to(s)) })
	}
	node := func(s *scene) netip.Addr { return s.w.nodeAddr(is6) }
	// On ptp the node has no address among the Pods'.
	gateway := func(s *scene) netip.Addr { return s.gateway() }
	if bare.topology == lab.PTP {
		gateway = node
	}
	others := []origin{byAttacker, byStray, byFriend, byOutsider}

	device := bare.overlay(t, is6)
	for _, by := range others {
		send(bare, device, by, node, true)
	}
	send(bare, device, byAttacker, gateway, true)

	device = guarded.overlay(t, is6)
	guarded.farEnd(t, device, other)
	guarded.awaitFarEnd(t, other)
	for _, by := range others {
		send(guarded, device, by, node, false)
	}
	send(guarded, device, byAttacker, gateway, false)

	// What is no far end may have a tunnel of its own; what is may not have a Pod's.
	heard := newRecorder(t, guarded.Outside())
	leaves := func(what string, want bool) {
		t.Helper()
		s := newScene(t, guarded, byAttacker, open, is6, newToken())
		s.inject(one(s.tunnelled(device, outside)))
		within := 4 * soon
		if want {
			within = eventually
		}
		if got := heard.arrives(s.token, within); got != want {
			t.Errorf("to %s: arrives is %v, want %v", what, got, want)
		}
	}
	leaves("somebody's own tunnel", true)
	guarded.farEnd(t, device, outside)
	guarded.awaitFarEnd(t, outside)
	leaves("another node's tunnel", false)
	send(guarded, device, byOutsider, node, true)
	send(guarded, device, byAttacker, node, false)
}
