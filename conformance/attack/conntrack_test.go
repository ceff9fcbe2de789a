package attack_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

// These attacks are about what conntrack remembers, so they need a past.

// inEach runs a test in a lab with the engine, in each topology, for each
// family.
func inEach(t *testing.T, f func(t *testing.T, w *world, is6 bool)) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, topology, true)
			t.Run("ipv4", func(t *testing.T) { f(t, w, false) })
			t.Run("ipv6", func(t *testing.T) { f(t, w, true) })
		})
	}
}

// admit lets friend, or else nobody, reach the victim's ports.
func (w *world) admit(ports ...networkingv1.NetworkPolicyPort) {
	w.t.Helper()
	rule := networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{enforced.PeerApp(friend)}, Ports: ports}
	if len(ports) == 0 {
		w.Set(enforced.DenyIngress(namespace, victim))
		return
	}
	w.Set(enforced.DenyIngress(namespace, victim, rule))
}

// reaches reports whether a frame arrives at the target. A new token goes with
// each frame, the flow stays the same.
func (s *scene) reaches(t *testing.T, frame func(s *scene) []byte, expected bool) bool {
	t.Helper()
	again := *s
	again.t, again.token = t, newToken()
	again.inject(one(frame(&again)))
	within := 4 * soon
	if expected {
		within = eventually
	}
	return again.arrivals().arrives(again.token, within)
}

func (s *scene) expect(t *testing.T, what string, want bool, frame func(s *scene) []byte) {
	t.Helper()
	if got := s.reaches(t, frame, want); got != want {
		t.Errorf("%s: arrives is %v, want %v", what, got, want)
	}
}

// forget deletes all connections of the node.
func (w *world) forget() {
	w.t.Helper()
	if err := w.node.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }); err != nil {
		w.t.Fatal(err)
	}
}

// TestAttackPickUp: a denied connection that conntrack forgot does not come
// back the wrong way round when the other end speaks.
func TestAttackPickUp(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		for _, c := range []cut{
			{friend, victim, policies()[1], enforced.DenyIngress(namespace, victim)},
			{caged, open, policies()[3], enforced.DenyEgress(namespace, caged)},
		} {
			t.Run(fmt.Sprintf("from %s to %s", c.from, c.to), func(t *testing.T) {
				// Without the rules about connections that are picked up in the
				// middle it does come back, or else this would prove nothing.
				s := c.stream(t, w, lab.TCPPush, is6)
				w.StopAgents()
				w.nft(t, "flush chain inet sluice midstream\n")
				w.forget()
				if err := s.Await(timeout(t), 1); err != nil {
					t.Errorf("without the rules: %v", err)
				}
				s.Stop()
				w.StartAgents()
				for _, kind := range []lab.StreamKind{lab.TCPSend, lab.TCPPush} {
					s := c.stream(t, w, kind, is6)
					for range 5 {
						w.forget()
						time.Sleep(4 * soon)
					}
					if r := s.Stop(); r.Received > 0 {
						t.Errorf("%s: %d messages after it was denied and forgotten", kind, r.Received)
					}
				}
			})
		}
	})
}

// cut is a connection that a policy allows and another one denies.
type cut struct {
	from, to    string
	allow, deny any
}

// stream has been allowed and is denied now.
func (c *cut) stream(t *testing.T, w *world, kind lab.StreamKind, is6 bool) *lab.Stream {
	t.Helper()
	w.Set(c.allow)
	s, err := w.Stream(lab.Flow{Src: w.addr(c.from, is6), Dst: w.addr(c.to, is6), Port: allowedPort}, kind, 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	if err := s.Await(timeout(t), 5); err != nil {
		t.Fatalf("allowed: %v", err)
	}
	w.Set(c.deny)
	time.Sleep(soon)
	s.Lap()
	return s
}

// foreign adds a table of somebody else's to the node's nftables for the time
// of a test.
func (w *world) foreign(t *testing.T, body string) {
	t.Helper()
	w.nft(t, "table inet foreign {\n"+body+"\n}\n")
	t.Cleanup(func() { w.nft(t, "delete table inet foreign\n") })
}

func (w *world) nft(t *testing.T, script string) string {
	t.Helper()
	var out []byte
	err := w.node.Do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		var err error
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	return string(out)
}

// TestAttackUntracked: packets that another table keeps from conntrack are
// judged one by one.
func TestAttackUntracked(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		w.foreign(t, "chain pre { type filter hook prerouting priority raw; policy accept; notrack; }")
		tcp := func(port uint16, flags uint8) func(s *scene) []byte {
			return func(s *scene) []byte { return s.tcp(port, flags) }
		}
		udp := func(port uint16) func(s *scene) []byte {
			return func(s *scene) []byte { return s.udp(port) }
		}
		echo := func(s *scene) []byte { return s.echo() }
		for _, c := range []struct {
			what  string
			by    origin
			at    string
			want  bool
			frame func(s *scene) []byte
		}{
			{"SYN", byAttacker, victim, false, tcp(allowedPort, syn)},
			{"ACK", byAttacker, victim, false, tcp(allowedPort, ack)},
			{"UDP", byAttacker, victim, false, udp(allowedPort)},
			{"ping", byAttacker, victim, false, echo},
			{"SYN", byOutsider, victim, false, tcp(allowedPort, syn)},
			{"UDP", byOutsider, victim, false, udp(allowedPort)},
			{"SYN to a denied port", byFriend, victim, false, tcp(deniedPort, syn)},
			{"ACK to a denied port", byFriend, victim, false, tcp(deniedPort, ack)},
			{"UDP to a denied port", byFriend, victim, false, udp(deniedPort)},
			{"ping past rules with ports", byFriend, victim, false, echo},
			{"UDP to a denied port", byCaged, open, false, udp(deniedPort)},
			{"SYN to a denied port", byCaged, open, false, tcp(deniedPort, syn)},
			{"ping", byCaged, open, false, echo},
			{"SYN to an allowed port", byFriend, victim, true, tcp(allowedPort, syn)},
			{"UDP to an allowed port", byFriend, victim, true, udp(allowedPort)},
			{"ping by a rule without ports", byFriend, fan, true, echo},
			{"ping past a rule for others", byAttacker, fan, false, echo},
			{"UDP to an allowed port", byCaged, open, true, udp(allowedPort)},
			{"UDP to a Pod that is not isolated", byAttacker, open, true, udp(deniedPort)},
			{"ping of a Pod that is not isolated", byOutsider, open, true, echo},
		} {
			newScene(t, w, c.by, c.at, is6, newToken()).expect(t, c.what+" from "+c.by.name+" to "+c.at, c.want, c.frame)
		}
		forged := newScene(t, w, byAttacker, victim, is6, newToken()).from(w.addr(friend, is6))
		s := newScene(t, w, byAttacker, victim, is6, newToken())
		s.src = forged.src
		s.expect(t, "UDP with the allowed Pod's address", false, udp(allowedPort))
		// The node's own connections.
		l := lab.Flow{Src: w.nodeAddr(is6), Dst: w.addr(victim, is6), Protocol: lab.TCP, Port: probedPort}
		if reached, err := w.Probe(timeout(t), []lab.Flow{l}); err != nil || !reached[0] {
			t.Errorf("probe from the node: %v, %v", reached, err)
		}
	})
}

// TestAttackOutOfWindow: who knows a connection and not where it stands gets
// nothing into it.
func TestAttackOutOfWindow(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		to := netip.AddrPortFrom(w.addr(victim, is6), allowedPort)
		var listener net.Listener
		var conn net.Conn
		err := w.pod(victim).Do(func() (err error) {
			listener, err = net.Listen("tcp", to.String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		last, err := w.pod(victim).Capture("eth0", func(frame []byte) bool { return segmentOf(frame, is6) != nil })
		if err != nil {
			t.Fatal(err)
		}
		defer last.Stop()
		err = w.pod(friend).Do(func() (err error) {
			conn, err = net.DialTimeout("tcp", to.String(), eventually)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		// The handshake is SYN and ACK, then comes the byte.
		var segment []byte
		for len(segment) < 20 || segment[13]&psh == 0 {
			frame := last.First(timeout(t), patience)
			if frame == nil {
				t.Fatal("the connection was not seen")
			}
			segment = segmentOf(frame, is6)
		}
		s := newScene(t, w, byFriend, victim, is6, newToken())
		within := func(offset uint32, flags uint8) func(s *scene) []byte {
			return func(s *scene) []byte {
				b := append([]byte(nil), segment[:20]...)
				b[12], b[13], b[16], b[17] = 5<<4, flags, 0, 0
				binary.BigEndian.PutUint32(b[4:], binary.BigEndian.Uint32(segment[4:])+1+offset)
				return s.ip(unix.IPPROTO_TCP, s.withChecksum(unix.IPPROTO_TCP, 16, append(b, s.token...)))
			}
		}
		s.expect(t, "data far ahead", false, within(0x30000000, psh|ack))
		s.expect(t, "RST far ahead", false, within(0x30000000, rst))
		s.expect(t, "SYN ACK", false, within(0, syn|ack))
		s.expect(t, "FIN SYN", false, within(0, fin|syn))
		s.expect(t, "data in its place", true, within(0, psh|ack))
	})
}

// segmentOf is the TCP segment to the allowed port in a frame, nil if there is
// none.
func segmentOf(frame []byte, is6 bool) []byte {
	header, protocol := 20, 9
	if is6 {
		header, protocol = 40, 6
	}
	if len(frame) < 14+header+20 || frame[14+protocol] != unix.IPPROTO_TCP {
		return nil
	}
	b := frame[14+header:]
	if binary.BigEndian.Uint16(b[2:]) != allowedPort {
		return nil
	}
	return b
}
