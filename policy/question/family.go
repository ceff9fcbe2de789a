package question

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Two ends that have addresses of both families may use either. Their path is that over
// the first one; over the other it is a path of its own where it ends otherwise.

// way is a path, with that over the other family where there is one.
type way struct {
	Path
	other *Path
	// notes are to be said if the other counts.
	notes []string
}

// turn is in what the paths over both families are alike.
type turn struct {
	dst    types.NamespacedName
	entry  string
	hidden bool
}

func turnOf(p *Path) turn {
	return turn{podName(p.Ingress.Dst), p.Entry, p.Hidden}
}

// add takes the paths over the first family, and those over the other one. Where the first
// has none like it, a path over the other is one more.
func (p *pass) add(first, other []Path, notes []string) {
	begin := len(p.ways)
	for i := range first {
		p.ways = append(p.ways, way{Path: first[i]})
	}
	if len(other) == 0 {
		return // as most
	}
	at := map[turn][]int{}
	for i := range first {
		t := turnOf(&first[i])
		at[t] = append(at[t], begin+i)
	}
	for i := range other {
		t := turnOf(&other[i])
		if len(at[t]) == 0 {
			p.ways = append(p.ways, way{Path: other[i]})
			p.note(notes...)
			continue
		}
		w := &p.ways[at[t][0]]
		w.other, w.notes = &other[i], notes
		at[t] = at[t][1:]
	}
}

// otherFamily are the addresses that are not of the family of a.
func otherFamily(list []netip.Addr, a netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(b netip.Addr) bool { return b.Is4() == a.Is4() })
}

// judgeBoth judges a way over each family that it has; differ says that the second path
// counts, too. Where an end has an address that stands in, nobody knows which family it
// will be: then there is one path, which hangs on that.
func (w *World) judgeBoth(v *way, unknown *unknownSpeaker) (one, two judged, differ bool) {
	one = w.judge(&v.Path, unknown)
	if v.other == nil {
		return one, two, false
	}
	two = w.judge(v.other, unknown)
	f := v.Flow()
	switch {
	case one.result() == two.result():
		return one, two, false
	case !StandIn(f.Src.Addr) && !StandIn(f.Dst.Addr):
		return one, two, true
	}
	if one.depends = once(one.depends, two.depends...); len(one.depends) == 0 {
		v4, v6 := &one, &two
		if f.Src.Addr.Is6() {
			v4, v6 = v6, v4
		}
		one.depends = []string{fmt.Sprintf("it is IPv4 or IPv6: IPv4 is %s, IPv6 %s", v4.result(), v6.result())}
	}
	return one, two, false
}

// overBoth says of the two paths of a way, which end otherwise, over which family the
// allowed one is.
func overBoth(one, two *judged) string {
	name := func(f policy.Flow) string {
		if f.Src.Addr.Is4() {
			return "IPv4"
		}
		return "IPv6"
	}
	for _, j := range []*judged{one, two} {
		if j.verdict.Allowed && len(j.depends) == 0 {
			return name(j.path.Egress)
		}
	}
	return ""
}
