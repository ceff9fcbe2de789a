package links

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Touched is what the kernel said has changed.
type Touched struct {
	// all: notices were lost, nothing can be assumed.
	all bool
	// ifaces are interfaces as they are now, nil where they are gone.
	ifaces map[int]*Interface
	// prefixes are those of the routes that changed.
	prefixes map[netip.Prefix]bool
	// routes: any route changed, the default routes too.
	routes bool
	// neighbours: any entry of a neighbour table changed.
	neighbours bool
	// tunnels: a far end of a tunnel changed.
	tunnels bool
}

// Everything is what has changed where nobody knows.
func Everything() Touched { return Touched{all: true} }

// All reports whether anything may have.
func (t Touched) All() bool { return t.all }

// Any reports whether anything has.
func (t Touched) Any() bool {
	return t.all || len(t.ifaces) > 0 || t.routes || t.neighbours || t.tunnels
}

func (t Touched) touches(a netip.Addr) bool {
	if t.all {
		return true
	}
	for p := range t.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Watch collects notices until the sync loop takes them.
type Watch struct {
	notices *nlsocket.Notices
	wake    func()
	// curious is set while some Pod's place is unknown: only then do
	// neighbours, which change all the time, matter.
	curious atomic.Bool

	mu      sync.Mutex
	pending Touched
}

// NewWatch hears of a namespace from now on. wake is called when there is something to
// take.
func NewWatch(ns netns.Namespace, wake func()) (*Watch, error) {
	notices, err := nlsocket.Subscribe(ns, nlsocket.NoticeBuffer, unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	return &Watch{notices: notices, wake: wake, pending: Everything()}, nil
}

// Close is for a watch that does not run.
func (w *Watch) Close() { w.notices.Close() }

// SetCurious says whether some Pod's place is unknown.
func (w *Watch) SetCurious(curious bool) { w.curious.Store(curious) }

// Curious reports whether some Pod's place is unknown.
func (w *Watch) Curious() bool { return w.curious.Load() }

// Run collects until the context ends.
func (w *Watch) Run(ctx context.Context) {
	w.notices.Receive(ctx, w.take, w.Lose, func() {
		if w.Due() {
			w.wake()
		}
	})
}

// Lose says that notices were lost, so that nothing can be assumed.
func (w *Watch) Lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = Everything()
}

func (w *Watch) take(kind uint16, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.takeLink(kind, data)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		p, ok := pathFrom(data)
		if !ok {
			return
		}
		w.pending.routes = true
		if w.pending.prefixes == nil {
			w.pending.prefixes = map[netip.Prefix]bool{}
		}
		w.pending.prefixes[p.prefix.Masked()] = true
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		w.pending.neighbours = w.pending.neighbours || kind == unix.RTM_NEWNEIGH
		w.pending.tunnels = w.pending.tunnels || isFarEnd(data)
	}
}

func (w *Watch) takeLink(kind uint16, data []byte) {
	// A port's bridge sends messages of its own family, about the port's role
	// only: a leaving port is not a vanished interface.
	if len(data) > 0 && data[0] == unix.AF_BRIDGE {
		return
	}
	i, ok := InterfaceOf(data)
	if !ok {
		return
	}
	if w.pending.ifaces == nil {
		w.pending.ifaces = map[int]*Interface{}
	}
	w.pending.ifaces[i.Index] = &i
	if kind == unix.RTM_DELLINK {
		w.pending.ifaces[i.Index] = nil
	}
}

// Take returns what changed since it was last asked. What neighbours do is left out
// while nobody is curious.
func (w *Watch) Take() Touched {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.pending
	w.pending = Touched{}
	t.neighbours = t.neighbours && w.curious.Load()
	return t
}

// Due reports whether the sync loop should look.
func (w *Watch) Due() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.pending
	t.neighbours = t.neighbours && w.curious.Load()
	return t.Any()
}
