package policy

import (
	"cmp"
	"slices"
)

// kind is Pods that no policy tells apart: of the same labels in the same namespace,
// with the same named ports.
type kind struct {
	class     *class
	ports     []NamedPort
	unguarded bool
	// pods is how many of the claimants they are.
	pods int
}

func (e *entry) kind() kind {
	return kind{class: e.class, ports: e.pod.Ports, unguarded: e.pod.Unguarded, pods: 1}
}

func (k *kind) same(o *kind) bool {
	return k.class == o.class && k.unguarded == o.unguarded && samePorts(k.ports, o.ports)
}

// samePorts is quick about lists that share their memory, as most equal ones do.
func samePorts(a, b []NamedPort) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// find is where the kind of e is, below 0 if none of the claimants is of it.
func (c *contest) find(e *entry) int {
	k := e.kind()
	for i := range c.kinds {
		if c.kinds[i].same(&k) {
			return i
		}
	}
	return -1
}

func (c *contest) add(e *entry) {
	if at := c.find(e); at >= 0 {
		c.kinds[at].pods++
	} else {
		c.kinds, c.compared = append(c.kinds, e.kind()), false
	}
	at, _ := slices.BinarySearchFunc(c.claimants, e, newest)
	c.claimants = slices.Insert(c.claimants, at, e)
}

func (c *contest) remove(e *entry) {
	at := c.find(e)
	if c.kinds[at].pods--; c.kinds[at].pods == 0 {
		c.kinds, c.compared = slices.Delete(c.kinds, at, at+1), false
	}
	at, _ = slices.BinarySearchFunc(c.claimants, e, newest)
	c.claimants = slices.Delete(c.claimants, at, at+1)
}

// alike reports whether policies say the same of both.
func (c *contest) alike(o *contest) bool {
	return slices.EqualFunc(c.kinds, o.kinds, func(a, b kind) bool { return a.same(&b) })
}

// within reports whether all Pods that claim an address are of these classes. There
// is at least one.
func (c claims) within(classes map[*class]struct{}) bool {
	if !c.shared() {
		_, in := classes[c.first.class]
		return in
	}
	for i := range c.contest.kinds {
		if _, in := classes[c.contest.kinds[i].class]; !in {
			return false
		}
	}
	return true
}

// ports are the named ports that each of them has.
func (c claims) ports() []NamedPort {
	switch {
	case c.none():
		return nil
	case !c.shared():
		return c.first.pod.Ports
	}
	if !c.contest.compared {
		c.contest.compared, c.contest.ports = true, commonPorts(c.contest.kinds)
	}
	return c.contest.ports
}

// commonPorts are in the order of the manifest if that is the same for all kinds.
func commonPorts(kinds []kind) []NamedPort {
	out := kinds[0].ports
	differ := false
	for i := range kinds[1:] {
		ports := kinds[1+i].ports
		if samePorts(out, ports) {
			continue
		}
		differ = true
		has := make(map[NamedPort]struct{}, len(ports))
		for _, p := range ports {
			has[p] = struct{}{}
		}
		out = slices.DeleteFunc(slices.Clone(out), func(p NamedPort) bool {
			_, ok := has[p]
			return !ok
		})
	}
	if differ {
		slices.SortFunc(out, NamedPort.compare)
	}
	return out
}

func (p NamedPort) compare(q NamedPort) int {
	return cmp.Or(cmp.Compare(p.Protocol, q.Protocol), cmp.Compare(p.Name, q.Name), cmp.Compare(p.Number, q.Number))
}
