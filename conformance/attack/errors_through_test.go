package attack_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAttackErrorsThroughServices: the ends of a flow are known by their own
// addresses, whatever was translated.
func TestAttackErrorsThroughServices(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		family, service := "ip", netip.MustParseAddr("10.96.7.7")
		if is6 {
			family, service = "ip6", netip.MustParseAddr("fd96::7")
		}
		const servicePort, maskedPort = 80, 81
		for _, port := range []uint16{servicePort, maskedPort} {
			hidden := port == maskedPort
			rules := fmt.Sprintf("chain pre { type nat hook prerouting priority dstnat; %s daddr %s udp dport %d dnat %s to %s; }",
				family, service, port, family, netip.AddrPortFrom(w.addr(victim, is6), allowedPort))
			if hidden {
				// Policies know the peer by its own address all the same: it is
				// translated after they were asked.
				rules += fmt.Sprintf("\nchain post { type nat hook postrouting priority srcnat; %s saddr %s udp dport %d masquerade; }",
					family, w.addr(friend, is6), allowedPort)
			}
			t.Run(fmt.Sprintf("masquerade %t", hidden), func(t *testing.T) {
				w.foreign(t, rules)
				const sport = 4300
				client := newScene(t, w, byFriend, victim, is6, newToken())
				client.dst, client.dstMAC = service, w.pod(friend).GatewayMAC
				client.expect(t, "flow", true, func(s *scene) []byte { return s.ip(unix.IPPROTO_UDP, s.datagram(sport, port)) })
				at := w.heard[victim]
				seen := datagramIn(t, at, is6)

				// The client complains about what the Service sent.
				answer := datagramFlow{from: service, to: w.addr(friend, is6), sport: port, dport: sport}
				client.expect(t, "error of the client", true, func(s *scene) []byte { return s.complaint(icmpErrorKinds[1], s.packetOf(answer)) })
				// The backend complains about what it saw.
				back := newScene(t, w, byVictim, friend, is6, newToken())
				back.dst, back.dstMAC = seen.from, w.pod(victim).GatewayMAC
				if !hidden {
					back.dstMAC = back.hop(friend)
				}
				back.expect(t, "error of the backend", true, func(s *scene) []byte { return s.complaint(icmpErrorKinds[0], s.packetOf(seen)) })
				for _, by := range []origin{byAttacker, byCaged} {
					s := newScene(t, w, by, victim, is6, newToken())
					s.dst, s.dstMAC = service, w.pod(by.pod).GatewayMAC
					s.expect(t, "error to the Service from "+by.name, false, func(s *scene) []byte { return s.complaint(icmpErrorKinds[1], s.packetOf(answer)) })
					s = newScene(t, w, by, friend, is6, newToken())
					s.dst, s.dstMAC = seen.from, w.pod(by.pod).GatewayMAC
					s.expect(t, "error to the client from "+by.name, false, func(s *scene) []byte { return s.complaint(icmpErrorKinds[0], s.packetOf(seen)) })
				}
			})
		}
	})
}

// TestAttackErrorsToTheNode: a flow of the node's own ends when its other end says
// so, and not when another Pod does.
func TestAttackErrorsToTheNode(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		heard := func(port uint16) func() bool {
			var c *net.UDPConn
			err := w.node.Do(func() (err error) {
				c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(w.addr(victim, is6), port)))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			local := c.LocalAddr().(*net.UDPAddr).AddrPort()
			for _, by := range []origin{byAttacker, byCaged, byStray} {
				s := newScene(t, w, by, victim, is6, newToken())
				s.dst, s.dstMAC = local.Addr().Unmap(), w.pod(by.pod).GatewayMAC
				s.inject(one(s.complaint(icmpErrorKinds[0], s.packetOf(datagramFlow{
					from: s.dst, to: w.addr(victim, is6), sport: local.Port(), dport: port,
				}))))
			}
			return func() bool {
				_ = c.SetReadDeadline(time.Now().Add(8 * soon))
				_, err := c.Read(make([]byte, 1))
				return errors.Is(err, unix.ECONNREFUSED)
			}
		}
		// Somebody is there, and says nothing.
		const silent, closed = 9191, 9192
		err := w.pod(victim).Do(func() error {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(w.addr(victim, is6), silent)))
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if heard(silent)() {
			t.Error("the node believes what a Pod says of another's flow")
		}
		if !heard(closed)() {
			t.Error("the node does not hear that a Pod's port is closed")
		}
	})
}

// datagramIn is the flow of the last datagram that a Pod got.
func datagramIn(t *testing.T, r *recorder, is6 bool) datagramFlow {
	t.Helper()
	frame := r.latest()
	header, src, size := 20, 12, 4
	if is6 {
		header, src, size = 40, 8, 16
	}
	if len(frame) < 14+header+8 {
		t.Fatalf("no datagram: % x", frame)
	}
	ip := frame[14:]
	from, _ := netip.AddrFromSlice(ip[src : src+size])
	to, _ := netip.AddrFromSlice(ip[src+size : src+2*size])
	port := func(at int) uint16 { return uint16(ip[header+at])<<8 | uint16(ip[header+at+1]) }
	return datagramFlow{from: from, to: to, sport: port(0), dport: port(2)}
}
