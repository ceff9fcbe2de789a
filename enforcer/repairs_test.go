package enforcer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// Changes are repaired at once, as long as nobody insists.
func TestRepairsPauseOnlyInAFight(t *testing.T) {
	var r repairs
	now := time.Unix(1e9, 0)
	for i := range repairsAtOnce {
		if d := r.wait(now); d > 0 {
			t.Fatalf("repair %d waits %v", i+1, d)
		}
		r.begin(now)
		now = now.Add(10 * time.Millisecond)
	}
	if len(r.conditions(now, nil)) > 0 {
		t.Error("a few repairs count as a fight")
	}
	for range 20 {
		if d := r.wait(now); d <= 0 || d > repairPause {
			t.Fatalf("in a fight the next repair waits %v", d)
		}
		now = now.Add(r.wait(now))
		r.begin(now)
	}
	if c := r.conditions(now, nil); len(c) != 1 || c[0].What != "TableContested" || !c[0].NotReady() {
		t.Errorf("conditions %v", c)
	}
	if len(r.recent) > repairsAtOnce {
		t.Errorf("%d repairs are remembered", len(r.recent))
	}
	// Somebody who comes rarely is met at once, each time, but it is a contest until
	// there was calm.
	for range 10 {
		now = now.Add(repairPause)
		if d := r.wait(now); d > 0 {
			t.Errorf("one change in %v is left to wait for %v", repairPause, d)
		}
		r.begin(now)
	}
	if len(r.conditions(now.Add(contestCalm-1), nil)) != 1 || len(r.conditions(now.Add(contestCalm), nil)) != 0 {
		t.Errorf("the contest does not end after %v of calm", contestCalm)
	}
}

func TestRepairsThatFailAreACondition(t *testing.T) {
	var r repairs
	now := time.Unix(1e9, 0)
	if c := r.conditions(now, errInjected); len(c) > 0 {
		t.Errorf("a failure that has nothing to do with others' changes: %v", c)
	}
	r.begin(now)
	c := r.conditions(now, errInjected)
	if len(c) != 1 || c[0].What != "TableNotRepaired" || !c[0].NotReady() || !strings.Contains(c[0].Message, errInjected.Error()) {
		t.Errorf("conditions %v", c)
	}
}

// The second change comes right after the repair of the first, and so does the next:
// none has to wait for the sake of the one before.
func TestAgentRepairsASecondChangeAtOnce(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &MemorySource{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	var slowest time.Duration
	for i := range repairsAtOnce {
		c.node.cmd("nft", "flush", "table", "inet", "sluice")
		started := time.Now()
		eventuallySoon(t, "repair", func() bool { return valueOf(t, a.metrics.driftRepairs) == float64(i+1) })
		slowest = max(slowest, time.Since(started))
		// A flush before the rules are back is none.
		a.settle()
	}
	// What is bounded is the pause, however busy the machine is.
	if n := len(a.Status().Conditions); n > 0 {
		t.Errorf("conditions %v", a.Status().Conditions)
	}
	t.Logf("the slowest repair of %d began after %v", repairsAtOnce, slowest)
	a.settle()
	c.bad.expect(c.web, 80, false)
	eventually(t, "TableContested", func() bool {
		c.node.cmd("nft", "flush", "table", "inet", "sluice")
		err := a.Ready()
		return err != nil && strings.Contains(err.Error(), "TableContested")
	})
}

// stubborn is a Transactor that fails for good from some moment on.
type stubborn struct {
	Transactor
	fails atomic.Bool
}

func (s *stubborn) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if s.fails.Load() {
		return errInjected
	}
	return s.Transactor.Transact(ctx, family, ops)
}

func TestAgentSaysThatARepairFails(t *testing.T) {
	c := newCluster(t, "ptp")
	k := &stubborn{Transactor: NewTransactor(c.node)}
	a := startAgent(t, c.node, &MemorySource{}, func(cfg *Config) { cfg.Transactor = k })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	k.fails.Store(true)
	c.node.cmd("nft", "flush", "table", "inet", "sluice")
	eventually(t, "condition", func() bool {
		err := a.Ready()
		return errors.Is(err, errInjected) && strings.Contains(err.Error(), "TableNotRepaired")
	})
	// It is one fault, and one condition.
	if got := fmt.Sprint(a.Status().Kinds()); got != "[TableNotRepaired 1]" {
		t.Errorf("conditions %s", got)
	}
	k.fails.Store(false)
	eventually(t, "repair", func() bool { return a.Ready() == nil })
	c.bad.expect(c.web, 80, false)
}

func TestDriftKnowsTheTablesOfAllFamilies(t *testing.T) {
	n := newNS(t)
	d, err := newDrift(n, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		d.Run(ctx)
		close(done)
	}()
	defer func() {
		cancel()
		<-done
	}()
	for _, family := range []string{"inet", "netdev", "bridge"} {
		n.nft("table " + family + " sluice { }")
		eventually(t, "a change of table "+family+" sluice noticed", d.Check)
		err := d.Ours(func() error {
			return NewTransactor(n).Transact(context.Background(), knftables.Family(family), []compiler.Op{
				{Object: &compiler.Chain{Name: "c"}}, {Object: &compiler.Counter{Name: "x"}},
			})
		})
		if err != nil {
			t.Errorf("%s: %v", family, err)
		}
	}
	n.nft("table ip sluice { }\ntable inet other { }")
	time.Sleep(50 * time.Millisecond)
	if d.Check() {
		t.Error("somebody else's tables, or our own changes, count as drift")
	}
}
