package enforcer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

func TestAgentEnforces(t *testing.T) {
	for name := range topologies {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, name)
			a := startAgent(t, c.node, &source.Memory{})
			a.set(c.objects()...)
			c.bad.expect(c.web, 80, true)
			if err := a.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
			policy := allow("web", "web", "front", 80)
			a.set(policy)
			c.front.expect(c.web, 80, true)
			c.front.expect(c.web, 81, false)
			c.bad.expect(c.web, 80, false)
			c.node.expect(c.web, 81, true)

			c.bad.object.Labels["app"] = "front"
			a.set(c.bad.object)
			c.bad.expect(c.web, 80, true)
			c.bad.object.Labels["app"] = "bad"
			a.set(c.bad.object)
			c.bad.expect(c.web, 80, false)

			a.delete(policy)
			c.bad.expect(c.web, 80, true)
			if u := a.Status().Unresolved; len(u) > 0 {
				t.Errorf("unresolved: %v", u)
			}
		})
	}
}

func TestAgentCutsALiveConnectionWhenItsPolicyGoes(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	conn, err := c.front.dial(c.web.addr(0), 80, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	echo := func(within time.Duration) error {
		if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	}
	if err := echo(3 * time.Second); err != nil {
		t.Fatalf("allowed: %v", err)
	}
	a.set(allow("web", "web", "nobody", 80))
	if err := echo(300 * time.Millisecond); err == nil {
		t.Error("the connection outlived its policy")
	}
	a.set(allow("web", "web", "front", 80))
	if _, err := io.ReadFull(conn, nil); err != nil {
		t.Error(err)
	}
	if err := echo(5 * time.Second); err != nil {
		t.Errorf("allowed again: %v", err)
	}
}

// prober tries to reach what it must not, all the time.
func prober(t testing.TB, from testNS, to netip.Addr, port int) (stop func()) {
	var through, tries atomic.Int32
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for ctx.Err() == nil {
				tries.Add(1)
				if c, err := from.dial(to, port, 20*time.Millisecond); err == nil {
					through.Add(1)
					_ = c.Close()
				}
			}
		})
	}
	return func() {
		t.Helper()
		cancel()
		running.Wait()
		if n := through.Load(); n > 0 || tries.Load() == 0 {
			t.Errorf("%d of %d forbidden connections went through", n, tries.Load())
		}
	}
}

func TestAgentRestartNeverOpens(t *testing.T) {
	c := newCluster(t, "ptp")
	from := &source.Memory{}
	a := startAgent(t, c.node, from)
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	stop := prober(t, c.bad.testNS, c.web.addr(0), 80)
	for range 3 {
		before := a.Status().Epoch
		a.stop()
		c.front.expect(c.web, 80, true)
		c.bad.expect(c.web, 80, false)
		a = startAgent(t, c.node, from)
		a.settle()
		if after := a.Status().Epoch; after == before || after == 0 {
			t.Errorf("epoch %d after %d", after, before)
		}
	}
	stop()
}

func TestAgentChangesNothingUntilItsSourceIsSynced(t *testing.T) {
	c := newCluster(t, "ptp")
	from := &source.Memory{}
	a := startAgent(t, c.node, from)
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	a.stop()
	before := c.node.ruleset()
	agent, err := New(Config{}, unsynced{}, c.node, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := agent.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := agent.Ready(); !errors.Is(err, ErrNotSynced) {
		t.Errorf("ready: %v", err)
	}
	if after := c.node.ruleset(); after != before {
		t.Errorf("the ruleset changed:\n%s", after)
	}
}

// unsynced delivers a Namespace and never says that this is all.
type unsynced struct{}

func (unsynced) Run(ctx context.Context, sink source.Sink) error {
	ns := shop()
	sink.Deliver(source.Event{Kind: source.NamespaceEvent, Name: types.NamespacedName{Name: ns.Name}, Labels: ns.Labels})
	<-ctx.Done()
	return nil
}

func TestCleanupAfterAnAgent(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	a.stop()
	c.bad.expect(c.web, 80, false)
	if _, err := Cleanup(context.Background(), c.node, CleanupOptions{}); err != nil {
		t.Fatal(err)
	}
	if left := c.node.ruleset(); strings.TrimSpace(left) != "" {
		t.Errorf("left:\n%s", left)
	}
	marks, err := conntrack.Table{Namespace: c.node}.Marks(context.Background(), 0xffffffff)
	if err != nil {
		t.Fatal(err)
	}
	delete(marks, 0)
	if len(marks) > 0 {
		t.Errorf("marks left: %x", marks)
	}
	c.bad.expect(c.web, 80, true)
}

// failing is a Transactor of which the next transactions of a family fail.
type failing struct {
	Transactor
	family knftables.Family
	fail   atomic.Int32
	failed atomic.Int32
}

var errInjected = errors.New("injected failure")

func (f *failing) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if family == f.family && len(ops) > 0 && f.fail.Add(-1) >= 0 {
		f.failed.Add(1)
		return errInjected
	}
	return f.Transactor.Transact(ctx, family, ops)
}

func valueOf(t testing.TB, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestAgentReplacesEverythingAfterAFailure(t *testing.T) {
	c := newCluster(t, "ptp")
	f := &failing{Transactor: tables.New(c.node), family: knftables.InetFamily}
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Transactor = f })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	stop := prober(t, c.bad.testNS, c.web.addr(0), 80)
	replaced := valueOf(t, a.metrics.fullReplacements)

	f.fail.Store(1 << 30)
	if err := a.source.Set(allow("web", "web", "front", 81)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "several attempts", func() bool { return valueOf(t, a.metrics.syncFailures) > 3 })
	if err := a.Ready(); !errors.Is(err, errInjected) {
		t.Errorf("ready: %v", err)
	}
	c.front.expect(c.web, 80, true)
	c.front.expect(c.web, 81, false)

	f.fail.Store(0)
	a.settle()
	c.front.expect(c.web, 81, true)
	c.front.expect(c.web, 80, false)
	stop()
	if err := a.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
	if got := valueOf(t, a.metrics.fullReplacements); got != replaced+1 {
		t.Errorf("replaced %v times, want once", got-replaced)
	}
	if valueOf(t, a.metrics.syncFailures) < 4 {
		t.Error("failures were not counted")
	}
}

func TestAgentGuardFailureHoldsUpNothing(t *testing.T) {
	c := newCluster(t, "ptp")
	f := &failing{Transactor: tables.New(c.node), family: knftables.NetDevFamily}
	f.fail.Store(1 << 30)
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Transactor = f })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	c.bad.expect(c.web, 80, false)
	if valueOf(t, a.metrics.guardFailures) == 0 {
		t.Error("failures were not counted")
	}
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "is not guarded") {
		t.Errorf("ready without guards: %v", err)
	}
	f.fail.Store(0)
	eventually(t, "guards in the end", func() bool { return strings.Contains(c.node.ruleset(), c.web.mac) })
	eventually(t, "readiness", func() bool { return a.Ready() == nil })
}

func TestAgentPortGuardFailureHoldsUpNothing(t *testing.T) {
	c := newCluster(t, "bridge")
	f := &failing{Transactor: tables.New(c.node), family: knftables.BridgeFamily}
	f.fail.Store(1 << 30)
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Transactor = f })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	c.bad.expect(c.web, 80, false)
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "PortGuardsFailed") {
		t.Errorf("ready without guards: %v", err)
	}
	f.fail.Store(0)
	eventually(t, "guards in the end", func() bool { return strings.Contains(c.node.ruleset(), c.web.mac) })
	eventually(t, "readiness", func() bool { return a.Ready() == nil })
}

func TestAgentGraceOfTheFirstInstall(t *testing.T) {
	c := newCluster(t, "ptp")
	from := &source.Memory{}
	a := startAgent(t, c.node, from, func(cfg *Config) { cfg.Grace = 4 * time.Second })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	midstream := func() bool { return strings.Contains(c.node.ruleset(), "goto cut-from") }
	if midstream() {
		t.Error("connections met mid-stream are reset at once")
	}
	eventually(t, "end of the grace", midstream)
	a.stop()
	a = startAgent(t, c.node, from, func(cfg *Config) { cfg.Grace = time.Hour })
	a.settle()
	if !midstream() {
		t.Error("a restart got another grace")
	}
}

// What the rules found write to marks cannot be read: a second epoch is issued
// when they have gone.
func TestAgentReplacesRulesItCannotRead(t *testing.T) {
	c := newCluster(t, "ptp")
	c.node.nft("table inet sluice { chain strange { accept; }; set s { type ipv4_addr; }; }\ntable netdev sluice { chain strange { }; }")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	c.bad.expect(c.web, 80, false)
	c.front.expect(c.web, 80, true)
	if left := c.node.ruleset(); strings.Contains(left, "chain strange") {
		t.Error("parts of the old rules are left")
	}
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
}

func TestAgentsOfManyNamespacesInOneProcess(t *testing.T) {
	var clusters []cluster
	for range 3 {
		c := newCluster(t, "bridge")
		a := startAgent(t, c.node, &source.Memory{})
		a.set(append(c.objects(), allow("web", "web", "front", 80))...)
		clusters = append(clusters, c)
	}
	for _, c := range clusters {
		c.front.expect(c.web, 80, true)
		c.bad.expect(c.web, 80, false)
	}
}

func TestAgentIsNotReadyWhereBridgedPodsAreOutOfReach(t *testing.T) {
	c := newCluster(t, "bridge")
	c.node.cmd("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.KeepBridgeNetfilter = true })
	a.set(c.objects()...)
	server := httptest.NewServer(a.Handler())
	defer server.Close()
	get := func(path string) (int, string) {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "bridge-nf-call-iptables") {
		t.Errorf("readyz: %d %s", code, body)
	}
	if code, body := get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, body)
	}
	if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, "sluice_event_to_kernel_seconds_count") {
		t.Errorf("metrics: %d %s", code, body)
	}
	c.node.cmd("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
	a.settle()
	if err := a.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
}

func TestNewNamesEverythingThatIsWrongWithItsConfig(t *testing.T) {
	cfg := Config{PodInterfaces: []string{"["}, RetryMin: time.Hour, Compiler: compiler.Config{Mark: compiler.MarkLayout{Mask: 1}}}
	_, err := New(cfg, &source.Memory{}, nil, prometheus.NewRegistry())
	for _, want := range []string{`"["`, "retry", "mask"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
