package ledger

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// kindOfObject is what the mailbox calls a kind that can be waited for.
var kindOfObject = map[nodestatus.ObjectKind]source.EventKind{
	nodestatus.PolicyObject: source.PolicyEvent, nodestatus.PodObject: source.PodEvent, nodestatus.NamespaceObject: source.NamespaceEvent,
}

// Answer says how far the kernel is with a version of an object, or with its deletion.
func (l *Ledger) Answer(w nodestatus.Wait) (state nodestatus.State, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started {
		return nodestatus.Pending, "the agent has enforced nothing yet since its start"
	}
	id := l.id(source.Key{Kind: kindOfObject[w.Kind], Name: w.Name})
	now, there := l.taken[id]
	same := there && (w.UID == "" || now.uid == l.uidID(w.UID))
	gone, deleted := l.passed.number(l.goneID(id))
	pending := "the agent knows of it and has not brought it into the kernel yet"
	switch {
	case w.Deleted && same:
		return nodestatus.Pending, "the agent has not heard yet that it was deleted"
	case w.Deleted && there && !l.inKernel(now.number), w.Deleted && !there && deleted && !l.inKernel(gone):
		return nodestatus.Pending, "the agent has heard that it was deleted and has not brought that into the kernel yet"
	case w.Deleted && (there || deleted):
		return nodestatus.Enforced, ""
	case !there && deleted && l.inKernel(gone), there && !same && l.knows(id, w) && l.inKernel(now.number):
		return nodestatus.Gone, "it was deleted"
	case !there && !deleted:
		return nodestatus.Absent, "the agent knows no object of that name"
	case !same:
		return nodestatus.Other, "the agent has another object of that name"
	}
	return l.answerVersion(id, w, now, pending)
}

// knows reports whether a version is remembered. The caller holds the lock.
func (l *Ledger) knows(id uint64, w nodestatus.Wait) bool {
	_, known := l.passed.number(l.versionID(id, source.Version{UID: w.UID, ResourceVersion: w.ResourceVersion}))
	return known
}

// answerVersion is answer for an object that is there. The caller holds the lock.
func (l *Ledger) answerVersion(id uint64, w nodestatus.Wait, now taken, pending string) (nodestatus.State, string) {
	version := l.versionID(id, source.Version{UID: w.UID, ResourceVersion: w.ResourceVersion})
	number, replaced := l.passed.number(version)
	switch {
	case version != now.version && !replaced:
		return nodestatus.Other, "the agent has not heard of this version, or jumped over it to a later one"
	// A version that was replaced is in force where it was itself, or what replaced it is.
	case !l.inKernel(now.number) && (!replaced || !l.inKernel(number)):
		return nodestatus.Pending, pending
	}
	if r := l.residents[w.Name]; w.Kind == nodestatus.PodObject && r != nil && r.object != nil {
		switch {
		case r.subject == nil:
			return nodestatus.Pending, "the Pod is on this node and its addresses are not known yet"
		case !l.inKernel(r.resolved):
			return nodestatus.Pending, pending
		}
	}
	return nodestatus.Enforced, ""
}

// Isolates reports whether a policy, or any of a Namespace, isolates a Pod of the node.
func (l *Ledger) Isolates(kind nodestatus.ObjectKind, name, pod types.NamespacedName) bool {
	switch kind {
	case nodestatus.PodObject:
		return pod == name
	case nodestatus.NamespaceObject:
		return pod.Namespace == name.Name
	case nodestatus.PolicyObject:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.residents[pod]
	return r != nil && r.has(name)
}

// has reports whether a policy isolates the Pod.
func (r *residentHeld) has(policy types.NamespacedName) bool {
	if r.subject == nil {
		return false
	}
	in, out := r.subject.Ingress, r.subject.Egress
	return in != nil && slices.Contains(in.Policies, policy) || out != nil && slices.Contains(out.Policies, policy)
}

// each visits the policies that isolate the Pod, some twice.
func (r *residentHeld) each(visit func(types.NamespacedName)) {
	if r.subject == nil {
		return
	}
	if s := r.subject.Ingress; s != nil {
		for _, p := range s.Policies {
			visit(p)
		}
	}
	if s := r.subject.Egress; s != nil {
		for _, p := range s.Policies {
			visit(p)
		}
	}
}

// Fill adds what is in force to what a node says, as far as it is asked for.
func (l *Ledger) Fill(q nodestatus.Query, n *nodestatus.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.Generation, n.Since = l.generation, timeOf(l.since)
	if q.Summary {
		return
	}
	isolated := map[types.NamespacedName]int{}
	var pods []types.NamespacedName
	for name, r := range l.residents {
		if q.Pod.Name != "" && name != q.Pod || q.Namespace != "" && name.Namespace != q.Namespace || q.Policy.Name != "" && !r.has(q.Policy) {
			continue
		}
		pods = append(pods, name)
		seen := map[types.NamespacedName]bool{}
		r.each(func(p types.NamespacedName) {
			if !seen[p] {
				seen[p] = true
				isolated[p]++
			}
		})
	}
	if q.Policy.Name != "" {
		isolated = map[types.NamespacedName]int{q.Policy: isolated[q.Policy]}
	}
	l.fillPods(pods, n)
	l.fillPolicies(isolated, n)
}

func (l *Ledger) fillPods(pods []types.NamespacedName, n *nodestatus.Node) {
	slices.SortFunc(pods, policy.CompareNames)
	if more := len(pods) - nodestatus.MaxPods; more > 0 {
		pods, n.MorePods = pods[:nodestatus.MaxPods], more
	}
	for _, name := range pods {
		r := l.residents[name]
		p := nodestatus.Pod{Object: l.object(name, r.inForce)}
		if s := r.subject; s != nil {
			p.Addresses = addrTexts(s.Addrs)
			p.Enforced = p.Enforced && l.inKernel(r.resolved)
			if s.Ingress != nil {
				p.Ingress = policyNames(s.Ingress.Policies, &p.MorePolicies)
			}
			if s.Egress != nil {
				p.Egress = policyNames(s.Egress.Policies, &p.MorePolicies)
			}
		}
		n.Pods = append(n.Pods, p)
	}
}

func (l *Ledger) fillPolicies(isolated map[types.NamespacedName]int, n *nodestatus.Node) {
	for _, name := range slices.SortedFunc(maps.Keys(isolated), policy.CompareNames) {
		h, known := l.policies[name]
		if !known {
			continue
		}
		if len(n.Policies) == nodestatus.MaxPolicies {
			n.MorePolicies++
			continue
		}
		n.Policies = append(n.Policies, nodestatus.Policy{Object: l.object(name, h.inForce), Pods: isolated[name], Invalid: h.invalid})
	}
}

func (l *Ledger) object(name types.NamespacedName, f *inForce) nodestatus.Object {
	return nodestatus.Object{
		Namespace: name.Namespace, Name: name.Name, UID: string(f.UID), ResourceVersion: f.ResourceVersion,
		Enforced: l.inKernel(f.number), Since: timeOf(f.since),
	}
}

// timeOf is nil for a time that has not come.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// policyNames are the first of a list, for people; the others are counted.
func policyNames(list []types.NamespacedName, more *int) []string {
	var out []string
	for i, p := range list {
		if i == nodestatus.MaxPodPolicies {
			*more += len(list) - i
			break
		}
		out = append(out, p.String())
	}
	return out
}
