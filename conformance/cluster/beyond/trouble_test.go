package beyond

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// How many Pods start in each kind of trouble. 50 is what figures are of; all kinds are
// tried from thorough on.
var troubled = flag.Int("troubled", 6, "`number` of Pods that TestFirstPacketInTrouble starts in each kind of trouble; with 20 or more, also in those that take long")

const thorough = 20

// late is for how long a watch that seems to stand may be late, as SECURITY.md has it, and
// a second more, after which a presumption is questioned.
const late = 21 * time.Second

// trouble is something that happens to the agent of the first node.
type trouble struct {
	name string
	// begin begins it and returns how it ends.
	begin func(f *firsts, a *nodeAgent) (end func())
	// long: it takes its time, or is much like another.
	long bool
}

var troubles = []trouble{
	{name: "killed again and again", begin: func(_ *firsts, a *nodeAgent) func() { return a.killed() }},
	{name: "slow", begin: func(_ *firsts, a *nodeAgent) func() { return a.again("pauses", a.pause) }},
	{name: "stopped", begin: func(_ *firsts, a *nodeAgent) func() { return a.stop() }, long: true},
	{name: "away", begin: func(_ *firsts, a *nodeAgent) func() { return a.away() }},
	{name: "deaf", begin: func(_ *firsts, a *nodeAgent) func() { return a.deafen() }},
	{name: "deaf for long, and another waits", begin: deafForLong, long: true},
}

// TestFirstPacketInTrouble: what TestFirstPacket wants of Pods that start holds also while
// the agent of their node is in trouble. Nothing that is forbidden passes; what is allowed
// may be lost, for an interface of which nobody knows whose it is stays closed.
//
// SECURITY.md promises less in one case: an agent that has not noticed yet that its watch
// is late gives a Pod of which it has not heard what all others may that wait for a
// sandbox. Where others wait that may more, the promise begins after those 20 s; but at
// once where the container runtime says whose a sandbox is.
func TestFirstPacketInTrouble(t *testing.T) {
	if *machine == "" {
		t.Log("no command runs on nodes (-machine): nobody gets an agent into trouble")
		return
	}
	if *nri {
		newWorld(t).agents().hearRuntime()
	}
	f := newFirsts(t)
	f.patience = 3 * time.Second
	f.w.policy(f.w.ns, "only-friends", onlyFriends)
	f.settle("trouble")
	for _, one := range troubles {
		if one.long && *troubled < thorough {
			continue
		}
		t.Run(one.name, func(t *testing.T) {
			defer f.of(t)()
			end := one.begin(f, f.w.nodeAgent(0))
			f.start([]string{"bound", "free"}, *troubled, true)
			end()
			f.judge(false)
		})
	}
	// The agent is well again, and what comes now gets what it may and no more.
	began := time.Now()
	after := f.w.pods(spec{name: "after", labels: map[string]string{"role": "bound"}})["after"]
	f.w.expect("when all is over", append(after.to(f.strangers[1], other, false), after.to(f.friends[1], web, true)...)...)
	t.Logf("it took %s until all was over", time.Since(began).Round(time.Millisecond))
}

// of has a subtest answer for what happens, until the function is called that it returns.
func (f *firsts) of(t *testing.T) (back func()) {
	outer := f.w.t
	f.w.t = t
	return func() { f.w.t = outer }
}

// again does something in turns until the trouble ends, and wants it to have been done
// more than once.
func (a *nodeAgent) again(what string, turn func() error) (end func()) {
	a.t.Helper()
	t := a.t
	stop := inTurns(t, turn)
	return func() {
		t.Helper()
		turns := stop()
		t.Logf("%d %s", turns, what)
		if turns < 2 {
			t.Errorf("%d %s, want some while Pods start", turns, what)
		}
	}
}

// killed kills agents until the trouble ends.
func (a *nodeAgent) killed() (end func()) {
	a.t.Helper()
	enough := a.again("agents were killed", a.kill())
	return func() {
		a.t.Helper()
		enough()
		a.agents().settled(a.node)
	}
}

// kill kills the agent. The kubelet starts a container again at once when it ended for the
// first time, and waits longer and longer later: so its Pod is deleted then.
func (a *nodeAgent) kill() (turn func() error) {
	last, kills := 0, 0
	agents := a.agents()
	return func() error {
		pid, err := a.another(last)
		if err != nil {
			return err
		}
		time.Sleep(rand.N(800 * time.Millisecond))
		if err := a.signal("KILL", pid); err != nil {
			return err
		}
		last = pid
		if kills++; kills%2 == 1 {
			return nil
		}
		return agents.deleteOn(a.node)
	}
}

// another waits for an agent that is not the last one.
func (a *nodeAgent) another(last int) (pid int, err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if pid, err = a.pid(); err == nil && pid != last {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("wait for another agent than %d: %w", last, errors.Join(err, errNoAgent))
}

// pause has the agent do nothing for a while, longer at times than the two seconds after
// which a container runtime gives a plugin up.
func (a *nodeAgent) pause() error {
	pid, err := a.another(0)
	if err != nil {
		return err
	}
	if err := a.signal("STOP", pid); err != nil {
		return err
	}
	time.Sleep(100*time.Millisecond + rand.N(2400*time.Millisecond))
	if err := a.signal("CONT", pid); err != nil {
		return err
	}
	time.Sleep(rand.N(300 * time.Millisecond))
	return nil
}

// deleteOn deletes the agent's Pod on a node.
func (a *agents) deleteOn(node string) error {
	second := int64(1)
	return cluster.client.CoreV1().Pods(a.namespace).DeleteCollection(a.ctx, metav1.DeleteOptions{GracePeriodSeconds: &second},
		metav1.ListOptions{LabelSelector: a.selector, FieldSelector: "spec.nodeName=" + node})
}

// settled waits until a node has one agent, which is ready.
func (a *agents) settled(node string) {
	a.t.Helper()
	a.await("the agent of "+node, func() error {
		pods, err := cluster.client.CoreV1().Pods(a.namespace).List(a.ctx, metav1.ListOptions{LabelSelector: a.selector, FieldSelector: "spec.nodeName=" + node})
		if err != nil {
			return err
		}
		if len(pods.Items) == 1 && pods.Items[0].DeletionTimestamp == nil {
			for _, c := range pods.Items[0].Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					return nil
				}
			}
		}
		return fmt.Errorf("it has %d, and not one that is ready", len(pods.Items))
	})
}

// deafForLong is the case in which the promise has a bound: Pods that nothing isolates
// wait for a volume that nobody will make, and so for their sandboxes. As many as there
// will be Pods of which the agent does not hear: with fewer nothing would be presumed.
func deafForLong(f *firsts, a *nodeAgent) (end func()) {
	var specs []spec
	for i := range *troubled {
		specs = append(specs, spec{name: fmt.Sprint("waits-", i), labels: map[string]string{"role": "free"}, pending: true, change: waitsForEver})
	}
	waiting := f.w.pods(specs...)
	time.Sleep(time.Second) // the agent hears of them
	hear := a.deafen()
	if !hears(a.t) {
		time.Sleep(late)
	}
	return func() {
		a.t.Helper()
		hear()
		for _, p := range waiting {
			f.w.reload(p, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodPending && p.Status.PodIP == "" })
			f.w.must("delete a Pod that waits", cluster.client.CoreV1().Pods(p.Namespace).Delete(f.w.ctx, p.Pod.Name, metav1.DeleteOptions{}))
		}
	}
}

func waitsForEver(p *corev1.Pod) {
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "never", VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "never"}},
	}})
	// What no container mounts is not waited for.
	c := &p.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "never", MountPath: "/never"})
}
