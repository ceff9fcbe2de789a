package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// A world is a small cluster for the tests of single points of the semantics.
// What is expected is written by hand, and every opinion is asked: the index
// that saw all events, one that got the objects in reverse, what a follower of
// the changes knows, and the naive evaluator.
type world struct {
	*testing.T
	scenario
	live   *policy.Index
	follow *mirror
	events []spectest.Event
}

func newWorld(t *testing.T, objects ...any) *world {
	return newWorldWith(t, policy.Options{}, objects...)
}

func newWorldWith(t *testing.T, o policy.Options, objects ...any) *world {
	t.Helper()
	w := &world{T: t, scenario: scenario{options: o}, live: policy.NewIndex(o)}
	var err error
	if w.follow, err = mirrorOf(w.live); err != nil {
		t.Fatal(err)
	}
	return w.set(objects...)
}

func (w *world) set(objects ...any) *world {
	w.Helper()
	for _, o := range objects {
		w.event(o, false)
	}
	return w
}

func (w *world) delete(objects ...any) *world {
	w.Helper()
	for _, o := range objects {
		w.event(o, true)
	}
	return w
}

func (w *world) event(object any, gone bool) {
	w.Helper()
	e := spectest.Event{Delete: gone}
	switch o := object.(type) {
	case *corev1.Pod:
		e.Pod = o.DeepCopy()
	case *corev1.Namespace:
		e.Namespace = o.DeepCopy()
	case *networkingv1.NetworkPolicy:
		e.Policy = o.DeepCopy()
	default:
		w.Fatalf("no event for a %T", object)
	}
	w.events = append(w.events, e)
	if err := w.deliver(w.live, e); err != nil {
		w.Fatal(err)
	}
}

// What is expected of a flow.
const (
	allowed       = "allowed"
	egressDenied  = "egress denied"
	ingressDenied = "ingress denied"
	bothDenied    = "egress and ingress denied"
)

// verdicts maps flows, like "shop/web > shop/db TCP 80" or "shop/web > 8.8.8.8
// ICMP", to what is expected of them.
type verdicts map[string]string

func (w *world) check(want verdicts) {
	w.Helper()
	w.cluster = spectest.Replay(w.events)
	w.cluster.NodeEgress = w.options.NodeEgress
	if err := w.follow.follow(w.live); err != nil {
		w.Error(err)
	}
	backwards := w.cluster.Final()
	slices.Reverse(backwards)
	fresh := w.index(w.T, backwards)
	seen, err := mirrorOf(fresh)
	if err != nil {
		w.Error(err)
	}
	if diff := seen.diff(w.follow); diff != "" {
		w.Errorf("a fresh index shows other things (-) than was followed (+):\n%s", diff)
	}
	for said, verdict := range want {
		f := w.flow(said)
		if got := verdictOf(w.cluster.Allowed(f)); got != verdict {
			w.Errorf("%s: naive evaluator: %s, want %s", said, got, verdict)
		}
		for name, x := range map[string]*policy.Index{"live": w.live, "fresh": fresh} {
			v := x.Evaluate(policy.Flow{Src: x.EndOfAddr(f.Src), Dst: x.EndOfAddr(f.Dst), Protocol: policy.Protocol(f.Protocol), Port: f.Port})
			if got := verdictOf(v.Egress.Allowed, v.Ingress.Allowed); got != verdict {
				w.Errorf("%s: %s index: %s, want %s", said, name, got, verdict)
			}
			if diff := disagreement(w.cluster, x, w.follow, f); diff != "" {
				w.Errorf("%s index: %s", name, diff)
			}
		}
	}
}

func verdictOf(egress, ingress bool) string {
	switch {
	case egress && ingress:
		return allowed
	case egress:
		return ingressDenied
	case ingress:
		return egressDenied
	}
	return bothDenied
}

// flow reads "SRC > DST PROTOCOL [PORT]"; an end is namespace/name, with #1
// for the second address, or an address.
func (w *world) flow(s string) (f spectest.Flow) {
	w.Helper()
	fields := strings.Fields(s)
	if len(fields) < 4 || fields[1] != ">" {
		w.Fatalf("no flow: %q", s)
	}
	f.Src, f.Dst = w.addr(fields[0]), w.addr(fields[2])
	protocols := map[string]uint8{"TCP": 6, "UDP": 17, "SCTP": 132, "ICMP": 1, "ICMPv6": 58, "GRE": 47}
	f.Protocol = protocols[fields[3]]
	if f.Protocol == 0 {
		w.Fatalf("no protocol in %q", s)
	}
	if len(fields) > 4 {
		n, err := strconv.ParseUint(fields[4], 10, 16)
		if err != nil {
			w.Fatal(err)
		}
		f.Port = uint16(n)
	}
	return f
}

func (w *world) addr(end string) netip.Addr {
	w.Helper()
	if a, err := netip.ParseAddr(end); err == nil {
		return a
	}
	name, second := strings.CutSuffix(end, "#1")
	for _, p := range w.cluster.Pods {
		if p.Namespace+"/"+p.Name != name {
			continue
		}
		if second {
			return netip.MustParseAddr(p.Status.PodIPs[1].IP)
		}
		return netip.MustParseAddr(p.Status.PodIPs[0].IP)
	}
	w.Fatalf("no Pod %q", end)
	return netip.Addr{}
}

// namespace has the label of its name, as the API server sets it, and others
// like "team=red".
func namespace(name string, labels ...string) *corev1.Namespace {
	l := labelsOf(labels)
	l[corev1.LabelMetadataName] = name
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: l}}
}

func labelsOf(list []string) map[string]string {
	out := map[string]string{}
	for _, l := range list {
		if key, value, found := strings.Cut(l, "="); found {
			out[key] = value
		}
	}
	return out
}

// pod runs on node-1 at 172.18.0.1 and fd00:18::1. It has the addresses, with
// commas between them, and labels like "app=web".
func pod(name, addrs string, labels ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(name), Labels: labelsOf(labels)}}
	p.Namespace, p.Name, _ = strings.Cut(name, "/")
	p.CreationTimestamp = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	p.Status.Phase = corev1.PodRunning
	if addrs != "" {
		for _, a := range strings.Split(addrs, ",") {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
		}
		p.Status.PodIP = p.Status.PodIPs[0].IP
	}
	return onNode(p, 1)
}

func onNode(p *corev1.Pod, n int) *corev1.Pod {
	p.Spec.NodeName = fmt.Sprintf("node-%d", n)
	p.Status.HostIP = fmt.Sprintf("172.18.0.%d", n)
	p.Status.HostIPs = []corev1.HostIP{{IP: p.Status.HostIP}, {IP: fmt.Sprintf("fd00:18::%d", n)}}
	return p
}

// hostNetwork puts the Pod on its node's network and address.
func hostNetwork(p *corev1.Pod) *corev1.Pod {
	p.Spec.HostNetwork = true
	p.Status.PodIP, p.Status.PodIPs = p.Status.HostIP, nil
	for _, ip := range p.Status.HostIPs {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP(ip))
	}
	return p
}

func inPhase(p *corev1.Pod, phase corev1.PodPhase) *corev1.Pod {
	p.Status.Phase = phase
	return p
}

// minutesLater makes the Pod a younger one.
func minutesLater(p *corev1.Pod, n int) *corev1.Pod {
	p.CreationTimestamp = metav1.NewTime(p.CreationTimestamp.Add(time.Duration(n) * time.Minute))
	return p
}

// withPorts adds a container with ports like "http=80" or "dns=53/UDP".
func withPorts(p *corev1.Pod, ports ...string) *corev1.Pod {
	p.Spec.Containers = append(p.Spec.Containers, container(ports))
	return p
}

func withSidecar(p *corev1.Pod, ports ...string) *corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	c := container(ports)
	c.RestartPolicy = &always
	p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	return p
}

func withInitContainer(p *corev1.Pod, ports ...string) *corev1.Pod {
	p.Spec.InitContainers = append(p.Spec.InitContainers, container(ports))
	return p
}

func container(ports []string) (c corev1.Container) {
	for _, s := range ports {
		name, rest, _ := strings.Cut(s, "=")
		number, protocol, _ := strings.Cut(rest, "/")
		n, _ := strconv.ParseInt(number, 10, 32)
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: name, ContainerPort: int32(n), Protocol: corev1.Protocol(protocol)})
	}
	return c
}

// netpol reads a policy's spec.
func netpol(t *testing.T, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	np := &networkingv1.NetworkPolicy{}
	np.Namespace, np.Name, _ = strings.Cut(name, "/")
	if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
		t.Fatal(err)
	}
	return np
}
