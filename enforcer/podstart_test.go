package enforcer

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// waiting is the object of a Pod before it has a sandbox.
func waiting(name, app string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.UID, p.Labels = "shop", name, types.UID("uid-"+name), map[string]string{"app": app}
	p.Spec.NodeName, p.Status.Phase = testNode, corev1.PodPending
	return p
}

func podName(o *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
}

func mustPod(t *testing.T, o *corev1.Pod) *policy.Pod {
	t.Helper()
	p, err := policy.PodFromAPI(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// withAddresses is the object once the kubelet has written them.
func withAddresses(o *corev1.Pod, p testPod) *corev1.Pod {
	o = o.DeepCopy()
	o.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: p.object.Status.PodIPs}
	return o
}

// newStart is a running agent with three Pods, of which web lets only front in.
func newStart(t *testing.T, topology string) (cluster, *testAgent) {
	c := newCluster(t, topology)
	c.bad.serve(80)
	c.bad.serve(81)
	a := startAgent(t, c.node, &source.Memory{}, onNode)
	a.set(append(c.running(), allow("web", "web", "front", 80))...)
	return c, a
}

// promptly says how long it took until an address was reached, by connections that are
// tried one after the other.
func (n testNS) promptly(t *testing.T, to netip.Addr, port int) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < 10*time.Second {
		if c, err := n.dial(to, port, 5*time.Millisecond); err == nil {
			_ = c.Close()
			return time.Since(began)
		}
	}
	t.Errorf("%s port %d is not reached", to, port)
	return 0
}

// A new Pod's packets pass before its object has an address, if no policy is against
// it, and nothing happens to them when it has.
func TestNewPodIsNotHeldUp(t *testing.T) {
	for name, top := range topologies {
		t.Run(name, func(t *testing.T) {
			c, a := newStart(t, name)
			object := waiting("young", "young")
			a.set(object)
			young := top.pod(c.node, "young", "10.1.0.9", "fd01::9")
			for i := range 2 {
				t.Logf("%v until %s was reached", young.promptly(t, c.bad.addr(i), 80), c.bad.addr(i))
			}
			young.expect(c.web, 80, false)
			young.serve(80)
			c.bad.expect(young, 80, true)
			s := a.Status()
			if s.PodStart != "inference" || s.Ready() != nil || len(conditionsOf(s, conflictKind)) > 0 {
				t.Errorf("pod start: %q, ready: %v, conditions %v", s.PodStart, s.Ready(), s.Conditions)
			}
			if n := valueOf(t, a.metrics.inferred); n != 1 {
				t.Errorf("%v interfaces were inferred", n)
			}
			conn, err := young.dial(c.bad.addr(0), 80, 3*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			a.set(withAddresses(object, young))
			if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Errorf("the connection was cut when it was known whose it is: %v", err)
			}
			if now := a.Status(); now.Epoch != s.Epoch {
				t.Errorf("epoch %d after %d, though nothing became narrower", now.Epoch, s.Epoch)
			}
			if n := valueOf(t, a.metrics.unknown); n != 0 {
				t.Errorf("%v unknown interfaces", n)
			}
		})
	}
}

// From the moment that a Pod has its addresses until its packets pass, it takes a round
// of the loop, also where the network plug-in was slow to give them. What it says before
// that is a question by ARP on a bridge, which the kernel asks again after a second.
func TestNewPodIsSeenSoonAfterItHasAddresses(t *testing.T) {
	for name, top := range topologies {
		t.Run(name, func(t *testing.T) {
			c, a := newStart(t, name)
			a.set(waiting("young", "young"))
			young := top.pod(c.node, "young")
			time.Sleep(2 * time.Second)
			young.ip("addr add 10.1.0.9/32 dev eth0\naddr add fd01::9/128 dev eth0 nodad")
			if name == "ptp" {
				c.node.ip("route add 10.1.0.9/32 dev vyoung\nroute add fd01::9/128 dev vyoung")
			}
			for i := range 2 {
				took := young.promptly(t, c.bad.addr(i), 80)
				t.Logf("%v until %s was reached", took, c.bad.addr(i))
				if took > 2*time.Second { // a busy machine's
					t.Errorf("it took %v", took)
				}
			}
		})
	}
}

// caged lets the Pods of an app reach one port of bad only.
func caged(app string, port int) *networkingv1.NetworkPolicy {
	p := allow("caged-"+app, app, "bad", port)
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: p.Spec.Ingress[0].From, Ports: p.Spec.Ingress[0].Ports}}
	p.Spec.Ingress = nil
	return p
}

// A sandbox of which it is not known which of two Pods it is may do what both may.
func TestNewPodMayDoWhatAllThatWaitMay(t *testing.T) {
	for name, top := range topologies {
		t.Run(name, func(t *testing.T) {
			c, a := newStart(t, name)
			first, second := waiting("first", "front"), waiting("second", "second")
			a.set(first, second, caged("second", 80))
			young := top.pod(c.node, "first", "10.1.0.9", "fd01::9")
			young.promptly(t, c.bad.addr(0), 80)
			young.promptly(t, c.bad.addr(1), 80)
			young.expect(c.bad, 81, false) // second may not
			young.expect(c.web, 80, false) // as a peer it counts as neither
			a.set(withAddresses(first, young))
			young.expect(c.bad, 81, true)
			young.expect(c.web, 80, true)

			next := top.pod(c.node, "second", "10.1.0.10", "fd01::a")
			next.promptly(t, c.bad.addr(0), 80)
			next.expect(c.bad, 81, false)
			a.set(withAddresses(second, next))
			next.expect(c.bad, 80, true)
			next.expect(c.bad, 81, false)
			if err := a.Ready(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (a *testAgent) expectClosed(from testPod, to testPod, why string) {
	a.t.Helper()
	from.expect(to, 80, false)
	if s := a.Status().PodStart; !strings.Contains(s, why) {
		a.t.Errorf("pod start: %q, want %q in it", s, why)
	}
}

// What nothing can be inferred of is closed.
func TestUnknownInterfacesStayClosed(t *testing.T) {
	for name, top := range topologies {
		t.Run(name, func(t *testing.T) {
			t.Run("more of them than Pods that wait", func(t *testing.T) {
				c, a := newStart(t, name)
				a.set(waiting("first", "first"))
				one := top.pod(c.node, "one", "10.1.0.9", "fd01::9")
				one.promptly(t, c.bad.addr(0), 80)
				two := top.pod(c.node, "two", "10.1.0.10", "fd01::a")
				eventually(t, "both are seen", func() bool { return strings.Contains(a.Status().PodStart, "2 unknown") })
				a.expectClosed(one, c.bad, "2 unknown")
				a.expectClosed(two, c.bad, "2 unknown")
			})
			t.Run("after a restart", func(t *testing.T) {
				c, a := newStart(t, name)
				object := waiting("first", "first")
				a.set(object)
				young := top.pod(c.node, "first", "10.1.0.9", "fd01::9")
				young.promptly(t, c.bad.addr(0), 80)
				a.stop()
				a = startAgent(t, c.node, a.source, onNode)
				a.settle()
				a.expectClosed(young, c.bad, "inference")
				a.set(withAddresses(object, young))
				young.expect(c.bad, 80, true)
			})
			t.Run("of a Pod that is gone before it was known", func(t *testing.T) {
				c, a := newStart(t, name)
				object := waiting("first", "first")
				a.set(object, waiting("other", "front"))
				young := top.pod(c.node, "first", "10.1.0.9", "fd01::9")
				young.promptly(t, c.bad.addr(0), 80)
				a.delete(object)
				a.expectClosed(young, c.bad, "may still come")
			})
			t.Run("of a Pod that came and went at once", func(t *testing.T) {
				c, a := newStart(t, name)
				object := waiting("first", "first")
				a.set(waiting("other", "front"))
				a.box.Deliver(source.Event{Kind: source.PodEvent, Name: podName(object), Pod: mustPod(t, object)}, source.Event{Kind: source.PodEvent, Name: podName(object), Deleted: true})
				a.settle()
				young := top.pod(c.node, "first", "10.1.0.9", "fd01::9")
				a.expectClosed(young, c.bad, "may still come")
			})
			t.Run("of a Pod that was known", func(t *testing.T) {
				c, a := newStart(t, name)
				gone, failed := waiting("gone", "gone"), waiting("failed", "failed")
				a.set(gone, failed)
				one := top.pod(c.node, "gone", "10.1.0.9", "fd01::9")
				two := top.pod(c.node, "failed", "10.1.0.10", "fd01::a")
				a.set(withAddresses(gone, one), withAddresses(failed, two))
				one.expect(c.bad, 80, true)
				two.expect(c.bad, 80, true)
				a.set(waiting("other", "other"), waiting("another", "other"))
				a.delete(gone)
				failed = withAddresses(failed, two)
				failed.Status.Phase = corev1.PodFailed
				a.set(failed)
				one.ip("addr add 10.1.0.77/32 dev eth0\naddr add fd01::77/128 dev eth0 nodad")
				time.Sleep(soon)
				a.expectClosed(one, c.bad, "inference")
				a.expectClosed(two, c.bad, "inference")
			})
		})
	}
}

// doubtful is a source that may not have told all.
type doubtful struct {
	*source.Memory
	doubt atomic.Bool
}

func (d *doubtful) Current(source.EventKind, time.Time) error {
	if d.doubt.Load() {
		return errors.New("the watch is deaf")
	}
	return nil
}

func TestNothingIsInferredFromAnOldWatch(t *testing.T) {
	c := newCluster(t, "bridge")
	c.bad.serve(80)
	from := &doubtful{Memory: &source.Memory{}}
	agent, err := New(Config{Node: testNode, MinInterval: time.Millisecond}, from, c.node, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = agent.Run(ctx) })
	defer running.Wait()
	defer cancel()
	a := &testAgent{agent, t, from.Memory, cancel}
	a.set(append(c.running(), waiting("first", "first"))...)
	young := bridgePod(c.node, "first", "10.1.0.9", "fd01::9")
	young.promptly(t, c.bad.addr(0), 80)
	from.doubt.Store(true)
	eventually(t, "doubt closes", func() bool { return strings.Contains(a.Status().PodStart, "deaf") })
	a.expectClosed(young, c.bad, "closed: Pods of this node may be missing")
	from.doubt.Store(false)
	a.settle()
	// Of what came before nobody can say any more that it is not a Pod's which is gone.
	a.expectClosed(young, c.bad, "inference")
	a.set(waiting("second", "second"))
	next := bridgePod(c.node, "second", "10.1.0.10", "fd01::a")
	next.promptly(t, c.bad.addr(0), 80)
}
