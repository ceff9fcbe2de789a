package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// touched is what the kernel said has changed.
type touched struct {
	// all: notifications were lost, nothing can be assumed.
	all bool
	// ifaces are interfaces as they are now, nil where they are gone.
	ifaces map[int]*iface
	// prefixes are those of the routes that changed.
	prefixes map[netip.Prefix]bool
	// routes: any route changed, the default routes too.
	routes bool
	// neighbours: any entry of a neighbour table changed.
	neighbours bool
	// tunnels: a far end of a tunnel changed.
	tunnels bool
}

func (t touched) any() bool {
	return t.all || len(t.ifaces) > 0 || t.routes || t.neighbours || t.tunnels
}

func (t touched) touches(a netip.Addr) bool {
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

// linkWatch collects notifications until the sync loop takes them.
type linkWatch struct {
	socket *nl.NetlinkSocket
	wake   func()
	// curious is set while some Pod's place is unknown: only then do
	// neighbours, which change all the time, matter.
	curious atomic.Bool

	mu      sync.Mutex
	pending touched
}

// notificationBuffer is what a burst of notifications may fill. An overrun
// costs a new look at everything.
const notificationBuffer = 8 << 20

func newLinkWatch(ns Netns, wake func()) (*linkWatch, error) {
	w := &linkWatch{wake: wake, pending: touched{all: true}}
	err := ns.Do(func() error {
		var err error
		w.socket, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
			unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
		if err != nil {
			return fmt.Errorf("watch interfaces: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Without the capability the smaller default has to do.
	_ = w.socket.SetReceiveBufferSize(notificationBuffer, true)
	return w, nil
}

// Run collects until the context ends.
func (w *linkWatch) Run(ctx context.Context) {
	receive(ctx, w.socket, func(kind uint16, data []byte) { w.take(kind, data) }, w.overrun, func() {
		if w.Due() {
			w.wake()
		}
	})
}

// receive reads notifications from a socket and closes it when the context
// ends. done is called after each read.
func receive(ctx context.Context, socket *nl.NetlinkSocket, f func(kind uint16, data []byte), overrun, done func()) {
	stop := context.AfterFunc(ctx, socket.Close)
	defer stop()
	for {
		msgs, from, err := socket.Receive()
		if ctx.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			overrun()
		case err != nil:
			klog.FromContext(ctx).Error(err, "Failed to receive netlink notifications")
			overrun()
			if !pause(ctx) {
				return
			}
		case from.Pid == nl.PidKernel:
			for _, m := range msgs {
				f(m.Header.Type, m.Data)
			}
		}
		done()
	}
}

func (w *linkWatch) overrun() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = touched{all: true}
}

func (w *linkWatch) take(kind uint16, data []byte) {
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

func (w *linkWatch) takeLink(kind uint16, data []byte) {
	// A port's bridge sends messages of its own family, about the port's role
	// only: a leaving port is not a vanished interface.
	if len(data) > 0 && data[0] == unix.AF_BRIDGE {
		return
	}
	i, ok := ifaceOf(data)
	if !ok {
		return
	}
	if w.pending.ifaces == nil {
		w.pending.ifaces = map[int]*iface{}
	}
	w.pending.ifaces[i.index] = &i
	if kind == unix.RTM_DELLINK {
		w.pending.ifaces[i.index] = nil
	}
}

// Take returns what changed since it was last asked.
func (w *linkWatch) Take() touched {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.pending
	w.pending = touched{}
	return t
}

// Due reports whether the sync loop should look.
func (w *linkWatch) Due() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.pending
	t.neighbours = t.neighbours && w.curious.Load()
	return t.any()
}
