package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

// sendEvery is how often each end sends to each other on the flows that live, freshEvery
// in how many rounds it does so on new ones.
var sendEvery = 100 * time.Millisecond

const freshEvery = 3

// firstLongPort is where long flows come from at first. Whenever they are replaced
// by new ones they take the next of so many.
const (
	firstLongPort = 5000
	longPorts     = 1000
)

// seen is what was sent on long flows, what the kernel did not take of it, and
// what arrived of anything.
type seen struct {
	sent     []datagram
	unsent   []datagram
	arrivals []arrival
}

// prober sends from every end to every other all the time.
type prober struct {
	model *model
	hosts []*lab.Namespace
	run   uint32

	open []*net.UDPConn
	// senders end with the context, listeners when their sockets are closed.
	senders, done sync.WaitGroup
	stop          context.CancelFunc
	// unsent counts what the kernel did not take, for there was no way.
	unsent atomic.Int64

	mu sync.Mutex
	// long is each end's socket of a family for flows that live, retired are those
	// of the flows before: answers may be under way to them. renewals counts.
	long, retired [][2]*net.UDPConn
	renewals      int
	seen          seen
	err           error
}

// startProber listens at all ends, and sends.
func startProber(ctx context.Context, m *model, hosts []*lab.Namespace) (*prober, error) {
	ctx, stop := context.WithCancel(ctx)
	p := &prober{model: m, hosts: hosts, run: uint32(time.Now().UnixNano()), stop: stop}
	for e := range hosts {
		for family := range 2 {
			for _, port := range ports {
				c, err := p.listen(e, family, port)
				if err != nil {
					p.close()
					return nil, err
				}
				p.done.Go(func() { p.serve(c) })
			}
		}
	}
	if err := p.renew(); err != nil {
		p.close()
		return nil, err
	}
	for e := range hosts {
		p.senders.Go(func() { p.send(ctx, e) })
	}
	return p, nil
}

// renew replaces all long flows by new ones.
func (p *prober) renew() error {
	port := p.longPort(1)
	fresh := make([][2]*net.UDPConn, len(p.hosts))
	for e := range p.hosts {
		for family := range 2 {
			c, err := p.listen(e, family, port)
			if err != nil {
				return err
			}
			fresh[e][family] = c
			p.done.Go(func() { p.hear(c) })
		}
	}
	p.mu.Lock()
	old := p.retired
	p.long, p.retired = fresh, p.long
	p.renewals++
	p.mu.Unlock()
	for _, pair := range old {
		p.drop(pair[0])
		p.drop(pair[1])
	}
	return nil
}

// longPort is where long flows come from after some more renewals.
func (p *prober) longPort(more int) uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint16(firstLongPort + (p.renewals+more)%longPorts)
}

// flow is an end's socket for long flows.
func (p *prober) flow(e, family int) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.long[e][family]
}

// listen opens a socket at an end's address, with the kernel's time of arrival.
func (p *prober) listen(e, family int, port uint16) (*net.UDPConn, error) {
	var c *net.UDPConn
	err := p.hosts[e].Do(func() error {
		var err error
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.model.ends[e].addrs[family], port)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", p.model.ends[e].name, err)
	}
	raw, err := c.SyscallConn()
	if err == nil {
		var inner error
		err = raw.Control(func(fd uintptr) {
			inner = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
		})
		err = errors.Join(err, inner)
	}
	p.mu.Lock()
	p.open = append(p.open, c)
	p.mu.Unlock()
	return c, err
}

// A datagram's payload: a run of the test, what it is, when it was sent.
const payloadSize = 4 + 1 + 1 + 4 + 4 + 8

func (p *prober) payload(d datagram, echo bool) []byte {
	b := binary.BigEndian.AppendUint32(nil, p.run)
	k := byte(d.kind)
	if echo {
		k |= 0x80
	}
	b = append(b, k, byte(d.by))
	b = binary.BigEndian.AppendUint32(b, uint32(d.class))
	b = binary.BigEndian.AppendUint32(b, d.seq)
	return binary.BigEndian.AppendUint64(b, uint64(d.sent))
}

func (p *prober) parse(b []byte) (d datagram, echo, ours bool) {
	if len(b) < payloadSize || binary.BigEndian.Uint32(b) != p.run {
		return d, false, false
	}
	return datagram{
		kind: kind(b[4] &^ 0x80), by: int(b[5]), class: int(binary.BigEndian.Uint32(b[6:])), seq: binary.BigEndian.Uint32(b[10:]),
		sent: int64(binary.BigEndian.Uint64(b[14:])),
	}, b[4]&0x80 != 0, true
}

// receive waits for a datagram and records it.
func (p *prober) receive(c *net.UDPConn, b, oob []byte) (arrival, netip.AddrPort, error) {
	for {
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(b, oob)
		if err != nil {
			return arrival{}, from, err
		}
		d, echo, ours := p.parse(b[:n])
		if !ours {
			continue
		}
		a := arrival{datagram: d, echo: echo, at: stampOf(oob[:oobn])}
		p.mu.Lock()
		p.seen.arrivals = append(p.seen.arrivals, a)
		p.mu.Unlock()
		return a, from, nil
	}
}

// stampOf is when the kernel got a datagram.
func stampOf(oob []byte) int64 {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
				return int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:]))
			}
		}
	}
	return time.Now().UnixNano()
}

// serve echoes until the socket is closed.
func (p *prober) serve(c *net.UDPConn) {
	b, oob := make([]byte, 2048), make([]byte, 256)
	for {
		a, from, err := p.receive(c, b, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || a.echo {
			continue
		}
		// Where there is no way back, the checker sees it.
		_, _ = c.WriteToUDPAddrPort(p.payload(a.datagram, true), from)
	}
}

// hear records echoes.
func (p *prober) hear(c *net.UDPConn) {
	b, oob := make([]byte, 2048), make([]byte, 256)
	for {
		if _, _, err := p.receive(c, b, oob); errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// send sends from an end until the context ends.
func (p *prober) send(ctx context.Context, e int) {
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	var old [2]*net.UDPConn
	var seq uint32
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		seq++
		for family := range 2 {
			p.sendAll(p.flow(e, family), e, family, long, seq)
			if int(seq)%freshEvery != 0 {
				continue
			}
			if old[family] != nil {
				p.drop(old[family])
				old[family] = nil
			}
			c, err := p.listen(e, family, 0)
			if err != nil && unreachable(err) {
				continue // its address is on its way to another veth
			}
			if err != nil {
				p.fail(err)
				return
			}
			old[family] = c
			p.done.Go(func() { p.hear(c) })
			p.sendAll(c, e, family, fresh, seq)
		}
	}
}

func (p *prober) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = errors.Join(p.err, err)
}

// drop closes a socket that has served.
func (p *prober) drop(c *net.UDPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range p.open {
		if o == c {
			p.open = append(p.open[:i], p.open[i+1:]...)
			break
		}
	}
	_ = c.Close()
}

func (p *prober) sendAll(c *net.UDPConn, e, family int, k kind, seq uint32) {
	for to := range p.hosts {
		for port := range ports {
			if to == e {
				continue
			}
			d := datagram{class: p.model.class(e, to, family, port), kind: k, seq: seq, sent: time.Now().UnixNano()}
			if k == long {
				// Before it is sent: the echo must not be there first.
				p.note(d, &p.seen.sent)
			}
			_, err := c.WriteToUDPAddrPort(p.payload(d, false), netip.AddrPortFrom(p.model.ends[to].addrs[family], ports[port]))
			if err != nil {
				p.unsent.Add(1)
				p.note(d, &p.seen.unsent)
				if !unreachable(err) {
					return
				}
			}
		}
	}
}

func (p *prober) note(d datagram, list *[]datagram) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*list = append(*list, d)
}

// unreachable: the kernel knows no way, as while a veth is made anew.
func unreachable(err error) bool {
	for _, e := range []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EINVAL, syscall.EADDRNOTAVAIL, syscall.ECONNREFUSED, syscall.ENOBUFS, syscall.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// take hands over what was seen since the last time.
func (p *prober) take() (*seen, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seen
	p.seen = seen{}
	return &s, p.err
}

func (p *prober) close() {
	p.stop()
	p.senders.Wait()
	p.mu.Lock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
}
