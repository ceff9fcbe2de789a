package conntrack

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-net/sluice/compiler"
)

// fakeMarks is a conntrack table of which only the marks are known.
type fakeMarks struct {
	marks map[uint32]int
	dumps int
	err   error
}

func (f *fakeMarks) Marks(_ context.Context, mask uint32) (map[uint32]int, error) {
	f.dumps++
	if f.err != nil {
		return nil, f.err
	}
	out := map[uint32]int{}
	for m, n := range f.marks {
		out[m&mask] += n
	}
	return out, nil
}

func (f *fakeMarks) Clear(_ context.Context, mask uint32, stale func(uint32) bool) (int, error) {
	n := 0
	for m, k := range f.marks {
		if m&mask != 0 && stale(m) {
			delete(f.marks, m)
			f.marks[m&^mask] += k
			n += k
		}
	}
	return n, f.err
}

type epochFixture struct {
	*Epochs
	marks   *fakeMarks
	clock   *clocktesting.FakeClock
	foreign int
}

func newEpochFixture(mask uint32, inUse ...uint32) *epochFixture {
	f := &epochFixture{marks: &fakeMarks{marks: map[uint32]int{}}, clock: clocktesting.NewFakeClock(time.Unix(1e9, 0))}
	layout := compiler.MarkLayout{Mask: mask}
	for _, v := range inUse {
		f.marks.marks[layout.Encode(v)|0x1] = 1 // a foreign bit beside ours
	}
	f.Epochs = NewEpochs(layout, f.marks, f.clock, func(n int) { f.foreign += n })
	return f
}

func (f *epochFixture) next(t *testing.T) uint32 {
	t.Helper()
	v, err := f.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	f.Committed(v)
	return v
}

func TestEpochsSkipValuesInUse(t *testing.T) {
	f := newEpochFixture(0xf0, 1, 2, 3, 4, 6) // values 1 to 7
	f.Inherit(5)
	if got := f.next(t); got != 7 {
		t.Errorf("got %d, want 7: the others are in use, or the kernel's at the start", got)
	}
}

func TestEpochsNeverIssueZeroOrTheSameTwiceFromOneDump(t *testing.T) {
	f := newEpochFixture(compiler.DefaultMask)
	seen := map[uint32]bool{0: true}
	for range 511 {
		v := f.next(t)
		if seen[v] {
			t.Fatalf("%d was issued before, or is 0", v)
		}
		seen[v] = true
	}
	if f.marks.dumps != 1 {
		t.Errorf("%d dumps for 511 values", f.marks.dumps)
	}
}

func TestEpochsStartAtRandom(t *testing.T) {
	seen := map[uint32]bool{}
	for range 20 {
		seen[newEpochFixture(compiler.DefaultMask).next(t)] = true
	}
	if len(seen) < 5 {
		t.Errorf("20 agents began with %d different values", len(seen))
	}
}

func TestEpochsRetiredAMomentAgoAreNotFree(t *testing.T) {
	f := newEpochFixture(0x70) // values 1 to 3
	for range 3 {
		f.next(t)
	}
	if v, err := f.Next(context.Background()); err == nil {
		t.Fatalf("issued %d while packets judged under it may be under way", v)
	}
	f.clock.Step(inFlight)
	f.next(t)
}

func TestEpochsOfFailedCommitsMayBeInTheKernel(t *testing.T) {
	f := newEpochFixture(0x70) // values 1 to 3
	if v, sure := f.InForce(); sure {
		t.Errorf("%d is in force before any was issued", v)
	}
	first := f.next(t)
	if v, sure := f.InForce(); !sure || v != first {
		t.Errorf("in force is %d (%t), want %d", v, sure, first)
	}
	second, err := f.Next(context.Background()) // never committed
	if err != nil {
		t.Fatal(err)
	}
	if v, sure := f.InForce(); sure {
		t.Errorf("%d is in force for sure, though a commit of another value failed", v)
	}
	f.clock.Step(time.Hour)
	f.Forget()
	third := f.next(t)
	if third == first || third == second {
		t.Errorf("issued %d again after %d, %d", third, first, second)
	}
	f.Forget()
	if v, err := f.Next(context.Background()); err == nil {
		t.Errorf("issued %d, which was the kernel's until just now", v)
	}
}

func TestEpochsClearStaleMarksWhenAllAreInUse(t *testing.T) {
	f := newEpochFixture(0x70, 1, 2, 3)
	f.Inherit(2)
	if got := f.next(t); got == 2 {
		t.Errorf("got %d, the kernel's own", got)
	}
	if f.marks.marks[0x21] != 1 || f.marks.marks[0x01] != 2 {
		t.Errorf("marks are %x: only the stale ones must be cleared, and of these only our bits", f.marks.marks)
	}
}

func TestEpochsAreNotGuessedWhenTheDumpFails(t *testing.T) {
	f := newEpochFixture(0x70)
	f.marks.err = errors.New("interrupted")
	if v, err := f.Next(context.Background()); !errors.Is(err, f.marks.err) {
		t.Errorf("got %d, %v", v, err)
	}
}

func TestEpochsNeverIssuedAreCounted(t *testing.T) {
	f := newEpochFixture(compiler.DefaultMask, 9)
	f.next(t)
	if f.foreign != 0 {
		t.Errorf("the last agent's connections were counted as foreign: %d", f.foreign)
	}
	// However many were issued before: only those that are free count.
	for range 300 {
		f.next(t)
	}
	stranger := f.free[0]
	f.marks.marks[f.layout.Encode(stranger)] = 3
	for _, want := range []int{3, 3} {
		if err := f.LookForForeign(context.Background()); err != nil {
			t.Fatal(err)
		}
		if f.foreign != want {
			t.Errorf("counted %d foreign connections, want %d", f.foreign, want)
		}
	}
}

// rounds are syncs after which values are looked for if that is due.
func (f *epochFixture) rounds(t *testing.T, n int, round func()) {
	t.Helper()
	for range n {
		round()
		if f.Low() {
			if err := f.Replenish(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Many idle connections, each judged under another epoch, must not have all of
// conntrack dumped on each sync.
func TestEpochsThatAreScarceCostNoDumpOnEverySync(t *testing.T) {
	var inUse []uint32
	for v := uint32(1); v <= 500; v++ {
		inUse = append(inUse, v)
	}
	f := newEpochFixture(compiler.DefaultMask, inUse...)
	f.next(t)
	before := f.marks.dumps
	f.rounds(t, 100, func() {})
	if n := f.marks.dumps - before; n > 3 {
		t.Errorf("%d dumps of conntrack in 100 syncs that narrow nothing", n)
	}
	if len(f.free) < lowWater {
		t.Errorf("%d values are free, with 500 idle connections to take them from", len(f.free))
	}
	before = f.marks.dumps
	f.rounds(t, 200, func() {
		f.next(t)
		f.clock.Step(100 * time.Millisecond)
	})
	if n := f.marks.dumps - before; n > 20 {
		t.Errorf("%d dumps for 200 changes in 20 seconds", n)
	}
}

// Values that too many connections bear are left to them, and then a look is worth
// while only once in a while.
func TestEpochsThatManyConnectionsBearAreLookedForRarely(t *testing.T) {
	var inUse []uint32
	for v := uint32(1); v <= 500; v++ {
		inUse = append(inUse, v)
	}
	f := newEpochFixture(compiler.DefaultMask, inUse...)
	for m := range f.marks.marks {
		f.marks.marks[m] = reclaimedAtMost + 1
	}
	f.next(t)
	before := f.marks.dumps
	f.rounds(t, 9, func() {
		f.next(t)
		f.clock.Step(time.Second)
	})
	if n := f.marks.dumps - before; n > 1 {
		t.Errorf("%d dumps in 9 seconds", n)
	}
	for m, n := range f.marks.marks {
		if n != reclaimedAtMost+1 {
			t.Errorf("mark %#x: %d connections", m, n)
		}
	}
}

func TestEpochsTakenBackAreNeitherLiveNorRetiredAMomentAgo(t *testing.T) {
	f := newEpochFixture(compiler.DefaultMask)
	first := f.next(t)
	f.next(t)
	third := f.next(t)
	idle := uint32(1)
	for idle == first || idle == third || !slices.Contains(f.free, idle) {
		idle++
	}
	used := map[uint32]int{first: 1, third: 1, idle: 3}
	f.retired[first] = f.clock.Now()
	if got := f.rarest(used); len(got) != 1 || !got[idle] {
		t.Errorf("%v of %v, %d a moment ago, %d in force", got, used, first, third)
	}
	f.clock.Step(inFlight)
	if got := f.rarest(used); len(got) != 2 || got[third] {
		t.Errorf("%v of %v, %d in force", got, used, third)
	}
}

// A dump for the sake of an audit must cost next to nothing.
func TestForeignEpochsAreLookedForOnlyWhereThatIsCheap(t *testing.T) {
	f := newEpochFixture(compiler.DefaultMask)
	f.next(t)
	audits := func() int {
		before := f.marks.dumps
		if err := f.LookForForeign(context.Background()); err != nil {
			t.Fatal(err)
		}
		return f.marks.dumps - before
	}
	f.took = 5 * time.Millisecond
	for after, want := range map[time.Duration]int{suspicionShare*5*time.Millisecond - 1: 0, suspicionShare * 5 * time.Millisecond: 1} {
		f.took, f.looked = 5*time.Millisecond, f.clock.Now().Add(-after)
		if got := audits(); got != want {
			t.Errorf("%d dumps %v after one of 5ms", got, after)
		}
	}
	f.took, f.looked = suspicionAtMost+1, time.Time{}
	if got := audits(); got != 0 {
		t.Error("a dump that holds up the loop")
	}
}

// A kernel that refuses every commit leaves it open which values it writes. When all are
// used up, whoever asks it which one it is goes on.
func TestEpochsUsedUpByCommitsThatFail(t *testing.T) {
	f := newEpochFixture(0xf0)
	inForce := f.next(t)
	for {
		if _, err := f.Next(t.Context()); err != nil {
			if !errors.Is(err, ErrNoneFree) {
				t.Fatal(err)
			}
			break
		}
	}
	f.clock.Step(time.Hour)
	if _, err := f.Next(t.Context()); !errors.Is(err, ErrNoneFree) {
		t.Fatalf("an hour later there is a value that the kernel may write: %v", err)
	}
	f.Written(inForce)
	f.clock.Step(inFlight)
	for range 20 {
		if v := f.next(t); v == 0 || v == inForce {
			t.Fatalf("%d is issued", v)
		}
		inForce, _ = f.InForce()
		f.clock.Step(inFlight)
	}
	f.Written(0)
	if v, sure := f.InForce(); sure {
		t.Errorf("nothing writes, and %d is in force", v)
	}
}
