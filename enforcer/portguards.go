package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// portGuards brings the guards of bridge ports into the kernel: one table of family
// bridge, whose chains stand from the first start on, and whose sets follow the
// Pods. Nothing in it is about an interface that must be there, so no change of it
// fails for one Pod alone.
type portGuards struct {
	transact func(ctx context.Context, ops []compiler.Op) error
	// whole returns the operations that put the table in the place of what is there.
	whole func() []compiler.Op
	// wanting: the table in the kernel is not known to be what it should be, so the
	// next round brings all of it.
	wanting bool
	// err is why it is not.
	err error
	backoff
	now func() time.Time
}

func newPortGuards(s *syncer) *portGuards {
	return &portGuards{
		wanting: true, now: s.cfg.Clock.Now,
		whole: func() []compiler.Op { return s.compiler.ReplacePorts() },
		transact: func(ctx context.Context, ops []compiler.Op) error {
			return s.drift.Ours(func() error { return s.tables.Transact(ctx, knftables.BridgeFamily, ops) })
		},
	}
}

// Run brings a change, or all of it where the change has nothing to build on.
func (g *portGuards) Run(ctx context.Context, ops []compiler.Op) {
	if g.wanting {
		if g.due(g.now()) {
			g.Replace(ctx)
		}
		return
	}
	if len(ops) == 0 {
		return
	}
	if err := g.transact(ctx, ops); err != nil {
		klog.FromContext(ctx).Info("The guards of bridge ports cannot be changed, replacing them", "reason", err.Error())
		g.Replace(ctx)
	}
}

// Replace puts the whole table in the place of what is there, in one transaction: at
// no moment is a port without a guard.
func (g *portGuards) Replace(ctx context.Context) {
	was := g.err
	g.err = g.transact(ctx, g.whole())
	g.wanting = g.err != nil
	if g.err == nil {
		g.backoff = backoff{}
		return
	}
	g.failed(g.now())
	if was == nil {
		klog.FromContext(ctx).Error(g.err, "Failed to bring the guards of bridge ports")
	}
}

// Wait is how long until the next try; negative: none is due.
func (g *portGuards) Wait() time.Duration {
	if g.err == nil {
		return -1
	}
	return max(0, g.next.Sub(g.now()))
}

// Condition is what to tell if the table is not what it should be.
func (g *portGuards) Condition() []Condition {
	if g.err == nil {
		return nil
	}
	return []Condition{{
		What: "PortGuardsFailed", Object: "table bridge " + compiler.TableName, Message: g.err.Error(),
		Mend: "the kernel must have nf_tables for family bridge (CONFIG_NF_TABLES_BRIDGE); without it Pods of a bridge can send in each other's name",
	}}
}

// inheritPorts reads what an earlier agent's guards hold addresses to. Without a
// table there is nothing.
func inheritPorts(ns netns.Namespace) (map[netip.Addr]links.HeldTo, error) {
	socket, err := nlsocket.Open(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	r := readback{socket, unix.NFPROTO_BRIDGE}
	there := false
	err = nlsocket.DumpWhole(func() error {
		return r.tables(func(family byte) { there = there || family == unix.NFPROTO_BRIDGE })
	})
	if err != nil || !there {
		return nil, err
	}
	addresses, linkSources := compiler.HeldSets()
	out := map[netip.Addr]links.HeldTo{}
	for i := range addresses {
		err := r.held(&addresses[i], func(port int, mac string, a netip.Addr) { out[a] = links.HeldTo{Port: port, MAC: mac} })
		if err != nil {
			return nil, err
		}
	}
	spoken := map[int][]netip.Addr{}
	err = r.held(&linkSources, func(port int, _ string, a netip.Addr) {
		if a.IsLinkLocalUnicast() {
			spoken[port] = append(spoken[port], a)
		}
	})
	for a, held := range out {
		held.LinkLocal = spoken[held.Port]
		out[a] = held
	}
	return out, err
}

// held calls f with each element of a set by port.
func (r readback) held(s *compiler.Set, f func(port int, mac string, a netip.Addr)) error {
	elements, err := r.elements(s)
	if errors.Is(err, unix.ENOENT) {
		return nil // another version's table, or a damaged one: it is replaced
	}
	if err != nil {
		return fmt.Errorf("read the guards of bridge ports: %w", err)
	}
	for _, e := range elements {
		if port, mac, a, ok := portKey(e.Key); ok {
			f(port, mac, a)
		}
	}
	return nil
}

// portKey reads the key of an element: port, hardware address, address.
func portKey(key string) (port int, mac string, addr netip.Addr, ok bool) {
	parts := strings.Split(key, " . ")
	if len(parts) != 3 {
		return 0, "", addr, false
	}
	port, err := strconv.Atoi(parts[0])
	addr, err2 := netip.ParseAddr(parts[2])
	return port, parts[1], addr, err == nil && err2 == nil
}
