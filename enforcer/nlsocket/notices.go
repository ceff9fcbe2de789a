package nlsocket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/netns"
)

// NoticeBuffer is what a burst of notices may fill. An overrun costs a new look at
// everything.
const NoticeBuffer = 8 << 20

// Notices are what the kernel tells the members of some multicast groups.
type Notices struct{ socket *nl.NetlinkSocket }

// Subscribe joins groups of a netlink protocol in a namespace. A burst of so many
// bytes is kept until it is read.
func Subscribe(ns netns.Namespace, buffer, proto int, groups ...uint) (*Notices, error) {
	n := &Notices{}
	err := ns.Do(func() error {
		var err error
		if n.socket, err = nl.Subscribe(proto, groups...); err != nil {
			return fmt.Errorf("join netlink groups: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Without the capability the smaller default has to do.
	_ = n.socket.SetReceiveBufferSize(buffer, true)
	return n, nil
}

// Close is for notices that nobody receives; Receive closes those that it read.
func (n *Notices) Close() { n.socket.Close() }

// Receive reads notices, and closes the socket when the context ends. overrun is called
// where some were lost, and done after each read.
func (n *Notices) Receive(ctx context.Context, take func(kind uint16, data []byte), overrun, done func()) {
	stop := context.AfterFunc(ctx, n.socket.Close)
	defer stop()
	for {
		msgs, from, err := n.socket.Receive()
		if ctx.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			overrun()
		case err != nil:
			klog.FromContext(ctx).Error(err, "Failed to receive netlink notices")
			overrun()
			if !pause(ctx) {
				return
			}
		case from.Pid == nl.PidKernel:
			for _, m := range msgs {
				take(m.Header.Type, m.Data)
			}
		}
		done()
	}
}

// pause waits a moment before a failed receive is tried again; false when the context
// ends.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
