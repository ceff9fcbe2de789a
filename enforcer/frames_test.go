package enforcer

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listening collects the frames that come to an interface, with their link headers.
type listening struct {
	mu     sync.Mutex
	frames [][]byte
}

const everyProtocol = 0x0300 // ETH_P_ALL in network byte order

func packetSocket(t testing.TB, n testNS, device string) (fd int) {
	t.Helper()
	err := n.Do(func() error {
		i, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, everyProtocol); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everyProtocol, Ifindex: i.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// tap hears what comes in at a Pod, whoever it is addressed to.
func (p testPod) tap() *listening {
	p.t.Helper()
	fd := packetSocket(p.t, p.testNS, "eth0")
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	l := &listening{}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			select {
			case <-done:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				continue
			}
			if a, ok := from.(*unix.SockaddrLinklayer); ok && a.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			l.mu.Lock()
			l.frames = append(l.frames, bytes.Clone(buf[:n]))
			l.mu.Unlock()
		}
	}()
	p.t.Cleanup(func() { close(done); <-ended })
	return l
}

func (l *listening) heard(token string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, f := range l.frames {
		if bytes.Contains(f, []byte(token)) {
			n++
		}
	}
	return n
}

// emit puts frames on a Pod's link.
func (p testPod) emit(frames ...[]byte) {
	p.t.Helper()
	fd := packetSocket(p.t, p.testNS, "eth0")
	for _, f := range frames {
		if _, err := unix.Write(fd, f); err != nil {
			p.t.Fatal(err)
		}
	}
}

func hardware(text string) []byte {
	mac, err := net.ParseMAC(text)
	if err != nil {
		panic(err) // a mistake in a test
	}
	return mac
}

// ethernet is a frame of the given type.
func ethernet(to, from string, kind uint16, payload []byte) []byte {
	b := append(hardware(to), hardware(from)...)
	return append(binary.BigEndian.AppendUint16(b, kind), payload...)
}

// datagramFrom is a UDP datagram to port 9, in a frame.
func datagramFrom(toMAC, fromMAC string, src, dst netip.Addr, token string) []byte {
	return ethernet(toMAC, fromMAC, map[bool]uint16{true: unix.ETH_P_IP, false: unix.ETH_P_IPV6}[src.Is4()], packetOf(src, dst, token))
}

func packetOf(src, dst netip.Addr, token string) []byte {
	udp := []byte{0x9c, 0x40, 0, 9}
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(token)))
	udp = append(append(udp, 0, 0), token...)
	if src.Is4() {
		h := []byte{0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, unix.IPPROTO_UDP, 0, 0}
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(udp)))
		h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(h[10:], onesComplement(h))
		return append(h, udp...)
	}
	pseudo := append(append(src.AsSlice(), dst.AsSlice()...), 0, 0, 0, byte(len(udp)), 0, 0, 0, unix.IPPROTO_UDP)
	binary.BigEndian.PutUint16(udp[6:], onesComplement(append(pseudo, udp...)))
	h := []byte{0x60, 0, 0, 0, 0, 0, unix.IPPROTO_UDP, 64}
	binary.BigEndian.PutUint16(h[4:], uint16(len(udp)))
	return append(append(append(h, src.AsSlice()...), dst.AsSlice()...), udp...)
}

func onesComplement(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		if i+1 < len(b) {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		} else {
			sum += uint32(b[i]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// redirect sends what a Pod sends through another device by tc, as the bandwidth
// plug-in does for kubernetes.io/egress-bandwidth. shaped puts a queue there, too.
func (n testNS) redirect(veth string, shaped bool) {
	n.t.Helper()
	n.ip("link add bwp0 type ifb\nlink set bwp0 up")
	if shaped {
		n.cmd("tc", "qdisc", "add", "dev", "bwp0", "root", "tbf", "rate", "100mbit", "burst", "100kb", "latency", "50ms")
	}
	n.cmd("tc", "qdisc", "add", "dev", veth, "ingress")
	n.cmd("tc", "filter", "add", "dev", veth, "parent", "ffff:", "protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "bwp0")
}

// soon is how long what must not arrive is waited for.
const soon = 300 * time.Millisecond
