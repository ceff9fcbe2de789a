package question

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// addrRanges are ranges that all policies treat alike, with an address that stands for
// them.
type addrRanges struct {
	addr   netip.Addr
	ranges []connectivity.AddrRange
}

func (r *addrRanges) String() string {
	var texts []string
	for _, one := range r.ranges[:min(3, len(r.ranges))] {
		texts = append(texts, one.String())
	}
	text := strings.Join(texts, ", ")
	if more := len(r.ranges) - 3; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// standing makes members of ranges, and notes for what their addresses stand.
func (p *pass) standing(list []addrRanges) []member {
	var out []member
	for i := range list {
		out = append(out, member{End: AddrEnd(list[i].addr), addrs: []netip.Addr{list[i].addr}})
		p.answer.stand(list[i].addr, list[i].String())
	}
	return out
}

// internet is what package connectivity has for the outside: all addresses but those of
// Pods and of nodes, and the ranges that Nodes say these are from. An address that is in
// none, and is known as a node's from its Pods, does not stand for the outside either: it
// may be the own node of a Pod, which always reaches it.
func (p *pass) internet() ([]member, error) {
	nodes, err := p.nodeTable()
	if err != nil {
		return nil, err
	}
	p.note(nodes.notice)
	if p.outside == nil {
		where, err := p.whereabouts()
		if err != nil {
			return nil, err
		}
		within := slices.Concat(where.pods, where.nodes)
		taken := p.podAddrs()
		for a := range nodes.byAddr {
			taken[a] = types.NamespacedName{}
		}
		p.outside = append(p.ranges(netip.MustParsePrefix("0.0.0.0/0"), within, taken), p.ranges(netip.MustParsePrefix("::/0"), within, taken)...)
	}
	return p.standing(p.outside), nil
}

// ranges cuts a prefix wherever an ipBlock of a policy, or a range that is not meant,
// begins or ends, and puts what the same blocks hold together. What stands for it is an
// address that nobody has taken.
func (w *World) ranges(of netip.Prefix, without []netip.Prefix, taken map[netip.Addr]types.NamespacedName) []addrRanges {
	blocks := w.blocks(of)
	cuts := cutsOf(of, slices.Concat(blocks, without))
	without = slices.SortedFunc(slices.Values(without), func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	var until netip.Addr // the last address of those of without that have begun
	at := map[string]int{}
	var out []addrRanges
	for i, first := range cuts {
		last := lastAddr(of)
		if i+1 < len(cuts) {
			last = cuts[i+1].Prev()
		}
		for len(without) > 0 && without[0].Addr().Compare(first) <= 0 {
			if end := lastAddr(without[0]); end.Is4() == first.Is4() && until.Less(end) {
				until = end
			}
			without = without[1:]
		}
		if until.IsValid() && first.Compare(until) <= 0 {
			continue
		}
		free, ok := freeAddr(first, last, taken)
		if !ok {
			continue
		}
		key := heldBy(blocks, first)
		n, known := at[key]
		if !known {
			n = len(out)
			at[key] = n
			out = append(out, addrRanges{addr: free})
		}
		out[n].ranges = append(out[n].ranges, connectivity.AddrRange{First: first, Last: last})
	}
	return out
}

// cutsOf are the addresses of a prefix where it or another one begins, or one has ended,
// sorted.
func cutsOf(of netip.Prefix, by []netip.Prefix) []netip.Addr {
	cuts := []netip.Addr{of.Addr()}
	for _, b := range by {
		cuts = append(cuts, b.Addr())
		if end := lastAddr(b).Next(); end.IsValid() {
			cuts = append(cuts, end)
		}
	}
	cuts = slices.DeleteFunc(cuts, func(a netip.Addr) bool { return !of.Contains(a) })
	slices.SortFunc(cuts, netip.Addr.Compare)
	return slices.Compact(cuts)
}

// heldBy is the same for addresses that the same blocks hold.
func heldBy(blocks []netip.Prefix, a netip.Addr) string {
	var key strings.Builder
	for n, b := range blocks {
		if b.Contains(a) {
			fmt.Fprintf(&key, "%d ", n)
		}
	}
	return key.String()
}
