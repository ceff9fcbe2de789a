package enforcer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/ledger"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
	"github.com/sluice-net/sluice/policy"
)

// gated is a Transactor that holds transactions back at its gate.
type gated struct {
	Transactor
	mu sync.Mutex
	// gate, if it is set, is closed to let the transactions pass.
	gate chan struct{}
	// arrived has room for one.
	arrived chan struct{}
	// done counts the transactions that the kernel has taken.
	done atomic.Int64
	// at is when the last one was, in Unix nanoseconds.
	at   atomic.Int64
	fail atomic.Bool
}

func (g *gated) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	if gate != nil {
		select {
		case g.arrived <- struct{}{}:
		default:
		}
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if g.fail.Load() {
		return errInjected
	}
	err := g.Transactor.Transact(ctx, family, ops)
	g.done.Add(1)
	g.at.Store(time.Now().UnixNano())
	return err
}

// shut shuts the gate and returns what opens it.
func (g *gated) shut() (open func()) {
	gate := make(chan struct{})
	g.mu.Lock()
	g.gate, g.arrived = gate, make(chan struct{}, 1)
	g.mu.Unlock()
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.gate = nil
		g.mu.Unlock()
		close(gate)
	})
}

// versioned is a policy in a version.
func versioned(np *networkingv1.NetworkPolicy, rv int) *networkingv1.NetworkPolicy {
	np.UID, np.ResourceVersion = "p", strconv.Itoa(rv)
	return np
}

func named(text string) types.NamespacedName {
	namespace, name, _ := strings.Cut(text, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// isolatedBy are changes that have a policy isolate a Pod.
func isolatedBy(pod, by string) []policy.SubjectChange {
	return []policy.SubjectChange{{Pod: named(pod), Now: &policy.Subject{
		Pod: named(pod), Ingress: &policy.AllowSet{Policies: []types.NamespacedName{named(by)}},
	}}}
}

func waitFor(np *networkingv1.NetworkPolicy) nodestatus.Wait {
	return nodestatus.Wait{
		Kind: nodestatus.PolicyObject, Name: named(np.Namespace + "/" + np.Name), UID: np.UID, ResourceVersion: np.ResourceVersion, Timeout: 20 * time.Second,
	}
}

// A wait ends after the transaction that brings the version, and at once then.
func TestWaitIsNeverEarly(t *testing.T) {
	c := newCluster(t, "ptp")
	g := &gated{Transactor: tables.New(c.node)}
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Transactor = g })
	a.set(c.objects()...)
	ctx := context.Background()
	var late time.Duration
	for i := range 20 {
		from, other := "front", c.bad
		if i%2 == 1 {
			from, other = "bad", c.front
		}
		np := versioned(allow("web", "web", from, 80), i+1)
		open := g.shut()
		before := g.done.Load()
		if err := a.source.Set(np); err != nil {
			t.Fatal(err)
		}
		<-g.arrived
		w := waitFor(np)
		w.Timeout = 0
		if got := a.WaitEnforced(ctx, w); got.State != nodestatus.Pending {
			t.Fatalf("while the transaction is held: %+v", got)
		}
		answers := make(chan *nodestatus.Answer, 1)
		go func() { answers <- a.WaitEnforced(ctx, waitFor(np)) }()
		open()
		got := <-answers
		late = max(late, time.Since(time.Unix(0, g.at.Load())))
		if got.State != nodestatus.Enforced || g.done.Load() == before {
			t.Fatalf("%+v after %d transactions", got, g.done.Load()-before)
		}
		if conn, err := other.dial(c.web.addr(0), 80, 20*time.Millisecond); err == nil {
			_ = conn.Close()
			t.Fatalf("change %d: a connection against the policy went through after the wait", i)
		}
	}
	t.Logf("an answer came at most %v after the last transaction", late)
	// A version that never comes, and one of the object that there was before.
	w := waitFor(versioned(allow("web", "web", "front", 80), 1000))
	w.Timeout = 0
	if got := a.WaitEnforced(ctx, w); got.State != nodestatus.Other {
		t.Errorf("a version that never came: %+v", got)
	}
	w.ResourceVersion = "3"
	if got := a.WaitEnforced(ctx, w); got.State != nodestatus.Enforced {
		t.Errorf("a version that there was: %+v", got)
	}
	w.ResourceVersion, w.Deleted = "", true
	if got := a.WaitEnforced(ctx, w); got.State != nodestatus.Pending {
		t.Errorf("a deletion that never came: %+v", got)
	}
	gone := allow("web", "web", "front", 80)
	if err := a.source.Delete(gone); err != nil {
		t.Fatal(err)
	}
	w.Timeout = 20 * time.Second
	if got := a.WaitEnforced(ctx, w); got.State != nodestatus.Enforced {
		t.Errorf("a deletion: %+v", got)
	}
	c.bad.expect(c.web, 80, true)
}

// While transactions fail, a wait says so, and ends with the one that succeeds.
func TestWaitOutlastsFailures(t *testing.T) {
	c := newCluster(t, "ptp")
	g := &gated{Transactor: tables.New(c.node)}
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Transactor = g })
	first := versioned(allow("web", "web", "front", 80), 1)
	a.set(append(c.objects(), first)...)
	g.fail.Store(true)
	second := versioned(allow("web", "web", "bad", 80), 2)
	if err := a.source.Set(second); err != nil {
		t.Fatal(err)
	}
	eventually(t, "several attempts", func() bool { return valueOf(t, a.metrics.syncFailures) > 3 })
	w := waitFor(second)
	w.Timeout = 0
	if got := a.WaitEnforced(context.Background(), w); got.State != nodestatus.Pending {
		t.Errorf("while it fails: %+v", got)
	}
	w = waitFor(first)
	if got := a.WaitEnforced(context.Background(), w); got.State != nodestatus.Enforced {
		t.Errorf("what is in the kernel still: %+v", got)
	}
	n := a.NodeStatus(nodestatus.Query{})
	if n.Ready || len(n.Policies) != 1 || n.Policies[0].Enforced || n.Policies[0].ResourceVersion != "2" || n.Conditions[0].What != "TableFailed" {
		t.Errorf("status: %+v", n)
	}
	answers := make(chan *nodestatus.Answer, 1)
	go func() { answers <- a.WaitEnforced(context.Background(), waitFor(second)) }()
	g.fail.Store(false)
	if got := <-answers; got.State != nodestatus.Enforced {
		t.Errorf("%+v", got)
	}
	c.front.expect(c.web, 80, false)
}

func TestStatusOfANode(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, onNode, func(cfg *Config) { cfg.Version = "v1.2.3" })
	for _, p := range []testPod{c.web, c.front, c.bad} {
		p.object.ResourceVersion, p.object.Spec.NodeName = "7", testNode
	}
	elsewhere := versioned(allow("elsewhere", "nobody", "front", 80), 8)
	a.set(append(c.objects(), versioned(allow("web", "web", "front", 80), 9), elsewhere)...)
	server := httptest.NewServer(muxOf(a.guardedPaths()))
	defer server.Close()
	get := func(query string) nodestatus.Node {
		t.Helper()
		var n nodestatus.Node
		r, err := http.Get(server.URL + nodestatus.StatusPath + "?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v", r.Status, err)
		}
		return n
	}
	names := func(n nodestatus.Node) string {
		var out []string
		for _, p := range n.Pods {
			out = append(out, p.Name+"@"+p.ResourceVersion+strings.Join(p.Ingress, ","))
		}
		for _, p := range n.Policies {
			out = append(out, "policy "+p.Name+"@"+p.ResourceVersion+" "+strconv.Itoa(p.Pods))
		}
		return strings.Join(out, " ")
	}
	whole := get("")
	if whole.Node != "n1" || whole.Version != "v1.2.3" || whole.Generation == 0 || whole.Since == nil || whole.Epoch == 0 || whole.Objects.Policies != 2 || whole.Waiting != "" {
		t.Errorf("%+v", whole)
	}
	for _, p := range whole.Pods {
		if !p.Enforced || p.Since == nil || len(p.Addresses) != 2 {
			t.Errorf("%+v", p)
		}
	}
	for query, want := range map[string]string{
		"":                      "bad@7 front@7 web@7shop/web policy web@9 1",
		"summary=true":          "",
		"namespace=other":       "",
		"pod=shop/bad":          "bad@7",
		"pod=shop/web":          "web@7shop/web policy web@9 1",
		"policy=shop/web":       "web@7shop/web policy web@9 1",
		"policy=shop/elsewhere": "policy elsewhere@8 0",
		"policy=shop/none":      "",
	} {
		if got := names(get(query)); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for _, path := range []string{nodestatus.StatusPath + "?x=y", nodestatus.WaitPath} {
		r, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
}

// A policy that overtakes a huge one is in force before it, and said to be, after its own
// transaction.
func TestWaitDoesNotWaitForAHugePolicy(t *testing.T) {
	e := newEventBench(t, 500, 100)
	huge, small := versioned(hugePolicy(6000, 1), 1), versioned(smallPolicy("app-2", 80, "app-3"), 2)
	state := func(np *networkingv1.NetworkPolicy) nodestatus.State {
		s, _ := e.a.ledger.Answer(waitFor(np))
		return s
	}
	deliver := func(np *networkingv1.NetworkPolicy) {
		ev := policyEvent(np)
		ev.Version = source.Version{UID: np.UID, ResourceVersion: np.ResourceVersion}
		e.a.box.Deliver(ev)
	}
	n, dispatched, early := 0, 0, false
	e.observe(func(ops []compiler.Op) {
		n++
		if n == 3 {
			deliver(small)
		}
		early = early || dispatched > 0 && state(small) == nodestatus.Enforced && state(huge) == nodestatus.Pending
		if state(small) == nodestatus.Enforced && (dispatched == 0 || dispatched == n) || state(huge) == nodestatus.Enforced {
			t.Errorf("transaction %d: enforced before it is in the kernel: %s, %s", n, state(small), state(huge))
		}
		if dispatched == 0 && dispatches(ops, 2) {
			dispatched = n
		}
	})
	deliver(huge)
	e.settle(t)
	if !early {
		t.Errorf("the small policy, in force after transaction %d of %d, waited for the huge one", dispatched, n)
	}
	if state(huge) != nodestatus.Enforced || state(small) != nodestatus.Enforced {
		t.Errorf("at the end: %s, %s", state(huge), state(small))
	}
}

// What is in the kernel without effect is not enforced.
func TestWaitSeesWhatStandsInTheWay(t *testing.T) {
	a, err := New(Config{}, &source.Memory{}, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	a.ledger.Begin()
	a.ledger.TakeRound(map[source.Key]source.Event{
		{Kind: source.PolicyEvent, Name: named("shop/db")}: {Version: source.Version{UID: "p", ResourceVersion: "1"}},
	}, ledger.Outlook{Invalid: func(source.Key) string { return "" }})
	a.ledger.Enforced(true)
	a.status.write(func(s *Status) { s.Synced, s.Enforcing = true, true })
	np := versioned(allow("db", "db", "web", 80), 1)
	w := waitFor(np)
	w.Timeout = 0
	state := func() nodestatus.State { return a.WaitEnforced(context.Background(), w).State }
	ctx := context.Background()
	for _, tt := range []struct {
		what, object string
		want         nodestatus.State
	}{
		{"SourceSilent", "pods", nodestatus.Enforced},
		{"PolicyEngine", "", nodestatus.Enforced},
		{"PodUnresolved", "Pod other/x", nodestatus.Enforced},
		{"PodUnresolved", "Pod shop/db-0", nodestatus.Blocked},
		{"BridgeUnfiltered", "bridge cni0", nodestatus.Blocked},
		{"TableNotRepaired", "", nodestatus.Blocked},
	} {
		if tt.object == "Pod shop/db-0" {
			a.ledger.Resolved(isolatedBy("shop/db-0", "shop/db"))
		}
		a.status.setConditions(ctx, "test", []Condition{{What: tt.what, Object: tt.object}})
		if got := state(); got != tt.want {
			t.Errorf("%s %s: %s", tt.what, tt.object, got)
		}
	}
	a.status.setConditions(ctx, "test", nil)
	a.status.setSyncError(errors.New("a later change fails"))
	if got := state(); got != nodestatus.Enforced {
		t.Errorf("while later changes fail: %s", got)
	}
}

// Whoever waits takes a place of a bounded number, and gives it back.
func TestWaitersAreBounded(t *testing.T) {
	a, err := New(Config{}, &source.Memory{}, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	h := a.statusPaths()[nodestatus.WaitPath]
	w := waitFor(versioned(allow("db", "db", "web", 80), 1))
	ctx, cancel := context.WithCancel(context.Background())
	ask := func() int {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/?"+w.Values().Encode(), nil)
		out := httptest.NewRecorder()
		h.ServeHTTP(out, r)
		return out.Code
	}
	codes := make(chan int, 3*maxWaiters)
	for range 3 * maxWaiters {
		go func() { codes <- ask() }()
	}
	for range 2 * maxWaiters {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Fatalf("%d", code)
		}
	}
	cancel()
	for range maxWaiters {
		if code := <-codes; code != http.StatusOK {
			t.Fatalf("%d", code)
		}
	}
	if code := ask(); code != http.StatusOK {
		t.Errorf("after all have gone: %d", code)
	}
	for _, path := range []string{nodestatus.StatusPath, nodestatus.WaitPath} {
		if a.guardedPaths()[path] == nil || a.paths()[path] != nil {
			t.Errorf("%s is not at the guarded door alone", path)
		}
	}
}
