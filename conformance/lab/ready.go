package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The kernel finishes IPv6 addresses in a work queue that waits for the same
// lock as the removal of an earlier lab's namespaces: it may take a second
// until an address that was added is one that is answered. So what was added is
// remembered, and waited for before the first packet.

// newAddr is an IPv6 address that may not be usable yet.
type newAddr struct {
	addr netip.Addr
	link int
}

// ready returns when all addresses are.
func (l *Lab) ready(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errStopped
	}
	for _, n := range l.namespaces() {
		for len(n.fresh) > 0 {
			a := n.fresh[len(n.fresh)-1]
			if err := n.await(ctx, func() (bool, error) { return n.isLocal(a) }); err != nil {
				return fmt.Errorf("wait for address %s: %w", a.addr, err)
			}
			n.fresh = n.fresh[:len(n.fresh)-1]
		}
	}
	return nil
}

// settled returns when links have the addresses that the kernel gives them by
// itself: without a link-local one it does not ask for neighbours.
func (l *Lab) settled(ctx context.Context) error {
	for _, n := range l.namespaces() {
		if err := n.await(ctx, n.hasLinkLocal); err != nil {
			return fmt.Errorf("wait for link-local addresses: %w", err)
		}
	}
	return l.ready(ctx)
}

// await asks until the answer is yes.
func (n *Namespace) await(ctx context.Context, done func() (bool, error)) error {
	const patience, pause = time.Minute, time.Millisecond
	deadline := time.Now().Add(patience)
	for {
		ok, err := done()
		if ok {
			return nil
		}
		if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("not there after %s", patience)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
		time.Sleep(pause)
	}
}

// isLocal reports whether the kernel takes packets to the address for its own.
func (n *Namespace) isLocal(a newAddr) (bool, error) {
	routes, err := n.link.RouteGetWithOptions(a.addr.AsSlice(), &netlink.RouteGetOptions{OifIndex: a.link})
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL, nil
}

// hasLinkLocal reports whether every interface that speaks IPv6 by itself has a
// link-local address: ports of a bridge do not.
func (n *Namespace) hasLinkLocal() (bool, error) {
	links, err := n.link.LinkList()
	if err != nil {
		return false, ignoreInterrupted(err)
	}
	addrs, err := n.link.AddrList(nil, unix.AF_INET6)
	if err != nil {
		return false, ignoreInterrupted(err)
	}
	has := map[int]bool{loopback: true}
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_TENTATIVE == 0 && a.IP.IsLinkLocalUnicast() {
			has[a.LinkIndex] = true
		}
	}
	for _, link := range links {
		at := link.Attrs()
		if at.MasterIndex == 0 && !has[at.Index] {
			return false, nil
		}
	}
	return true, nil
}

// ignoreInterrupted: a dump during which something changed is incomplete; the
// next one tells.
func ignoreInterrupted(err error) error {
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil
	}
	return err
}
