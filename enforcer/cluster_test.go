package enforcer

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/enforcer/source"
)

// testAgent is a running agent on a source in memory.
type testAgent struct {
	*Agent
	t      testing.TB
	source *source.Memory
	stop   func()
}

func startAgent(t testing.TB, node testNS, from *source.Memory, configure ...func(*Config)) *testAgent {
	t.Helper()
	cfg := Config{MinInterval: time.Millisecond, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond}
	for _, c := range configure {
		c(&cfg)
	}
	agent, err := New(cfg, from, node, prometheus.NewRegistry())
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
	a := &testAgent{agent, t, from, sync.OnceFunc(func() {
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
