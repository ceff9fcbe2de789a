package enforcer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	testclock "k8s.io/utils/clock/testing"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// fakeGuards records the chains that transactions touch.
type fakeGuards struct {
	*guards
	wanted []compiler.GuardPlan
	kernel []string
	// refuse fails a transaction that touches one of these chains.
	refuse map[string]error
	done   [][]string
	clock  *testclock.FakeClock
	// vanished are interfaces that are not there.
	vanished map[string]bool
}

func newFakeGuards(t *testing.T) *fakeGuards {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeGuards{refuse: map[string]error{}, clock: testclock.NewFakeClock(time.Unix(0, 0)), vanished: map[string]bool{}}
	f.guards = &guards{
		metrics: m, failed: map[string]*guardFailure{}, now: f.clock.Now,
		all:      func() []compiler.GuardPlan { return f.wanted },
		inKernel: func() ([]string, error) { return f.kernel, nil },
		gone:     func(veth string, err error) bool { return f.vanished[veth] && tables.IsNotFound(err) },
		transact: func(_ context.Context, ops []compiler.Op) error {
			var names []string
			for _, op := range ops {
				if c, ok := op.Object.(*compiler.Chain); ok && !slices.Contains(names, c.Name) {
					names = append(names, c.Name)
				}
			}
			for _, n := range names {
				if err := f.refuse[n]; err != nil {
					return err
				}
			}
			f.done = append(f.done, names)
			return nil
		},
	}
	return f
}

func guardOf(veth string) compiler.GuardPlan {
	return compiler.GuardPlan{Veth: veth, Chains: []string{"c" + veth}, Ops: []compiler.Op{{Verb: compiler.Add, Object: &compiler.Chain{Name: "c" + veth}}}}
}

func (f *fakeGuards) want(t *testing.T, want ...[]string) {
	t.Helper()
	if diff := cmp.Diff(want, f.done); diff != "" {
		t.Errorf("transactions (-want +got):\n%s", diff)
	}
	f.done = nil
}

func TestGuardsGoTogetherIfTheyCan(t *testing.T) {
	f := newFakeGuards(t)
	f.Run(context.Background(), []compiler.GuardPlan{guardOf("a"), guardOf("b")})
	f.want(t, []string{"ca", "cb"})
}

func TestGuardsThatFailAreTriedAgainAndTheOthersStand(t *testing.T) {
	f := newFakeGuards(t)
	f.wanted = []compiler.GuardPlan{guardOf("a"), guardOf("b"), guardOf("c")}
	f.refuse["cb"] = errors.New("no")
	f.Run(context.Background(), f.wanted)
	f.want(t, []string{"ca"}, []string{"cc"})
	if f.Wait() < 0 {
		t.Error("nothing is left to do")
	}
	// What others do meanwhile costs what they do.
	f.Run(context.Background(), []compiler.GuardPlan{guardOf("a")})
	f.Run(context.Background(), nil)
	f.want(t, []string{"ca"})
	delete(f.refuse, "cb")
	f.clock.Step(f.Wait())
	f.Run(context.Background(), nil)
	f.want(t, []string{"cb"})
	if f.Wait() >= 0 {
		t.Error("something is left to do")
	}
}

func TestGuardsOfVanishedInterfacesAreNoFailure(t *testing.T) {
	f := newFakeGuards(t)
	f.wanted = []compiler.GuardPlan{guardOf("a"), guardOf("b")}
	f.refuse["cb"], f.vanished["b"] = unix.ENOENT, true
	f.kernel = []string{"ca", "cold"}
	f.Replace(context.Background())
	f.want(t, []string{"ca"}, []string{"cold"})
	if f.Wait() >= 0 {
		t.Error("something is left to do")
	}
}

// "Not found" may be about anything: a guard of an interface that is there is
// missing then.
func TestGuardsThatAreNotFoundAreFailuresWhereTheInterfaceIs(t *testing.T) {
	f := newFakeGuards(t)
	f.wanted = []compiler.GuardPlan{guardOf("a")}
	f.refuse["ca"] = unix.ENOENT
	f.Run(context.Background(), f.wanted)
	if f.Errors()["a"] == nil || f.Wait() < 0 {
		t.Error("nothing failed")
	}
}

// One transaction for all guards of a large node holds up its packets.
func TestGuardsAreReplacedInPieces(t *testing.T) {
	f := newFakeGuards(t)
	var want [][]string
	for i := range 2*guardsAtOnce + 3 {
		p := guardOf(fmt.Sprint(i))
		f.wanted = append(f.wanted, p)
		if i%guardsAtOnce == 0 {
			want = append(want, nil)
		}
		want[len(want)-1] = append(want[len(want)-1], p.Chains...)
	}
	f.Replace(context.Background())
	f.want(t, want...)
	f.wanted = nil
	f.kernel = []string{"c1"}
	f.Replace(context.Background())
	f.want(t, nil) // the table goes
}

// A guard that cannot be changed as it is, is made anew, and costs the others nothing.
func TestGuardsThatCannotBeChangedAreMadeAnew(t *testing.T) {
	f := newFakeGuards(t)
	f.wanted = []compiler.GuardPlan{guardOf("a"), guardOf("b")}
	change := f.transact
	f.transact = func(ctx context.Context, ops []compiler.Op) error {
		if !slices.ContainsFunc(ops, func(op compiler.Op) bool { return op.Verb == compiler.Delete }) {
			for _, op := range ops {
				if c, ok := op.Object.(*compiler.Chain); ok && c.Name == "cb" {
					return errors.New("it hangs elsewhere")
				}
			}
		}
		return change(ctx, ops)
	}
	f.Replace(context.Background())
	f.want(t, []string{"ca"}, []string{"cb"})
	if f.Wait() >= 0 {
		t.Error("something is left to do")
	}
}

// One guard that the kernel does not take is tried again alone, more and more rarely,
// however many there are: the whole table is the last resort, once in a long while.
func TestOneBadGuardCostsWhatOneGuardCosts(t *testing.T) {
	f := newFakeGuards(t)
	tried := map[int]int{}
	change := f.transact
	f.transact = func(ctx context.Context, ops []compiler.Op) error {
		err := change(ctx, ops)
		tried[len(ops)]++
		return err
	}
	const all = 500
	for i := range all {
		f.wanted = append(f.wanted, guardOf(fmt.Sprint(i)))
	}
	f.refuse["c7"] = errors.New("no")
	f.Replace(context.Background())
	clear(tried)
	for end := f.clock.Now().Add(lastResortPause - time.Second); f.clock.Now().Before(end); f.clock.Step(f.Wait()) {
		f.Run(context.Background(), nil)
	}
	alone, whole := tried[1]+tried[4], tried[2+all]
	if whole != 0 || len(tried) > 2 || alone == 0 || alone > 50 {
		t.Errorf("in %v it was tried alone %d times, and with all others %d times: %v", lastResortPause, alone, whole, tried)
	}
	f.clock.Step(time.Minute)
	f.Run(context.Background(), nil)
	if tried[2+all] != 1 {
		t.Errorf("the last resort was tried %d times", tried[2+all])
	}
	delete(f.refuse, "c7")
	f.clock.Step(f.Wait())
	f.Run(context.Background(), nil)
	if f.Wait() >= 0 || len(f.Errors()) > 0 {
		t.Errorf("something is left to do: %v", f.Errors())
	}
}
