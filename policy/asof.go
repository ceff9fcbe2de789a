package policy

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// mostTraced is up to how many peers and ports a verdict of one end is traced. Beyond,
// the policies that isolate are named and no more: the largest policy has 150,000, a
// trace of which takes a second and as many sentences.
const mostTraced = 2000

// Judgement is the verdict at one end of a flow at some time.
type Judgement struct {
	// Flow has the Pods that its ends were, with their labels. They are not to be changed.
	Flow Flow
	DirectionVerdict
	// Complete: all that may have counted then is still known. Otherwise it is judged
	// as of the earliest time of which that holds.
	Complete bool
	// Untraced: the policies have so many peers and ports that the rules are left out.
	Untraced bool
}

// ExplainEnd judges a flow in one direction as [Index.Explain] does. The other end's
// policies are not asked, nor even looked up.
func (x *Index) ExplainEnd(f Flow, d Direction) Judgement {
	var src, dst claims
	f.Src, src = x.end(f.Src)
	f.Dst, dst = x.end(f.Dst)
	out := Judgement{Complete: true}
	subjects, seen := dst, facts{dir: d, peer: src, addr: f.Src.Addr, proto: f.Protocol, port: f.Port, self: f.self(src, dst)}
	if d == Egress {
		subjects, seen.peer, seen.addr = src, dst, f.Dst.Addr
	}
	size := 0
	for e := range subjects.all {
		size += x.chosen(e.class).size(d)
	}
	out.Untraced = size > mostTraced
	out.DirectionVerdict = x.judgeEnd(seen, subjects, !out.Untraced)
	if out.Untraced {
		x.nameOnly(&out.DirectionVerdict)
	}
	out.Flow = f
	out.Flow.Src.Pod, out.Flow.Dst.Pod = x.whole(f.Src.Pod), x.whole(f.Dst.Pod)
	return out
}

// size is how many peers and ports the policies of a direction have.
func (s *selection) size(d Direction) int {
	n := 0
	for _, p := range s.policies[d] {
		for i := range p.rules[d] {
			n += len(p.rules[d][i].peers) + len(p.rules[d][i].ports)
		}
	}
	return n
}

// nameOnly fills in which policies isolate the Pod.
func (x *Index) nameOnly(v *DirectionVerdict) {
	e := x.entry(v.Subject)
	if e == nil {
		return
	}
	for _, p := range x.chosen(e.class).policies[v.Direction] {
		v.Policies = append(v.Policies, PolicyTrace{Policy: p.NamespacedName, Problems: slices.Clone(p.problems)})
	}
}

// whole is the Pod with its labels, nil for nil.
func (x *Index) whole(p *Pod) *Pod {
	if p == nil || p.Labels != nil {
		return p
	}
	e := x.entry(p.NamespacedName)
	if e == nil {
		return p
	}
	out := *p
	out.Labels = e.class.labelMap()
	return &out
}

// ExplainAsOf is [Index.ExplainEnd] at a time when some generations were not in force.
// It is for flows whose packets the kernel has judged before it was told of these.
//
// What counts of a cluster for one end of a flow are the Pods that claim the two
// addresses, their namespaces, and the policies of the namespaces at this end. These, as
// they were, are put into an index of their own, so that there is one way to judge.
func (x *Index) ExplainAsOf(f Flow, d Direction, without func(Generation) bool) Judgement {
	if x.past == nil {
		return x.ExplainEnd(f, d)
	}
	was, complete := x.past.then(without)
	if len(was) == 0 {
		out := x.ExplainEnd(f, d)
		out.Complete = complete
		return out
	}
	v := view{now: x, was: was, then: NewIndex(Options{NodeEgress: x.opts.NodeEgress})}
	subject := plainAddr(f.Dst.Addr)
	if d == Egress {
		subject = plainAddr(f.Src.Addr)
	}
	for _, a := range []netip.Addr{plainAddr(f.Src.Addr), plainAddr(f.Dst.Addr)} {
		v.claim(a, a == subject)
	}
	out := v.then.ExplainEnd(f, d)
	out.Complete = complete
	return out
}

// view makes an index of what counted at some time.
type view struct {
	now  *Index
	was  map[objectKey]*change
	then *Index
	// enforced: as if no policy were audited.
	enforced bool
}

// claim takes in the Pods that claimed an address, or were the node that had it, and
// what selects them and them only: policies if they are subjects.
func (v *view) claim(a netip.Addr, subject bool) {
	add := func(p *Pod, labels map[string]string) {
		given := *p
		given.Labels = labels
		v.then.SetPod(&given)
		v.namespace(p.Namespace)
		if subject && p.claims() {
			v.policies(p.Namespace, listLabels(labels))
		}
	}
	now := slices.Collect(v.now.claims(a).all)
	for _, e := range append(now, v.now.hosts[a]...) {
		if v.was[objectKey{podObject, e.pod.NamespacedName}] == nil {
			add(e.pod, e.class.labelMap())
		}
	}
	for key, c := range v.was {
		if key.kind == podObject && c.pod != nil && slices.Contains(c.pod.Addrs, a) {
			add(c.pod, c.class.labelMap())
		}
	}
}

func (v *view) namespace(name string) {
	if c := v.was[objectKey{namespaceObject, types.NamespacedName{Name: name}}]; c != nil {
		if c.known {
			v.then.SetNamespace(name, c.labels.asMap())
		}
		return
	}
	if ns := v.now.namespaces[name]; ns != nil && ns.known {
		v.then.SetNamespace(name, ns.labels.asMap())
	}
}

// policies takes in those that may select a Pod with these labels.
func (v *view) policies(namespace string, of labels) {
	if ns := v.now.namespaces[namespace]; ns != nil {
		v.now.wake(ns)
		ns.policiesBy.candidates(of, func(p *parsed) {
			if v.was[objectKey{policyObject, p.NamespacedName}] == nil {
				v.adopt(p)
			}
		})
	}
	for key, c := range v.was {
		switch {
		case key.kind != policyObject || key.name.Namespace != namespace:
		case c.policy != nil:
			v.adopt(c.policy)
		case c.asleep != nil:
			v.adopt(c.asleep.parse(namespace))
		}
	}
}

// adopt adds a policy that the other index has, or had, once.
func (v *view) adopt(p *parsed) {
	x := v.then
	ns := x.namespace(p.Namespace)
	known, at := ns.policy(p.Name)
	if known != nil {
		return
	}
	own := *p
	if v.enforced {
		own.mode = modeEnforce
	}
	ns.policies = slices.Insert(ns.policies, at, &own)
	x.counts.Policies++
	own.anchor = ns.policiesBy.add(own.selector, &own)
}

func (l labelList) asMap() map[string]string {
	out := make(map[string]string, len(l))
	for i := range l {
		out[l[i].key] = l[i].value
	}
	return out
}

// NodeOf is the name of the node that has an address, as far as its Pods say, empty if
// none does.
func (x *Index) NodeOf(a netip.Addr) string {
	a = plainAddr(a)
	for _, e := range x.hosts[a] {
		if e.pod.Node != "" {
			return e.pod.Node
		}
	}
	// The order of a map, so the least name of them.
	found := ""
	for _, n := range x.nodes {
		if slices.Contains(n.addrs, a) && (found == "" || n.name < found) {
			found = n.name
		}
	}
	return found
}
