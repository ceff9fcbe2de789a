package enforcer

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/residents"
	"github.com/sluice-net/sluice/enforcer/source"
)

const testNode = "n1"

// onNode is an agent that knows its node's name.
func onNode(c *Config) { c.Node = testNode }

// bound is the object of a Pod that is bound to the node and has no address yet.
func (p testPod) bound() *corev1.Pod {
	o := p.object.DeepCopy()
	o.Spec.NodeName = testNode
	o.Status = corev1.PodStatus{Phase: corev1.PodPending}
	return o
}

// running is the object with its addresses.
func (p testPod) running() *corev1.Pod {
	o := p.object.DeepCopy()
	o.Spec.NodeName = testNode
	return o
}

// sandbox is what a runtime would say of the Pod.
func (p testPod) sandbox() residents.Sandbox {
	s := residents.Sandbox{UID: p.object.UID, Pod: types.NamespacedName{Namespace: p.object.Namespace, Name: p.object.Name}}
	for i := range p.object.Status.PodIPs {
		s.Addrs = append(s.Addrs, p.addr(i))
	}
	return s
}

func (a *testAgent) started(s residents.Sandbox, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return a.SandboxStarted(ctx, s)
}

func (c cluster) running() []any {
	return []any{shop(), c.web.running(), c.front.running(), c.bad.running()}
}

// What the runtime says of a Pod is enforced before its object has an address, and
// before SandboxStarted returns.
func TestSandboxIsEnforcedBeforeTheObjectHasAddresses(t *testing.T) {
	for name, top := range topologies {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, name)
			a := startAgent(t, c.node, &source.Memory{}, onNode)
			a.set(append(c.running(), allow("web", "web", "front", 80))...)
			a.SetSandboxes([]residents.Sandbox{c.web.sandbox(), c.front.sandbox(), c.bad.sandbox()})
			young := top.pod(c.node, "young", "10.1.0.5", "fd01::5")
			young.serve(80)
			object := young.bound()
			object.Labels["app"] = "front"
			a.set(object)
			young.expect(c.web, 80, false)
			if err := a.started(young.sandbox(), 10*time.Second); err != nil {
				t.Fatal(err)
			}
			young.expect(c.web, 80, true)
			young.expect(c.web, 81, false)
			c.bad.expect(young, 80, true)

			// It goes on when its object says the same, and ends with the sandbox.
			object.Status = young.object.Status
			a.set(object)
			young.expect(c.web, 80, true)
			a.SandboxGone(object.UID)
			a.delete(object)
			young.expect(c.web, 80, false)
		})
	}
}

// A runtime may name a sandbox without its addresses: then it is the one that is not
// known yet.
func TestSandboxWithoutAddressesIsFound(t *testing.T) {
	for name, top := range topologies {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, name)
			a := startAgent(t, c.node, &source.Memory{}, onNode)
			a.set(append(c.running(), allow("web", "web", "front", 80), waiting("later", "later"))...)
			a.SetSandboxes([]residents.Sandbox{c.web.sandbox(), c.front.sandbox(), c.bad.sandbox()})
			a.set(waiting("young", "front"))
			young := top.pod(c.node, "young", "10.1.0.5", "fd01::5")
			young.expect(c.web, 80, false)
			s := young.sandbox()
			s.Addrs = nil
			if err := a.started(s, 10*time.Second); err != nil {
				t.Fatal(err)
			}
			young.expect(c.web, 80, true)
			if s := a.Status().PodStart; s != "runtime (NRI)" {
				t.Errorf("pod start: %q", s)
			}
		})
	}
}

// What the runtime said outlives its connection, but not the sandbox.
func TestSandboxesOutliveTheConnection(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, onNode)
	a.set(append(c.running(), allow("web", "web", "front", 80))...)
	young := bridgePod(c.node, "young", "10.1.0.5", "fd01::5")
	object := waiting("young", "front")
	a.set(object)
	if err := a.started(young.sandbox(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	a.SandboxesLost()
	a.settle()
	young.expect(c.web, 80, true)
	c.node.ip("link del vyoung")
	// It is made anew, with other addresses: what was said is not believed any more.
	again := bridgePod(c.node, "again", "10.1.0.6", "fd01::6")
	again.promptly(t, c.web.addr(0), 80)
	again.expect(c.web, 80, true)
	if n := a.sandboxes.Number(); n != 0 {
		t.Errorf("still told of: %d", n)
	}
}

// A sandbox of a Pod that no object is known of is closed until there is one.
func TestSandboxWaitsForItsObject(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, onNode)
	objects := append(c.running(), allow("web", "web", "front", 80))
	a.set(objects...)
	young := bridgePod(c.node, "young", "10.1.0.5", "fd01::5")
	err := a.started(young.sandbox(), 300*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "no such Pod") {
		t.Errorf("%v", err)
	}
	young.expect(c.web, 81, false)
	done := make(chan error, 1)
	go func() { done <- a.started(young.sandbox(), 10*time.Second) }()
	a.set(young.bound())
	if err := <-done; err != nil {
		t.Error(err)
	}
	young.expect(c.bad, 80, false) // nobody listens
	c.web.expect(c.web, 80, true)
	young.expect(c.web, 80, false)
}

// Of several Pods whose objects claim an address the one counts whose sandbox has it.
func TestSandboxSettlesWhoseAnAddressIs(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, onNode)
	stale := c.bad.running()
	stale.Name, stale.UID, stale.Status.PodIPs = "stale", "uid-stale", c.front.running().Status.PodIPs
	far := stale.DeepCopy()
	far.Name, far.UID, far.Spec.NodeName = "far", "uid-far", "n2"
	a.set(append(c.running(), stale, far, allow("web", "web", "front", 80))...)
	c.front.expect(c.web, 80, false)
	if what := conditionsOf(a.Status(), conflictKind); len(what) != 2 {
		t.Errorf("conflicts: %v", what)
	}
	a.SetSandboxes([]residents.Sandbox{c.web.sandbox(), c.front.sandbox(), c.bad.sandbox()})
	a.settle()
	c.front.expect(c.web, 80, true)
	if what := conditionsOf(a.Status(), conflictKind); len(what) != 0 {
		t.Errorf("conflicts: %v", what)
	}
	// What the runtime takes back is a question again.
	a.SandboxGone(c.front.object.UID)
	a.settle()
	c.front.expect(c.web, 80, false)
}

func conditionsOf(s Status, what string) []Condition {
	var out []Condition
	for _, c := range s.Conditions {
		if c.What == what {
			out = append(out, c)
		}
	}
	return out
}

func TestSandboxThatIsTakenBackIsNotWaitedFor(t *testing.T) {
	node := newPTPNode(t)
	a := startAgent(t, node, &source.Memory{}, onNode)
	a.set(shop())
	done := make(chan error, 1)
	go func() {
		done <- a.started(residents.Sandbox{UID: "u", Addrs: []netip.Addr{netip.MustParseAddr("10.1.0.9")}}, 10*time.Second)
	}()
	eventually(t, "it waits", func() bool { return a.sandboxes.Silent() })
	a.SandboxGone("u")
	if err := <-done; err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("%v", err)
	}
}
