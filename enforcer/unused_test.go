package enforcer

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

func TestUnusedKnowTheNamesThatComeBack(t *testing.T) {
	var l unused
	now := time.Unix(1e9, 0)
	l.add([]compiler.Op{
		{Verb: compiler.Flush, Object: &compiler.Chain{Name: "c1"}},
		{Verb: compiler.Delete, Object: &compiler.Set{Name: "p1"}},
		{Verb: compiler.Delete, Object: &compiler.Chain{Name: "c1"}},
		{Verb: compiler.Delete, Object: &compiler.Counter{Name: "d1"}},
	}, now)
	for name, o := range map[string]compiler.Object{
		"c1": &compiler.Chain{Name: "c1"}, "p1": &compiler.Set{Name: "p1", Value: compiler.VerdictValue}, "d1": &compiler.Counter{Name: "d1"},
	} {
		if !l.comeBack([]compiler.Op{{Verb: compiler.Add, Object: &compiler.Chain{Name: "c2"}}, {Verb: compiler.Add, Object: o}}) {
			t.Errorf("%s comes back unnoticed", name)
		}
	}
	if l.comeBack([]compiler.Op{{Verb: compiler.Add, Object: &compiler.Set{Name: "p2"}}, {Verb: compiler.Add, Object: &compiler.ChainRule{Chain: "c2"}}}) {
		t.Error("other names are taken for the same")
	}
	for after, want := range map[time.Duration]bool{0: false, tidyAfter - 1: false, tidyAfter: true} {
		if got := l.due(now.Add(after)); got != want {
			t.Errorf("due after %v: %v", after, got)
		}
	}
	if got := l.wait(now); got != tidyAfter {
		t.Errorf("due in %v", got)
	}
	l.forget()
	if l.due(now.Add(time.Hour)) || l.wait(now) >= 0 {
		t.Error("due without any")
	}
}

// recording is a Transactor that notes the transactions of table inet sluice.
type recording struct {
	Transactor
	mu  sync.Mutex
	ops [][]compiler.Op
}

func (r *recording) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if family == knftables.InetFamily {
		r.mu.Lock()
		r.ops = append(r.ops, slices.Clone(ops))
		r.mu.Unlock()
	}
	return r.Transactor.Transact(ctx, family, ops)
}

// shapes are what the transactions since the last call did: P made objects, D
// deleted some, E changed elements or the epoch.
func (r *recording) shapes() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, ops := range r.ops {
		has := map[string]bool{}
		for _, op := range ops {
			switch name := compiler.NameOf(op.Object); {
			case name != "" && op.Verb == compiler.Add:
				has["P"] = true
			case name != "" && op.Verb == compiler.Delete:
				has["D"] = true
			case name == "":
				has["E"] = true
			}
		}
		shape := ""
		for _, letter := range []string{"D", "P", "E"} {
			if has[letter] && (letter != "E" || !has["P"]) {
				shape += letter
			}
		}
		out = append(out, shape)
	}
	r.ops = nil
	return strings.Join(out, " ")
}

func TestAgentDeletesWhatNothingRefersToWhenNothingWaits(t *testing.T) {
	c := newCluster(t, "ptp")
	r := &recording{Transactor: tables.New(c.node)}
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Transactor, cfg.MinInterval = r, -1 })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	whole := ruleLines(c.node)
	r.shapes()

	// Each is in the kernel before the next comes, and the third brings back
	// the names that the second left.
	for _, port := range []int{81, 82, 81, 80} {
		before := a.Status().Epoch
		if err := a.source.Set(allow("web", "web", "front", port)); err != nil {
			t.Fatal(err)
		}
		eventuallySoon(t, "the new policy", func() bool { return a.Status().Epoch != before })
	}
	eventually(t, "deletion", func() bool { return a.quiet(r) })
	// Where the machine is slow, more is deleted in between. Nothing here has intervals, so
	// what is made is so by the transaction that switches over, and nothing is deleted there.
	if got := r.shapes(); !strings.HasPrefix(got, "P ") || strings.Count(got, "P") != 4 || strings.ContainsAny(got, "E") || strings.Contains(got, "DP") {
		t.Errorf("transactions %q", got)
	}
	if diff := cmp.Diff(whole, ruleLines(c.node)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	c.front.expect(c.web, 80, true)
	c.front.expect(c.web, 81, false)
}

// quiet: the last transaction deleted something.
func (a *testAgent) quiet(r *recording) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ops) == 0 {
		return false
	}
	last := r.ops[len(r.ops)-1]
	return last[len(last)-1].Verb == compiler.Delete && compiler.NameOf(last[len(last)-1].Object) != ""
}

// eventuallySoon polls fast: what comes next must come before leftovers are due.
func eventuallySoon(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

func TestAgentFastLaneIsNoDriftButOthersAre(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	whole := ruleLines(c.node)
	taken := func(lane string) float64 { return valueOf(t, a.metrics.transactions.WithLabelValues(lane)) }
	nft, netlink := taken(tables.NftLane), taken(tables.NetlinkLane)
	relabel := func(app string) {
		c.bad.object.Labels["app"] = app
		a.set(c.bad.object)
	}
	for range 20 {
		relabel("front")
		relabel("bad")
	}
	if got := taken(tables.NetlinkLane) - netlink; got != 40 {
		t.Errorf("%v changes by netlink, want 40", got)
	}
	if got := taken(tables.NftLane) - nft; got != 0 {
		t.Errorf("%v changes by nft", got)
	}
	time.Sleep(50 * time.Millisecond)
	a.settle()
	if n := valueOf(t, a.metrics.driftRepairs); n != 0 {
		t.Errorf("our own changes were repaired %v times", n)
	}
	// One of others' among ours, while ours go on.
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				relabel([]string{"front", "bad"}[i%2])
			}
		}
	})
	c.node.cmd("nft", "add", "element", "inet", "sluice", "isolated-v4", "{ 203.0.113.9 }")
	eventually(t, "repair", func() bool { return valueOf(t, a.metrics.driftRepairs) == 1 })
	close(stop)
	running.Wait()
	relabel("bad")
	if diff := cmp.Diff(whole, ruleLines(c.node)); diff != "" {
		t.Errorf("after the repair (-want +got):\n%s", diff)
	}
	if n := valueOf(t, a.metrics.driftRepairs); n != 1 {
		t.Errorf("%v repairs", n)
	}
}

// What others took out of a set, the kernel refuses to delete: then all is
// brought anew.
func TestAgentFastLaneRefusedReplacesEverything(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	whole := ruleLines(c.node)
	for set, kind := range map[string]string{"isolated-v4": "set", "local-v4": "set", "ingress-v4": "map"} {
		c.node.cmd("nft", "flush", kind, "inet", "sluice", set)
		a.delete(c.web.object)
		a.set(c.web.object)
		if diff := cmp.Diff(whole, ruleLines(c.node)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", set, diff)
		}
		c.bad.expect(c.web, 80, false)
	}
}

// ruleLines are sorted: a table lists its objects in the order in which they
// came.
func ruleLines(n testNS) []string {
	return slices.Sorted(strings.Lines(ruleShape(n.ruleset())))
}

// A lone event is never held back: neither our own notices nor what we do when
// nothing waits count as a sync that MinInterval keeps apart.
func TestAgentDoesNotHoldBackALoneEvent(t *testing.T) {
	const interval = 2 * time.Second
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.MinInterval, cfg.InspectInterval = interval, 200*time.Millisecond })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	a.set(allow("web", "web", "front", 81))
	time.Sleep(interval + tidyAfter)
	before := a.Status().Epoch
	started := time.Now()
	if err := a.source.Set(allow("web", "web", "front", 80)); err != nil {
		t.Fatal(err)
	}
	eventuallySoon(t, "the new policy", func() bool { return a.Status().Epoch != before })
	if took := time.Since(started); took > interval/2 {
		t.Errorf("it took %v", took)
	}
}

// Nothing that policies or Pods do after the start takes a run of nft.
func TestAgentNeedsNoRunOfNftForChanges(t *testing.T) {
	for _, topology := range []string{"ptp", "bridge"} {
		t.Run(topology, func(t *testing.T) {
			c := newCluster(t, topology)
			a := startAgent(t, c.node, &source.Memory{})
			a.set(append(c.objects(), allow("web", "web", "front", 80))...)
			taken := func(lane string) float64 { return valueOf(t, a.metrics.transactions.WithLabelValues(lane)) }
			for _, step := range []struct {
				name string
				do   func()
			}{
				{"a policy comes", func() { a.set(allow("more", "front", "bad", 8080)) }},
				{"a policy changes", func() { a.set(allow("more", "front", "bad", 8081)) }},
				{"a policy goes", func() { a.delete(allow("more", "front", "bad", 8081)) }},
				{"a Pod of the node goes", func() { a.delete(c.bad.object) }},
				{"a Pod of the node comes", func() { a.set(c.bad.object) }},
				{"an isolated one goes", func() { a.delete(c.web.object) }},
				{"an isolated one comes", func() { a.set(c.web.object) }},
			} {
				nft, netlink := taken(tables.NftLane), taken(tables.NetlinkLane)
				step.do()
				if got := taken(tables.NftLane) - nft; got != 0 {
					t.Errorf("%s: %v runs of nft", step.name, got)
				}
				if taken(tables.NetlinkLane) == netlink {
					t.Errorf("%s: nothing done", step.name)
				}
			}
			c.front.expect(c.web, 80, true)
			c.bad.expect(c.web, 80, false)
		})
	}
}
