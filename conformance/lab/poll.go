package lab

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for all sockets of the lab in one goroutine, in which all
// handlers run: what they touch needs no lock.
type poller struct {
	epoll int
	// wake is an eventfd that interrupts the wait for calls.
	wake int

	mu    sync.Mutex
	calls []func()
	// handlers are by an id of their own: a number of a closed socket may
	// come back while an event of the old one is still on the table.
	handlers map[int32]handler
	ids      map[int]int32
	lastID   int32
	stopped  bool
	// progress is when a handler last said that something went on.
	progress time.Time
	done     chan struct{}
}

// handler is told which events are ready on its socket.
type handler func(events uint32)

var errStopped = errors.New("the lab is closed")

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	p := &poller{
		epoll: epoll, wake: wake, progress: time.Now(),
		handlers: map[int32]handler{}, ids: map[int]int32{}, done: make(chan struct{}),
	}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN})
	if err != nil {
		unix.Close(epoll)
		unix.Close(wake)
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	go p.run()
	return p, nil
}

// add watches a socket, which is the poller's to close from then on.
func (p *poller) add(fd int, events uint32, h handler) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		unix.Close(fd)
		return errStopped
	}
	p.lastID++
	id := p.lastID
	err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: id})
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("watch socket: %w", err)
	}
	p.handlers[id], p.ids[fd] = h, id
	return nil
}

// release stops watching a socket and gives it back to the caller. It reports
// whether the poller still had it.
func (p *poller) release(fd int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ok := p.ids[fd]
	if !ok {
		return false
	}
	delete(p.ids, fd)
	delete(p.handlers, id)
	// It cannot fail for a socket that is watched and open.
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	return true
}

// close stops watching a socket and closes it.
func (p *poller) close(fd int) {
	if p.release(fd) {
		unix.Close(fd)
	}
}

// do runs f in the poller's goroutine and waits for it. It must not be called
// from a handler.
func (p *poller) do(f func()) error {
	finished := make(chan struct{})
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return errStopped
	}
	p.calls = append(p.calls, func() { f(); close(finished) })
	p.mu.Unlock()
	p.interrupt()
	select {
	case <-finished:
		return nil
	case <-p.done:
		return errStopped
	}
}

func (p *poller) interrupt() {
	// The counter cannot overflow: the poller empties it each time.
	_, _ = unix.Write(p.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// moved notes that something went on.
func (p *poller) moved() {
	p.mu.Lock()
	p.progress = time.Now()
	p.mu.Unlock()
}

// quietFor is how long nothing has gone on.
func (p *poller) quietFor() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.progress)
}

func (p *poller) run() {
	defer close(p.done)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(p.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd == 0 {
				if !p.runCalls() {
					return
				}
				continue
			}
			p.mu.Lock()
			h := p.handlers[e.Fd]
			p.mu.Unlock()
			if h != nil {
				h(e.Events)
			}
		}
	}
}

// runCalls reports false when the poller is to stop.
func (p *poller) runCalls() bool {
	var b [8]byte
	_, _ = unix.Read(p.wake, b[:])
	p.mu.Lock()
	calls, stopped := p.calls, p.stopped
	p.calls = nil
	p.mu.Unlock()
	for _, f := range calls {
		f()
	}
	return !stopped
}

// stop ends the goroutine and closes all sockets.
func (p *poller) stop() {
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	p.stopped = true
	p.mu.Unlock()
	p.interrupt()
	<-p.done
	for fd := range p.ids {
		unix.Close(fd)
	}
	p.ids, p.handlers = nil, nil
	unix.Close(p.wake)
	unix.Close(p.epoll)
}
