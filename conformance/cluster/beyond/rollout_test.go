package beyond

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedappsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// longest is how long an open connection may be silent: TCP's second attempt
// after one lost packet comes sooner.
const longest = time.Second

// stream is something that goes on while the agents are replaced.
type stream struct {
	cell
	task
}

// TestRollout replaces every agent by another version, and that by the first,
// under running connections: no forbidden
// packet passes, no allowed connection breaks, and none fails to be made.
func TestRollout(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1}, spec{name: "near-bad"}, spec{name: "far-bad", node: 1})
	server := pods["server"]
	w.policy(w.ns, "deny", `{podSelector: {}, policyTypes: [Ingress]}`)
	w.policy(w.ns, "good", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [near, far]}]}}], ports: [{port: 7000}, {port: 7000, protocol: UDP}]}]
`)
	w.policy(w.ns, "bound", `
podSelector: {matchLabels: {app: far}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]
`)
	var allowed, forbidden []cell
	for _, name := range []string{"near", "far"} {
		allowed = append(allowed, pods[name].to(server, web, true)...)
		forbidden = append(forbidden, pods[name].to(server, other, false)...)
		forbidden = append(forbidden, pods[name+"-bad"].to(server, web, false)...)
	}
	w.expect("before", append(allowed, forbidden...)...)

	var held, again, never []stream
	for _, c := range allowed {
		held = append(held, c.stream(probe.Hold, 20*time.Millisecond, 5*time.Second))
		again = append(again, c.stream(probe.Repeat, 50*time.Millisecond, 5*time.Second))
	}
	for _, c := range forbidden {
		// Most of these end unanswered: many short tries leave no gap.
		for range 4 {
			never = append(never, c.stream(probe.Repeat, 0, 200*time.Millisecond))
		}
	}
	time.Sleep(time.Second)
	began := time.Now()
	what := w.agents().replace()
	took := time.Since(began)
	time.Sleep(time.Second)

	var exchanges, connections, refusals int
	for _, s := range held {
		r := s.stop()
		exchanges += r.Answers
		if r.Outcome != probe.Finished || r.Longest > longest {
			t.Errorf("%s: a connection is %s after %d answers, at most %s apart: %s", &s.cell, r.Outcome, r.Answers, r.Longest, r.Detail)
		}
	}
	for _, s := range again {
		r := s.stop()
		connections += r.Answers
		if r.Outcome != probe.Finished || r.Answers != r.Tries || r.Answers == 0 {
			t.Errorf("%s: %s, %d of %d new connections were answered: %s", &s.cell, r.Outcome, r.Answers, r.Tries, r.Detail)
		}
	}
	for _, s := range never {
		r := s.stop()
		refusals += r.Tries
		if r.Outcome != probe.Finished || r.Answers > 0 || r.Tries == 0 {
			t.Errorf("%s: %s, %d of %d forbidden connections were answered: %s", &s.cell, r.Outcome, r.Answers, r.Tries, r.Detail)
		}
	}
	t.Logf("agents replaced %s, in %s: %d exchanges on %d open connections, %d new connections, %d forbidden tries",
		what, took.Round(time.Second), exchanges, len(held), connections, refusals)
	w.expect("after", append(allowed, forbidden...)...)
}

func (c cell) stream(op probe.Op, interval, timeout time.Duration) stream {
	return stream{c, c.from.start(probe.Request{Op: op, Network: c.network, Address: c.addr.String(), Interval: interval, Timeout: timeout})}
}

// agents is the DaemonSet that is rolled.
type agents struct {
	*world
	sets      typedappsv1.DaemonSetInterface
	namespace string
	name      string
	selector  string
	container string
	image     string // as found
}

func (w *world) agents() *agents {
	w.t.Helper()
	ns, name, found := strings.Cut(*agent, "/")
	if !found {
		w.t.Fatalf("-agent: %q is not namespace/name", *agent)
	}
	a := &agents{world: w, sets: cluster.client.AppsV1().DaemonSets(ns), namespace: ns, name: name}
	set, err := a.sets.Get(w.ctx, name, metav1.GetOptions{})
	w.must("get "+*agent, err)
	c := set.Spec.Template.Spec.Containers[0]
	a.selector, a.container, a.image = metav1.FormatLabelSelector(set.Spec.Selector), c.Name, c.Image
	return a
}

// replace replaces all agents: by those of the next version and then by those
// found, or by others of the same.
func (a *agents) replace() (what string) {
	a.t.Helper()
	if *next == "" {
		a.roll(fmt.Sprintf(`{"metadata": {"annotations": {"beyond": %q}}}`, a.ns))
		return "by the same image, as no other is given with -next"
	}
	// Whatever becomes of the test, the cluster is left as it was.
	a.t.Cleanup(func() { a.roll(a.running(a.image)) })
	before := a.images()
	a.roll(a.running(*next))
	after := a.images()
	if len(before) != 1 || len(after) != 1 || before[0] == after[0] {
		a.t.Errorf("the agents' images are %v before and %v after", before, after)
	}
	a.roll(a.running(a.image))
	if back := a.images(); !slices.Equal(back, before) {
		a.t.Errorf("the agents' images are %v before, and %v after all", before, back)
	}
	return fmt.Sprintf("by %s, image %s instead of %s, and back", *next, after, before)
}

// running is a Pod template's patch.
func (a *agents) running(image string) string {
	return fmt.Sprintf(`{"spec": {"containers": [{"name": %q, "image": %q}]}}`, a.container, image)
}

// roll changes the template of the agents' Pods, and waits until all are new.
func (a *agents) roll(template string) {
	a.t.Helper()
	a.rolled(a.patch(`{"spec": {"template": ` + template + `}}`))
}

func (a *agents) patch(patch string) *appsv1.DaemonSet {
	a.t.Helper()
	set, err := a.sets.Patch(a.ctx, a.name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	a.must("change "+*agent, err)
	return set
}

// change patches the DaemonSet until the test ends, or the function is called that it
// returns, which brings it back as it was.
func (a *agents) change(patch string) (restore func()) {
	a.t.Helper()
	before, err := a.sets.Get(a.ctx, a.name, metav1.GetOptions{})
	a.must("get "+*agent, err)
	restored := false
	restore = func() {
		a.t.Helper()
		if restored {
			return
		}
		restored = true
		var now *appsv1.DaemonSet
		a.await("bring "+*agent+" back", func() (err error) {
			if now, err = a.sets.Get(a.ctx, a.name, metav1.GetOptions{}); err != nil {
				return err
			}
			now.Spec = before.Spec
			now, err = a.sets.Update(a.ctx, now, metav1.UpdateOptions{})
			return err
		})
		a.rolled(now)
	}
	a.t.Cleanup(restore)
	a.patch(patch)
	return restore
}

// hearRuntime has the agents hear of sandboxes from the container runtime until the test
// ends, by the patch that users apply.
func (a *agents) hearRuntime() {
	a.t.Helper()
	text, err := os.ReadFile("../../../deploy/nri.yaml")
	a.must("read the patch", err)
	patch, err := yaml.YAMLToJSON(text)
	a.must("read the patch", err)
	a.change(string(patch))
	set, err := a.sets.Get(a.ctx, a.name, metav1.GetOptions{})
	a.must("get "+*agent, err)
	a.rolled(set)
}

// rolled waits until all agents are as the DaemonSet has them.
func (a *agents) rolled(set *appsv1.DaemonSet) {
	a.t.Helper()
	a.await("the rollout of "+*agent, func() error {
		now, err := a.sets.Get(a.ctx, a.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := &now.Status; s.ObservedGeneration < set.Generation || s.UpdatedNumberScheduled < s.DesiredNumberScheduled || s.NumberAvailable < s.DesiredNumberScheduled {
			return fmt.Errorf("%d of %d Pods are new, %d available", s.UpdatedNumberScheduled, s.DesiredNumberScheduled, s.NumberAvailable)
		}
		return nil
	})
}

// images are what the agents run, by the runtime's name for the contents.
func (a *agents) images() []string {
	a.t.Helper()
	pods, err := cluster.client.CoreV1().Pods(a.namespace).List(a.ctx, metav1.ListOptions{LabelSelector: a.selector})
	a.must("list the agents", err)
	var ids []string
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			if c.Name == a.container && p.DeletionTimestamp == nil {
				ids = append(ids, c.ImageID)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
