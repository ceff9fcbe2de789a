package enforcer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// An nft that hangs is given minutes; readyz must tell long before.
func TestReadyTellsOfASyncThatDoesNotEnd(t *testing.T) {
	clock := testingclock.NewFakeClock(time.Unix(1e9, 0))
	a, err := New(Config{Clock: clock}, &source.Memory{}, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	a.status.setSynced()
	a.status.setEnforcing(1, clock.Now())
	if err := a.Ready(); err != nil {
		t.Fatalf("at rest: %v", err)
	}
	a.heard.Store(clock.Now().UnixNano())
	a.busy.Store(true)
	for _, c := range []struct {
		pass  time.Duration
		ready bool
	}{{longRound, true}, {time.Second, false}, {time.Hour, false}} {
		clock.Step(c.pass)
		if err := a.Ready(); (err == nil) != c.ready || err != nil && !strings.Contains(err.Error(), "a sync has been running for") {
			t.Errorf("%v later: %v", c.pass, err)
		}
		if told := fmt.Sprint(a.Status().Kinds()); (told == "[]") != c.ready || (told == "[SyncHangs 1]") == c.ready {
			t.Errorf("%v later: conditions %s", c.pass, told)
		}
	}
	a.busy.Store(false)
	if err := a.Ready(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// hanging is a Transactor that does not come back until it is let go.
type hanging struct {
	Transactor
	entered, release chan struct{}
}

func (h *hanging) Transact(context.Context, knftables.Family, []compiler.Op) error {
	select {
	case h.entered <- struct{}{}:
	default:
	}
	<-h.release
	return nil
}

func TestAgentTellsOfATransactionThatHangs(t *testing.T) {
	c := newCluster(t, "ptp")
	clock := testingclock.NewFakeClock(time.Now())
	h := &hanging{Transactor: tables.New(c.node), entered: make(chan struct{}, 1), release: make(chan struct{})}
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Clock, cfg.Transactor, cfg.MinInterval = clock, h, -1 })
	if err := a.source.Set(c.objects()...); err != nil {
		t.Fatal(err)
	}
	<-h.entered
	clock.Step(longRound + time.Second)
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "SyncHangs: a sync has been running for 6s") {
		t.Errorf("readyz says %v", err)
	}
	gauge := a.metrics.conditions.WithLabelValues("SyncHangs")
	eventually(t, "it is counted while it lasts", func() bool { clock.Step(longRound); return valueOf(t, gauge) == 1 })
	close(h.release)
	eventually(t, "it is over", func() bool { return valueOf(t, gauge) == 0 })
}
