package live

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

// A flood is UDP flows of which each datagram says when it was sent: whether
// one came through that was sent after a change does not depend on how busy
// the machine is. The lab's streams tell stalls and gaps of few flows; this is
// for many flows at full rate.
type flood struct {
	t     testing.TB
	lab   *lab.Lab
	start time.Time
	flows []*floodFlow
	sinks map[netip.AddrPort]*net.UDPConn

	stop     atomic.Bool
	senders  sync.WaitGroup
	reading  sync.WaitGroup
	received atomic.Uint64
}

// floodFlow counts one flow. Times are in nanoseconds since the flood began.
type floodFlow struct {
	number   int
	src, dst netip.AddrPort
	conn     *net.UDPConn

	sent, received atomic.Uint64
	// forbidden is since when nothing that is sent may arrive, 0 for never.
	forbidden atomic.Int64
	// escaped are datagrams that came through all the same.
	escaped atomic.Uint64
}

const datagramSize = 12

// newFlood opens sockets; nothing is sent yet.
func newFlood(t testing.TB, l *lab.Lab) *flood {
	f := &flood{t: t, lab: l, start: time.Now(), sinks: map[netip.AddrPort]*net.UDPConn{}}
	t.Cleanup(f.close)
	return f
}

// add adds a flow and what receives it.
func (f *flood) add(src, dst netip.AddrPort) *floodFlow {
	f.t.Helper()
	flow := &floodFlow{number: len(f.flows), src: src, dst: dst}
	if f.sinks[dst] == nil {
		f.sinks[dst] = f.socket(dst.Addr(), func() (*net.UDPConn, error) {
			return net.ListenUDP("udp", net.UDPAddrFromAddrPort(dst))
		})
	}
	flow.conn = f.socket(src.Addr(), func() (*net.UDPConn, error) {
		return net.DialUDP("udp", net.UDPAddrFromAddrPort(src), net.UDPAddrFromAddrPort(dst))
	})
	f.flows = append(f.flows, flow)
	return flow
}

// socket opens a socket where an address is, with room for what waits while
// others have the processors.
func (f *flood) socket(at netip.Addr, open func() (*net.UDPConn, error)) (conn *net.UDPConn) {
	f.t.Helper()
	err := f.lab.Host(at).Do(func() (err error) {
		conn, err = open()
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		var option error
		err = errors.Join(raw.Control(func(fd uintptr) {
			option = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
		}), option)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return conn
}

// receive starts the readers; to be called when all flows were added.
func (f *flood) receive() {
	for _, sink := range f.sinks {
		f.reading.Go(func() {
			b := make([]byte, 64)
			for {
				n, err := sink.Read(b)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil && n == datagramSize {
					f.note(b)
				}
			}
		})
	}
}

func (f *flood) note(b []byte) {
	flow := f.flows[binary.BigEndian.Uint32(b)]
	sent := int64(binary.BigEndian.Uint64(b[4:]))
	flow.received.Add(1)
	f.received.Add(1)
	if since := flow.forbidden.Load(); since != 0 && sent > since {
		flow.escaped.Add(1)
	}
}

// send has one goroutine send on flows in turn until the flood ends, with a
// pause after each turn, or at full rate.
func (f *flood) send(pause time.Duration, flows ...*floodFlow) {
	f.senders.Go(func() {
		var b [datagramSize]byte
		for i := 0; !f.stop.Load(); i++ {
			flow := flows[i%len(flows)]
			binary.BigEndian.PutUint32(b[:], uint32(flow.number))
			binary.BigEndian.PutUint64(b[4:], uint64(f.now()))
			if _, err := flow.conn.Write(b[:]); err == nil {
				flow.sent.Add(1)
			}
			if pause > 0 && i%len(flows) == 0 {
				time.Sleep(pause)
			}
		}
	})
}

func (f *flood) now() int64 { return int64(time.Since(f.start)) }

// forbid says that nothing may come through of what is sent from now on.
func (f *flood) forbid(flows ...*floodFlow) {
	now := f.now()
	for _, flow := range flows {
		flow.forbidden.Store(now)
	}
}

// permit ends forbid. What was sent before is not looked at any more, so it
// waits for the readers first. A flood that comes through would not let it.
func (f *flood) permit(flows ...*floodFlow) {
	f.drain(flows)
	for _, flow := range flows {
		flow.forbidden.Store(0)
	}
}

// escaped is how many datagrams of the flows came through while forbidden.
func escaped(flows []*floodFlow) (n uint64) {
	for _, flow := range flows {
		n += flow.escaped.Load()
	}
	return n
}

// drain returns when the sockets that the flows lead to hold nothing to read.
func (f *flood) drain(flows []*floodFlow) {
	f.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for _, flow := range flows {
		for queued(f.sinks[flow.dst]) > 0 && escaped(flows) == 0 {
			if time.Now().After(deadline) {
				f.t.Fatal("the readers of a flood do not keep up")
			}
			time.Sleep(time.Millisecond)
		}
	}
	// What was taken out of the socket last is being counted.
	time.Sleep(5 * time.Millisecond)
}

// queued is how much a socket holds to be read.
func queued(conn *net.UDPConn) (n int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	if err != nil {
		return 0
	}
	return n
}

// end stops the senders and returns when all is counted.
func (f *flood) end() {
	f.stop.Store(true)
	f.senders.Wait()
	// A datagram may be in another processor's backlog.
	time.Sleep(100 * time.Millisecond)
	f.drain(f.flows)
}

func (f *flood) close() {
	f.stop.Store(true)
	f.senders.Wait()
	for _, flow := range f.flows {
		flow.conn.Close()
	}
	for _, sink := range f.sinks {
		sink.Close()
	}
	f.reading.Wait()
}

// alive waits until each of the flows came through again.
func (f *flood) alive(flows []*floodFlow) {
	f.t.Helper()
	var before []uint64
	for _, flow := range flows {
		before = append(before, flow.received.Load())
	}
	deadline := time.Now().Add(2 * time.Minute)
	for i, flow := range flows {
		for flow.received.Load() == before[i] {
			if time.Now().After(deadline) {
				f.t.Fatalf("flow %s to %s is allowed and does not come through", flow.src, flow.dst)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// lost is how many datagrams of the flows did not arrive. Only after end.
func lost(flows []*floodFlow) (n int64) {
	for _, flow := range flows {
		n += int64(flow.sent.Load()) - int64(flow.received.Load())
	}
	return n
}

// backlogDrops is how many packets the kernel dropped because a processor's
// queue was full: on a machine that is too busy, packets are lost before any
// rule sees them.
func backlogDrops(t testing.TB) (n uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			dropped, err := strconv.ParseUint(fields[1], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			n += dropped
		}
	}
	return n
}
