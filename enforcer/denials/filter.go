package denials

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Filter says which denials are meant. The zero value, and nil, pass all. It is not to be
// changed once it is in use.
type Filter struct {
	// Namespace is of a Pod at either end.
	Namespace string
	// Pod is either end, From the end that opened the flow, To the other.
	Pod, From, To *EndPattern
	// Reasons, if there are any.
	Reasons []Reason
	// Since is how old a denial may be.
	Since time.Time
}

// Passes reports whether a denial is meant.
func (f *Filter) Passes(d *Denial) bool {
	switch {
	case f == nil:
		return true
	case f.Namespace != "" && d.Src.Namespace != f.Namespace && d.Dst.Namespace != f.Namespace:
		return false
	case f.Pod != nil && !f.Pod.matches(&d.Src, d.src) && !f.Pod.matches(&d.Dst, d.dst):
		return false
	case f.From != nil && !f.From.matches(&d.Src, d.src):
		return false
	case f.To != nil && !f.To.matches(&d.Dst, d.dst):
		return false
	case len(f.Reasons) > 0 && !slices.Contains(f.Reasons, d.Reason):
		return false
	}
	return f.Since.IsZero() || !d.Time.Before(f.Since)
}

// EndPattern says which ends of flows are meant.
type EndPattern struct {
	// kind is the end's, empty for any.
	kind EndKind
	// block is where its address is, if valid.
	block netip.Prefix
	// namespace, pod, workload and node are its own, empty for any.
	namespace, pod, workload, node string
	// prefix: pod is how its name begins.
	prefix bool
}

func (p *EndPattern) matches(e *End, a netip.Addr) bool {
	if p.kind != "" && p.kind != e.Kind || p.namespace != "" && p.namespace != e.Namespace {
		return false
	}
	if p.workload != "" && p.workload != e.Workload || p.node != "" && p.node != e.Node {
		return false
	}
	if p.block.IsValid() && !p.block.Contains(address(e, a)) {
		return false
	}
	if p.prefix {
		return strings.HasPrefix(e.Pod, p.pod)
	}
	return p.pod == "" || p.pod == e.Pod
}

// address is that of an end, also of a denial that was read from JSON.
func address(e *End, a netip.Addr) netip.Addr {
	if !a.IsValid() {
		a, _ = netip.ParseAddr(e.Address)
	}
	return a
}

func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
