package connectivity

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Exposure is to whom Pods are open whom nobody in the cluster is: what no
// policy isolates, and what policies let in from, and out to, the outside and
// Pods that do not exist yet.
//
// Only the Pods' own policies are asked. What policies say of Pods that do not
// exist is what they say of made-up ones: each peer with selectors has one that
// has the labels which it demands, and no others. A label that only has to be
// there has the value "*".
type Exposure struct {
	Ends   []End
	Groups []Exposed
}

// Exposed is ends of Pods that are open to the same peers by the same rules.
type Exposed struct {
	Ends            []int
	Ingress, Egress Openness
}

// Openness is to whom Pods are open in one direction.
type Openness struct {
	// Policies isolate the Pods, sorted. Without any everything is allowed, and
	// Openings is empty.
	Policies []types.NamespacedName
	Openings []Opening
}

// Isolated reports whether any policy isolates the Pods.
func (o *Openness) Isolated() bool { return len(o.Policies) > 0 }

// PeerKind says to whom something is open.
type PeerKind uint8

const (
	// OutsideRanges are addresses of no Pod and no node.
	OutsideRanges PeerKind = iota
	// EveryNamespace is a Pod without labels in a new namespace without labels:
	// whoever may make a namespace.
	EveryNamespace
	// Namespace is a Pod without labels in a namespace of the cluster.
	Namespace
	// SelectedPods are Pods with certain labels.
	SelectedPods
)

func (k PeerKind) String() string {
	return [...]string{"outside", "everyNamespace", "namespace", "pods"}[k]
}

// MarshalText writes the kind as String does.
func (k PeerKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Opening is a peer that policies let through, and on which ports. What a more
// general opening has already is not said again.
type Opening struct {
	Kind PeerKind
	// Ranges are those of OutsideRanges; Internet is set if they are all of the
	// outside.
	Ranges   []AddrRange
	Internet bool
	// Except are the namespaces that get less than EveryNamespace says.
	Except []string
	// Namespace is that of Namespace, and of SelectedPods where they must be in a
	// certain one. NamespaceLabels are those that a new one must have.
	Namespace       string
	NamespaceLabels map[string]string
	Labels          map[string]string
	// Stretches have the one side that was asked.
	Stretches []Stretch
}

// String says who is meant, as "any Pod with app=web of namespace shop".
func (o *Opening) String() string {
	switch o.Kind {
	case OutsideRanges:
		if o.Internet {
			return Internet
		}
		return rangeText(o.Ranges)
	case EveryNamespace:
		if len(o.Except) > 0 {
			return "every namespace but " + strings.Join(o.Except, ", ")
		}
		return "every namespace"
	case Namespace:
		return "any Pod of namespace " + o.Namespace
	}
	text := "any Pod"
	if len(o.Labels) > 0 {
		text = "any Pod with " + demandText(o.Labels)
	}
	switch {
	case o.Namespace != "":
		return text + " of namespace " + o.Namespace
	case len(o.NamespaceLabels) > 0:
		return text + " of a namespace with " + demandText(o.NamespaceLabels)
	}
	return text + " of any namespace"
}

// demandText writes labels as selectors have them, without the value where any will do.
func demandText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if labels[k] == anyValue {
			out = append(out, k)
		} else {
			out = append(out, k+"="+labels[k])
		}
	}
	return strings.Join(out, ",")
}

// NewExposure says to whom the Pods of a cluster are open.
func NewExposure(c *Cluster) Exposure {
	w := newWorld(c)
	strangers := w.addStrangers()
	m := newMatrix(w, cut(w.prefixes()))
	x := exposer{Matrix: m}
	for _, s := range strangers {
		if len(s.of) > 0 && !slices.ContainsFunc(s.of, func(g policy.GroupKey) bool { return m.isMember(g, m.ofKind[s.at][0]) }) {
			continue // what is demanded of the namespace, it does not have
		}
		s.at = m.ofKind[s.at][0]
		x.strangers = append(x.strangers, s)
	}
	return x.exposure()
}

func (m *Matrix) isMember(g policy.GroupKey, end int) bool {
	members, used := m.members[g]
	return used && members.has(end)
}

type exposer struct {
	*Matrix
	strangers []*stranger
}

func (x *exposer) exposure() Exposure {
	out := Exposure{Ends: x.ends}
	at := map[[2]int]int{}
	open := [2]map[int]Openness{{}, {}}
	for e := range x.ends {
		if k := x.ends[e].Kind; k != Pods && k != HostNetwork {
			continue
		}
		key := [2]int{x.in[e], x.out[e]}
		i, known := at[key]
		if !known {
			i = len(out.Groups)
			at[key] = i
			for d, row := range key {
				if _, done := open[d][row]; !done {
					open[d][row] = x.openness(row, policy.Direction(d))
				}
			}
			out.Groups = append(out.Groups, Exposed{Ingress: open[policy.Ingress][key[0]], Egress: open[policy.Egress][key[1]]})
		}
		out.Groups[i].Ends = append(out.Groups[i].Ends, e)
	}
	return out
}

func (x *exposer) openness(row int, d policy.Direction) Openness {
	if row < firstSet {
		return Openness{}
	}
	sides := x.rows[row]
	out := Openness{Policies: x.sets[row-firstSet].Policies}
	out.Openings = x.outside(sides, d)
	// said is what was said of the Pods of a namespace; the first is what was said
	// of all namespaces.
	said := map[string][]*stranger{}
	var general *stranger
	for _, s := range x.strangers {
		if len(x.shapeAt(sides, s)) == 0 {
			continue
		}
		covered := slices.ContainsFunc(said[s.namespace], func(o *stranger) bool {
			return subset(o.labels, s.labels) && covers(x.shapeAt(sides, o), x.shapeAt(sides, s))
		})
		if covered || general != nil && covers(x.shapeAt(sides, general), x.shapeAt(sides, s)) {
			continue
		}
		if s.kind == EveryNamespace {
			general = s
		}
		said[s.namespace] = append(said[s.namespace], s)
		out.Openings = append(out.Openings, x.opening(sides, s, d))
	}
	return out
}

func (x *exposer) shapeAt(sides []uint32, s *stranger) shape {
	return x.shapes.list[x.sides.list[sides[s.at]].shape]
}

func (x *exposer) opening(sides []uint32, s *stranger, d policy.Direction) Opening {
	out := Opening{Kind: s.kind, Labels: s.labels, Stretches: x.oneSide(sides[s.at], d)}
	if s.kind != EveryNamespace {
		if !strings.HasPrefix(s.namespace, anyValue) {
			out.Namespace = s.namespace
		}
		out.NamespaceLabels = s.namespaceLabels
		return out
	}
	for _, o := range x.strangers {
		if o.kind == Namespace && !covers(x.shapeAt(sides, o), x.shapeAt(sides, s)) {
			out.Except = append(out.Except, o.namespace)
		}
	}
	return out
}

// outside is the openings to the ranges of the outside, those with the same
// reasons together.
func (x *exposer) outside(sides []uint32, d policy.Direction) []Opening {
	var out []Opening
	var ends []int
	at := map[string]int{}
	all := 0
	for e := range x.ends {
		if x.ends[e].Kind != Outside {
			continue
		}
		all++
		s := &x.sides.list[sides[e]]
		if len(s.spans) == 0 {
			continue
		}
		var key []byte
		for i := range s.spans {
			key = append(key, what{{s.spans[i].span, s.spans[i].by.plain()}}.key()...)
			key = s.spans[i].appendGrants(key)
		}
		i, known := at[string(key)]
		if !known {
			i = len(out)
			at[string(key)] = i
			out = append(out, Opening{Kind: OutsideRanges, Stretches: x.oneSide(sides[e], d)})
			ends = append(ends, 0)
		}
		out[i].Ranges = append(out[i].Ranges, x.ends[e].Ranges...)
		ends[i]++
	}
	for i := range out {
		o := &out[i]
		slices.SortFunc(o.Ranges, func(a, b AddrRange) int { return a.First.Compare(b.First) })
		o.Ranges, o.Internet = join(o.Ranges), ends[i] == all
	}
	return out
}

// oneSide is what one end lets through, whatever the other one says.
func (m *Matrix) oneSide(id uint32, d policy.Direction) []Stretch {
	s := &m.sides.list[id]
	var out []Stretch
	for i := range s.spans {
		at := &s.spans[i]
		by := at.by.plain()
		one := Stretch{Ports: at.ports(), Answer: by.together(), IPv4: by[0], IPv6: by[1]}
		if d == policy.Ingress {
			one.Ingress = m.reasons(s, at)
		} else {
			one.Egress = m.reasons(s, at)
		}
		out = append(out, one)
	}
	return out
}

// covers reports whether a lets through all that b does.
func covers(a, b shape) bool {
	i := 0
	for j := range b {
		at := b[j].from
		for at < b[j].to {
			for i < len(a) && a[i].to <= at {
				i++
			}
			if i == len(a) || a[i].from > at || b[j].by.more(a[i].by) {
				return false
			}
			at = min(a[i].to, b[j].to)
		}
	}
	return true
}

func subset(a, b map[string]string) bool {
	for k, v := range a {
		if o, has := b[k]; !has || o != v {
			return false
		}
	}
	return true
}
