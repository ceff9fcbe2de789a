package enforcer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// fakeGuards records the chains that transactions touch.
type fakeGuards struct {
	*guards
	now    []compiler.GuardPlan
	kernel []string
	// refuse fails a transaction that touches one of these chains.
	refuse map[string]error
	done   [][]string
}

func newFakeGuards(t *testing.T) *fakeGuards {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeGuards{refuse: map[string]error{}}
	f.guards = &guards{
		metrics: m, failed: map[string]error{},
		all:      func() []compiler.GuardPlan { return f.now },
		inKernel: func() ([]string, error) { return f.kernel, nil },
		transact: func(_ context.Context, ops []compiler.Op) error {
			var names []string
			for _, op := range ops {
				if c, ok := op.Object.(*knftables.Chain); ok && !slices.Contains(names, c.Name) {
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
	return compiler.GuardPlan{Veth: veth, Chains: []string{"c" + veth}, Ops: []compiler.Op{{Verb: compiler.Add, Object: &knftables.Chain{Name: "c" + veth}}}}
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
	f.now = []compiler.GuardPlan{guardOf("a"), guardOf("b"), guardOf("c")}
	f.refuse["cb"] = errors.New("no")
	f.Run(context.Background(), f.now)
	f.want(t, []string{"ca"}, []string{"cc"})
	if !f.Waiting() {
		t.Error("nothing is left to do")
	}
	delete(f.refuse, "cb")
	f.Run(context.Background(), nil)
	f.want(t, []string{"ca", "cb", "cc"})
	if f.Waiting() {
		t.Error("something is left to do")
	}
}

func TestGuardsOfVanishedInterfacesAreNoFailure(t *testing.T) {
	f := newFakeGuards(t)
	f.now = []compiler.GuardPlan{guardOf("a"), guardOf("b")}
	f.refuse["cb"] = notFound(t)
	f.kernel = []string{"ca", "cold"}
	f.Replace(context.Background())
	f.want(t, []string{"ca"}, []string{"cold"})
	if f.Waiting() {
		t.Error("something is left to do")
	}
}

// notFound is nft's answer about a device that is gone.
func notFound(t *testing.T) error {
	t.Helper()
	fake := knftables.NewFake(knftables.NetDevFamily, "x")
	tx := fake.NewTransaction()
	tx.Delete(&knftables.Table{})
	err := fake.Run(context.Background(), tx)
	if !knftables.IsNotFound(err) {
		t.Fatalf("the fake answers %v", err)
	}
	return err
}

// One transaction for all guards of a large node holds up its packets.
func TestGuardsAreReplacedInPieces(t *testing.T) {
	f := newFakeGuards(t)
	var want [][]string
	for i := range 2*guardsAtOnce + 3 {
		p := guardOf(fmt.Sprint(i))
		f.now = append(f.now, p)
		if i%guardsAtOnce == 0 {
			want = append(want, nil)
		}
		want[len(want)-1] = append(want[len(want)-1], p.Chains...)
	}
	f.Replace(context.Background())
	f.want(t, want...)
	f.now = nil
	f.kernel = []string{"c1"}
	f.Replace(context.Background())
	f.want(t, nil) // the table goes
}

// A guard that cannot be changed as it is goes with the whole table.
func TestGuardsThatCannotBeChangedAreMadeAnew(t *testing.T) {
	f := newFakeGuards(t)
	f.now = []compiler.GuardPlan{guardOf("a"), guardOf("b")}
	change := f.transact
	f.transact = func(ctx context.Context, ops []compiler.Op) error {
		if ops[0].Verb != compiler.Add || len(ops) < 2 || ops[1].Verb != compiler.Delete {
			for _, op := range ops {
				if c, ok := op.Object.(*knftables.Chain); ok && c.Name == "cb" {
					return errors.New("it hangs elsewhere")
				}
			}
		}
		return change(ctx, ops)
	}
	f.Replace(context.Background())
	f.want(t, []string{"ca"}, []string{"ca", "cb"})
	if f.Waiting() {
		t.Error("something is left to do")
	}
}
