package denials

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/policy/spectest"
)

// A watched is a cluster with real agents, whose denials are read.
type watched struct {
	*enforced.Cluster
	t    testing.TB
	pods []*corev1.Pod
	// nodes are the names of the nodes.
	nodes   []string
	sockets map[string][2]int
}

// metric is the sum of one metric of the first node's agent.
func (w *watched) metric(name string) float64 {
	w.t.Helper()
	var out float64
	families, err := w.Registry(w.nodes[0]).Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				out += m.GetCounter().GetValue()
			}
		}
	}
	return out
}

// many is how many Pods there are: a kernel logs twenty packets of each at once.
const many = 40

func watchedPods() []*corev1.Pod {
	var out []*corev1.Pod
	for i := range many {
		p := enforced.Pod([]string{"shop", "guests"}[i%2], fmt.Sprintf("p%d", i), fmt.Sprintf("10.77.0.%d", 10+i), fmt.Sprintf("fd77::%x", 10+i))
		p.Labels = map[string]string{"app": []string{"web", "api", "db"}[i/2%3]}
		out = append(out, p)
	}
	return out
}

func watch(t testing.TB, topology lab.Topology, spread lab.Spread, policies map[string]string, configure func(*enforcer.Config), late ...*corev1.Pod) *watched {
	t.Helper()
	w := &watched{t: t, sockets: map[string][2]int{}}
	var objects []any
	for _, name := range []string{"shop", "guests"} {
		ns := enforced.Namespace(name)
		ns.Labels["team"] = name
		objects = append(objects, ns)
	}
	for name, spec := range policies {
		objects = append(objects, networkPolicy(t, name, spec))
	}
	w.Cluster = enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: topology, Spread: spread}, Pods: watchedPods(), Late: late, Objects: objects,
		Config: func(c *enforcer.Config) {
			c.Compiler.LogGroup, c.Denials.Rate = logGroup, denials.MaxRate
			if configure != nil {
				configure(c)
			}
		},
	})
	for _, p := range watchedPods() {
		w.pods = append(w.pods, w.Pods[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}])
	}
	for _, n := range w.Spec().Nodes {
		w.nodes = append(w.nodes, n.Name)
	}
	return w
}

func networkPolicy(t testing.TB, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	np := &networkingv1.NetworkPolicy{}
	np.Namespace, np.Name, _ = strings.Cut(name, "/")
	if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
		t.Fatal(err)
	}
	// As the API server would fill it in.
	if np.Spec.PolicyTypes == nil {
		np.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if np.Spec.Egress != nil {
			np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	return np
}

func fullName(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

func podAddr(p *corev1.Pod, family int) netip.Addr {
	return netip.MustParseAddr(p.Status.PodIPs[family].IP)
}

// send sends a datagram from a Pod.
func (w *watched) send(from *corev1.Pod, to netip.AddrPort) {
	w.t.Helper()
	fds, open := w.sockets[fullName(from)]
	if !open {
		for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
			err := w.Pod(types.NamespacedName{Namespace: from.Namespace, Name: from.Name}).Do(func() (err error) {
				fds[i], err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
				return err
			})
			if err != nil {
				w.t.Fatal(err)
			}
			fd := fds[i]
			w.t.Cleanup(func() { _ = unix.Close(fd) })
		}
		w.sockets[fullName(from)] = fds
	}
	for range 200 {
		err := unix.ENOBUFS
		if to.Addr().Is4() {
			err, _ = unix.Sendto(fds[0], []byte("x"), 0, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}).(unix.Errno)
		} else {
			err, _ = unix.Sendto(fds[1], []byte("x"), 0, &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())}).(unix.Errno)
		}
		switch {
		case err == 0:
			return
		case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
			// An answer to an earlier datagram.
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
			time.Sleep(time.Millisecond)
		default:
			w.t.Fatalf("send from %s to %v: %v", fullName(from), to, err)
		}
	}
	w.t.Fatalf("send from %s to %v: no room", fullName(from), to)
}

// told is what all agents tell of, when nothing has come for a while.
func (w *watched) told() []*denials.Denial {
	w.t.Helper()
	count := func() (n uint64) {
		for _, node := range w.nodes {
			_, _, all := w.Agent(node).Denials().Held()
			n += all
		}
		return n
	}
	last := count()
	for quiet := 0; quiet < 15; {
		time.Sleep(20 * time.Millisecond)
		if quiet++; count() != last {
			quiet, last = 0, count()
		}
	}
	var out []*denials.Denial
	for _, node := range w.nodes {
		out = append(out, w.Agent(node).Denials().Find(nil, 0)...)
	}
	return out
}

// forbidden is what is to be told of a datagram by the naive evaluator, nothing if it is
// allowed: the source's policies are asked first.
func forbidden(twin *spectest.Cluster, from, to *corev1.Pod, dst netip.AddrPort) (id string, subject netip.Addr, policies []string) {
	src := podAddr(from, map[bool]int{true: 0, false: 1}[dst.Addr().Is4()])
	egress, ingress := twin.Allowed(spectest.Flow{Src: src, Dst: dst.Addr(), Protocol: unix.IPPROTO_UDP, Port: dst.Port()})
	direction, isolated, subject := networkingv1.PolicyTypeEgress, from, src
	switch {
	case egress && ingress:
		return "", subject, nil
	case egress:
		direction, isolated, subject = networkingv1.PolicyTypeIngress, to, dst.Addr()
	}
	for _, np := range twin.Policies {
		s, err := metav1.LabelSelectorAsSelector(&np.Spec.PodSelector)
		if err == nil && np.Namespace == isolated.Namespace && slices.Contains(np.Spec.PolicyTypes, direction) && s.Matches(labelSet(isolated.Labels)) {
			policies = append(policies, fullName(np))
		}
	}
	slices.Sort(policies)
	return fmt.Sprintf("%s %s:%d %s %s", fullName(from), fullName(to), dst.Port(), src, strings.ToLower(string(direction))), subject, policies
}

type labelSet map[string]string

func (l labelSet) Has(key string) bool   { _, ok := l[key]; return ok }
func (l labelSet) Get(key string) string { return l[key] }
func (l labelSet) Lookup(key string) (string, bool) {
	v, ok := l[key]
	return v, ok
}

// Of a thousand random forbidden flows the agents tell of each, once, with both Pods, the
// direction and the policies that isolate by the naive evaluator; and of none that is
// allowed.
func TestAgentsTellOfEachForbiddenFlowOnce(t *testing.T) {
	for _, topology := range []lab.Topology{lab.Bridge, lab.PTP} {
		t.Run(topology.String(), func(t *testing.T) {
			w := watch(t, topology, lab.TwoNodes, shop, nil)
			twin := &spectest.Cluster{Pods: slices.Collect(maps.Values(w.Pods))}
			for name, labels := range map[string]string{"shop": "shop", "guests": "guests"} {
				ns := enforced.Namespace(name)
				ns.Labels["team"] = labels
				twin.Namespaces = append(twin.Namespaces, ns)
			}
			for name, spec := range shop {
				twin.Policies = append(twin.Policies, networkPolicy(t, name, spec))
			}
			type datagram struct {
				from *corev1.Pod
				to   netip.AddrPort
			}
			var sent []datagram
			want, logs, allowed := map[string][]string{}, map[netip.Addr]int{}, 0
			rnd := seeded(7)
			for len(want) < 1000 {
				from, to := w.pods[rnd.IntN(many)], w.pods[rnd.IntN(many)]
				if from == to {
					continue
				}
				dst := netip.AddrPortFrom(podAddr(to, rnd.IntN(2)), []uint16{53, 80, 443, 5432, 8080, 8085, 8091}[rnd.IntN(7)])
				id, subject, policies := forbidden(twin, from, to, dst)
				switch {
				case id == "":
					allowed++
				case want[id] != nil:
				case logs[subject] == logsAtOnce:
					continue
				default:
					logs[subject]++
					want[id] = policies
				}
				sent = append(sent, datagram{from, dst})
			}
			began := time.Now()
			for _, d := range sent {
				w.send(d.from, d.to)
			}
			took := time.Since(began)
			told := map[string]int{}
			for _, d := range w.told() {
				id := idOf(d)
				told[id]++
				policies, known := want[id]
				got := slices.Sorted(slices.Values(d.Policies))
				switch {
				case !known:
					t.Errorf("an allowed flow is told of: %s: %s: %s", id, d.Reason, d.Message)
				case d.Reason != denials.Policy || !slices.Equal(got, policies) || d.Approximate:
					t.Errorf("%s: %s by %v, want %v", id, d.Reason, d.Policies, policies)
				case d.Node != w.Pods[subjectOf(d)].Spec.NodeName:
					t.Errorf("%s: told of by node %s", id, d.Node)
				}
			}
			for id := range want {
				if told[id] == 0 || told[id] > 1 && took < denials.Interval {
					t.Errorf("told of %d times: %s", told[id], id)
				}
			}
			t.Logf("%d datagrams in %v, %d of them allowed; %d forbidden flows, %d told of", len(sent), took.Round(time.Millisecond), allowed, len(want), len(told))
			for _, node := range w.nodes {
				if err := w.Agent(node).Ready(); err != nil {
					t.Errorf("node %s: %v", node, err)
				}
			}
		})
	}
}

func subjectOf(d *denials.Denial) types.NamespacedName {
	return types.NamespacedName{Namespace: d.Subject().Namespace, Name: d.Subject().Pod}
}
