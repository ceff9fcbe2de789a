package chaos

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/lab"
)

// action is something that happens to the node.
type action struct {
	weight int
	do     func(*world, context.Context)
	// if nil, the action is always possible.
	possible func(*world) bool
}

func actions() []action {
	return []action{
		{weight: 6, do: (*world).upsetFiles, possible: func(w *world) bool { return w.files != nil && !w.has(fileTrouble) }},
		{weight: 20, do: (*world).changePolicy},
		{weight: 8, do: (*world).deletePolicy},
		{weight: 10, do: (*world).relabelPod},
		{weight: 5, do: (*world).relabelNamespace},
		{weight: 4, do: (*world).failPod},
		{weight: 4, do: (*world).forgetPod},
		{weight: 8, do: (*world).remakePod},
		{weight: 4, do: (*world).share},
		{weight: 3, do: (*world).renameVeth},
		{weight: 3, do: (*world).moveVeth, possible: (*world).bridged},
		{weight: 5, do: (*world).redirect},
		{weight: 6, do: (*world).killAgent, possible: (*world).agentRuns},
		{weight: 4, do: (*world).stopAgent, possible: (*world).agentRuns},
		{weight: 4, do: (*world).freezeAgent, possible: (*world).agentRuns},
		{weight: 2, do: (*world).secondAgent, possible: (*world).calm},
		{weight: 5, do: (*world).flush},
		{weight: 8, do: (*world).edit},
		{weight: 5, do: (*world).breakNft, possible: func(w *world) bool { return !w.has(nftTrouble) }},
		{weight: 3, do: (*world).editWithoutNft, possible: (*world).calm},
		{weight: 8, do: (*world).upsetServer, possible: func(w *world) bool { return w.api != nil && !w.has(apiTrouble) }},
	}
}

// act draws an action and does it, and heals a trouble now and then.
func (w *world) act(ctx context.Context) {
	if len(w.troubles) > 0 && w.chance(30) {
		w.heal(w.troubles[w.rng.IntN(len(w.troubles))])
		w.troubles = slices.DeleteFunc(w.troubles, func(tr *trouble) bool { return tr.healed != 0 })
	}
	var possible []action
	total := 0
	for _, a := range actions() {
		if a.possible == nil || a.possible(w) {
			possible = append(possible, a)
			total += a.weight
		}
	}
	drawn := w.rng.IntN(total)
	for _, a := range possible {
		if drawn -= a.weight; drawn < 0 {
			a.do(w, ctx)
			break
		}
	}
	w.actions++
	w.catchUp()
}

func (w *world) bridged() bool   { return w.topology == lab.Bridge }
func (w *world) agentRuns() bool { return !w.has(agentTrouble) }
func (w *world) calm() bool      { return len(w.troubles) == 0 }

// What can be wrong for a while.
const (
	agentTrouble = "the agent is down"
	nftTrouble   = "nft does not work"
	apiTrouble   = "the API server does not serve"
	fileTrouble  = "manifests are broken or gone"
)

func (w *world) setNamespace(ns *corev1.Namespace) {
	w.tell(namespaceKind, func(o *objects) { o.namespaces = put(o.namespaces, ns) }, func() error { return w.source.set(ns) })
}

func (w *world) setPolicy(np *networkingv1.NetworkPolicy) {
	w.tell(policyKind, func(o *objects) { o.policies = put(o.policies, np) }, func() error { return w.source.set(np) })
}

// setPod makes the Pod that lives in a sandbox known.
func (w *world) setPod(box *sandbox, p *corev1.Pod) {
	box.pod = p
	w.showPod(p)
}

func (w *world) showPod(p *corev1.Pod) {
	w.tell(podKind, func(o *objects) { o.pods = put(o.pods, p) }, func() error { return w.source.set(p) })
}

func (w *world) deletePod(p *corev1.Pod) {
	w.log("deletes Pod %s/%s", p.Namespace, p.Name)
	w.tell(podKind, func(o *objects) { o.pods = without(o.pods, p) }, func() error { return w.source.remove(p) })
}

func (w *world) changePolicy(context.Context) {
	np := w.randomPolicy()
	w.log("sets policy %s/%s: %v", np.Namespace, np.Name, brief(np))
	w.setPolicy(np)
}

func (w *world) deletePolicy(context.Context) {
	if len(w.now.policies) == 0 {
		return
	}
	np := one(w, w.now.policies...)
	w.log("deletes policy %s/%s", np.Namespace, np.Name)
	w.tell(policyKind, func(o *objects) { o.policies = without(o.policies, np) }, func() error { return w.source.remove(np) })
}

func (w *world) relabelPod(context.Context) {
	box := one(w, w.boxes...)
	if box.pod == nil {
		return
	}
	p := box.pod.DeepCopy()
	p.Labels = w.randomLabels()
	w.log("labels Pod %s/%s of sandbox %d %v", p.Namespace, p.Name, box.index, p.Labels)
	w.setPod(box, p)
}

func (w *world) relabelNamespace(context.Context) {
	ns := w.randomNamespace(one(w, namespaces...))
	w.log("labels namespace %s %v", ns.Name, ns.Labels)
	w.setNamespace(ns)
}

// failPod: the object says that the Pod has failed, and its sandbox goes on.
func (w *world) failPod(context.Context) {
	box := one(w, w.boxes...)
	if box.pod == nil || box.pod.Status.Phase == corev1.PodFailed {
		return
	}
	p := box.pod.DeepCopy()
	p.Status.Phase = corev1.PodFailed
	w.log("Pod %s/%s of sandbox %d has failed", p.Namespace, p.Name, box.index)
	w.setPod(box, p)
}

// forgetPod: the object goes, and the sandbox goes on.
func (w *world) forgetPod(context.Context) {
	box := one(w, w.boxes...)
	if box.pod != nil {
		w.deletePod(box.pod)
		box.pod = nil
	}
}

// remakePod: another Pod with the same addresses. Its object may come late.
func (w *world) remakePod(ctx context.Context) {
	box := one(w, w.boxes...)
	late := w.between(0, 1500*time.Millisecond)
	if box.pod != nil {
		w.deletePod(box.pod)
		box.pod = nil
	}
	box.broken("new veth", box.remake)
	sleep(ctx, late)
	p := w.newPod(box, one(w, namespaces...))
	w.log("Pod %s/%s of sandbox %d, labels %v", p.Namespace, p.Name, box.index, p.Labels)
	w.setPod(box, p)
}

// share: another object claims the addresses of a sandbox, or no longer.
func (w *world) share(context.Context) {
	box := one(w, w.boxes...)
	if p := w.shares[box]; p != nil {
		w.deletePod(p)
		delete(w.shares, box)
		return
	}
	p := w.newPod(box, one(w, namespaces...))
	w.shares[box] = p
	w.log("Pod %s/%s claims the addresses of sandbox %d, labels %v", p.Namespace, p.Name, box.index, p.Labels)
	w.showPod(p)
}

func (w *world) renameVeth(context.Context) {
	box := one(w, w.boxes...)
	box.broken("new name", box.rename)
}

func (w *world) moveVeth(ctx context.Context) {
	box, pause := one(w, w.boxes...), w.between(100*time.Millisecond, 1500*time.Millisecond)
	box.broken("out of the bridge and back", func() error { return box.takeOut(ctx, pause) })
}

func (w *world) redirect(context.Context) {
	box := one(w, w.boxes...)
	box.broken("tc redirection on or off", box.redirect)
}

func (w *world) killAgent(context.Context) { w.endAgent("killed", w.agent.kill) }
func (w *world) stopAgent(context.Context) { w.endAgent("stopped", w.agent.stop) }

func (w *world) endAgent(how string, end func() error) {
	w.log("agent is %s", how)
	tr := w.hinder(agentTrouble)
	if err := end(); err != nil {
		w.fault("%v", err)
	}
	// An answer may have been under way.
	w.expectNotReady(tr, time.Now().UnixNano(), "no agent runs")
	tr.mend = func() error {
		err := w.agent.start()
		for _, other := range w.troubles {
			// Where watches broke and nothing else, whoever begins anew hears all.
			if other.what == apiTrouble && other.healed == 0 && other.mend != nil {
				w.expectNotReady(other, time.Now().UnixNano(), "the agent was started while the API server did not serve")
			}
		}
		return err
	}
}

// freezeAgent stops the process for a while.
func (w *world) freezeAgent(context.Context) {
	tr := w.hinder(agentTrouble)
	w.log("agent is frozen")
	w.must(w.agent.signal(syscall.SIGSTOP))
	tr.mend = func() error { return w.agent.signal(syscall.SIGCONT) }
}

// secondAgent starts another one in the same namespace. It must not enforce, so
// nothing hinders the first.
func (w *world) secondAgent(ctx context.Context) {
	while := w.between(time.Second, 3*time.Second)
	if len(w.pending) > 0 {
		return // the first may not have begun, and the second would be the first
	}
	w.log("a second agent starts")
	second := &agentProcess{host: w.agent.host, dir: w.agent.dir, flags: w.agent.flags, port: 9471, log: w.agent.log + ".second"}
	w.must(second.start())
	client := second.client()
	for until := time.Now().Add(while); time.Now().Before(until) && second.running(); sleep(ctx, sampleEvery) {
		if s := second.ask(ctx, client); s.ok {
			w.fault("a second agent in the same namespace says that it is ready: %s", s.text)
			break
		}
	}
	w.must(second.kill())
	w.log("the second agent is gone")
}

func brief(np *networkingv1.NetworkPolicy) string {
	return fmt.Sprintf("%v %v, %d ingress, %d egress", np.Spec.PolicyTypes, np.Spec.PodSelector, len(np.Spec.Ingress), len(np.Spec.Egress))
}
