package sctp

import (
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// maxBacklog associations wait for AcceptSCTP; others have to ask again.
	maxBacklog = 128
	// packetBuffer holds the largest packet.
	packetBuffer = 65536
)

// SCTPListener answers those who dial its port.
type SCTPListener struct {
	addr    *SCTPAddr
	port    uint16
	secret  []byte
	wires   []*wire
	claimed claim
	backlog chan *SCTPConn
	done    chan struct{} // closed by Close

	mu       sync.Mutex
	conns    map[flow]*SCTPConn
	refusals claim // the zero claim: somebody else refuses
	closed   bool
}

var _ net.Listener = (*SCTPListener)(nil)

// ListenSCTP listens on a port, or on a free one if it is 0, at one address or at
// all. A port that is listened on at one address is taken at the others too.
func ListenSCTP(network string, laddr *SCTPAddr) (*SCTPListener, error) {
	l, err := listen(network, laddr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "sctp", Addr: laddr, Err: named("listen", err)}
	}
	return l, nil
}

func listen(network string, laddr *SCTPAddr) (*SCTPListener, error) {
	suffix, err := familyOf(network)
	if err != nil {
		return nil, err
	}
	ip, err := laddr.ip()
	if err != nil {
		return nil, err
	}
	port, err := laddr.port()
	if err != nil {
		return nil, err
	}
	claimed, port, err := claimPort(port)
	if err != nil {
		return nil, err
	}
	wires, err := listenWires(suffix, ip)
	if err != nil {
		claimed.Close()
		return nil, err
	}
	l := &SCTPListener{
		addr: &SCTPAddr{Port: int(port)}, port: port, secret: make([]byte, 32), wires: wires, claimed: claimed,
		backlog: make(chan *SCTPConn, maxBacklog), done: make(chan struct{}), conns: map[flow]*SCTPConn{},
	}
	if ip.IsValid() {
		l.addr = sctpAddr(ip, port)
	}
	_, _ = rand.Read(l.secret) // never fails
	for _, w := range wires {
		go l.serve(w)
	}
	return l, nil
}

// listenWires opens a wire for the address, or one for each family that the
// network has and the kernel knows.
func listenWires(suffix string, ip netip.Addr) ([]*wire, error) {
	wanted := []netip.Addr{ip}
	if !ip.IsValid() {
		wanted = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	var wires []*wire
	var failure error
	for _, local := range wanted {
		if suffix == "4" && local.Is6() || suffix == "6" && local.Is4() {
			continue
		}
		w, err := listenWire(local)
		switch {
		case err == nil:
			wires = append(wires, w)
		case errors.Is(err, syscall.EAFNOSUPPORT) && len(wanted) > 1:
			// A kernel without IPv6 serves IPv4.
		default:
			failure = errors.Join(failure, err)
		}
	}
	if failure == nil && len(wires) == 0 {
		failure = syscall.EAFNOSUPPORT
	}
	if failure != nil {
		for _, w := range wires {
			w.close()
		}
		return nil, failure
	}
	return wires, nil
}

// AcceptSCTP waits for the next association.
func (l *SCTPListener) AcceptSCTP() (*SCTPConn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "sctp", Addr: l.addr, Err: net.ErrClosed}
	}
}

// Accept is AcceptSCTP.
func (l *SCTPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptSCTP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Addr is where the listener listens.
func (l *SCTPListener) Addr() net.Addr { return l.addr }

// Close stops listening. Associations that were accepted go on, others are
// aborted.
func (l *SCTPListener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	l.closed = true
	close(l.done)
	l.mu.Unlock()
	for {
		select {
		case c := <-l.backlog:
			c.step(func(a *association, _ time.Time) { a.abort(syscall.ECONNABORTED) })
			continue
		default:
		}
		break
	}
	l.forget(flow{}, nil)
	return nil
}

// forget drops a connection, and with the last one of a closed listener its
// sockets.
func (l *SCTPListener) forget(f flow, c *SCTPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[f] == c {
		delete(l.conns, f)
	}
	if !l.closed || len(l.conns) > 0 {
		return
	}
	for _, w := range l.wires {
		w.close()
	}
	l.claimed.Close()
	if l.refusals.UnixConn != nil {
		l.refusals.Close()
	}
}

// serve takes all SCTP packets of a family.
func (l *SCTPListener) serve(w *wire) {
	buf := make([]byte, packetBuffer)
	for {
		b, at, err := w.read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !at.local.IsValid() || !at.remote.IsValid() {
			continue
		}
		p, err := parsePacket(b)
		if err != nil {
			continue
		}
		if p.dst == l.port {
			l.take(w, at, p)
		} else if !portClaimed(p.dst) && l.refuses() {
			refuse(w, at, p)
		}
	}
}

// take gives a packet to its association, or begins one.
func (l *SCTPListener) take(w *wire, at ends, p packet) {
	f := flow{at.local, at.remote, p.dst, p.src}
	l.mu.Lock()
	c, closed := l.conns[f], l.closed
	l.mu.Unlock()
	switch first := p.chunks[0]; {
	case first.kind == chunkInit && !closed:
		if answer, ok := initAck(p, f, l.secret, time.Now()); ok {
			_ = w.write(answer.marshal(), at)
		}
		return
	case first.kind == chunkCookieEcho && !closed:
		k, ok := openCookie(first.value, l.secret, f, time.Now())
		if !ok || p.tag != k.localTag {
			return
		}
		if c == nil || !c.begunWith(k) {
			l.begin(w, at, f, p, k, c)
			return
		}
	}
	if c == nil {
		refuse(w, at, p)
		return
	}
	c.step(func(a *association, now time.Time) { a.receive(p, now) })
}

// begin makes an association of a cookie that came back. One between the same
// ports has been given up by the client.
func (l *SCTPListener) begin(w *wire, at ends, f flow, p packet, k cookie, old *SCTPConn) {
	if old != nil {
		old.step(func(a *association, _ time.Time) { a.end(syscall.ECONNRESET) })
	}
	var c *SCTPConn
	c = newConn(accept(p.dst, p.src, k), sctpAddr(at.local, p.dst), sctpAddr(at.remote, p.src),
		func(b []byte) error { return w.write(b, at) },
		func() { l.forget(f, c) })
	c.accepted = true
	l.mu.Lock()
	if l.closed || len(l.backlog) == cap(l.backlog) {
		l.mu.Unlock()
		return
	}
	l.conns[f] = c
	l.backlog <- c // has room: only this function, under the lock, adds to it
	l.mu.Unlock()
	p.chunks = p.chunks[1:]
	c.step(func(a *association, now time.Time) { a.receive(p, now) })
}

// begunWith says if the connection is the one that the cookie was for.
func (c *SCTPConn) begunWith(k cookie) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.a.localTag == k.localTag && c.a.remoteTag == k.remoteTag
}

// refuses says if this listener answers for ports that nobody claimed.
func (l *SCTPListener) refuses() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusals.UnixConn == nil && !l.closed {
		if c, err := claimRefusals(); err == nil {
			l.refusals = c
		}
	}
	return l.refusals.UnixConn != nil
}

// refuse answers a packet that belongs to no association. An answer that is lost
// is asked for again, here as elsewhere.
func refuse(w *wire, at ends, p packet) {
	if answer, ok := refusal(p); ok {
		_ = w.write(answer.marshal(), at)
	}
}
