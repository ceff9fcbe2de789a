package packetpath

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// callers is how many connections are under way at a time: enough to keep both
// processors busy, few enough that latency is not the queue's.
const callers = 2

// connections has the client's callers connect one after the other. The server
// answers a byte and closes; the client resets what is left, so that neither
// runs out of ports.
func (s *site) connections(d time.Duration) (map[Metric]float64, error) {
	listener, err := listen(s.server, unix.SOCK_STREAM, httpPort)
	if err != nil {
		return nil, err
	}
	var servers, clients sync.WaitGroup
	for range callers {
		servers.Go(func() { answer(listener) })
	}
	latencies := make([][]time.Duration, callers)
	errs := make([]error, callers)
	warm := time.Now().Add(warmUp)
	end := warm.Add(d)
	var before time.Duration
	for i := range callers {
		clients.Go(func() { latencies[i], errs[i] = s.call(warm, end) })
	}
	time.Sleep(time.Until(warm))
	before = usage()
	clients.Wait()
	cpu := usage() - before
	took := time.Since(warm)
	// Whoever waits in accept is woken by this.
	_ = unix.Shutdown(listener, unix.SHUT_RDWR)
	servers.Wait()
	_ = unix.Close(listener)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("connections: %w", err)
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return nil, errors.New("connections: none in the whole time")
	}
	slices.Sort(all)
	return map[Metric]float64{
		Connections:   float64(len(all)) / took.Seconds(),
		ConnectionP50: micros(all[len(all)/2]),
		ConnectionP99: micros(all[len(all)*99/100]),
		ConnectionCPU: micros(cpu) / float64(len(all)),
	}, nil
}

// call connects again and again and tells how long each took from warm on.
func (s *site) call(warm, end time.Time) ([]time.Duration, error) {
	var out []time.Duration
	err := s.client.Do(func() error {
		to := sockaddr(s.server.Pod.Addrs[0], httpPort)
		abort := unix.Linger{Onoff: 1}
		buf := make([]byte, 1)
		for now := time.Now(); now.Before(end); {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			err = errors.Join(
				unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &abort),
				exchange(fd, to, buf),
			)
			answered := time.Now()
			if err == nil {
				_, err = unix.Read(fd, buf) // the server's end
			}
			_ = unix.Close(fd)
			if err != nil {
				return err
			}
			if now.After(warm) {
				out = append(out, answered.Sub(now))
			}
			now = time.Now()
		}
		return nil
	})
	return out, err
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
func answer(listener int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, 1)
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		if n, err := unix.Read(fd, buf); n == 1 && err == nil {
			_, _ = unix.Write(fd, buf)
		}
		_ = unix.Close(fd)
	}
}
