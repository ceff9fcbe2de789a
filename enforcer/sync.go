package enforcer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/klog/v2"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/detect"
	"github.com/sluice-net/sluice/enforcer/flows"
	"github.com/sluice-net/sluice/enforcer/ledger"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/residents"
	"github.com/sluice-net/sluice/enforcer/rounds"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
	"github.com/sluice-net/sluice/policy"
)

// syncer owns the index, the compiler and what is known of the kernel. Only the
// sync loop's goroutine uses it.
type syncer struct {
	cfg *Config
	box *source.Mailbox
	// sandboxes is what the container runtime says, where what each Pod's addresses are.
	sandboxes *residents.Told
	where     *residents.Register
	start     podStart
	// current says why the source may not have told of all Pods; nil: it never can.
	current func(now time.Time) error
	status  *statusBoard
	ledger  *ledger.Ledger
	metrics *metrics
	// denials explains what the kernel denied, nil if nobody asks.
	denials        *denials.Recorder
	denialsWatched bool
	// flows looks at what passes, nil if nobody asks.
	flows  *flows.Recorder
	tables Transactor
	// ownTables is tables unless they were given.
	ownTables *tables.Tables
	index     *policy.Index
	compiler  *compiler.Compiler
	epochs    *conntrack.Epochs
	conntrack conntrack.Table
	foreign   foreignMarks
	drops     dropCounters
	links     *links.Links
	tunnels   *links.Tunnels
	ipvs      detect.IPVS
	watch     *links.Watch
	drift     *tables.Drift
	bridges   bridgeNetfilter
	guards    *guards
	ports     *portGuards
	nodeName  nodeName
	// departures are local addresses that lost their Pod.
	departures *conntrack.Departures
	ns         netns.Namespace

	// rounds decides what a round does: nothing else in here does.
	rounds *rounds.State
	// changedBy is who made the last repair necessary, as far as the kernel tells.
	changedBy string
	// oldMask are the bits that rules found at the start wrote to marks, if they were
	// others than ours.
	oldMask uint32
	// places is where the Pods are, as of the last look.
	places compiler.Links
	unused unused
	// searchDue: others' programs are to be looked for, and searched that they were once.
	searchDue, searched bool
	// lastSearch is what that came to the last time.
	lastSearch []Condition
	// oldest is when the oldest event came that is not in the kernel yet.
	oldest  time.Time
	invalid map[source.Key]error
	// conflictsTold is the version of the index's conflicts that was told last.
	conflictsTold uint64
	// isolated are the local Pods that policies isolate.
	isolated isolation
}

// sync brings all that is known into the kernel, and says whether there was anything to
// do. After a failure the kernel still enforces what it did before, and the next sync
// replaces everything.
func (s *syncer) sync(ctx context.Context) (worked bool, err error) {
	started := s.cfg.Clock.Now()
	mail := s.box.Take(s.taking())
	generation := s.beginGeneration()
	s.ledger.Begin()
	s.apply(ctx, mail)
	s.ledger.TakeRound(mail.Events, s.outlook())
	if !s.rounds.Synced() {
		return false, nil
	}
	s.watchDenials()
	s.watchFlows()
	s.repair(ctx)
	plan, err := s.compile(ctx, mail)
	plan.generation = generation
	if err == nil {
		err = s.enforce(ctx, plan, &mail)
	}
	s.tellRepairs(ctx, err)
	if err != nil {
		return true, err
	}
	if s.searchDue && !s.searched {
		s.searched = true
		s.detect(ctx) // before the node is said to be ready
	}
	s.account(ctx, started, plan.Plan)
	s.ledger.Enforced(len(mail.Events) > 0 || !plan.Empty())
	if s.searchDue {
		s.detect(ctx)
	}
	s.checkNodeName(ctx)
	return len(mail.Events) > 0 || !plan.Empty(), s.afterwards(ctx, mail)
}

// afterwards does what no event waits for.
func (s *syncer) afterwards(ctx context.Context, b source.Mail) error {
	if s.unused.due(s.cfg.Clock.Now()) || b.Settle {
		if err := s.tidy(ctx); err != nil {
			return err
		}
	}
	s.departures.Tidy(ctx, s.cfg.Clock.Now(), b.Settle)
	if b.Held {
		s.box.Wake()
	} else {
		s.status.done(b.Seq)
	}
	if s.epochs.Low() {
		if err := s.epochs.Replenish(ctx); err != nil {
			klog.FromContext(ctx).Error(err, "Failed to look for free epochs")
		}
	}
	return nil
}

// compile finds what has to change.
func (s *syncer) compile(ctx context.Context, b source.Mail) (generated, error) {
	seen := s.look(ctx, b)
	if seen == nil {
		seen = s.assign(ctx)
	}
	changes := s.index.Changes()
	s.ledger.Resolved(changes.Subjects)
	kept, handed := s.departures.Note(changes.Subjects, s.cfg.Clock.Now(), s.start.tenants)
	for _, c := range changes.Subjects {
		s.place(c)
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
	plan := generated{handed: handed}
	if s.rounds.Doubtful() {
		s.compiler.Load(s.index, changes, s.places)
	} else {
		plan.Plan = s.compiler.Update(s.index, changes, s.places)
	}
	if err != nil {
		return generated{}, fmt.Errorf("find the Pods' interfaces: %w", err)
	}
	return plan, nil
}

// place takes in what became of a Pod of the node. What policies say of it alone moves
// nothing, so the kernel is not asked where it is; but a Pod that is not found is
// reported by whether it is isolated.
func (s *syncer) place(c policy.SubjectChange) {
	told := s.isolated.note(c.Pod, c.Now)
	if c.Now == nil {
		s.links.DeletePod(c.Pod)
		s.rounds.Moved()
		return
	}
	if s.links.SetPod(c.Now) || told && !s.links.Found(c.Pod) {
		s.rounds.Moved()
	}
}

// generated is a plan, which generation of the index it brings into force, and the
// addresses that it gives to other Pods.
type generated struct {
	compiler.Plan
	generation policy.Generation
	handed     map[netip.Addr]bool
}

// enforce executes a plan, or replaces everything. Of a large plan it changes what was
// taken out of the mailbox: more may have come.
func (s *syncer) enforce(ctx context.Context, plan generated, b *source.Mail) error {
	s.ensureBridges(ctx)
	if s.rounds.Doubtful() {
		s.ports.wanting = true
		s.ports.Close(ctx, nil)
		// What an earlier commit should have given away is given away by this one, too.
		if err := s.departures.Clear(ctx, s.departures.Handed()); err != nil {
			return err
		}
		s.unused.forget()
		return s.replaceAll(ctx)
	}
	s.guards.Run(ctx, plan.Guards)
	return s.bring(ctx, plan, b)
}

// bring executes a plan but for its guards. With mail, others may overtake it.
func (s *syncer) bring(ctx context.Context, plan generated, b *source.Mail) error {
	var u *unfinished
	if b != nil && len(plan.Prepare) >= letThroughFrom {
		u = newUnfinished(plan)
		u.seq, u.held = b.Seq, b.Held
	} else {
		plan.Prepare, plan.Commit = tables.Join(plan.Plan)
	}
	// A base chain takes effect when it is made, so it is made in the commit.
	if s.unused.comeBack(plan.Commit) {
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
	s.unused.add(plan.Cleanup, s.cfg.Clock.Now())
	if u == nil {
		return nil
	}
	b.Seq, b.Held = u.seq, u.held
	return s.finish(ctx, u)
}

// commit switches over, with a new epoch if connections must be judged anew. The guards of
// bridge ports that close come before, and those that open after: a guard that fails holds
// up nothing, and is retried on its own.
func (s *syncer) commit(ctx context.Context, plan generated) error {
	s.ports.Close(ctx, plan.Ports)
	// As late as can be, so that no Pod ever has its forerunner's connections.
	if err := s.departures.Clear(ctx, plan.handed); err != nil {
		return err
	}
	ops := plan.Commit
	s.committing(plan.generation)
	if plan.Divisible && len(ops) > tables.PieceOf {
		join, leave, rest := plan.Divide()
		for _, part := range [][]compiler.Op{join, leave} {
			if err := s.runPieces(ctx, slices.Values(part)); err != nil {
				return err
			}
		}
		ops = rest
	}
	how := s.rounds.Commit(rounds.Change{Narrows: plan.Narrows, Trusted: s.trusts()}, s.cfg.Clock.Now())
	epoch := s.rounds.Epoch()
	if how.Fresh {
		var err error
		if epoch, err = s.nextEpoch(ctx); err != nil {
			return err
		}
	}
	if how.Rewrite {
		ops = append(ops[:len(ops):len(ops)], s.compiler.SetEpoch(epoch, how.Grace)...)
	}
	if err := s.transact(ctx, ops); err != nil {
		return err
	}
	s.inForce(plan.generation)
	s.committed(ctx, how, epoch)
	s.ports.Open(ctx, plan.Opens)
	return nil
}

func (s *syncer) committed(ctx context.Context, how rounds.Commit, epoch uint32) {
	if epoch != s.rounds.Epoch() {
		s.epochs.Committed(epoch)
		s.metrics.epoch.Set(float64(epoch))
	}
	s.rounds.Committed(how, epoch)
	if how.EndsGrace {
		klog.FromContext(ctx).Info("The grace of the first install is over")
		s.judgePickups(ctx)
	}
}

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
	s.status.setEnforcing(s.rounds.Epoch(), now)
	if s.where.Told() {
		s.status.setPlaced(s.where.Placement())
	}
	if !s.links.Settled() {
		// An interface that comes from now on is one that nobody had before: the
		// next round may infer whose it is, and says so.
		s.links.Settle()
		s.box.Wake()
	}
	s.status.write(func(st *Status) { st.PodStart = s.start.text })
	s.tellGuards(ctx)
	klog.FromContext(ctx).V(2).Info("Synced", "seconds", took.Seconds(), "prepare", len(plan.Prepare),
		"commit", len(plan.Commit), "cleanup", len(plan.Cleanup), "guards", len(plan.Guards), "epoch", s.rounds.Epoch())
}

// tellGuards shows which guards are not what they should be.
func (s *syncer) tellGuards(ctx context.Context) {
	s.status.setUnguarded(s.guards.Errors())
	s.status.setConditions(ctx, "ports", s.ports.Condition())
}

// outlook is what the ledger cannot know of events that were applied.
func (s *syncer) outlook() ledger.Outlook {
	return ledger.Outlook{
		Here: func(p *policy.Pod) bool {
			return (s.cfg.Node == "" || p.Node == s.cfg.Node) && !p.HostNetwork && !p.Finished
		},
		Invalid: func(key source.Key) string {
			if err := s.invalid[key]; err != nil {
				return err.Error()
			}
			return ""
		},
	}
}
