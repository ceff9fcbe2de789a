package enforcer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// testAgent is a running agent on a source in memory.
type testAgent struct {
	*Agent
	t      testing.TB
	source *MemorySource
	stop   func()
}

func startAgent(t testing.TB, node testNS, source *MemorySource, configure ...func(*Config)) *testAgent {
	t.Helper()
	cfg := Config{MinInterval: time.Millisecond, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond}
	for _, c := range configure {
		c(&cfg)
	}
	agent, err := New(cfg, source, node, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := agent.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	a := &testAgent{agent, t, source, sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})}
	t.Cleanup(a.stop)
	return a
}

func (a *testAgent) settle() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.Settle(ctx); err != nil {
		a.t.Fatal(err)
	}
}

// set changes objects and waits until the kernel knows.
func (a *testAgent) set(objects ...any) {
	a.t.Helper()
	if err := a.source.Set(objects...); err != nil {
		a.t.Fatal(err)
	}
	a.settle()
}

func (a *testAgent) delete(objects ...any) {
	a.t.Helper()
	if err := a.source.Delete(objects...); err != nil {
		a.t.Fatal(err)
	}
	a.settle()
}

// serve accepts TCP connections at a Pod, on all its addresses.
func (p testPod) serve(port int) {
	p.t.Helper()
	var listener net.Listener
	err := p.Do(func() error {
		var err error
		listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
}

func (n testNS) dial(to netip.Addr, port int, timeout time.Duration) (net.Conn, error) {
	var conn net.Conn
	err := n.Do(func() error {
		var err error
		conn, err = net.DialTimeout("tcp", netip.AddrPortFrom(to, uint16(port)).String(), timeout)
		return err
	})
	return conn, err
}

// reaches connects, and waits long enough only where it expects an answer.
func (n testNS) reaches(to netip.Addr, port int, expected bool) bool {
	timeout := 150 * time.Millisecond
	if expected {
		timeout = 3 * time.Second
	}
	c, err := n.dial(to, port, timeout)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func (n testNS) expect(to testPod, port int, want bool) {
	n.t.Helper()
	for i := range to.object.Status.PodIPs {
		if got := n.reaches(to.addr(i), port, want); got != want {
			n.t.Errorf("to %s (%s) port %d: got %v, want %v", to.object.Name, to.addr(i), port, got, want)
		}
	}
}

// allow is a policy for the Pods of one app: only from another app, on a port.
func allow(name, app, from string, port int) *networkingv1.NetworkPolicy {
	tcp, p := corev1.ProtocolTCP, intstr.FromInt32(int32(port))
	selects := func(v string) metav1.LabelSelector {
		return metav1.LabelSelector{MatchLabels: map[string]string{"app": v}}
	}
	peer := selects(from)
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: selects(app),
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &peer}},
				Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &p}},
			}},
		},
	}
}

func shop() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"kubernetes.io/metadata.name": "shop"}}}
}

// topologies are how a node reaches its Pods.
var topologies = map[string]struct {
	node func(testing.TB) testNS
	pod  func(testNS, string, ...string) testPod
}{
	"ptp":    {newPTPNode, ptpPod},
	"bridge": {newBridgeNode, bridgePod},
}

// cluster is a node with three Pods; web serves port 80 and 81.
type cluster struct {
	node            testNS
	web, front, bad testPod
}

func newCluster(t testing.TB, topology string) cluster {
	top := topologies[topology]
	c := cluster{node: top.node(t)}
	c.web = top.pod(c.node, "web", "10.1.0.2", "fd01::2")
	c.front = top.pod(c.node, "front", "10.1.0.3", "fd01::3")
	c.bad = top.pod(c.node, "bad", "10.1.0.4", "fd01::4")
	c.web.serve(80)
	c.web.serve(81)
	return c
}

func (c cluster) objects() []any { return []any{shop(), c.web.object, c.front.object, c.bad.object} }

func TestAgentEnforces(t *testing.T) {
	for name := range topologies {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, name)
			a := startAgent(t, c.node, &MemorySource{})
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
	a := startAgent(t, c.node, &MemorySource{})
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
	source := &MemorySource{}
	a := startAgent(t, c.node, source)
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	stop := prober(t, c.bad.testNS, c.web.addr(0), 80)
	for range 3 {
		before := a.Status().Epoch
		a.stop()
		c.front.expect(c.web, 80, true)
		c.bad.expect(c.web, 80, false)
		a = startAgent(t, c.node, source)
		a.settle()
		if after := a.Status().Epoch; after == before || after == 0 {
			t.Errorf("epoch %d after %d", after, before)
		}
	}
	stop()
}

func TestAgentChangesNothingUntilItsSourceIsSynced(t *testing.T) {
	c := newCluster(t, "ptp")
	source := &MemorySource{}
	a := startAgent(t, c.node, source)
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

func (unsynced) Run(ctx context.Context, sink Sink) error {
	e, err := eventOf(shop(), false)
	sink.Deliver(e)
	<-ctx.Done()
	return err
}

func TestCleanupAfterAnAgent(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &MemorySource{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	a.stop()
	c.bad.expect(c.web, 80, false)
	if err := Cleanup(context.Background(), c.node); err != nil {
		t.Fatal(err)
	}
	if left := c.node.ruleset(); strings.TrimSpace(left) != "" {
		t.Errorf("left:\n%s", left)
	}
	marks, err := conntrack{c.node}.Marks(context.Background(), 0xffffffff)
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
	f := &failing{Transactor: NewTransactor(c.node), family: knftables.InetFamily}
	a := startAgent(t, c.node, &MemorySource{}, func(cfg *Config) { cfg.Transactor = f })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	stop := prober(t, c.bad.testNS, c.web.addr(0), 80)
	replaced := valueOf(t, a.metrics.fullReplacements)

	f.fail.Store(1 << 30)
	if err := a.source.Set(allow("web", "web", "front", 81)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "several attempts", func() bool { return f.failed.Load() > 3 })
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
	c := newCluster(t, "bridge")
	f := &failing{Transactor: NewTransactor(c.node), family: knftables.NetDevFamily}
	f.fail.Store(1 << 30)
	a := startAgent(t, c.node, &MemorySource{}, func(cfg *Config) { cfg.Transactor = f })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	c.bad.expect(c.web, 80, false)
	if valueOf(t, a.metrics.guardFailures) == 0 {
		t.Error("failures were not counted")
	}
	f.fail.Store(0)
	eventually(t, "guards in the end", func() bool { return strings.Contains(c.node.ruleset(), c.web.mac) })
}

func TestAgentRepairsDrift(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &MemorySource{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	whole := ruleShape(c.node.ruleset())
	for i, change := range [][]string{
		{"flush", "ruleset"},
		{"flush", "table", "inet", "sluice"},
		{"delete", "table", "inet", "sluice"},
		{"add", "rule", "inet", "sluice", "forward", "accept"},
	} {
		c.node.cmd("nft", change...)
		started := time.Now()
		eventually(t, "repaired", func() bool { return valueOf(t, a.metrics.driftRepairs) == float64(i+1) })
		a.settle()
		if took := time.Since(started); took > time.Second {
			t.Errorf("%v took %v to repair", change, took)
		}
		c.bad.expect(c.web, 80, false)
		c.front.expect(c.web, 80, true)
		if got := ruleShape(c.node.ruleset()); got != whole {
			t.Errorf("after %v: %d bytes of rules, want %d", change, len(got), len(whole))
		}
	}
	time.Sleep(100 * time.Millisecond)
	if n := valueOf(t, a.metrics.driftRepairs); n != 4 {
		t.Errorf("%v repairs of 4 changes", n)
	}
}

// ruleShape keeps what does not depend on the epoch and on traffic.
func ruleShape(ruleset string) string {
	var out []string
	for line := range strings.Lines(ruleset) {
		if !strings.Contains(line, "ct mark") && !strings.Contains(line, "packets") && !strings.Contains(line, "expires") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func TestAgentGraceOfTheFirstInstall(t *testing.T) {
	c := newCluster(t, "ptp")
	source := &MemorySource{}
	a := startAgent(t, c.node, source, func(cfg *Config) { cfg.Grace = 600 * time.Millisecond })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	midstream := func() bool {
		return strings.Contains(c.node.cmd("nft", "list", "chain", "inet", "sluice", "forward"), "midstream")
	}
	if midstream() {
		t.Error("connections met mid-stream are reset at once")
	}
	eventually(t, "end of the grace", midstream)
	a.stop()
	a = startAgent(t, c.node, source, func(cfg *Config) { cfg.Grace = time.Hour })
	a.settle()
	if !midstream() {
		t.Error("a restart got another grace")
	}
}

func TestAgentsOfManyNamespacesInOneProcess(t *testing.T) {
	var clusters []cluster
	for range 3 {
		c := newCluster(t, "bridge")
		a := startAgent(t, c.node, &MemorySource{})
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
	a := startAgent(t, c.node, &MemorySource{}, func(cfg *Config) { cfg.KeepBridgeNetfilter = true })
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
	_, err := New(cfg, &MemorySource{}, nil, prometheus.NewRegistry())
	for _, want := range []string{`"["`, "retry", "mask"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
