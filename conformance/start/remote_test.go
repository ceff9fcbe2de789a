package start

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

// crowds are how many Pods of other nodes the agent knows besides.
var crowds = []int{0, 10_000}

// How long it takes from the moment that the API has the address of a new Pod until a Pod
// of another node that admits it by its labels is reached: the agent's part of what the
// other end waits for. The rest is the kubelet's, who writes the address late, and the
// watch's.
func BenchmarkRemoteEnd(b *testing.B) {
	for _, crowd := range crowds {
		b.Run(fmt.Sprintf("pods=%d", crowd), func(b *testing.B) {
			r := newRemote(b, crowd)
			var took []time.Duration
			for b.Loop() {
				took = append(took, r.once())
			}
			slices.Sort(took)
			milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(milliseconds(took[len(took)/2]), "ms-median")
			b.ReportMetric(milliseconds(took[len(took)*99/100]), "ms-p99")
			b.ReportMetric(milliseconds(took[len(took)-1]), "ms-worst")
		})
	}
}

// The other end admits the Pod a moment after the API has its address, and not before.
func TestRemoteEnd(t *testing.T) {
	r := newRemote(t, 0)
	for range 3 {
		t.Logf("%v from the address to the first packet", r.once())
	}
}

// remote is two nodes: web on one, which admits front by its label, and front on the
// other.
type remote struct {
	*enforced.Cluster
	t            testing.TB
	known        *corev1.Pod
	from, server netip.Addr
}

func newRemote(t testing.TB, crowd int) *remote {
	t.Helper()
	there, here := pod(0, web, web), pod(1, front, front)
	there.Spec.NodeName, here.Spec.NodeName = "there", "here"
	objects := []any{enforced.Namespace(namespace), enforced.DenyIngress(namespace, web, networkingv1.NetworkPolicyIngressRule{
		From: []networkingv1.NetworkPolicyPeer{enforced.PeerApp(front)},
	})}
	for i := range crowd {
		p := enforced.Pod(namespace, fmt.Sprintf("crowd-%d", i), fmt.Sprintf("10.%d.%d.%d", 100+i/40_000, i/200%200, i%200+1))
		p.Labels, p.Spec.NodeName = map[string]string{"app": []string{front, "other"}[i%2]}, "elsewhere"
		objects = append(objects, p)
	}
	r := &remote{t: t, Cluster: enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: lab.PTP}, Pods: []*corev1.Pod{there, here}, Objects: objects,
	})}
	r.known, r.from, r.server = r.Pods[named(front)], r.Addr(named(front), false), r.Addr(named(web), false)
	if err := r.Serve(lab.UDP, netip.AddrPortFrom(r.server, 80)); err != nil {
		t.Fatal(err)
	}
	return r
}

// once takes the address out of the object, puts it in again and asks until there is an
// answer.
func (r *remote) once() time.Duration {
	r.t.Helper()
	unknown := r.known.DeepCopy()
	unknown.Status = corev1.PodStatus{Phase: corev1.PodPending}
	// Only the other end is asked: on its own node the Pod is known by what came before.
	r.DeliverTo("there", unknown)
	r.Settle()
	if r.answered(100 * time.Millisecond) {
		r.t.Fatal("web answers one whose address nobody knows")
	}
	began := time.Now()
	r.DeliverTo("there", r.known)
	for time.Since(began) < 10*time.Second {
		if r.answered(200 * time.Microsecond) {
			return time.Since(began)
		}
	}
	r.t.Fatal("web never answers")
	return 0
}

// answered asks once, from a port of its own, and waits so long for an answer.
func (r *remote) answered(within time.Duration) bool {
	r.t.Helper()
	yes := false
	err := r.Pod(named(front)).Do(func() error {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: r.from.AsSlice()}, &net.UDPAddr{IP: r.server.AsSlice(), Port: 80})
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("ask")); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 16))
		yes = err == nil
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return yes
}
