//go:build linux

package nflog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/denials"
)

const (
	// Snap is how much of a packet is copied: headers. The rules ask for no more (logSnap
	// of package compiler).
	Snap = 128
	// receiveBuffer holds some thousand logs, until the reader has its turn on a busy node.
	receiveBuffer = 2 << 20
	// retryMin and retryMax are how soon a group is bound anew.
	retryMin = time.Second
	retryMax = 30 * time.Second
)

const (
	cfgCmd     = 1
	cfgMode    = 2
	cfgQthresh = 5
	cfgFlags   = 6

	cmdBind    = 1
	copyPacket = 2

	flagSeq       = 1
	flagConntrack = 4
)

// Reader reads a group of a namespace for as long as it is told to.
type Reader struct {
	// Namespace is the one that the rules are in, nil the process's own.
	Namespace Netns
	Group     uint16
	// Take gets what is logged, Lost how many logs the kernel had no room for. Both are
	// called by one goroutine, and must not block for long: what a log points to is
	// valid during the call.
	Take func(denials.Log)
	Lost func(n uint64)
	// Changed, if set, is called when Err has another answer.
	Changed func()

	mu    sync.Mutex
	bound bool
	// connections: the kernel describes the connection of a packet.
	connections bool
	err         error
}

// Err is why nothing is read, nil while the group is.
func (r *Reader) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Bound reports whether the group is being read.
func (r *Reader) Bound() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bound
}

// Connections reports whether the kernel tells what a packet's connection was opened to.
// It takes CONFIG_NETFILTER_NETLINK_GLUE_CT, which distributions set and small kernels
// may not.
func (r *Reader) Connections() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connections
}

func (r *Reader) describes(connections bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connections = connections
}

func (r *Reader) say(err error) {
	r.mu.Lock()
	changed := (err == nil) != (r.err == nil) || err != nil && err.Error() != r.err.Error()
	r.err, r.bound = err, err == nil
	r.mu.Unlock()
	if changed && r.Changed != nil {
		r.Changed()
	}
}

// Run reads until the context ends. Whatever fails, the group is bound anew.
func (r *Reader) Run(ctx context.Context) {
	retry := retryMin
	for ctx.Err() == nil {
		began := time.Now()
		err := r.read(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > retryMax {
			retry = retryMin
		}
		r.say(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retry):
		}
		retry = min(2*retry, retryMax)
	}
}

// read binds the group and reads until something fails.
func (r *Reader) read(ctx context.Context) error {
	s, err := openSocket(r.Namespace, receiveBuffer)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.close)
	defer func() {
		if stop() {
			s.close()
		}
	}()
	if err := r.bind(s); err != nil {
		return err
	}
	r.say(nil)
	count := counter{lost: r.Lost}
	for {
		b, err := s.receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// How many, the number of the next packet tells.
			count.overrun()
			continue
		case err != nil:
			return fmt.Errorf("read log group %d: %w", r.Group, err)
		}
		for m := range messages(b) {
			if m.kind != packetKind {
				continue
			}
			if l, ok := parsePacket(m.payload); ok {
				count.packet(&l)
				r.Take(l.Log)
			}
		}
	}
}

// bind takes the group. It says nothing of what the namespace's own logger is: rules that
// log to a group find it without.
func (r *Reader) bind(s *socket) error {
	if err := r.configure(s, cfgCmd, []byte{cmdBind}); err != nil {
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
			return fmt.Errorf("bind log group %d: %w: another program reads it, or the agent lacks NET_ADMIN; give --log-group another number", r.Group, err)
		}
		return fmt.Errorf("bind log group %d: %w", r.Group, err)
	}
	mode := append(binary.BigEndian.AppendUint32(nil, Snap), copyPacket, 0)
	// Each packet by itself, so that they come in their order and at once. The rules log
	// so few that this costs nothing.
	for _, c := range []struct {
		attr  uint16
		value []byte
	}{{cfgMode, mode}, {cfgQthresh, binary.BigEndian.AppendUint32(nil, 1)}} {
		if err := r.configure(s, c.attr, c.value); err != nil {
			return fmt.Errorf("set up log group %d: %w", r.Group, err)
		}
	}
	// A kernel without the module that describes connections has to do without. It may
	// have loaded it only now, and wants to be asked again.
	for range 2 {
		err := r.configure(s, cfgFlags, binary.BigEndian.AppendUint16(nil, flagSeq|flagConntrack))
		if err == nil {
			r.describes(true)
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	r.describes(false)
	if err := r.configure(s, cfgFlags, binary.BigEndian.AppendUint16(nil, flagSeq)); err != nil {
		return fmt.Errorf("set up log group %d: %w", r.Group, err)
	}
	return nil
}

func (r *Reader) configure(s *socket, attr uint16, value []byte) error {
	seq := s.next()
	req := newRequest(configKind, unix.NLM_F_ACK, seq, unix.AF_UNSPEC, r.Group)
	req.attr(attr, value)
	ignore := func(message) {}
	return s.ask(req, seq, ignore, func(m message) {
		if m.kind != packetKind {
			return
		}
		if l, ok := parsePacket(m.payload); ok {
			r.Take(l.Log)
		}
	})
}

// counter finds out how many logs were lost: the kernel numbers those that it made, and
// what has no room in the socket is missing.
type counter struct {
	lost func(uint64)
	next uint32
	// known: a packet had a number. overran: without numbers, one at least is missing.
	known, overran bool
}

func (c *counter) overrun() { c.overran = true }

func (c *counter) packet(l *logged) {
	defer func() { c.overran = false }()
	if !l.numbered {
		if c.overran {
			c.lost(1)
		}
		return
	}
	if c.known {
		// The number wraps around. A step back is a group that somebody reset.
		if gap := l.seq - c.next; gap > 0 && gap < 1<<31 {
			c.lost(uint64(gap))
		}
	}
	c.next, c.known = l.seq+1, true
}
