package policy

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// entry is a Pod in the index. It lives as long as the Pod's name is taken.
type entry struct {
	pod   *Pod
	class *class
	slot  int32 // in class.pods
	// soiled: the Pod is in Index.dirty.
	soiled bool
}

// node shares what all Pods of a node say of it.
type node struct {
	name  string
	addrs []netip.Addr
	pods  int
}

func (x *Index) entry(name types.NamespacedName) *entry {
	if ns := x.namespaces[name.Namespace]; ns != nil {
		if i, ok := ns.find(name.Name); ok {
			return ns.pods[i]
		}
	}
	return nil
}

// find is where in ns.pods the Pod is, or belongs.
func (ns *namespace) find(name string) (int, bool) {
	// Lists come sorted.
	if last := len(ns.pods) - 1; last < 0 || ns.pods[last].pod.Name < name {
		return last + 1, false
	}
	return slices.BinarySearchFunc(ns.pods, name, func(e *entry, name string) int { return strings.Compare(e.pod.Name, name) })
}

// Pod returns the Pod as the index has it. It does not change afterwards.
func (x *Index) Pod(name types.NamespacedName) (*Pod, bool) {
	e := x.entry(name)
	if e == nil {
		return nil, false
	}
	if x.opts.Node != "" {
		p := *e.pod
		p.Labels = e.class.labelMap()
		return &p, true
	}
	return e.pod, true
}

// SetPod adds a Pod or replaces it. What p refers to must not change any more.
func (x *Index) SetPod(p *Pod) {
	if p == nil {
		return
	}
	ns := x.namespace(p.Namespace)
	at, found := ns.find(p.Name)
	if found && ns.pods[at].says(p) {
		return
	}
	// A copy: of p, parts will be replaced by those that other Pods have, too.
	given := *p
	p = &given
	p.Addrs = plainAddrs(p.Addrs)
	var e *entry
	if found {
		e = ns.pods[at]
	}
	x.past.pod(p.NamespacedName, e)
	switch {
	case e == nil:
		e = &entry{pod: p}
		ns.pods = slices.Insert(ns.pods, at, e)
		x.counts.Pods++
		x.attach(ns, e)
	case e.belongs(p):
		x.soilRivals(e)
		gone, come := apart(e.pod.Addrs, p.Addrs)
		x.vacate(e, gone)
		x.unshare(ns, e)
		p.Labels, p.Ports = e.pod.Labels, e.pod.Ports
		e.pod = p
		x.share(ns, e)
		x.occupy(e, come)
		x.soilRivals(e)
	default:
		x.detach(ns, e)
		e.pod = p
		x.attach(ns, e)
	}
	x.soil(e)
}

// DeletePod forgets a Pod.
func (x *Index) DeletePod(name types.NamespacedName) {
	ns := x.namespaces[name.Namespace]
	if ns == nil {
		return
	}
	at, found := ns.find(name.Name)
	if !found {
		return
	}
	e := ns.pods[at]
	x.past.pod(name, e)
	x.soil(e)
	x.detach(ns, e)
	ns.pods = slices.Delete(ns.pods, at, at+1)
	x.counts.Pods--
	x.dropIfEmpty(ns)
}

// local reports whether the Pod is on the node whose Pods are subjects.
func (x *Index) local(p *Pod) bool { return x.opts.Node == "" || p.Node == x.opts.Node }

// soil has the Pod resolved anew, if it can be a subject or is one.
func (x *Index) soil(e *entry) {
	if e.soiled {
		return
	}
	name := e.pod.NamespacedName
	if x.local(e.pod) || x.subjects[name] != nil {
		x.dirty[name] = struct{}{}
		e.soiled = true
	}
}

// attach puts the Pod into its class and claims its addresses.
func (x *Index) attach(ns *namespace, e *entry) {
	p := e.pod
	c := x.class(ns, p.Labels)
	switch {
	case x.opts.Node != "":
		p.Labels = nil // the class has them
	case len(c.pods) > 0:
		p.Labels = c.pods[0].pod.Labels
	default:
		p.Labels = c.labelMap()
	}
	if len(c.pods) > 0 && slices.Equal(c.pods[0].pod.Ports, p.Ports) {
		p.Ports = c.pods[0].pod.Ports
	}
	if slices.Equal(x.ports, p.Ports) {
		p.Ports = x.ports
	} else if len(p.Ports) > 0 {
		x.ports = p.Ports
	}
	e.class, e.slot = c, int32(len(c.pods))
	c.pods = append(c.pods, e)
	x.share(ns, e)
	x.occupy(e, p.Addrs)
}

// occupy has the Pod claim addresses, or be the node that has them.
func (x *Index) occupy(e *entry, addrs []netip.Addr) {
	for _, a := range addrs {
		switch {
		case e.pod.claims():
			x.claim(a, e)
		case e.pod.HostNetwork && !e.pod.Finished:
			x.hosts[a] = append(x.hosts[a], e)
		}
	}
}

// vacate is the reverse of occupy.
func (x *Index) vacate(e *entry, addrs []netip.Addr) {
	for _, a := range addrs {
		switch {
		case e.pod.claims():
			x.release(a, e)
		case e.pod.HostNetwork && !e.pod.Finished:
			removeFrom(x.hosts, a, e)
		}
	}
}

// detach is the reverse of attach.
func (x *Index) detach(ns *namespace, e *entry) {
	x.vacate(e, e.pod.Addrs)
	x.unshare(ns, e)
	c := e.class
	last := len(c.pods) - 1
	c.pods[e.slot] = c.pods[last]
	c.pods[e.slot].slot = e.slot
	c.pods[last] = nil
	c.pods = c.pods[:last]
	if last == 0 {
		x.dropClass(c)
	}
	e.class = nil
}

// share makes the Pod use the one copy of what many Pods have in common, and
// lists it among the local ones.
func (x *Index) share(ns *namespace, e *entry) {
	p := e.pod
	p.Namespace = ns.name
	if x.local(p) {
		if ns.locals == nil {
			ns.locals = map[*entry]struct{}{}
		}
		ns.locals[e] = struct{}{}
		x.wake(ns)
	}
	if p.Node == "" {
		return
	}
	n := x.nodes[p.Node]
	if n == nil {
		n = &node{name: p.Node}
		x.nodes[p.Node] = n
	}
	n.pods++
	p.Node = n.name
	if slices.Equal(n.addrs, p.NodeAddrs) {
		p.NodeAddrs = n.addrs
	} else if len(p.NodeAddrs) > 0 {
		n.addrs = p.NodeAddrs
	}
}

func (x *Index) unshare(ns *namespace, e *entry) {
	delete(ns.locals, e)
	if n := x.nodes[e.pod.Node]; n != nil {
		if n.pods--; n.pods == 0 {
			delete(x.nodes, n.name)
		}
	}
}

func (x *Index) own(a netip.Addr, e *entry) {
	x.owners.set(a, e)
	x.blocks.addrs = nil
	x.blocks.around(a, func(g *group) { x.touch(g, a, membership{}) })
	for _, g := range e.class.groups {
		x.touch(g, a, membership{})
	}
	x.soil(e)
}

func (x *Index) disown(a netip.Addr, e *entry) {
	x.blocks.around(a, func(g *group) { x.touch(g, a, x.membership(g, a)) })
	x.owners.remove(a)
	x.blocks.addrs = nil
	for _, g := range e.class.groups {
		x.touch(g, a, membership{in: true, ports: e.pod.Ports})
	}
	x.soil(e)
}
