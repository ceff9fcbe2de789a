package enforcer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// The startup taint goes when the node is ready and not before, whatever the API server
// answers at first, and again from a Node that is made anew. Other taints stay.
func TestStartupTaintGoesWhenTheNodeIsReady(t *testing.T) {
	tainted := func() *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: testNode}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{
			{Key: "other", Effect: corev1.TaintEffectNoSchedule}, {Key: StartupTaint, Effect: corev1.TaintEffectNoSchedule}, {Key: StartupTaint, Effect: corev1.TaintEffectNoExecute},
		}}}
	}
	client := fake.NewClientset(tainted())
	var refusals atomic.Int32
	refusals.Store(2)
	client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return refusals.Add(-1) >= 0, nil, errInjected
	})
	var ready atomic.Bool
	taint := &startupTaint{
		nodes: client.CoreV1().Nodes(), node: testNode, again: time.Millisecond, later: 20 * time.Millisecond,
		ready: func() error {
			if !ready.Load() {
				return errors.New("not yet")
			}
			return nil
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- taint.Run(ctx) }()
	keys := func() (out []string) {
		n, err := client.CoreV1().Nodes().Get(t.Context(), testNode, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, taint := range n.Spec.Taints {
			out = append(out, taint.Key)
		}
		return out
	}
	time.Sleep(50 * time.Millisecond)
	if got := keys(); len(got) != 3 {
		t.Errorf("before the node is ready: %v", got)
	}
	ready.Store(true)
	gone := func() bool { got := keys(); return len(got) == 1 && got[0] == "other" }
	eventually(t, "the taint is gone", gone)
	if _, err := client.CoreV1().Nodes().Update(t.Context(), tainted(), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone from the next Node", gone)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
