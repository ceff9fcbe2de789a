package question

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// Among reports whether an end of connections is, at least in part, what e names. A
// Service and a Node name none.
func (e End) Among(c *connectivity.End) bool {
	pods := c.Kind == connectivity.Pods || c.Kind == connectivity.HostNetwork
	switch e.Kind {
	case KindAny:
		return true
	case KindInternet:
		return c.Kind == connectivity.Outside
	case KindRange:
		return e.holds(c, e.Prefix)
	case KindAddress:
		return e.holds(c, netip.PrefixFrom(e.Addr, e.Addr.BitLen()))
	case KindNamespace:
		return pods && c.Namespace == e.Object.Namespace
	case KindSelector:
		s, err := labels.Parse(e.Selector)
		return err == nil && pods && (e.Object.Namespace == "" || c.Namespace == e.Object.Namespace) && s.Matches(labels.Set(c.Labels))
	}
	return slices.ContainsFunc(c.Workloads, func(w connectivity.Name) bool {
		if w.Namespace != e.Object.Namespace || w.Name != e.Object.Name {
			return e.word != "" && w.Namespace == e.word && w.Name == e.Object.Name
		}
		return e.Kind == KindPod || string(e.Kind) == w.Kind
	})
}

func (e End) holds(c *connectivity.End, p netip.Prefix) bool {
	return slices.ContainsFunc(c.Ranges, func(r connectivity.AddrRange) bool {
		return r.First.Is4() == p.Addr().Is4() && (p.Contains(r.First) || p.Contains(r.Last) || r.First.Less(p.Addr()) && p.Addr().Less(r.Last))
	}) || slices.ContainsFunc(c.Addrs, p.Contains)
}
