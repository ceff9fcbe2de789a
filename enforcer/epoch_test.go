package enforcer

import (
	"context"
	"errors"
	"fmt"
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
	*epochs
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
	f.epochs = newEpochs(layout, f.marks, f.clock, func(n int) { f.foreign += n })
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
	stranger := uint32(1)
	for f.issued[stranger] {
		stranger++
	}
	f.marks.marks[f.layout.Encode(stranger)] = 3
	if err := f.Refill(context.Background()); err != nil {
		t.Fatal(err)
	}
	if f.foreign != 3 {
		t.Errorf("counted %d foreign connections, want 3", f.foreign)
	}
}

func ExampleConfig_Defaults() {
	var c Config
	c.Defaults()
	fmt.Println(c.Grace, c.Validate())
	// Output: 1m0s <nil>
}
