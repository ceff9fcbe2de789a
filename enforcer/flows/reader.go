package flows

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

const (
	// newConnections is NFNLGRP_CONNTRACK_NEW of linux/netfilter/nfnetlink.h.
	newConnections = 1
	ctNew          = unix.NFNL_SUBSYS_CTNETLINK<<8 | nl.IPCTNL_MSG_CT_NEW
	ctGet          = unix.NFNL_SUBSYS_CTNETLINK<<8 | nl.IPCTNL_MSG_CT_GET
	// dumpInterval is how often connections are looked at that have been there for long.
	dumpInterval = time.Minute
	// retryAfter is how long a reader waits that could not begin.
	retryAfter = 5 * time.Second
)

// Reader reads the connections of a namespace while a recorder wants them.
type Reader struct {
	Namespace netns.Namespace
	Recorder  *Recorder
}

// Run reads until the context ends. It is no part of enforcing: what fails is said, and
// tried again.
func (r *Reader) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wanted, changed := r.Recorder.wanted()
		if !wanted {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if err := r.read(ctx, changed); err != nil {
			klog.FromContext(ctx).Error(err, "Failed to read connections; trying again", "in", retryAfter)
			wait(ctx, retryAfter)
		}
	}
}

// addresses tells the recorder which addresses are the node's own.
func (r *Reader) addresses() error {
	own := map[netip.Addr]bool{}
	err := r.Namespace.Do(func() error {
		list, err := net.InterfaceAddrs()
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				own[p.Addr().Unmap().WithZone("")] = true
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the node's addresses: %w", err)
	}
	r.Recorder.setOwn(own)
	return nil
}

// read reads until it is not wanted any more.
func (r *Reader) read(ctx context.Context, changed <-chan struct{}) error {
	if err := r.addresses(); err != nil {
		return err
	}
	notices, err := nlsocket.Subscribe(r.Namespace, nlsocket.NoticeBuffer, unix.NETLINK_NETFILTER, newConnections)
	if err != nil {
		return fmt.Errorf("read new connections: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var receiving sync.WaitGroup
	defer receiving.Wait()
	defer cancel()
	receiving.Go(func() {
		notices.Receive(ctx, r.take, r.Recorder.lost, func() {})
	})
	for {
		// After the subscription, so that none is missed between the two.
		if err := errors.Join(r.addresses(), r.dump(ctx)); err != nil && ctx.Err() == nil {
			return err
		}
		for {
			timer := time.NewTimer(dumpInterval)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-changed:
				timer.Stop()
				var wanted bool
				if wanted, changed = r.Recorder.wanted(); !wanted {
					return nil
				}
			case <-timer.C:
			}
			break
		}
	}
}

func (r *Reader) take(kind uint16, data []byte) {
	if kind != ctNew {
		return
	}
	if c, ok := Parse(data); ok {
		r.Recorder.Take(c)
	}
}

// dump looks at the connections that there are.
func (r *Reader) dump(ctx context.Context) error {
	socket, err := nlsocket.Open(r.Namespace, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("read connections: %w", err)
	}
	defer socket.Close()
	for range nlsocket.DumpTries {
		req := socket.Request(ctGet, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
		err = socket.Each(req, func(msg []byte) {
			if c, ok := Parse(msg); ok && ctx.Err() == nil {
				r.Recorder.Take(c)
			}
		})
		if err == nil || !nlsocket.Interrupted(err) {
			break
		}
	}
	if err != nil {
		return errors.Join(errors.New("read connections"), err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
