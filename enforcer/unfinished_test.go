package enforcer

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/source"
)

// hugePolicy selects the Pods of app-1. Its port ranges overlap, and each has a peer
// of its own; every 500th is one of a few groups.
func hugePolicy(rules int, seed uint64) *networkingv1.NetworkPolicy {
	r := rand.New(rand.NewPCG(seed, 2))
	np := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "huge"},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "app-1"}}},
	}
	for i := range rules {
		first := intstr.FromInt(1 + r.IntN(65000))
		last := min(65535, int32(first.IntValue()+r.IntN(65535)))
		peer := networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("172.%d.%d.%d/30", 16+i>>14, i>>6&255, i<<2&255)}}
		if i%500 == 0 {
			peer = appsPeer(fmt.Sprintf("app-%d", i/500%50))
		}
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{
			From:  []networkingv1.NetworkPolicyPeer{peer},
			Ports: []networkingv1.NetworkPolicyPort{{Port: &first, EndPort: &last}},
		})
	}
	return np
}

func appsPeer(apps ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: apps}},
	}}
}

// smallPolicy selects the Pods of an app and opens one port to another.
func smallPolicy(app string, port int, peer string) *networkingv1.NetworkPolicy {
	p := intstr.FromInt(port)
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "small-" + app},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{appsPeer(peer)}, Ports: []networkingv1.NetworkPolicyPort{{Port: &p}},
			}},
		},
	}
}

func policyEvent(np *networkingv1.NetworkPolicy) source.Event {
	return source.Event{Kind: source.PolicyEvent, Name: types.NamespacedName{Namespace: np.Namespace, Name: np.Name}, Policy: np}
}

// observed is a Transactor that tells of each transaction on the main table, before
// it is run.
type observed struct {
	Transactor
	mu   sync.Mutex
	tell func(ops []compiler.Op)
	// done has the time when each was done.
	done []time.Time
}

func (o *observed) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if family != knftables.InetFamily {
		return o.Transactor.Transact(ctx, family, ops)
	}
	o.mu.Lock()
	if o.tell != nil {
		o.tell(ops)
	}
	o.mu.Unlock()
	err := o.Transactor.Transact(ctx, family, ops)
	o.mu.Lock()
	o.done = append(o.done, time.Now())
	o.mu.Unlock()
	return err
}

// observe has all transactions told from now on.
func (e *eventBench) observe(tell func(ops []compiler.Op)) *observed {
	if o, ok := e.s.tables.(*observed); ok {
		o.tell = tell
		return o
	}
	o := &observed{Transactor: e.s.tables, tell: tell}
	e.s.tables = o
	return o
}

// settle syncs until nothing is left in the mailbox.
func (e *eventBench) settle(tb testing.TB) {
	tb.Helper()
	for range 100 {
		e.sync(tb)
		if e.a.box.Waiting() == 0 {
			return
		}
	}
	tb.Fatal("the mailbox does not become empty")
}

// dispatches reports whether a transaction leads the packets to Pods of an app of
// [benchPod] elsewhere.
func dispatches(ops []compiler.Op, app int) bool {
	return slices.ContainsFunc(ops, func(op compiler.Op) bool {
		e, ok := op.Object.(*compiler.SetElement)
		return ok && e.Set.Name == "ingress-v4" && op.Verb == compiler.Add && slices.Contains([]string{fmt.Sprintf("10.0.0.%d", app), fmt.Sprintf("10.0.0.%d", app+50)}, e.Set.KeyText(e.Key))
	})
}

// TestHugePolicyLetsOthersThrough: a policy of the largest size that the API takes
// comes, and others while its objects are made: each is in force a few transactions
// after it came, and long before the huge one. Those that came with it do not wait at
// all.
func TestHugePolicyLetsOthersThrough(t *testing.T) {
	np := hugePolicy(17_000, 1)
	if text, err := json.Marshal(np); err != nil || len(text) < 1_400_000 || len(text) > 1_572_864 {
		t.Fatalf("the policy has %d bytes, not the most that the API takes: %v", len(text), err)
	}
	e := newEventBench(t, 500, 100)
	n, came, huge := 0, map[int]int{}, 0
	inForce := map[int]int{}
	e.observe(func(ops []compiler.Op) {
		n++
		for _, app := range []int{2, 3, 4} {
			if dispatches(ops, app) {
				inForce[app] = n
			}
		}
		if dispatches(ops, 1) {
			huge = n
		}
		switch n {
		case 5:
			came[3] = n
			e.a.box.Deliver(policyEvent(smallPolicy("app-3", 4000, "app-9")))
		case 20:
			came[4] = n
			e.a.box.Deliver(policyEvent(smallPolicy("app-4", 4000, "app-9")))
		}
	})
	e.a.box.Deliver(policyEvent(np))
	e.a.box.Deliver(policyEvent(smallPolicy("app-2", 4000, "app-9")))
	e.settle(t)
	t.Logf("of %d transactions, the huge policy's last was number %d; others came before %v and were in force with %v", n, huge, came, inForce)
	for _, app := range []int{2, 3, 4} {
		if inForce[app] == 0 || inForce[app] > came[app]+4 || inForce[app] > huge-20 {
			t.Errorf("the policy of app-%d came before transaction %d and is in force with number %d; the huge one with %d", app, came[app], inForce[app], huge)
		}
	}
}

// exact holds the kernel to what the compiler says.
func (e *eventBench) exact(t *testing.T) {
	t.Helper()
	if err := e.s.tidy(context.Background()); err != nil {
		t.Fatal(err)
	}
	fresh := newNS(t)
	fresh.nft(e.s.compiler.Ruleset().String())
	node := e.s.ns.(testNS)
	if diff := cmp.Diff(byName(t, fresh), byName(t, node)); diff != "" {
		t.Errorf("the kernel has something else than the compiler (-compiler +kernel):\n%.4000s", diff)
	}
}

// byName is all of the main table by the names of objects, and the rules of each chain
// in their order: objects are listed in the order in which they were made.
func byName(t *testing.T, n testNS) []string {
	t.Helper()
	kept := n.Listing("inet", "sluice")
	kept = slices.DeleteFunc(kept, func(line string) bool { return strings.HasPrefix(line, "metainfo ") })
	name := func(line string) string {
		kind, fields, _ := strings.Cut(line, " ")
		var named struct{ Name, Chain string }
		if err := json.Unmarshal([]byte(fields), &named); err != nil {
			t.Fatal(err)
		}
		return kind + " " + named.Name + named.Chain
	}
	slices.SortStableFunc(kept, func(a, b string) int { return strings.Compare(name(a), name(b)) })
	return kept
}

// TestPlansThatOvertakeLeadToTheSame: whatever comes while a huge policy is prepared,
// about the same Pods, groups and policies or others, the kernel ends up with what the
// compiler says, and nothing is replaced on the way.
func TestPlansThatOvertakeLeadToTheSame(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			e := newEventBench(t, 300, 10)
			there := map[int]bool{}
			busy := true
			e.observe(func([]compiler.Op) {
				if !busy || r.IntN(3) == 0 {
					return
				}
				for range 1 + r.IntN(2) {
					e.a.box.Deliver(someEvent(r, there))
				}
			})
			for round := range uint64(3) {
				e.a.box.Deliver(policyEvent(hugePolicy(1500+500*int(round), seed+round)))
				e.sync(t)
				e.sync(t)
			}
			busy = false
			e.settle(t)
			if e.s.rounds.Doubtful() {
				t.Error("all is to be replaced")
			}
			e.exact(t)
		})
	}
}

// someEvent is one of a Pod or a policy.
func someEvent(r *rand.Rand, there map[int]bool) source.Event {
	app := fmt.Sprintf("app-%d", r.IntN(6))
	switch r.IntN(6) {
	case 0:
		return source.Event{Kind: source.PolicyEvent, Name: types.NamespacedName{Namespace: "shop", Name: "small-" + app}, Deleted: true}
	case 1, 2:
		return policyEvent(smallPolicy(app, 4000+r.IntN(3), fmt.Sprintf("app-%d", r.IntN(8))))
	case 3:
		// As many words as the huge one has, but no ranges: it needs no tree.
		return policyEvent(hugePolicy(1, r.Uint64()))
	}
	i := 1000 + r.IntN(20)
	p := benchPod(i)
	event := source.Event{Kind: source.PodEvent, Name: p.NamespacedName, Pod: p}
	if there[i] {
		event.Pod, event.Deleted = nil, true
	}
	there[i] = !there[i]
	return event
}

// processorTime is what the process has used, for itself and in the kernel.
func processorTime(tb testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Error(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWaitForHugePolicy is how long a small policy waits that comes a moment
// after one of the API's largest size ("other"), how much processor time that is on a
// machine that has others to do ("cpu", with the collection of garbage), and how long
// the huge one takes: as it comes, changes in one port, and goes.
func BenchmarkWaitForHugePolicy(b *testing.B) {
	e := newEventBench(b, 500, 100)
	waits, took, busy := map[string][]time.Duration{}, map[string][]time.Duration{}, map[string][]time.Duration{}
	for i := 0; b.Loop(); i++ {
		np := hugePolicy(17_000, 1)
		changed := np.DeepCopy()
		changed.Spec.Ingress[7].Ports[0].EndPort = &changed.Spec.Ingress[7].Ports[0].Port.IntVal
		gone := policyEvent(np)
		gone.Policy, gone.Deleted = nil, true
		for j, step := range []struct {
			name  string
			event source.Event
		}{{"load", policyEvent(np)}, {"change", policyEvent(changed)}, {"delete", gone}} {
			started := time.Now()
			var came time.Time
			var before, after time.Duration
			at := -1
			o := e.observe(nil)
			o.done = nil
			o.tell = func(ops []compiler.Op) {
				if at < 0 && dispatches(ops, 3) {
					at, after = len(o.done), processorTime(b)
				}
			}
			e.a.box.Deliver(step.event)
			time.AfterFunc(time.Millisecond, func() {
				came, before = time.Now(), processorTime(b)
				e.a.box.Deliver(policyEvent(smallPolicy("app-3", 4000+3*i+j, "app-9")))
			})
			e.sync(b)
			took[step.name] = append(took[step.name], time.Since(started))
			for at < 0 {
				e.settle(b)
			}
			busy[step.name] = append(busy[step.name], after-before)
			waits[step.name] = append(waits[step.name], o.done[at].Sub(came))
		}
	}
	for name := range waits {
		b.ReportMetric(float64(slices.Max(waits[name]).Milliseconds()), "other-"+name+"-ms")
		b.ReportMetric(float64(slices.Max(busy[name]).Milliseconds()), "cpu-"+name+"-ms")
		b.ReportMetric(float64(slices.Max(took[name]).Milliseconds()), "huge-"+name+"-ms")
	}
}
