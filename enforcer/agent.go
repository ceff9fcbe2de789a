package enforcer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/detect"
	"github.com/sluice-net/sluice/enforcer/flows"
	"github.com/sluice-net/sluice/enforcer/ledger"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
	"github.com/sluice-net/sluice/enforcer/residents"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
	"github.com/sluice-net/sluice/policy"
)

// Agent enforces the policies of a source in one network namespace. Many may
// run in a process, each in a namespace of its own.
type Agent struct {
	cfg     Config
	source  source.Source
	ns      netns.Namespace
	reg     prometheus.Registerer
	metrics *metrics
	box     *source.Mailbox
	status  *statusBoard
	ledger  *ledger.Ledger
	// denials are those that the kernel told of, nil if nobody reads them.
	denials *denials.Recorder
	// flows looks at what passes, while somebody wants to know; nil as denials is.
	flows *flows.Recorder
	// sandboxes is what the container runtime says.
	sandboxes *residents.Told
	// runtime says whether the container runtime should be heard and is not.
	runtime func() (message, mend string, silent bool)
	// wake has room for one: a second wake-up before the first was heard says
	// nothing new.
	wake chan struct{}
	// heard is when the sync loop last began or ended a round, in Unix
	// nanoseconds.
	heard atomic.Int64
	// busy: the loop is in a round.
	busy atomic.Bool
	// told are the troubles that were logged, under telling.
	told    []Condition
	telling sync.Mutex
	// pulse knows when the process did not run.
	pulse pulse
}

// New makes an agent and starts nothing. ns nil is the process's own
// namespace.
func New(cfg Config, from source.Source, ns netns.Namespace, reg prometheus.Registerer) (*Agent, error) {
	cfg.Defaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure agent: %w", err)
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	recorder, err := newRecorder(&cfg, reg)
	if err != nil {
		return nil, err
	}
	passing, err := newFlows(&cfg, recorder, reg)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, denials: recorder, flows: passing, source: from, ns: netns.OrOwn(ns), reg: reg, metrics: m,
		status: newStatusBoard(), ledger: ledger.New(cfg.Clock.Now), wake: make(chan struct{}, 1),
	}
	a.box = source.NewMailbox(cfg.Clock, a.rouse)
	a.sandboxes = residents.NewTold(a.rouse)
	return a, nil
}

func (a *Agent) rouse() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run enforces until the context ends or the source fails. The rules stay in
// the kernel when it returns: only [Cleanup] removes them.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	start := func(what string, f func() error) {
		running.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	held, err := a.takePlace(ctx, func() error {
		servers, err := a.listen()
		if err != nil {
			return err
		}
		serveDoors(ctx, servers, start)
		return nil
	})
	switch {
	case ctx.Err() != nil:
		held.release()
		return causeOf(ctx)
	case err != nil:
		return err
	}
	defer held.release()
	s, err := a.newSyncer(ctx)
	if err != nil {
		return err
	}
	defer s.close()

	if err := a.recordDenials(ctx, start); err != nil {
		return err
	}
	a.recordFlows(ctx, start)
	start("watch interfaces", func() error { s.watch.Run(ctx); return nil })
	start("watch nftables", func() error { s.drift.Run(ctx); return nil })
	start("read objects", func() error { return a.readObjects(ctx) })
	start("sync", func() error { a.loop(ctx, s); return nil })
	start("watch rounds", func() error { a.watchRounds(ctx); return nil })
	start("feel the pulse", func() error { a.feelPulse(ctx, s); return nil })
	if a.cfg.Nodes != nil {
		taint := &startupTaint{nodes: a.cfg.Nodes, node: a.cfg.Node, ready: a.Ready, again: 250 * time.Millisecond, later: 5 * time.Minute}
		start("remove the startup taint", func() error { return taint.Run(ctx) })
	}
	klog.FromContext(ctx).Info("Enforcing", "node", a.cfg.Node)
	running.Wait()
	klog.FromContext(ctx).Info("Stopped; the rules stay in force")
	return causeOf(ctx)
}

// causeOf is nil where a context ended as it should, or else why it ended.
func causeOf(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// newSyncer opens what it takes to talk to the kernel.
func (a *Agent) newSyncer(ctx context.Context) (*syncer, error) {
	cc, err := compiler.New(a.cfg.Compiler)
	if err != nil {
		return nil, fmt.Errorf("configure compiler: %w", err)
	}
	left, err := tables.ReadPredecessor(a.ns)
	if err != nil {
		return nil, fmt.Errorf("look for rules in the kernel: %w", err)
	}
	s := &syncer{
		cfg: &a.cfg, box: a.box, sandboxes: a.sandboxes, denials: a.denials, flows: a.flows, status: a.status, ledger: a.ledger, metrics: a.metrics,
		tables:   a.cfg.Transactor,
		index:    policy.NewIndex(policy.Options{Node: a.cfg.Node, NodeEgress: a.cfg.Compiler.NodeEgress}),
		compiler: cc, ns: a.ns,
		bridges: bridgeNetfilter{ns: a.ns, checkOnly: a.cfg.KeepBridgeNetfilter},
		invalid: map[source.Key]error{},
	}
	if s.tables == nil {
		own := tables.New(a.ns)
		own.Count = func(lane string) { a.metrics.transactions.WithLabelValues(lane).Inc() }
		own.Slow = func(cause string) { a.metrics.slowTransactions.WithLabelValues(cause).Inc() }
		s.tables, s.ownTables = own, own
	}
	s.conntrack = conntrack.Table{Namespace: a.ns}
	s.epochs = conntrack.NewEpochs(a.cfg.Compiler.Mark, s.conntrack, a.cfg.Clock, s.noteForeign)
	s.departures = conntrack.NewDepartures(s.conntrack)
	s.guards, s.ports = newGuards(s), newPortGuards(s)
	s.inherit(ctx, left)
	if err := s.open(a); err != nil {
		s.close()
		return nil, err
	}
	s.where = residents.New(a.cfg.Node, s.index, s.links, a.cfg.Clock.Now)
	if from, ok := a.source.(currentSource); ok {
		s.current = func(now time.Time) error { return from.Current(source.PodEvent, now) }
	}
	return s, nil
}

func (s *syncer) open(a *Agent) error {
	socket, err := nlsocket.Open(a.ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	s.links = links.New(socket, a.ns, links.Patterns{Pods: a.cfg.PodInterfaces, Uplinks: a.cfg.Uplinks, Others: a.cfg.OtherInterfaces})
	s.tunnels = links.NewTunnels(socket, a.cfg.Compiler.PodTunnels)
	s.ipvs = detect.NewIPVS(a.ns)
	if err := socket.Strict(); err != nil {
		return err
	}
	held, err := inheritPorts(a.ns)
	if err != nil {
		return err
	}
	s.links.Inherit(held)
	if s.watch, err = links.NewWatch(a.ns, a.rouse); err != nil {
		return err
	}
	s.drift, err = tables.NewDrift(a.ns, a.rouse)
	return err
}

func (s *syncer) close() {
	if s.ownTables != nil {
		_ = s.ownTables.Close()
	}
	if s.links != nil {
		s.links.Close()
	}
	if s.watch != nil {
		s.watch.Close()
	}
	if s.drift != nil {
		s.drift.Close()
	}
}

// Settle returns when everything that was delivered before the call is in the
// kernel, with the interfaces as they were at the time of the call.
func (a *Agent) Settle(ctx context.Context) error {
	return a.status.wait(ctx, a.box.Ask())
}

// Status returns a snapshot.
func (a *Agent) Status() Status {
	s := a.status.read()
	s.SourceErrors, s.Running, s.Asleep = a.box.Reports(), a.running(), a.pulse.asleep(time.Now())
	s.Unresolved, s.Conflicts = maps.Clone(s.Unresolved), maps.Clone(s.Conflicts)
	s.Conditions = s.standing()
	return s
}

// Ready is nil if all of the source's policies are enforced, and otherwise
// says why not.
func (a *Agent) Ready() error { return a.Status().Ready() }

// stuckAfter is when a round of the sync loop counts as hanging.
const stuckAfter = 2*tables.TransactionTimeout + time.Minute

// Alive is nil unless the sync loop hangs.
func (a *Agent) Alive() error {
	if since := a.running(); since > stuckAfter {
		return fmt.Errorf("a sync has been running for %v", since.Round(time.Second))
	}
	return nil
}
