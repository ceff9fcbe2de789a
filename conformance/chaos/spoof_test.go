package chaos

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

// spoof sends from Pods in others' names until the context ends. What is drawn
// here has a generator of its own: how often depends on the machine.
func (w *world) spoof(ctx context.Context, rng *rand.Rand) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var seq uint32
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		seq++
		attacker, claimed, target := rng.IntN(podCount), rng.IntN(len(w.model.ends)), rng.IntN(len(w.model.ends))
		if claimed == attacker || claimed == target || target == attacker {
			continue
		}
		family, port := rng.IntN(2), rng.IntN(2)
		d := datagram{class: w.model.class(claimed, target, family, port), kind: forged, by: attacker, seq: seq, sent: time.Now().UnixNano()}
		// Below the ports that the kernel gives to fresh flows, of which conntrack knows some
		// hundred: a packet with one of theirs would be hijacking.
		from := uint16(20000 + rng.IntN(10000))
		if rng.IntN(2) == 0 {
			from, d.kind = w.prober.longPort(0), hijacking
		}
		box := w.boxes[attacker]
		src, dst := box.ns.MAC, box.ns.GatewayMAC
		if w.topology == lab.Bridge && target < podCount && rng.IntN(2) == 0 {
			dst = w.boxes[target].ns.MAC
		}
		if w.topology == lab.Bridge && claimed < podCount && rng.IntN(3) == 0 {
			src = w.boxes[claimed].ns.MAC
		}
		frame := udpFrame(src, dst, netip.AddrPortFrom(w.model.ends[claimed].addrs[family], from),
			netip.AddrPortFrom(w.model.ends[target].addrs[family], ports[port]), w.prober.payload(d, false))
		// While its veth is made anew a sandbox has nothing to send by.
		_ = box.ns.Inject("eth0", frame)
	}
}

// udpFrame is a datagram as it is on the wire.
func udpFrame(srcMAC, dstMAC net.HardwareAddr, src, dst netip.AddrPort, payload []byte) []byte {
	udp := binary.BigEndian.AppendUint16(nil, src.Port())
	udp = binary.BigEndian.AppendUint16(udp, dst.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(append(udp, 0, 0), payload...)
	pseudo := append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(udp)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, unix.IPPROTO_UDP)
	binary.BigEndian.PutUint16(udp[6:], checksum(append(pseudo, udp...)))
	frame := append(append([]byte{}, dstMAC...), srcMAC...)
	if src.Addr().Is6() {
		frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(udp)))
		frame = append(frame, unix.IPPROTO_UDP, 64)
		frame = append(append(frame, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		return append(frame, udp...)
	}
	header := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	binary.BigEndian.PutUint16(header[2:], uint16(20+len(udp)))
	header = append(append(header, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return append(append(append(frame, 0x08, 0x00), header...), udp...)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
