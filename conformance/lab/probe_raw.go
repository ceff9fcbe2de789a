package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// hub is the one raw socket of a protocol and family in a namespace: it is
// client and server at once, because each raw socket gets each packet.
type hub struct {
	fd       int
	protocol uint8
	v6       bool

	mu sync.Mutex
	// served are the ports that answer; only SCTP asks.
	served map[netip.AddrPort]int
	// waiting are the flows without an answer, by the number they sent.
	waiting map[uint64]*attempt
}

type hubKey struct {
	ns       *Namespace
	protocol uint8
	family   int
}

// carries says why a protocol cannot be sent by raw sockets.
func carries(protocol uint8, fam int) error {
	switch {
	case protocol == unix.IPPROTO_RAW:
		return fmt.Errorf("protocol 255 is reserved: the kernel sends but does not receive it")
	case fam == 1:
		switch protocol {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_FRAGMENT, unix.IPPROTO_DSTOPTS, unix.IPPROTO_NONE:
			return fmt.Errorf("protocol %d is an IPv6 extension header, not a protocol", protocol)
		}
	case protocol == unix.IPPROTO_IP:
		return fmt.Errorf("protocol 0 means any to the kernel's sockets")
	}
	return nil
}

// hub returns the namespace's raw socket of a protocol and makes it if need be.
func (s *servers) hub(ns *Namespace, protocol uint8, fam int) (*hub, error) {
	if err := carries(protocol, fam); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := hubKey{ns, protocol, fam}
	if h := s.hubs[key]; h != nil {
		return h, nil
	}
	h := &hub{
		protocol: protocol, v6: fam == 1,
		served: map[netip.AddrPort]int{}, waiting: map[uint64]*attempt{},
	}
	any := netip.IPv4Unspecified()
	info := setInt(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	sum := func(int) error { return nil }
	if h.v6 {
		any = netip.IPv6Unspecified()
		info = setInt(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		if protocol != SCTP {
			sum = setInt(unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, echoChecksum)
		}
	}
	err := ns.Do(func() error {
		var err error
		h.fd, err = openSocket(unix.SOCK_RAW, int(protocol), netip.AddrPortFrom(any, 0), info, sum, bigBuffer, reportErrors(any))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve protocol %d in %s: %w", protocol, ns.Name, err)
	}
	if err := s.poll.add(h.fd, unix.EPOLLIN, func(events uint32) { h.ready(events, s.poll) }); err != nil {
		return nil, fmt.Errorf("serve protocol %d in %s: %w", protocol, ns.Name, err)
	}
	s.hubs[key] = h
	return h, nil
}

// packet is what a raw socket received, without IP header.
type packet struct {
	src, dst netip.Addr
	payload  []byte
}

func (h *hub) ready(events uint32, p *poller) {
	if events&unix.EPOLLERR != 0 {
		h.readErrors(p)
	}
	for {
		pkt, err := h.receive(0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EBADF) {
			return
		}
		if err != nil {
			continue
		}
		if h.protocol == SCTP {
			h.sctp(pkt, p)
		} else {
			h.echo(pkt, p)
		}
	}
}

// receive reads one packet, or with MSG_ERRQUEUE one that came back in an ICMP
// error.
func (h *hub) receive(flags int) (packet, error) {
	b, oob := make([]byte, 2048), make([]byte, 256)
	n, oobn, _, from, err := unix.Recvmsg(h.fd, b, oob, flags)
	if err != nil {
		return packet{}, err
	}
	pkt := packet{src: addrPort(from).Addr(), dst: destination(oob[:oobn]), payload: b[:n]}
	if h.v6 || flags&unix.MSG_ERRQUEUE != 0 {
		return pkt, nil
	}
	if n < 20 || n < int(b[0]&15)*4 {
		return packet{}, fmt.Errorf("short packet")
	}
	pkt.payload = b[int(b[0]&15)*4 : n]
	return pkt, nil
}

// destination is the address that a packet was sent to, from its control
// message.
func destination(oob []byte) netip.Addr {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 12:
			return netip.AddrFrom4([4]byte(m.Data[8:12]))
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			return netip.AddrFrom16([16]byte(m.Data[:16]))
		}
	}
	return netip.Addr{}
}

// send sends from an address of its namespace.
func (h *hub) send(src, dst netip.Addr, payload []byte) error {
	var oob []byte
	if h.v6 {
		oob = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: src.As16()})
	} else {
		oob = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: src.As4()})
	}
	_, err := unix.SendmsgN(h.fd, payload, oob, sockaddr(netip.AddrPortFrom(dst, 0)), 0)
	return err
}

// readErrors takes ICMP errors off the socket and gives each to its flow.
func (h *hub) readErrors(p *poller) {
	for {
		pkt, err := h.receive(unix.MSG_ERRQUEUE)
		if err != nil {
			// Also clears the error that made us look.
			_ = socketError(h.fd)
			return
		}
		number, ok := echoNumber(pkt.payload, echoRequest)
		if h.protocol == SCTP {
			number, ok = sctpRequestTag(pkt.payload)
		}
		if ok {
			h.settle(number, Result{Outcome: Refused, Err: unix.EHOSTUNREACH}, p)
		}
	}
}

// settle gives a flow its outcome.
func (h *hub) settle(number uint64, r Result, p *poller) {
	if a := h.forget(number); a != nil {
		a.finish(r)
		p.moved()
	}
}

// forget returns the flow that waits under a number and ends its wait.
func (h *hub) forget(number uint64) *attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.waiting[number]
	delete(h.waiting, number)
	return a
}

func (h *hub) expect(a *attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting[a.number] = a
}

func (h *hub) expects(number uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting[number] != nil
}

// Of protocols that the lab knows nothing of, requests and answers are a word,
// the flow's number and a checksum: nftables' reject verifies one in every
// protocol that it does not know, before it answers.
const (
	echoRequest  = "sluice?\n"
	echoAnswer   = "sluice!\n"
	echoChecksum = 16
)

func (h *hub) echoPacket(word string, number uint64) []byte {
	b := append(binary.BigEndian.AppendUint64([]byte(word), number), 0, 0)
	if h.v6 {
		// The kernel fills it in, because it covers addresses.
		return b
	}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[echoChecksum:], ^uint16(sum))
	return b
}

func echoNumber(payload []byte, word string) (uint64, bool) {
	if len(payload) < 16 || string(payload[:8]) != word {
		return 0, false
	}
	return binary.BigEndian.Uint64(payload[8:]), true
}

func (h *hub) echo(pkt packet, p *poller) {
	if number, ok := echoNumber(pkt.payload, echoRequest); ok {
		// Whether it arrives is what the client finds out.
		_ = h.send(pkt.dst, pkt.src, h.echoPacket(echoAnswer, number))
		return
	}
	if number, ok := echoNumber(pkt.payload, echoAnswer); ok {
		h.settle(number, Result{Outcome: Reached}, p)
	}
}

// serve counts users of a port; it answers while it has any.
func (h *hub) serve(a netip.AddrPort, users int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.served[a] += users; h.served[a] == 0 {
		delete(h.served, a)
	}
}

func (h *hub) serves(a netip.AddrPort) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.served[a] > 0
}

// startRaw sends a request of a protocol that the lab itself speaks on both
// ends.
func (l *Lab) startRaw(ns *Namespace, a *attempt) error {
	h, err := l.servers.hub(ns, a.flow.Protocol, family(a.flow.Src))
	if err != nil {
		return err
	}
	request := h.echoPacket(echoRequest, a.number)
	if a.flow.Protocol == SCTP {
		src := l.ports.next(a.flow.Src, SCTP)
		request = sctpPacket(src.Port(), a.flow.Port, 0, sctpInit, sctpInitBody(uint32(a.number)))
	}
	a.hub = h
	h.expect(a)
	if err := h.send(a.flow.Src, a.flow.Dst, request); err != nil {
		h.forget(a.number)
		return err
	}
	return nil
}
