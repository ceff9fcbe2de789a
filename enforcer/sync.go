package enforcer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/policy"
)

// syncer owns the index, the compiler and what is known of the kernel. Only the
// sync loop's goroutine uses it.
type syncer struct {
	cfg *Config
	box *mailbox
	// sandboxes is what the container runtime says, where what each Pod's addresses are.
	sandboxes *sandboxes
	where     *whereabouts
	start     podStart
	// current says why the source may not have told of all Pods; nil: it never can.
	current func(now time.Time) error
	status  *statusBoard
	metrics *metrics
	tables  Transactor
	// ownTables is tables unless they were given.
	ownTables *tables
	index     *policy.Index
	compiler  *compiler.Compiler
	epochs    *epochs
	conntrack conntrack
	foreign   foreignMarks
	links     *links
	tunnels   tunnels
	ipvs      ipvs
	watch     *linkWatch
	drift     *drift
	bridges   bridgeNetfilter
	guards    *guards
	ports     *portGuards
	nodeName  nodeName
	// departures are local addresses that lost their Pod.
	departures *departures
	ns         Netns

	// replace: the kernel's state is not known to be the compiler's, so the
	// next sync brings all of it.
	replace bool
	// drifted: others changed our tables, which repairs mends.
	drifted bool
	repairs repairs
	// twice: the ruleset we found writes an unknown epoch, so the first
	// replacement needs a second epoch, chosen when the old rules were gone.
	twice bool
	// pickups: the grace is over, and what it let go on is not judged yet.
	pickups bool
	// oldMask are the bits that rules found at the start wrote to marks, if they were
	// others than ours and are not cleared yet.
	oldMask uint32
	// places is where the Pods are, as of the last look; stale if a look is due.
	places compiler.Links
	stale  bool
	// unseen: a look failed, so what it was told of is not known.
	unseen   bool
	lookedAt time.Time
	// bridgesAt is when the switches of bridges were last checked.
	bridgesAt time.Time
	// recheck: the next sync looks for conflicts of addresses.
	recheck bool
	// searchDue: others' programs are to be looked for, and searched that they were once.
	searchDue, searched bool
	// graceEnds is zero outside the grace of a first install.
	graceEnds time.Time
	epoch     uint32
	leftovers leftovers
	// worked: the last round changed the kernel, or tried.
	worked bool
	// oldest is when the oldest event came that is not in the kernel yet.
	oldest time.Time
	// bare: the kernel had no rules of an earlier agent.
	bare    bool
	invalid map[eventKey]bool
	synced  bool
	// conflictsTold is the version of the index's conflicts that was told last.
	conflictsTold uint64
	// isolated are the local Pods that policies isolate.
	isolated isolation
}

// sync brings all that is known into the kernel. After a failure the kernel
// still enforces what it did before, and the next sync replaces everything.
func (s *syncer) sync(ctx context.Context) error {
	started := s.cfg.Clock.Now()
	b := s.box.take(s.taking())
	s.apply(ctx, b)
	s.worked = false
	if !s.synced {
		return nil
	}
	s.repair(ctx)
	s.worked = true
	plan, err := s.compile(ctx, b)
	if err == nil {
		err = s.enforce(ctx, plan, &b)
	}
	if err != nil {
		s.replace = true
		s.metrics.syncFailures.Inc()
		s.tellRepairs(ctx, err)
		return err
	}
	s.tellRepairs(ctx, nil)
	s.worked = len(b.events) > 0 || !plan.Empty()
	if s.searchDue && !s.searched {
		s.searched = true
		s.detect(ctx) // before the node is said to be ready
	}
	s.account(ctx, started, plan)
	if s.searchDue {
		s.detect(ctx)
	}
	s.checkNodeName(ctx)
	if s.leftovers.due(s.cfg.Clock.Now()) || b.settle {
		if err := s.tidy(ctx); err != nil {
			s.replace = true
			s.metrics.syncFailures.Inc()
			return err
		}
	}
	s.departures.Tidy(ctx, s.cfg.Clock.Now(), b.settle)
	if b.held {
		s.box.wake()
	} else {
		s.status.done(b.seq)
	}
	if s.epochs.Low() {
		if err := s.epochs.Replenish(ctx); err != nil {
			klog.FromContext(ctx).Error(err, "Failed to look for free epochs")
		}
	}
	return nil
}

// compile finds what has to change.
func (s *syncer) compile(ctx context.Context, b batch) (compiler.Plan, error) {
	seen := s.look(ctx, b)
	if seen == nil {
		seen = s.assign(ctx)
	}
	changes := s.index.Changes()
	kept := s.departures.note(changes.Subjects, s.cfg.Clock.Now(), s.start.tenants)
	for _, c := range changes.Subjects {
		s.isolated.note(c.Pod, c.Now)
		if c.Now == nil {
			s.links.DeletePod(c.Pod)
		} else {
			s.links.SetPod(c.Now)
		}
		s.stale = true
	}
	s.tellConflicts(ctx)
	// The compiler must see every change that the index told of, whatever else
	// fails: it is told only once.
	err := seen
	if err == nil {
		err = s.resolve(ctx)
	}
	s.where.Placed()
	s.countUnknown()
	s.places.Kept = kept
	var plan compiler.Plan
	if s.replace {
		s.compiler.Load(s.index, changes, s.places)
	} else {
		plan = s.compiler.Update(s.index, changes, s.places)
	}
	if err != nil {
		return compiler.Plan{}, fmt.Errorf("find the Pods' interfaces: %w", err)
	}
	return plan, nil
}

// enforce executes a plan, or replaces everything. Of a large plan it changes what was
// taken out of the mailbox: more may have come.
func (s *syncer) enforce(ctx context.Context, plan compiler.Plan, b *batch) error {
	s.ensureBridges(ctx)
	// The guards first: an address must be held to its port before the main table
	// trusts it. One that fails is retried on its own.
	s.ports.wanting = s.ports.wanting || s.replace
	s.ports.Run(ctx, plan.Ports)
	// Before the commit, so that no Pod ever has its forerunner's connections.
	if err := s.departures.Clear(ctx); err != nil {
		return err
	}
	if s.replace {
		s.leftovers.forget()
		return s.replaceAll(ctx)
	}
	s.guards.Run(ctx, plan.Guards)
	return s.bring(ctx, plan, b)
}

// bring executes a plan but for its guards. With a batch, others may overtake it.
func (s *syncer) bring(ctx context.Context, plan compiler.Plan, b *batch) error {
	var u *unfinished
	if b != nil && len(plan.Prepare) >= letThroughFrom {
		u = newUnfinished(plan)
		u.seq, u.held = b.seq, b.held
	}
	// A base chain takes effect when it is made, so it is made in the commit.
	if s.leftovers.comeBack(plan.Commit) {
		if err := s.tidy(ctx); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	if err := s.prepare(ctx, plan.Prepare, u); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := s.commit(ctx, plan); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.leftovers.add(plan.Cleanup, s.cfg.Clock.Now())
	if u == nil {
		return nil
	}
	b.seq, b.held = u.seq, u.held
	return s.finish(ctx, u)
}

// commit switches over, with a new epoch if connections must be judged anew.
func (s *syncer) commit(ctx context.Context, plan compiler.Plan) error {
	ops := plan.Commit
	if plan.Divisible && len(ops) > pieceOf {
		join, leave, rest := plan.Divide()
		for _, part := range [][]compiler.Op{join, leave} {
			if err := s.runPieces(ctx, slices.Values(part)); err != nil {
				return err
			}
		}
		ops = rest
	}
	epoch := s.epoch
	graceOver := s.graceOver()
	switch {
	case plan.Narrows || s.trusts() == (s.epoch == 0):
		var err error
		if epoch, err = s.nextEpoch(ctx); err != nil {
			return err
		}
		ops = append(ops[:len(ops):len(ops)], s.compiler.SetEpoch(epoch, s.inGrace())...)
	case graceOver:
		ops = append(ops[:len(ops):len(ops)], s.compiler.SetEpoch(epoch, false)...)
	}
	if err := s.transact(ctx, ops); err != nil {
		return err
	}
	s.adopted(ctx, epoch, graceOver)
	return nil
}

func (s *syncer) adopted(ctx context.Context, epoch uint32, graceOver bool) {
	if epoch != s.epoch {
		s.epoch = epoch
		s.epochs.Committed(epoch)
		s.metrics.epoch.Set(float64(epoch))
	}
	if graceOver {
		s.graceEnds, s.pickups = time.Time{}, true
		klog.FromContext(ctx).Info("The grace of the first install is over")
		s.judgePickups(ctx)
	}
}

func (s *syncer) inGrace() bool {
	return !s.graceEnds.IsZero() && s.cfg.Clock.Now().Before(s.graceEnds)
}

// graceOver: the grace ended and the kernel does not know it yet.
func (s *syncer) graceOver() bool { return !s.graceEnds.IsZero() && !s.inGrace() }

func (s *syncer) transact(ctx context.Context, ops []compiler.Op) error {
	if len(ops) == 0 {
		return nil
	}
	return s.drift.Ours(func() error { return s.tables.Transact(ctx, knftables.InetFamily, ops) })
}

// account records a sync that succeeded.
func (s *syncer) account(ctx context.Context, started time.Time, plan compiler.Plan) {
	now := s.cfg.Clock.Now()
	took := now.Sub(started)
	s.metrics.syncDuration.Observe(took.Seconds())
	if !s.oldest.IsZero() {
		s.metrics.eventToKernel.Observe(now.Sub(s.oldest).Seconds())
		s.oldest = time.Time{}
	}
	s.status.setEnforcing(s.epoch, now)
	if s.where.version > 0 {
		s.status.setPlaced(s.where.Placement())
	}
	if !s.links.settled {
		// An interface that comes from now on is one that nobody had before: the
		// next round may infer whose it is, and says so.
		s.links.settled = true
		s.box.wake()
	}
	s.status.write(func(st *Status) { st.PodStart = s.start.text })
	s.status.setUnguarded(s.guards.Errors())
	s.status.setConditions(ctx, "ports", s.ports.Condition())
	klog.FromContext(ctx).V(2).Info("Synced", "seconds", took.Seconds(), "prepare", len(plan.Prepare),
		"commit", len(plan.Commit), "cleanup", len(plan.Cleanup), "guards", len(plan.Guards), "epoch", s.epoch)
}

// apply hands events to the index.
func (s *syncer) apply(ctx context.Context, b batch) {
	logger := klog.FromContext(ctx)
	if !b.since.IsZero() && s.oldest.IsZero() {
		s.oldest = b.since
	}
	for key, e := range b.events {
		logger.V(4).Info("Event", "kind", key.kind, "name", key.name, "deleted", e.Deleted)
		err := s.applyOne(e)
		if err != nil {
			logger.Error(err, "An object is partly unusable", "kind", key.kind, "name", key.name)
			s.invalid[key] = true
		} else {
			delete(s.invalid, key)
		}
	}
	if (b.synced || b.partly && s.bare) && !s.synced {
		s.synced = true
		s.status.setSynced()
		n := s.index.Counts()
		logger.Info("All objects were delivered", "pods", n.Pods, "namespaces", n.Namespaces, "policies", n.Policies)
	}
	if len(b.events) > 0 {
		s.setObjectMetrics()
	}
}

func (s *syncer) applyOne(e Event) error {
	switch e.Kind {
	case PodEvent:
		if e.Deleted || e.Pod == nil {
			s.where.DeletePod(e.Name, e.Pod)
			return nil
		}
		s.where.SetPod(e.Pod)
		return e.Invalid
	case NamespaceEvent:
		if e.Deleted {
			s.index.DeleteNamespace(e.Name.Name)
			return nil
		}
		s.index.SetNamespace(e.Name.Name, e.Labels)
		return e.Invalid
	case PolicyEvent:
		if e.Deleted || e.Policy == nil {
			s.index.DeletePolicy(e.Name)
			return nil
		}
		return s.index.SetPolicy(e.Policy)
	case NodeEvent:
		return nil
	}
	return fmt.Errorf("apply event of unknown kind %d", e.Kind)
}

func (s *syncer) setObjectMetrics() {
	invalid := map[EventKind]int{}
	for key := range s.invalid {
		invalid[key.kind]++
	}
	n := s.index.Counts()
	for _, of := range []struct {
		kind  EventKind
		label string
		count int
	}{{PodEvent, "Pod", n.Pods}, {NamespaceEvent, "Namespace", n.Namespaces}, {PolicyEvent, "NetworkPolicy", n.Policies}} {
		s.metrics.objects.WithLabelValues(of.label).Set(float64(of.count))
		s.metrics.invalid.WithLabelValues(of.label).Set(float64(invalid[of.kind]))
	}
}
