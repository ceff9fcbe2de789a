package conntrack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/compiler"
)

// markTable is the conntrack table as far as its marks go.
type markTable interface {
	Marks(ctx context.Context, mask uint32) (map[uint32]int, error)
	Clear(ctx context.Context, mask uint32, stale func(mark uint32) bool) (int, error)
}

const (
	// inFlight is how long after a value was retired a packet that was judged
	// under it may still write it to a mark.
	inFlight = 5 * time.Second
	// lowWater is how many values are left when a new dump is made, out of the
	// way of any change.
	lowWater = 16
	// reclaimed is how many values are taken back where a dump does not free
	// enough: those that the fewest connections bear, and no more of these than
	// reclaimedAtMost.
	reclaimed       = 4 * lowWater
	reclaimedAtMost = 20_000
	// scarcePause is the least time between two dumps out of the way of changes
	// while values stay scarce: each costs as much as there are connections.
	scarcePause = 10 * time.Second
)

// Epochs issues values of the policy generation. A packet passes unjudged if
// its connection's mark bears the current value, so a value must never be
// issued while any connection still bears it from an earlier use.
type Epochs struct {
	layout compiler.MarkLayout
	table  markTable
	clock  clock.PassiveClock

	// live are the values that the kernel may be writing: the committed one, and
	// those of commits that failed since, for who knows how far they came.
	live map[uint32]bool
	// free are values that no connection bore at the last dump. They stay free:
	// only we write values.
	free    []uint32
	retired map[uint32]time.Time
	// spent: a value was issued since the last dump. Without, another dump tells
	// nothing that matters.
	spent bool
	// refilled is when values were last looked for out of the way of changes.
	refilled time.Time
	// looked is when the last dump was made, took how long it took.
	looked time.Time
	took   time.Duration
	// foreign counts connections with values that we did not issue.
	foreign func(n int)
}

// NewEpochs has issued no value yet; foreign is told how many connections have one that
// nobody issued.
func NewEpochs(layout compiler.MarkLayout, table markTable, c clock.PassiveClock, foreign func(int)) *Epochs {
	return &Epochs{
		layout: layout, table: table, clock: c, foreign: foreign,
		live: map[uint32]bool{}, retired: map[uint32]time.Time{},
	}
}

// Inherit names the value that the kernel's ruleset writes at the start, so
// that it is not issued anew.
func (e *Epochs) Inherit(value uint32) { e.live[value] = true }

// InForce is the value that the kernel writes, if that is sure.
func (e *Epochs) InForce() (value uint32, sure bool) {
	for value = range e.live {
		sure = len(e.live) == 1
	}
	return value, sure
}

// Written says that of the values that were issued the kernel writes this one and no other,
// as was read from it; 0: none. Commits that failed may have used up the others.
func (e *Epochs) Written(value uint32) {
	e.Committed(value)
	delete(e.live, 0)
}

// ErrNoneFree is that all values are in use, or were a moment ago.
var ErrNoneFree = errors.New("no epoch is free")

// Next issues a value for the next commit.
func (e *Epochs) Next(ctx context.Context) (uint32, error) {
	if len(e.free) == 0 {
		if err := e.Refill(ctx); err != nil {
			return 0, err
		}
	}
	if len(e.free) == 0 {
		if err := e.reclaim(ctx, func(value uint32) bool { return !e.live[value] }); err != nil {
			return 0, err
		}
	}
	if len(e.free) == 0 {
		return 0, fmt.Errorf("find an epoch: %w: all %d values are in use or were a moment ago", ErrNoneFree, e.layout.Epochs()-1)
	}
	value := e.free[len(e.free)-1]
	e.free = e.free[:len(e.free)-1]
	e.live[value] = true
	e.spent = true
	return value, nil
}

// Committed says that the kernel writes value now, and no other any more.
func (e *Epochs) Committed(value uint32) {
	now := e.clock.Now()
	for v := range e.live {
		if v != value {
			e.retired[v] = now
		}
	}
	e.live = map[uint32]bool{value: true}
}

// Forget makes Next look at the kernel again.
func (e *Epochs) Forget() { e.free = nil }

// Low reports whether a Replenish is due: few values are left, one of them was used
// since the last look, and that was not a moment ago.
func (e *Epochs) Low() bool {
	return len(e.free) < lowWater && e.layout.Epochs() > 2*lowWater && e.spent && e.clock.Since(e.refilled) >= scarcePause
}

// Replenish looks for free values out of the way of any change, and takes back some
// where too few are free: idle connections keep theirs for as long as they live.
func (e *Epochs) Replenish(ctx context.Context) error {
	e.refilled = e.clock.Now()
	used, err := e.look(ctx)
	if err != nil || len(e.free) >= lowWater {
		return err
	}
	rare := e.rarest(used)
	if len(rare) == 0 {
		return nil
	}
	return e.reclaim(ctx, func(value uint32) bool { return rare[value] })
}

// rarest are the values to take back, as far as nothing may be writing them.
func (e *Epochs) rarest(used map[uint32]int) map[uint32]bool {
	var stale []uint32
	for value := range used {
		if at, retired := e.retired[value]; !e.live[value] && (!retired || e.clock.Since(at) >= inFlight) {
			stale = append(stale, value)
		}
	}
	slices.SortFunc(stale, func(a, b uint32) int { return cmp.Or(cmp.Compare(used[a], used[b]), cmp.Compare(a, b)) })
	out, connections := map[uint32]bool{}, 0
	for _, value := range stale {
		if connections += used[value]; len(out) == reclaimed || connections > reclaimedAtMost {
			break
		}
		out[value] = true
	}
	return out
}

// Refill looks in the kernel which values are free.
func (e *Epochs) Refill(ctx context.Context) error {
	_, err := e.look(ctx)
	return err
}

// look puts the values that are free in random order, so that a restarted agent does
// not walk in its forerunner's steps, and returns how many connections bear others.
func (e *Epochs) look(ctx context.Context) (used map[uint32]int, err error) {
	// The time is taken before the dump: what is retired during it is not free.
	now := e.clock.Now()
	e.looked = now
	marks, err := e.table.Marks(ctx, e.epochBits())
	if err != nil {
		return nil, err
	}
	e.took = e.clock.Since(now)
	e.spent = false
	used = e.valuesIn(marks)
	e.tellForeign(ctx, used)
	e.free = e.free[:0]
	for value := uint32(1); value < e.layout.Epochs(); value++ {
		if _, inUse := used[value]; inUse || e.live[value] {
			continue
		}
		if at, ok := e.retired[value]; ok && now.Sub(at) < inFlight {
			continue
		}
		delete(e.retired, value)
		e.free = append(e.free, value)
	}
	rand.Shuffle(len(e.free), func(i, j int) { e.free[i], e.free[j] = e.free[j], e.free[i] })
	return used, nil
}

// reclaim takes stale values from the connections that bear them: these are
// judged with their next packet anyway.
func (e *Epochs) reclaim(ctx context.Context, stale func(value uint32) bool) error {
	n, err := e.table.Clear(ctx, e.epochBits(), func(mark uint32) bool { return stale(e.layout.Decode(mark)) })
	if err != nil {
		return err
	}
	klog.FromContext(ctx).V(2).Info("Cleared stale epochs from connections", "connections", n)
	return e.Refill(ctx)
}

func (e *Epochs) epochBits() uint32 { return e.layout.Mask &^ e.layout.Denied() }

func (e *Epochs) valuesIn(marks map[uint32]int) map[uint32]int {
	used := make(map[uint32]int, len(marks))
	for mark, n := range marks {
		if value := e.layout.Decode(mark); value != 0 {
			used[value] += n
		}
	}
	return used
}

const (
	// suspicionAtMost is how long a dump may hold up the sync loop for the sake of
	// others' values alone, and suspicionShare the share of the time that may go there.
	suspicionAtMost = 100 * time.Millisecond
	suspicionShare  = 1000
)

// LookForForeign looks for others' values where that is cheap.
func (e *Epochs) LookForForeign(ctx context.Context) error {
	if e.took > suspicionAtMost || e.clock.Since(e.looked) < suspicionShare*e.took {
		return nil
	}
	return e.Refill(ctx)
}

// tellForeign tells of values that only another program can have written: nobody bore
// them at the last dump, and we did not issue them since.
func (e *Epochs) tellForeign(ctx context.Context, used map[uint32]int) {
	for _, value := range e.free {
		n := used[value]
		if n == 0 {
			continue
		}
		e.foreign(n)
		klog.FromContext(ctx).V(2).Info("Connections bear an epoch that was not issued: does another program write these bits of the conntrack mark?",
			"epoch", value, "mark", fmt.Sprintf("%#x", e.layout.Encode(value)), "connections", n)
	}
}
