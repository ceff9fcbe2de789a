package enforcer

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// StartupTaint is the key of a taint that whoever makes Nodes may give them, so that
// no Pod comes before the agent is ready there. The agent never sets it.
const StartupTaint = "sluice-net.github.io/agent-not-ready"

// startupTaint takes the taint from the agent's own Node once the node is ready.
type startupTaint struct {
	nodes corev1client.NodeInterface
	node  string
	ready func() error
	// again is how soon it looks whether the node is ready, and tries again; later is how
	// often it looks at a Node that has no such taint: one that is made anew has it.
	again, later time.Duration
}

// Run goes on until the context ends. It never fails: the API server may not be there.
func (t *startupTaint) Run(ctx context.Context) error {
	pause, wait := t.again, time.Duration(0)
	for holdBack(ctx, clock.RealClock{}, wait) {
		wait = t.again
		if t.ready() != nil {
			continue
		}
		removed, err := t.remove(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			klog.FromContext(ctx).Error(err, "Failed to take the startup taint from the Node; trying again", "taint", StartupTaint, "afterSeconds", pause.Seconds())
			wait, pause = pause, min(2*pause, t.later)
			continue
		case removed:
			klog.FromContext(ctx).Info("Took the startup taint from the Node: Pods may come", "node", t.node, "taint", StartupTaint)
		}
		pause = t.again
		// The agents of all nodes do not ask at once.
		wait = time.Duration((0.75 + rand.Float64()/2) * float64(t.later))
	}
	return nil
}

// remove takes the taint away, if the Node has it and nobody changed the taints since
// they were read.
func (t *startupTaint) remove(ctx context.Context) (bool, error) {
	n, err := t.nodes.Get(ctx, t.node, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return false, fmt.Errorf("read Node %s: %w", t.node, err)
	}
	left := slices.DeleteFunc(slices.Clone(n.Spec.Taints), func(taint corev1.Taint) bool { return taint.Key == StartupTaint })
	if len(left) == len(n.Spec.Taints) {
		return false, nil
	}
	type operation struct {
		Op    string         `json:"op"`
		Path  string         `json:"path"`
		Value []corev1.Taint `json:"value"`
	}
	patch, err := json.Marshal([]operation{{"test", "/spec/taints", n.Spec.Taints}, {"replace", "/spec/taints", left}})
	if err != nil {
		return false, fmt.Errorf("write a patch of Node %s: %w", t.node, err)
	}
	_, err = t.nodes.Patch(ctx, t.node, types.JSONPatchType, patch, metav1.PatchOptions{})
	if apierrors.IsForbidden(err) {
		return false, fmt.Errorf("the ServiceAccount must get and patch nodes, as deploy/README.md says: %w", err)
	}
	if err != nil {
		return false, fmt.Errorf("patch Node %s: %w", t.node, err)
	}
	return true, nil
}
