package controlpath

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Probe is the prober's process: between two network namespaces, given by
// path, it sends a packet each millisecond to the address, and answers each
// line that it reads with what arrived since the last. It ends with the input.
func Probe(in io.Reader, out io.Writer, from, to, address string) error {
	addr, err := netip.ParseAddr(address)
	if err != nil || !addr.Is4() {
		return fmt.Errorf("probe: %q is no IPv4 address", address)
	}
	const port = 4712
	target := &unix.SockaddrInet4{Port: port, Addr: addr.As4()}
	receiver, err := socketIn(to)
	if err != nil {
		return err
	}
	if err := unix.Bind(receiver, target); err != nil {
		return fmt.Errorf("probe: bind: %w", err)
	}
	if err := unix.SetsockoptInt(receiver, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("probe: ask for arrival times: %w", err)
	}
	sender, err := socketIn(from)
	if err != nil {
		return err
	}
	var w window
	go w.receive(receiver)
	go w.send(sender, target)
	answers := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		time.Sleep(5 * time.Millisecond) // what is on its way belongs to the window
		if err := answers.Encode(w.take()); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
	}
	return nil
}

// window is what was seen since the last answer.
type window struct {
	mu   sync.Mutex
	now  report
	last int64
	// sent is apart from the rest: the sender must not wait for those who have
	// not its priority.
	sent atomic.Int64
}

func (w *window) take() report {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.now
	out.Sent = int(w.sent.Swap(0))
	// A gap that is open counts as far as it got.
	if w.last != 0 {
		out.Gap = max(out.Gap, float64(time.Now().UnixNano()-w.last-int64(5*time.Millisecond))/1e6)
	}
	w.now = report{}
	return out
}

// receive notes when the kernel saw each packet arrive, which does not depend
// on when this process gets to run.
func (w *window) receive(fd int) {
	buf, control := make([]byte, 64), make([]byte, 128)
	for {
		_, n, _, _, err := unix.Recvmsg(fd, buf, control, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		at := arrival(control[:n])
		w.mu.Lock()
		if w.last != 0 && at > w.last {
			w.now.Gap = max(w.now.Gap, float64(at-w.last)/1e6)
		}
		w.last = at
		w.now.Received++
		w.mu.Unlock()
	}
}

func arrival(control []byte) int64 {
	messages, err := unix.ParseSocketControlMessage(control)
	if err == nil {
		for _, m := range messages {
			if m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:]))
			}
		}
	}
	return time.Now().UnixNano()
}

// send sends on time, whatever else runs.
func (w *window) send(fd int, target unix.Sockaddr) {
	runtime.LockOSThread()
	// Without the right to it the gaps contain waiting for a processor, which
	// makes them longer, not shorter.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 50}, 0)
	next := time.Now()
	for {
		if unix.Sendto(fd, make([]byte, 16), 0, target) == nil {
			w.sent.Add(1)
		}
		next = next.Add(time.Millisecond)
		if d := time.Until(next); d > 0 {
			ts := unix.NsecToTimespec(int64(d))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
		} else {
			next = time.Now()
		}
	}
}

// socketIn makes a UDP socket in a network namespace.
func socketIn(path string) (int, error) {
	ns, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("probe: %w", err)
	}
	defer ns.Close()
	type made struct {
		fd  int
		err error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- made{err: fmt.Errorf("probe: enter namespace: %w", err)}
			return
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		done <- made{fd: fd, err: err}
	}()
	m := <-done
	return m.fd, m.err
}
