package tables

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Drift notices when others change our tables. The kernel announces every
// transaction with the number of the generation that it makes; those that touch
// our tables and are none of ours are drift.
type Drift struct {
	notices *nlsocket.Notices
	query   *nftwire.Socket
	wake    func()

	mu sync.Mutex
	// touched: the messages of the transaction that is being read name one of
	// our tables.
	touched bool
	// strange are generations that touched our tables and are not matched with
	// a window yet.
	strange []uint32
	// makers are the processes that made them, by generation.
	makers map[uint32]string
	// windows are those of our transactions, oldest first.
	windows []window
	// open: one of our transactions runs.
	open bool
	// blamed are the processes that the last Check found, as far as known.
	blamed string
	// lost: notices were lost while no transaction of ours could be why.
	lost bool
}

// window is when one of our transactions ran: it made one of the generations
// after before, up to after.
type window struct {
	before, after uint32
	matched       bool
}

// maxWindows is how many transactions' notices may be under way.
const maxWindows = 256

// NewDrift listens to changes of nftables in a namespace from now on; wake is called when
// one of ours was changed by others. The caller closes it.
func NewDrift(ns netns.Namespace, wake func()) (*Drift, error) {
	d := &Drift{wake: wake, makers: map[uint32]string{}}
	var err error
	// Our own replacement of a large table is announced to us, too.
	d.notices, err = nlsocket.Subscribe(ns, 4*nlsocket.NoticeBuffer, unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return nil, fmt.Errorf("watch nftables: %w", err)
	}
	if d.query, err = nftwire.Open(ns); err != nil {
		d.notices.Close()
		return nil, err
	}
	return d, nil
}

// Run reads notices until the context ends.
func (d *Drift) Run(ctx context.Context) {
	d.notices.Receive(ctx, d.take, d.overrun, func() {
		if d.Due() {
			d.wake()
		}
	})
}

func (d *Drift) overrun() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.touched = false
	d.lost = d.lost || !d.open
}

func (d *Drift) take(kind uint16, data []byte) {
	if kind>>8 != unix.NFNL_SUBSYS_NFTABLES || len(data) < nl.SizeofNfgenmsg {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if kind&0xff != unix.NFT_MSG_NEWGEN {
		d.touched = d.touched || namesOurs(data)
		return
	}
	if d.touched {
		d.strange = append(d.strange, generationOf(data))
		d.makers[generationOf(data)] = makerOf(data)
	}
	d.touched = false
}

// namesOurs reports whether a message is about one of our tables: in all kinds
// of messages the first attribute is the table's name.
func namesOurs(data []byte) bool {
	switch data[0] {
	case unix.NFPROTO_INET, unix.NFPROTO_NETDEV, unix.NFPROTO_BRIDGE:
	default:
		return false
	}
	for a := range nlsocket.Attrs(data[nl.SizeofNfgenmsg:]) {
		if a.Kind == unix.NFTA_TABLE_NAME {
			return string(bytes.TrimRight(a.Value, "\x00")) == compiler.TableName
		}
	}
	return false
}

func generationOf(data []byte) uint32 {
	for a := range nlsocket.Attrs(data[nl.SizeofNfgenmsg:]) {
		if a.Kind == unix.NFTA_GEN_ID && len(a.Value) == 4 {
			return binary.BigEndian.Uint32(a.Value)
		}
	}
	return 0
}

// Ours runs one of our transactions, by whatever lane, and tells its notice
// from others'.
func (d *Drift) Ours(transact func() error) error {
	before, errBefore := d.query.Generation()
	d.mu.Lock()
	d.open = true
	d.mu.Unlock()
	err := transact()
	after, errAfter := d.query.Generation()
	d.mu.Lock()
	d.open = false
	switch {
	case errBefore != nil || errAfter != nil:
		d.lost = true
	case err == nil:
		d.windows = append(d.windows, window{before: before, after: after})
		d.windows = d.windows[max(0, len(d.windows)-maxWindows):]
	}
	due := d.due()
	d.mu.Unlock()
	if due {
		// What came meanwhile was not looked at.
		d.wake()
	}
	return err
}

// Due reports whether there is something to check. Our own transactions are
// not: they must not cost a round of the sync loop each.
func (d *Drift) Due() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.due()
}

func (d *Drift) due() bool {
	if d.open {
		return false
	}
	d.strange = slices.DeleteFunc(d.strange, func(g uint32) bool {
		ours := d.match(g)
		if ours {
			delete(d.makers, g)
		}
		return ours
	})
	return d.lost || len(d.strange) > 0
}

// Check reports whether someone else touched our tables since it was last
// asked, or may have.
func (d *Drift) Check() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.due() {
		return false
	}
	d.blamed = d.blame()
	d.strange, d.lost = d.strange[:0], false
	clear(d.makers)
	return true
}

// match finds the window of a generation. Each explains one: a second one
// within it was somebody else's.
func (d *Drift) match(generation uint32) bool {
	for i := range d.windows {
		w := &d.windows[i]
		// The difference is what counts: generations wrap around.
		if !w.matched && generation-w.before-1 < w.after-w.before {
			w.matched = true
			return true
		}
	}
	return false
}

// Close ends the listening.
func (d *Drift) Close() {
	d.notices.Close()
	d.query.Close()
}
