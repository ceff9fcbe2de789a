package enforcer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/rounds"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// What a repair comes to is told as what an operator must know.
func TestRepairsAreTold(t *testing.T) {
	for _, tt := range []struct {
		repairs rounds.Repairs
		failed  error
		want    []string
	}{
		{rounds.Repairs{}, errInjected, nil},
		{rounds.Repairs{Contested: true}, nil, []string{"TableContested"}},
		{rounds.Repairs{Failing: true}, errInjected, []string{notRepaired}},
		{rounds.Repairs{Contested: true, Failing: true}, errInjected, []string{"TableContested", notRepaired}},
	} {
		var got []string
		for _, c := range repairConditions(tt.repairs, "somebody", tt.failed) {
			if !c.NotReady() || c.Mend == "" || c.What == notRepaired && !strings.Contains(c.Message, errInjected.Error()) || c.What != notRepaired && !strings.Contains(c.Message, "somebody") {
				t.Errorf("%+v", c)
			}
			got = append(got, c.What)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.repairs, got, tt.want)
		}
	}
}

// The second change comes right after the repair of the first, and so does the next:
// none has to wait for the sake of the one before.
func TestAgentRepairsASecondChangeAtOnce(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	var slowest time.Duration
	for i := range rounds.RepairsAtOnce {
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
	t.Logf("the slowest repair of %d began after %v", rounds.RepairsAtOnce, slowest)
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
	k := &stubborn{Transactor: tables.New(c.node)}
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Transactor = k })
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
