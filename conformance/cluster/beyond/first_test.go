package beyond

import (
	"cmp"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// How many Pods start for each row of TestFirstPacket.
// 50 is what figures are of; 10 keep the suite short.
var newborns = flag.Int("newborns", 10, "`number` of Pods that TestFirstPacket starts, one by one and at once")

// act is one of the first acts of a Pod.
type act struct {
	name string
	probe.Request
	// allowed: it may; no packet of it may be lost. Otherwise none may pass.
	allowed bool
}

// TestFirstPacket starts Pods whose first instruction is to ask, to connect and
// to send, in both families, to Pods of their node and of another. What is
// allowed must lose no packet and what is forbidden must not pass, whether the
// Pod does it in an init container or in its own.
//
// Where the agent hears of sandboxes from the container runtime (--nri-socket),
// nothing may be lost in any row. Where it does not, nothing where no Pod that
// starts is isolated; of the other rows it is only said what was lost.
func TestFirstPacket(t *testing.T) {
	if *nri {
		newWorld(t).agents().hearRuntime()
	}
	told := hears(t)
	t.Logf("the agent hears of sandboxes from the container runtime: %t", told)
	const noStrangers = `{podSelector: {matchLabels: {role: stranger}}, policyTypes: [Ingress]}`
	for _, row := range []struct {
		name     string
		policies map[string]string
		roles    []string // of the Pods that start, in turn
	}{
		// Nothing is said of those that start, and of some others there is.
		{"free", map[string]string{"no-strangers": noStrangers}, []string{"free"}},
		{"isolated", map[string]string{"only-friends": onlyFriends}, []string{"bound"}},
		{"mixed", map[string]string{"only-friends": onlyFriends}, []string{"bound", "free"}},
	} {
		for _, atOnce := range []bool{false, true} {
			name := row.name + "/one by one"
			if atOnce {
				name = row.name + "/at once"
			}
			t.Run(name, func(t *testing.T) {
				f := newFirsts(t)
				for name, policy := range row.policies {
					f.w.policy(f.w.ns, name, policy)
				}
				f.settle(row.name)
				if !told {
					f.start(row.roles, *newborns, atOnce)
					f.judge(row.name == "free")
					return
				}
				token := f.w.reader()
				before := f.w.runtimeWaits(token)
				f.start(row.roles, *newborns, atOnce)
				f.w.runtimeWaits(token).since(t, before)
				f.judge(true)
			})
		}
	}
}

// onlyFriends isolates those that are bound.
const onlyFriends = `
podSelector: {matchLabels: {role: bound}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {role: friend}}}]}]
`

// hears says whether the agents hear of sandboxes from the container runtime.
func hears(t *testing.T) bool {
	t.Helper()
	return slices.ContainsFunc(agentArgs(t), func(arg string) bool { return strings.HasPrefix(arg, "--nri-socket=/") })
}

// agentArgs are the arguments of the DaemonSet that is tested.
func agentArgs(t *testing.T) []string {
	t.Helper()
	ns, name, _ := strings.Cut(*agent, "/")
	ds, err := cluster.client.AppsV1().DaemonSets(ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("read the DaemonSet %s: %v", *agent, err)
	}
	var args []string
	for _, c := range ds.Spec.Template.Spec.Containers {
		args = append(args, c.Args...)
	}
	return args
}

// firsts are Pods that start, and those that they start with.
type firsts struct {
	w         *world
	nursery   nursery
	friends   []*pod
	strangers []*pod
	dns       *corev1.Service
	born      []newborn
	// closed: the strangers let nobody in.
	closed bool
	// patience is for how long an act that is allowed is tried.
	patience time.Duration
	// made is how many there were so far, those that were judged among them.
	made int
}

// newborn is a Pod that was started.
type newborn struct {
	name    string
	acts    []act
	created time.Time
}

func newFirsts(t *testing.T) *firsts {
	t.Helper()
	w := newWorld(t)
	role := func(r string) map[string]string { return map[string]string{"role": r} }
	pods := w.pods(
		spec{name: "friend", labels: role("friend")}, spec{name: "far-friend", labels: role("friend"), node: 1},
		spec{name: "stranger", labels: role("stranger")}, spec{name: "far-stranger", labels: role("stranger"), node: 1},
	)
	f := &firsts{
		w: w, nursery: w.nursery(), dns: w.service("dns", "friend", nil, web),
		friends: []*pod{pods["friend"], pods["far-friend"]}, strangers: []*pod{pods["stranger"], pods["far-stranger"]},
		patience: patient,
	}
	for _, p := range f.strangers {
		w.listen(p, unused)
	}
	f.w.expect("the Service", f.friends[1].at("dns", parse(f.dns.Spec.ClusterIPs), "udp", web, true)...)
	return f
}

// settle returns when the policies hold, as those that are there can see.
func (f *firsts) settle(row string) {
	f.w.t.Helper()
	if row == "free" {
		f.closed = true
		f.w.expect("before", f.friends[0].to(f.strangers[1], other, false)...)
		return
	}
	bound := f.w.pods(spec{name: "bound", labels: map[string]string{"role": "bound"}})["bound"]
	f.w.expect("before", append(bound.to(f.strangers[1], other, false), bound.to(f.friends[1], web, true)...)...)
}

const (
	burstSize  = 20
	burstEvery = 5 * time.Millisecond
	// patient is longer than a resolver waits before it asks a second time.
	patient = 12 * time.Second
	resolve = 5 * time.Second
)

// acts of one Pod. Only who is forbidden to reaches for strangers, on a port that
// nobody else uses, so that whatever comes there has passed.
func (f *firsts) acts(role string) []act {
	var acts []act
	add := func(what string, to netip.AddrPort, r probe.Request, allowed bool) {
		r.Address = to.String()
		acts = append(acts, act{fmt.Sprintf("%s %s %s", r.Op, what, family(to.Addr())), r, allowed})
	}
	ask := probe.Request{Op: probe.Ask, Timeout: f.patience, Interval: resolve}
	connect := probe.Request{Op: probe.Connect, Timeout: f.patience}
	burst := probe.Request{Op: probe.Burst, Timeout: 2 * time.Second, Size: burstSize, Interval: burstEvery}
	for _, ip := range f.dns.Spec.ClusterIPs {
		add("dns", netip.AddrPortFrom(netip.MustParseAddr(ip), web), ask, true)
	}
	for _, p := range f.friends {
		for _, a := range p.addrs() {
			add(p.Pod.Name, netip.AddrPortFrom(a, web), connect, true)
			add(p.Pod.Name, netip.AddrPortFrom(a, web), burst, true)
		}
	}
	forbidden := connect
	forbidden.Timeout = burst.Timeout
	for _, p := range f.strangers {
		for _, a := range p.addrs() {
			if role == "bound" || f.closed {
				add(p.Pod.Name, netip.AddrPortFrom(a, unused), forbidden, false)
				add(p.Pod.Name, netip.AddrPortFrom(a, unused), burst, false)
			}
		}
	}
	return acts
}

// unused is a port that only those that start reach for.
const unused = 7002

// start starts the Pods and returns when they are done. Every second does its
// acts in an init container.
func (f *firsts) start(roles []string, n int, atOnce bool) {
	f.w.t.Helper()
	var pods []*pod
	f.born = nil
	done := func(q *corev1.Pod) bool { return q.Status.Phase == corev1.PodSucceeded }
	for i := range n {
		role := roles[i%len(roles)]
		b := newborn{name: fmt.Sprintf("first-%d", f.made), acts: f.acts(role), created: time.Now()}
		request := probe.Request{Op: probe.First}
		for _, a := range b.acts {
			request.Acts = append(request.Acts, a.Request)
		}
		p := f.w.pods(spec{name: b.name, labels: map[string]string{"role": role}, pending: true, change: func(p *corev1.Pod) {
			p.Spec.Volumes[0] = f.nursery.volume
			c := f.nursery.container("first", request, 60)
			p.Spec.Containers = []corev1.Container{c}
			if i/len(roles)%2 == 1 {
				p.Spec.InitContainers = []corev1.Container{c}
				p.Spec.Containers[0].Name, p.Spec.Containers[0].Command = "main", nil
				p.Spec.Containers[0].Args = []string{"help"} // which ends at once
			}
		}})[b.name]
		f.made++
		f.born = append(f.born, b)
		pods = append(pods, p)
		if !atOnce {
			f.w.reload(p, done)
		}
	}
	for _, p := range pods {
		f.w.reload(p, done)
	}
}

// judge reads what became of the acts.
func (f *firsts) judge(lossless bool) {
	f.w.t.Helper()
	lost := map[string]int{} // by act, the Pods that lost packets of it
	took := map[probe.Op][]time.Duration{}
	var started []time.Duration
	slow := 0
	for _, b := range f.born {
		r := f.w.logged(b.name, "first")
		if len(r.Acts) != len(b.acts) {
			f.w.t.Fatalf("%s: %d acts, want %d: %s", b.name, len(r.Acts), len(b.acts), r.Detail)
		}
		// The clocks are one only on the local cluster.
		started = append(started, r.At.Sub(b.created))
		for i, a := range b.acts {
			got := r.Acts[i]
			if !a.allowed {
				if got.Outcome == probe.OK || got.Answers > 0 {
					f.w.t.Errorf("%s: %s was answered: %+v", b.name, a.name, got)
				}
				continue
			}
			if got.Outcome == probe.OK {
				took[a.Op] = append(took[a.Op], got.Until)
				// A lost question for a hardware address, which is asked again after a
				// second, costs no packet of the act.
				if got.Tries == 1 && got.Until >= time.Second {
					slow++
				}
			}
			if why := missing(a, got); why != "" {
				lost[a.name]++
				if lossless {
					f.w.t.Errorf("%s: %s: %s", b.name, a.name, why)
				}
			}
		}
	}
	for _, p := range f.strangers {
		for _, network := range []string{"tcp", "udp"} {
			r := p.do(probe.Request{Op: probe.Heard, Network: network, Address: fmt.Sprint(":", unused)})
			if r.Outcome != probe.OK || r.Tries > 0 {
				f.w.t.Errorf("%s heard %d over %s of what is forbidden: %s", p.Pod.Name, r.Tries, network, r.Detail)
			}
		}
	}
	f.w.t.Logf("%d Pods, from created to the first act: %s", len(f.born), spread(started))
	for _, op := range []probe.Op{probe.Ask, probe.Connect} {
		f.w.t.Logf("%s: %s", op, spread(took[op]))
	}
	if slow > 0 {
		f.w.t.Logf("%d acts took a second and lost no packet of their own", slow)
	}
	for _, a := range f.born[0].acts {
		if a.allowed {
			f.w.t.Logf("%s: %d of %d Pods lost packets", a.name, lost[a.name], len(f.born))
		}
	}
}

// missing says what was lost of what is allowed.
func missing(a act, r probe.Response) string {
	switch {
	case a.Op == probe.Burst && r.Answers == burstSize, a.Op != probe.Burst && r.Outcome == probe.OK && r.Tries == 1:
		return ""
	case a.Op == probe.Burst:
		return fmt.Sprintf("%d of %d were answered: %s", r.Answers, burstSize, r.Detail)
	}
	return fmt.Sprintf("%s after %d tries and %s: %s", r.Outcome, r.Tries, r.Until.Round(time.Millisecond), r.Detail)
}

// spread is what one wants to know of many durations.
func spread(list []time.Duration) string {
	if len(list) == 0 {
		return "none"
	}
	sorted := slices.SortedFunc(slices.Values(list), cmp.Compare[time.Duration])
	at := func(share float64) time.Duration {
		return sorted[int(share*float64(len(sorted)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("median %s, nine of ten within %s, worst %s", at(0.5), at(0.9), at(1))
}
