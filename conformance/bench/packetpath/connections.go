package packetpath

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// callers is how many connections are under way at a time: enough to keep both
// processors busy, few enough that latency is not the queue's.
const callers = 2

// connections has callers connect one after the other, each with a processor of
// its own and a server on the same one: the kernel gives a connection to the
// listener of the processor that its first packet comes in on. The server answers a
// byte and closes; the client resets what is left, so that neither runs out of
// ports.
func (s *site) connections() (*traffic, error) {
	listeners, err := s.listeners()
	if err != nil {
		return nil, err
	}
	var count atomic.Int64
	calls := make([][]done, len(s.processors))
	t := &traffic{count: func() (int, error) { return int(count.Load()), nil }}
	t.metrics = func(r reading) map[Metric]float64 {
		rate := 0.0
		var latencies []float64
		for _, c := range calls {
			c = within(c, r)
			rate += callRate(c)
			for _, one := range c {
				latencies = append(latencies, micros(one.answered))
			}
		}
		return map[Metric]float64{
			Connections: rate, ConnectionCPU: r.cpuEach(),
			ConnectionP50: quantile(latencies, 0.5), ConnectionP99: quantile(latencies, 0.99),
		}
	}
	var clients sync.WaitGroup
	for i, cpu := range s.processors {
		t.generate(cpu, func() error { return answer(listeners[i]) })
		clients.Add(1)
		t.generate(cpu, func() error {
			defer clients.Done()
			return s.client.Do(func() error {
				for !t.ended.Load() {
					one, err := call(s.server.Pod.Addrs[0])
					if err != nil {
						return fmt.Errorf("connections: %w", err)
					}
					calls[i] = append(calls[i], one)
					count.Add(1)
				}
				return nil
			})
		})
	}
	t.unblock = func() {
		clients.Wait()
		// Whoever waits in accept is woken by this.
		for _, l := range listeners {
			_ = unix.Shutdown(l, unix.SHUT_RDWR)
		}
	}
	t.free = func() { closeAll(listeners) }
	return t, nil
}

// done is a connection that came to its end: when, and how long it took to be
// answered.
type done struct {
	at       time.Time
	answered time.Duration
}

// within are the connections that ended in a window.
func within(calls []done, r reading) []done {
	at := func(t time.Time) int {
		i, _ := slices.BinarySearchFunc(calls, t, func(d done, t time.Time) int { return d.at.Compare(t) })
		return i
	}
	return calls[at(r.from):at(r.to)]
}

// callRate is the rate of one caller, who has a connection in the time that the
// median one takes from the end of the one before to its own. When the machine does
// something else, or is not given its processors, some take many times as long, and
// a mean would tell of these.
func callRate(calls []done) float64 {
	var rates []float64
	for n := 1; n < len(calls); n++ {
		rates = append(rates, 1/calls[n].at.Sub(calls[n-1].at).Seconds())
	}
	return quantile(rates, 0.5)
}

// listeners are one for each processor, all on the same port.
func (s *site) listeners() ([]int, error) {
	var out []int
	for _, cpu := range s.processors {
		l, err := listen(s.server, unix.SOCK_STREAM, httpPort, func(fd int) error {
			return errors.Join(
				unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
				unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_INCOMING_CPU, cpu),
			)
		})
		if err != nil {
			closeAll(out)
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// call makes a connection, and ends it.
func call(server netip.Addr) (done, error) {
	start := time.Now()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return done{}, err
	}
	buf := make([]byte, 1)
	err = errors.Join(
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		exchange(fd, sockaddr(server, httpPort), buf),
	)
	answered := time.Since(start)
	if err == nil {
		_, err = unix.Read(fd, buf) // the server's end
	}
	_ = unix.Close(fd)
	return done{time.Now(), answered}, err
}

func exchange(fd int, to unix.Sockaddr, buf []byte) error {
	if err := unix.Connect(fd, to); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if _, err := unix.Write(fd, buf); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if n, err := unix.Read(fd, buf); n != 1 {
		return fmt.Errorf("read %d bytes: %w", n, err)
	}
	return nil
}

// answer serves until the listener is shut.
func answer(listener int) error {
	buf := make([]byte, 1)
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINVAL):
			return nil
		case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		if n, err := unix.Read(fd, buf); n == 1 && err == nil {
			_, _ = unix.Write(fd, buf)
		}
		_ = unix.Close(fd)
	}
}
