package policy

import "net/netip"

// EndOfAddr is the end of a flow that has this address. Of several Pods that
// claim it, it shows the newest.
func (x *Index) EndOfAddr(a netip.Addr) End {
	end, _ := x.end(End{Addr: a})
	return end
}

// EndOfPod is the end of a flow under one of p's addresses, the first if a is
// not valid. Its Pod is another one if p does not claim the address, and nil if
// p is on the host network or finished: then it is the bare address that counts.
func (x *Index) EndOfPod(p *Pod, a netip.Addr) End {
	end, _ := x.end(End{Addr: a, Pod: p})
	return end
}

// EndsOfPods picks the addresses by which src reaches dst: the first of dst's
// for which src has one of the same family, and another one if they are two
// Pods that share one. It is false if there is none.
func (x *Index) EndsOfPods(src, dst *Pod) (from, to End, ok bool) {
	if src == nil || dst == nil {
		return End{}, End{}, false
	}
	two := src.NamespacedName != dst.NamespacedName
	for _, apart := range []bool{true, false} {
		for _, d := range dst.Addrs {
			for _, s := range src.Addrs {
				if s.Is4() == d.Is4() && (!apart || !two || s != d) {
					return x.EndOfPod(src, s), x.EndOfPod(dst, d), true
				}
			}
		}
	}
	return End{}, End{}, false
}

// end finds who claims the address of an end. The Pod that the end names stays,
// if it is one of them.
func (x *Index) end(e End) (End, claims) {
	named := e.Pod
	if !e.Addr.IsValid() && named != nil && len(named.Addrs) > 0 {
		e.Addr = named.Addrs[0]
	}
	e.Addr, e.Pod = plainAddr(e.Addr), nil
	c := x.claims(e.Addr)
	if c.none() {
		return e, c
	}
	e.Pod = c.first.pod
	for o := range c.all {
		if named != nil && o.pod.NamespacedName == named.NamespacedName {
			e.Pod = o.pod
		}
	}
	return e, c
}
