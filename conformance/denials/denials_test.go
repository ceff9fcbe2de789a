package denials

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/policy"
)

// shop are policies that isolate some Pods in each direction, by labels, namespaces,
// ranges and ports.
var shop = map[string]string{
	"shop/default-deny": "podSelector: {}\npolicyTypes: [Ingress]\n",
	"shop/db": `
podSelector: {matchLabels: {app: db}}
ingress:
- from: [{podSelector: {matchLabels: {app: api}}}]
  ports: [{port: 5432, protocol: UDP}]
`,
	"shop/web": `
podSelector: {matchLabels: {app: web}}
ingress:
- from: [{namespaceSelector: {matchLabels: {team: guests}}}]
  ports: [{port: 8080, endPort: 8090, protocol: UDP}]
egress:
- to: [{podSelector: {matchLabels: {app: api}}}]
- to: [{ipBlock: {cidr: 10.244.0.0/28, except: [10.244.0.12/32]}}]
policyTypes: [Ingress, Egress]
`,
	"guests/out": `
podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [db]}]}
egress:
- ports: [{port: 53, protocol: UDP}]
policyTypes: [Egress]
`,
}

// expected is what is to be told of a datagram, nothing if it is allowed: the source's
// policies are asked first.
func (r *rig) expected(from *rigPod, to netip.AddrPort) (id string, subject netip.Addr, policies []string) {
	src := from.Addrs[0]
	if to.Addr().Is6() {
		src = from.Addrs[1]
	}
	v := r.index.Explain(policy.Flow{Src: policy.End{Addr: src}, Dst: policy.End{Addr: to.Addr()}, Protocol: policy.UDP, Port: to.Port()})
	decided, subject := v.Egress, src
	switch {
	case v.Allowed:
		return "", subject, nil
	case v.Egress.Allowed:
		decided, subject = v.Ingress, to.Addr()
	}
	for _, p := range decided.Policies {
		policies = append(policies, p.Policy.String())
	}
	return fmt.Sprintf("%s %s:%d %s %s", from.NamespacedName, v.Flow.Dst.Pod.NamespacedName, to.Port(), src, decided.Direction), subject, policies
}

func idOf(d *denials.Denial) string {
	return fmt.Sprintf("%s %s:%d %s %s", d.Src.Name(), d.Dst.Name(), d.Port, d.Src.Address, d.Direction)
}

// target draws where a Pod sends to.
func (r *rig) target(rnd *rand.Rand, from *rigPod) netip.AddrPort {
	for {
		to := r.pods[rnd.IntN(len(r.pods))]
		if to != from {
			return netip.AddrPortFrom(to.Addrs[rnd.IntN(2)], []uint16{53, 80, 443, 5432, 8080, 8085, 8091}[rnd.IntN(7)])
		}
	}
}

// Of random datagrams each that is denied is told of, once, with its Pods, its direction
// and the policies that isolate; and none that is allowed.
func TestEveryDenialIsToldOfOnce(t *testing.T) {
	r := newRig(t, compiler.Config{}, denials.Config{Rate: denials.MaxRate})
	r.change(func(x *policy.Index) {
		for name, spec := range shop {
			r.set(x, name, spec)
		}
	})
	rnd := seeded(1)
	type datagram struct {
		from *rigPod
		to   netip.AddrPort
	}
	var sent []datagram
	want := map[string][]string{}
	logs := map[netip.Addr]int{}
	allowed := 0
	for range 3000 {
		from := r.pods[rnd.IntN(len(r.pods))]
		to := r.target(rnd, from)
		id, subject, policies := r.expected(from, to)
		if id == "" {
			allowed++
		} else if want[id] == nil {
			// The kernel logs so many at once of each subject.
			if logs[subject]++; logs[subject] > logsAtOnce {
				continue
			}
			want[id] = policies
		}
		sent = append(sent, datagram{from, to})
	}
	if len(want) < 300 || allowed < 300 {
		t.Fatalf("%d denied flows and %d allowed datagrams: too few to prove anything", len(want), allowed)
	}
	began := time.Now()
	for range 2 {
		for _, d := range sent {
			r.send(d.from, d.to)
		}
	}
	told := map[string][]time.Time{}
	for _, d := range r.settle() {
		told[idOf(d)] = append(told[idOf(d)], d.Time)
		policies, known := want[idOf(d)]
		switch {
		case !known:
			t.Errorf("an allowed flow is told of: %s: %s", idOf(d), d.Message)
		case d.Reason != denials.Policy || !slices.Equal(d.Policies, policies) || d.Approximate:
			t.Errorf("%s: %s by %v, want %v", idOf(d), d.Reason, d.Policies, policies)
		case d.Time.Before(began.Add(-time.Second)) || d.Time.After(time.Now()):
			t.Errorf("%s: at %v", idOf(d), d.Time)
		}
	}
	missing := 0
	for id := range want {
		times := told[id]
		if len(times) == 0 {
			missing++
			t.Errorf("not told of: %s", id)
		}
		for i := 1; i < len(times); i++ {
			// The kernel counts in ticks. A busy machine takes longer than an interval.
			if d := times[i].Sub(times[i-1]); d < denials.Interval-50*time.Millisecond {
				t.Errorf("told of twice in %v: %s", d, id)
			}
		}
	}
	t.Logf("%d datagrams, %d denied flows, %d told of, %d missing; left out: %v", 2*len(sent), len(want), len(told), missing, r.recorder.LeftOut())
}

// A Pod that is denied always, each time by another policy: whose name is told is that of
// the policy which was in force when the packet was judged, as far as the sender can tell.
func TestReasonIsOfTheJudgingGeneration(t *testing.T) {
	r := newRig(t, compiler.Config{}, denials.Config{Rate: denials.MaxRate})
	name := func(round int) string { return fmt.Sprintf("shop/round-%d", round) }
	const spec = "podSelector: {}\npolicyTypes: [Ingress]\n"
	r.change(func(x *policy.Index) { r.set(x, name(0), spec) })
	var targets, senders []*rigPod
	for _, p := range r.pods {
		if p.Namespace == "shop" {
			targets = append(targets, p)
		} else {
			senders = append(senders, p)
		}
	}
	type sending struct {
		port           uint16
		before, behind time.Time
	}
	var mu sync.Mutex
	sent := map[string]sending{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		rnd := seeded(2)
		// 18 a second for each of the targets' addresses: the kernel logs 20.
		tick := time.NewTicker(time.Second / time.Duration(18*2*len(targets)))
		defer tick.Stop()
		for port := uint16(1000); ; port++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			n := int(port) % (2 * len(targets))
			from, to := senders[rnd.IntN(len(senders))], targets[n/2]
			s := sending{port: port, before: time.Now()}
			r.send(from, netip.AddrPortFrom(to.Addrs[n%2], port))
			s.behind = time.Now()
			mu.Lock()
			sent[fmt.Sprintf("%s %d", to.NamespacedName, port)] = s
			mu.Unlock()
		}
	})
	type window struct{ began, ended time.Time }
	rounds := []window{{}}
	rnd := seeded(3)
	for round := 1; round <= 150; round++ {
		began, ended := r.change(func(x *policy.Index) {
			x.DeletePolicy(objectName(name(round - 1)))
			r.set(x, name(round), spec)
			// Something else that changes, in other namespaces.
			x.SetNamespace("other", map[string]string{"round": fmt.Sprint(round)})
			if rnd.IntN(3) == 0 {
				time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond) // the index runs ahead
			}
		})
		rounds = append(rounds, window{began, ended})
		for more := rnd.IntN(2) == 0; more; {
			more = r.recorder.Explain(r.epoch)
		}
		time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	list := r.settle()
	sure, during := 0, 0
	for _, d := range list {
		s, known := sent[fmt.Sprintf("%s %d", d.Dst.Name(), d.Port)]
		if !known || len(d.Policies) != 1 || d.Reason != denials.Policy || d.Approximate {
			t.Errorf("told of and never sent, or by no policy: %+v", d)
			continue
		}
		// The rounds that may have been in force when it was judged.
		first, last := 0, 0
		for i := range rounds {
			if !rounds[i].ended.After(s.before) {
				first = i
			}
			// A busy kernel may forward it a little after it was sent.
			if !rounds[i].began.After(s.behind.Add(30 * time.Millisecond)) {
				last = i
			}
		}
		right := false
		for i := first; i <= last; i++ {
			right = right || d.Policies[0] == name(i)
		}
		if first == last {
			sure++
		} else {
			during++
		}
		if !right {
			t.Errorf("%s:%d was sent in round %d to %d, and is told of as denied by %s, generation %d", d.Dst.Name(), d.Port, first, last, d.Policies[0], d.Generation)
		}
	}
	if len(list) < len(sent)*9/10 || sure < 200 {
		t.Errorf("%d datagrams, %d told of, %d of them in a round that is sure; left out: %v", len(sent), len(list), sure, r.recorder.LeftOut())
	}
	t.Logf("%d datagrams, %d told of, %d in a round that is sure and %d during a change", len(sent), len(list), sure, during)
}

func objectName(s string) types.NamespacedName {
	namespace, name, _ := strings.Cut(s, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}
