package sctp

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// lingerTime is how long a client's Close waits for the server: time for one
	// repetition.
	lingerTime = 1500 * time.Millisecond
	// turnTime is how long a server's end stays open after Close for a client that
	// has not said anything yet. SCTP cannot be closed in one direction only: to
	// write after the peer has closed is an error, and a client that finds an
	// answer before it asked is not to fail for that.
	turnTime = 5 * time.Second
)

// SCTPConn is one end of an association. Each Write is a message; a Read returns
// one, or what earlier Reads left of it.
type SCTPConn struct {
	local, remote *SCTPAddr
	accepted      bool
	transmit      func([]byte) error
	gone          func() // called once, when the association has ended

	mu            sync.Mutex
	a             *association
	timer         *time.Timer
	changed       chan struct{} // closed when anything changes
	readDeadline  time.Time
	writeDeadline time.Time
	released      bool
}

var _ net.Conn = (*SCTPConn)(nil)

func newConn(a *association, local, remote *SCTPAddr, transmit func([]byte) error, gone func()) *SCTPConn {
	return &SCTPConn{local: local, remote: remote, a: a, transmit: transmit, gone: gone, changed: make(chan struct{})}
}

// step lets something happen to the association, sends what it has to say, and
// sets the timer.
func (c *SCTPConn) step(happen func(a *association, now time.Time)) {
	c.mu.Lock()
	happen(c.a, time.Now())
	c.flush()
	gone := c.a.state == closed && !c.released
	c.released = c.released || gone
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	if gone {
		c.gone()
	}
}

func (c *SCTPConn) flush() {
	// What cannot be sent is lost, and repeated, as if the network had lost it.
	for len(c.a.outbox) > 0 {
		b := c.a.outbox[0]
		c.a.outbox = c.a.outbox[1:]
		var errno syscall.Errno
		if err := c.transmit(b); errors.As(err, &errno) {
			c.a.unreachable(errno)
		}
	}
	switch {
	case c.a.timeout.IsZero():
		if c.timer != nil {
			c.timer.Stop()
		}
	case c.timer == nil:
		c.timer = time.AfterFunc(time.Until(c.a.timeout), func() { c.step((*association).tick) })
	default:
		c.timer.Reset(time.Until(c.a.timeout))
	}
}

// wait returns when ready, which is asked under the lock after each change, says
// so, or at the deadline if there is one.
func (c *SCTPConn) wait(deadline *time.Time, ready func() bool) error {
	for {
		c.mu.Lock()
		if ready() {
			c.mu.Unlock()
			return nil
		}
		changed, until := c.changed, *deadline
		c.mu.Unlock()
		if until.IsZero() {
			<-changed
			continue
		}
		left := time.Until(until)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Read returns io.EOF once the peer has closed and everything was read.
func (c *SCTPConn) Read(b []byte) (n int, err error) {
	late := c.wait(&c.readDeadline, func() bool {
		switch {
		case c.a.deaf:
			err = net.ErrClosed
		case len(c.a.unread) > 0:
			n = copy(b, c.a.unread[0])
			if c.a.unread[0] = c.a.unread[0][n:]; len(c.a.unread[0]) == 0 {
				c.a.unread = c.a.unread[1:]
			}
		case c.a.err != nil:
			err = c.a.err
		case c.a.state >= shutdownReceived:
			err = io.EOF
		default:
			return false
		}
		return true
	})
	if errors.Is(err, io.EOF) {
		return n, io.EOF
	}
	return n, c.failure("read", errors.Join(late, err))
}

// Write sends one message of 1 to maxMessage bytes. It returns before the peer
// has acknowledged it.
func (c *SCTPConn) Write(b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return 0, c.failure("write", syscall.EINVAL)
	case len(b) > maxMessage:
		return 0, c.failure("write", syscall.EMSGSIZE)
	}
	for {
		var err error
		late := c.wait(&c.writeDeadline, func() bool {
			switch {
			case c.a.deaf:
				err = net.ErrClosed
			case c.a.err != nil:
				err = c.a.err
			case c.a.state != established:
				err = syscall.EPIPE
			}
			return err != nil || len(c.a.outstanding) < maxOutstanding
		})
		if err := errors.Join(late, err); err != nil {
			return 0, c.failure("write", err)
		}
		written := false
		c.step(func(a *association, now time.Time) { written = a.write(b, now) })
		if written {
			return len(b), nil
		}
	}
}

// Close ends the association in good order. A client's waits for the server's
// consent, for lingerTime at most, since a client's process may end right after
// it. A server's returns at once, and the rest happens while its process goes on.
func (c *SCTPConn) Close() error {
	again := false
	c.step(func(a *association, now time.Time) {
		again = a.deaf
		a.ignore()
		if !c.accepted {
			a.shutdown(now)
		}
	})
	switch {
	case again:
		return c.failure("close", net.ErrClosed)
	case c.accepted:
		go c.closeInTurn()
		return nil
	}
	limit := time.Now().Add(lingerTime)
	if c.wait(&limit, func() bool { return c.a.state == closed }) != nil {
		c.step(func(a *association, _ time.Time) { a.abort(nil) })
	}
	return nil
}

// closeInTurn closes a server's end once the client has said something.
func (c *SCTPConn) closeInTurn() {
	limit := time.Now().Add(turnTime)
	_ = c.wait(&limit, func() bool { return c.a.heard || c.a.state != established })
	c.step((*association).shutdown)
}

func (c *SCTPConn) failure(op string, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = os.NewSyscallError(op, errno)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		err = os.ErrDeadlineExceeded
	}
	return &net.OpError{Op: op, Net: "sctp", Source: c.local, Addr: c.remote, Err: err}
}

// LocalAddr is this end's address.
func (c *SCTPConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's address.
func (c *SCTPConn) RemoteAddr() net.Addr { return c.remote }

// SCTPRemoteAddr is the peer's address too: a connection is only ever one
// association.
func (c *SCTPConn) SCTPRemoteAddr(int) (*SCTPAddr, error) { return c.remote, nil }

// SetDeadline bounds reads and writes, those under way too. The zero time is none.
func (c *SCTPConn) SetDeadline(t time.Time) error {
	c.step(func(*association, time.Time) { c.readDeadline, c.writeDeadline = t, t })
	return nil
}

// SetReadDeadline bounds reads.
func (c *SCTPConn) SetReadDeadline(t time.Time) error {
	c.step(func(*association, time.Time) { c.readDeadline = t })
	return nil
}

// SetWriteDeadline bounds writes.
func (c *SCTPConn) SetWriteDeadline(t time.Time) error {
	c.step(func(*association, time.Time) { c.writeDeadline = t })
	return nil
}
