package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/enforcer/netns"
)

// lockName is that of an abstract socket: it is one of a network namespace, as
// the tables are, needs no file, and is free in the moment in which its holder
// dies, however that dies.
const lockName = "@sluice/agent"

// lockRetry is how soon an agent that waits for the lock tries again. What it
// costs is one bind.
const lockRetry = 200 * time.Millisecond

// lock keeps a second agent out of a network namespace: two would replace each
// other's rules for ever.
type lock struct {
	listener net.Listener
}

// holder is the process that has the lock.
type holder struct {
	// pid is 0 where our PID namespace does not show the process, -1 where it
	// cannot be known. uid is meaningful unless pid is -1.
	pid int
	uid uint32
}

func (h holder) String() string {
	switch {
	case h.pid < 0:
		return "a process that could not be asked"
	case h.pid == 0:
		return fmt.Sprintf("a process of another PID namespace (uid %d)", h.uid)
	}
	return fmt.Sprintf("process %d (uid %d)", h.pid, h.uid)
}

// mayBeAgent: an agent is root, for it changes nftables. The kernel tells us the
// uid as our user namespace has it, so that root of another is not taken for it.
// Who cannot be asked may be one.
func (h holder) mayBeAgent() bool {
	return h.pid < 0 || h.uid == 0 || h.uid == uint32(os.Geteuid())
}

// errHeld is why the lock cannot be had.
type errHeld struct{ by holder }

func (e *errHeld) Error() string { return "held by " + e.by.String() }

// takeLock takes the lock of a namespace or says who has it.
func takeLock(ns netns.Namespace) (*lock, error) {
	var l lock
	var held *errHeld
	err := ns.Do(func() error {
		var err error
		l.listener, err = net.Listen("unix", lockName)
		if errors.Is(err, unix.EADDRINUSE) {
			held = &errHeld{holderOf()}
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case held != nil:
		return nil, held
	}
	go l.greet()
	return &l, nil
}

// greet takes what connects to ask who we are, until the lock is released: left
// alone, those that came and went would fill the socket's queue.
func (l *lock) greet() {
	for {
		conn, err := l.listener.Accept()
		switch {
		case err == nil:
			_ = conn.Close()
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, for example
			time.Sleep(lockRetry)
		}
	}
}

func (l *lock) release() {
	if l != nil {
		_ = l.listener.Close()
	}
}

// holderOf asks the kernel who listens at the lock. It runs in the namespace.
func holderOf() holder {
	unknown := holder{pid: -1}
	conn, err := net.DialTimeout("unix", lockName, lockRetry)
	if err != nil {
		return unknown
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return unknown
	}
	var peer *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || peerErr != nil {
		return unknown
	}
	return holder{int(peer.Pid), peer.Uid}
}

// lockPart is the part of the status that tells of the lock.
const lockPart = "lock"

// takePlace returns when this agent is the only one of its namespace and health
// is served. While it waits for the lock health is served, too: at an address of
// its own, or by the agent that it is to follow, whose address is ours then.
func (a *Agent) takePlace(ctx context.Context, serve func() error) (*lock, error) {
	l, held := a.tryLock(ctx)
	err := serve()
	late := held && errors.Is(err, unix.EADDRINUSE)
	if err != nil && !late {
		l.release()
		return nil, err
	}
	for held {
		a.metrics.setStatus(a.Status())
		if !holdBack(ctx, clock.RealClock{}, lockRetry) {
			return nil, ctx.Err()
		}
		l, held = a.tryLock(ctx)
	}
	// A process that ends closes its sockets one after the other.
	for tries := 0; late; tries++ {
		if err = serve(); err == nil {
			break
		}
		if tries == serveTries || !holdBack(ctx, clock.RealClock{}, lockRetry) {
			l.release()
			return nil, err
		}
	}
	return l, nil
}

// serveTries is how often the address of an agent that has ended is tried.
const serveTries = 25

// tryLock takes the lock, or reports that an agent holds it. There is none, and
// it says so, where none can be had or somebody has it who can be no agent:
// then enforcing is worth more.
func (a *Agent) tryLock(ctx context.Context) (l *lock, held bool) {
	l, err := takeLock(a.ns)
	var other *errHeld
	switch {
	case err == nil:
		a.status.setConditions(ctx, lockPart, nil)
	case errors.As(err, &other) && other.by.mayBeAgent():
		a.status.setConditions(ctx, lockPart, []Condition{secondAgent(other.by)})
		return nil, true
	default:
		a.status.setConditions(ctx, lockPart, []Condition{noLock(err)})
	}
	return l, false
}

func secondAgent(by holder) Condition {
	return Condition{
		What:    "SecondAgent",
		Message: fmt.Sprintf("another agent is at work in this network namespace (%s has the lock): this one enforces nothing until that one ends", by),
		Mend:    "stop one of them; ss -xlp in the node's namespaces shows who listens at " + lockName,
	}
}

func noLock(err error) Condition {
	return Condition{
		What:    "NoLock",
		Message: fmt.Sprintf("the lock that keeps a second agent out cannot be had: %v; policies are enforced without it", err),
		Mend:    "see that only one agent runs on the node, and that nobody else takes the socket " + lockName,
	}
}
