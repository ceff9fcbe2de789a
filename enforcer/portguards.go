package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
)

// portGuards brings the guards of bridge ports into the kernel: one table of family
// bridge, whose chains stand from the first start on, and whose sets follow the
// Pods. Nothing in it is about an interface that must be there, so no change of it
// fails for one Pod alone.
type portGuards struct {
	transact func(ctx context.Context, ops []compiler.Op) error
	// whole returns the operations that put the table in the place of what is there, kept
	// those of it that open nothing which is not open.
	whole, kept func() []compiler.Op
	// wanting: the table in the kernel is not known to be what it should be, so the
	// next round brings all of it.
	wanting bool
	// partly: it is what opens nothing new, and the rest must follow the main table.
	partly bool
	// err is why it is not.
	err error
	backoff
	now func() time.Time
}

func newPortGuards(s *syncer) *portGuards {
	return &portGuards{
		wanting: true, now: s.cfg.Clock.Now,
		whole: func() []compiler.Op { return s.compiler.ReplacePorts() },
		kept:  func() []compiler.Op { return s.keepPorts() },
		transact: func(ctx context.Context, ops []compiler.Op) error {
			return s.drift.Ours(func() error { return s.tables.Transact(ctx, knftables.BridgeFamily, ops) })
		},
	}
}

// Close brings what closes of a change, before the main table changes; all that opens
// nothing where the change has nothing to build on.
func (g *portGuards) Close(ctx context.Context, ops []compiler.Op) {
	if g.wanting && g.due(g.now()) || !g.wanting && !g.change(ctx, ops) {
		ops := g.kept()
		g.partly = len(ops) < len(g.whole())
		g.replace(ctx, ops)
	}
}

// Open brings what opens of a change, when the main table has changed.
func (g *portGuards) Open(ctx context.Context, ops []compiler.Op) {
	if !g.wanting && (g.partly || !g.change(ctx, ops)) {
		g.Replace(ctx)
	}
}

// change brings a change, and reports whether it could.
func (g *portGuards) change(ctx context.Context, ops []compiler.Op) bool {
	if len(ops) == 0 {
		return true
	}
	err := g.transact(ctx, ops)
	if err != nil {
		klog.FromContext(ctx).Info("The guards of bridge ports cannot be changed, replacing them", "reason", err.Error())
	}
	return err == nil
}

// Replace puts the whole table in the place of what is there.
func (g *portGuards) Replace(ctx context.Context) {
	g.partly = false
	g.replace(ctx, g.whole())
}

// replace puts the table in the place of what is there, in one transaction: at no moment
// is a port without a guard.
func (g *portGuards) replace(ctx context.Context, ops []compiler.Op) {
	was := g.err
	g.err = g.transact(ctx, ops)
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

// keepPorts are the operations that bring what opens nothing that is not open. Without a
// table all is open, and the whole of it opens nothing. If nothing can be read, nothing is
// known to be open.
func (s *syncer) keepPorts() []compiler.Op {
	open := map[string]map[compiler.Key]bool{}
	there, err := readPorts(s.ns, func(table nftwire.Reader) error {
		for _, set := range s.compiler.OpeningSets() {
			keys := map[compiler.Key]bool{}
			if err := eachKey(table, &set, func(key compiler.Key) { keys[key] = true }); err != nil {
				return err
			}
			open[set.Name] = keys
		}
		return nil
	})
	switch {
	case err != nil:
		clear(open)
	case !there:
		return s.compiler.ReplacePorts()
	}
	return s.compiler.KeepPorts(open)
}

// inheritPorts reads what an earlier agent's guards hold addresses to. Without a
// table there is nothing.
func inheritPorts(ns netns.Namespace) (map[netip.Addr]links.HeldTo, error) {
	out := map[netip.Addr]links.HeldTo{}
	_, err := readPorts(ns, func(table nftwire.Reader) error {
		addresses, linkSources := compiler.HeldSets()
		for i := range addresses {
			if err := held(table, &addresses[i], func(h compiler.Held) { out[h.Addr] = links.HeldTo{Port: h.Port, MAC: h.MAC} }); err != nil {
				return err
			}
		}
		spoken := map[int][]netip.Addr{}
		err := held(table, &linkSources, func(h compiler.Held) {
			if h.Addr.IsLinkLocalUnicast() {
				spoken[h.Port] = append(spoken[h.Port], h.Addr)
			}
		})
		for a, to := range out {
			to.LinkLocal = spoken[to.Port]
			out[a] = to
		}
		return err
	})
	return out, err
}

// readPorts reads table bridge sluice, if it is there.
func readPorts(ns netns.Namespace, read func(table nftwire.Reader) error) (there bool, err error) {
	err = nftwire.Ask(ns, func(socket *nftwire.Socket) error {
		families, err := socket.Tables()
		there = slices.Contains(families, unix.NFPROTO_BRIDGE)
		if err != nil || !there {
			return err
		}
		return read(socket.Read(unix.NFPROTO_BRIDGE))
	})
	return there, err
}

// held calls f with each element of a set by port.
func held(table nftwire.Reader, s *compiler.Set, f func(compiler.Held)) error {
	return eachKey(table, s, func(key compiler.Key) {
		if h, ok := compiler.ReadHeld(key); ok {
			f(h)
		}
	})
}

// eachKey calls f with the key of each element of a set.
func eachKey(table nftwire.Reader, s *compiler.Set, f func(compiler.Key)) error {
	elements, err := table.Elements(s)
	if errors.Is(err, unix.ENOENT) {
		return nil // another version's table, or a damaged one: it is replaced
	}
	if err != nil {
		return fmt.Errorf("read the guards of bridge ports: %w", err)
	}
	for _, e := range elements {
		f(e.Key)
	}
	return nil
}
