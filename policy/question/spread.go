package question

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// mostPaths bounds a question about many: more is a list, and not a question.
const mostPaths = 250_000

// spreadMembers are the Pods and ranges that an end stands for which stands for many.
// A range is one address for all that no policy tells apart.
func (p *pass) spreadMembers(e End) ([]member, error) {
	var out []member
	if e.Kind != KindRange && e.Kind != KindInternet {
		for _, name := range p.podsAmong(e) {
			m, err := p.member(PodEnd(name.Namespace, name.Name))
			if err != nil {
				p.leaveOut(err)
				continue
			}
			out = append(out, m)
		}
		if len(out) == 0 && e.Kind != KindAny {
			return nil, fmt.Errorf("no Pod of %s is %s%s", p.where, e, p.meantSpace(e))
		}
	}
	switch e.Kind {
	case KindRange:
		// Pods whose addresses are in it are among them.
		for a, pod := range p.podAddrs() {
			if e.Prefix.Contains(a) {
				out = append(out, member{End: PodEnd(pod.Namespace, pod.Name), addrs: []netip.Addr{a}})
			}
		}
		slices.SortFunc(out, func(a, b member) int { return a.addrs[0].Compare(b.addrs[0]) })
		out = append(out, p.standing(p.ranges(e.Prefix, nil, p.podAddrs()))...)
	case KindInternet, KindAny:
		outside, err := p.internet()
		if err != nil {
			return nil, err
		}
		out = append(out, outside...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no address of %s is one that a Pod or anybody outside can have", e)
	}
	return out, nil
}

// podsAmong are the Pods that run, or would, of a namespace or with labels, sorted.
func (p *pass) podsAmong(e End) []types.NamespacedName {
	selector := labels.Everything()
	if e.Kind == KindSelector {
		selector, _ = labels.Parse(e.Selector) // as ParseEnd read it
	}
	var out []types.NamespacedName
	for _, o := range p.objects.Pods {
		if e.Kind != KindAny && e.Object.Namespace != "" && o.Namespace != e.Object.Namespace || over(o) || !selector.Matches(labels.Set(o.Labels)) {
			continue
		}
		out = append(out, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
	}
	slices.SortFunc(out, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// meantSpace completes a message with the namespace that may be meant.
func (p *pass) meantSpace(e End) string {
	if e.Object.Namespace == "" {
		return ""
	}
	var names []string
	for _, o := range p.objects.Pods {
		if o.Namespace == e.Object.Namespace {
			return ""
		}
		names = append(names, o.Namespace)
	}
	slices.Sort(names)
	return DidYouMean(e.Object.Namespace, slices.Compact(names))
}

// podAddrs are the addresses of Pods that have them, and whose they are.
func (w *World) podAddrs() map[netip.Addr]types.NamespacedName {
	out := map[netip.Addr]types.NamespacedName{}
	for name := range w.pods {
		pod := w.pod(name)
		if pod == nil || pod.Finished || pod.HostNetwork {
			continue
		}
		for _, a := range pod.Addrs {
			if !StandIn(a) {
				out[a] = name
			}
		}
	}
	return out
}

// blocks are the CIDRs of ipBlocks and their exceptions that share addresses with a
// prefix, each once.
func (w *World) blocks(of netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	add := func(s string) {
		if b, err := policy.ParseCIDR(s); err == nil && b.Overlaps(of) {
			out = append(out, b.Masked())
		}
	}
	for _, np := range w.objects.Policies {
		for _, block := range append(blocksOf(np, policy.Ingress), blocksOf(np, policy.Egress)...) {
			add(block.CIDR)
			for _, e := range block.Except {
				add(e)
			}
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// freeAddr is the first address of a range that is not taken, nor one that nobody has.
func freeAddr(first, last netip.Addr, taken map[netip.Addr]types.NamespacedName) (netip.Addr, bool) {
	a := first
	for _, reserved := range []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("::/128"), netip.MustParsePrefix("100::/64")} {
		if reserved.Contains(a) {
			a = lastAddr(reserved).Next()
		}
	}
	for ; a.IsValid() && a.Compare(last) <= 0; a = a.Next() {
		if _, is := taken[a]; !is {
			return a, true
		}
	}
	return a, false
}

// tooMany refuses a question that is a list.
func tooMany(srcs, dsts int) error {
	if srcs*dsts > mostPaths {
		return errors.New("so many Pods are meant on both sides that the answer is a list: ask sluice list with --focus")
	}
	return nil
}
