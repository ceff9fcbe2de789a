package connectivity

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// EndKind says what an end is.
type EndKind uint8

const (
	// Pods of the Pod network that are all alike.
	Pods EndKind = iota
	// HostNetwork is Pods on the network of their node.
	HostNetwork
	// Nodes are addresses of nodes.
	Nodes
	// Outside are addresses that are neither Pods' nor nodes', as far as these
	// are known.
	Outside
	// Stranger is a Pod that nobody has made; see [Exposure].
	Stranger
)

func (k EndKind) String() string {
	return [...]string{"pods", "hostNetwork", "nodes", "outside", "stranger"}[k]
}

// MarshalText writes the kind as String does.
func (k EndKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// End is one end of connections: a row and a column of the matrix.
type End struct {
	Kind EndKind
	// Namespace, Labels and Ports are those of Pods.
	Namespace string
	Labels    map[string]string
	Ports     []policy.NamedPort
	// Workloads whose Pods these are, sorted.
	Workloads []Name
	// Addrs are the addresses of Pods, where they are known.
	Addrs []netip.Addr
	// Ranges are the addresses of Nodes and Outside.
	Ranges []AddrRange
	// Ingress and Egress are the policies that isolate the Pods, sorted.
	Ingress, Egress []types.NamespacedName
}

// String names the end: its first workload, or its first range.
func (e *End) String() string {
	var first string
	var n int
	switch {
	case len(e.Workloads) > 0:
		first, n = e.Workloads[0].String(), len(e.Workloads)
	case len(e.Ranges) > 0:
		first, n = e.Ranges[0].String(), len(e.Ranges)
	default:
		return "Pod " + e.Namespace + "/{" + labelText(e.Labels) + "}"
	}
	if n > 1 {
		return fmt.Sprintf("%s and %d more", first, n-1)
	}
	return first
}

func labelText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}

// isPod reports whether policies can select the end.
func (e *End) isPod() bool { return e.Kind == Pods || e.Kind == Stranger }

// traits are what an end is to the rules of others.
type traits struct {
	// place is the number of its place, in Matrix.places.
	place int
	// class is that of a range, -1 for Pods.
	class int
	// portsID is equal for the same named ports, 0 for none.
	portsID uint32
	// host: it may be a Pod's own node.
	host bool
	// profile is equal for ends that no peer of a rule has told apart yet.
	profile uint32
}

// number makes the ends: those of Pods, then the ranges.
func (m *Matrix) number(w *world) {
	unknown, node := m.unknownPlaces(w.cluster)
	profiles := map[[4]int]uint32{}
	profile := func(key [4]int) uint32 {
		id, known := profiles[key]
		if !known {
			id = uint32(len(profiles))
			profiles[key] = id
		}
		return id
	}
	m.ofKind = make([][]int, len(w.kinds))
	for i := range w.kinds {
		k := &w.kinds[i]
		otherwise := unknown
		if k.hostNetwork {
			otherwise = node
		}
		for _, part := range m.apart(k, otherwise) {
			t := traits{place: part.place, class: -1, portsID: m.portsID(k.ports), host: k.hostNetwork}
			born := 0
			if k.stranger != nil {
				born = 1
			}
			if k.hostNetwork {
				born = 2
			}
			t.profile = profile([4]int{0, part.place, born})
			m.ofKind[i] = append(m.ofKind[i], len(m.ends))
			m.addEnd(k.end(part), t, k)
		}
	}
	m.rangeEnd = make([]int, len(m.space.classes))
	for c := range m.space.classes {
		cl := &m.space.classes[c]
		m.rangeEnd[c] = -1
		if cl.pods {
			continue // who is there is a Pod
		}
		e, born := End{Kind: Outside, Ranges: join(cl.ranges)}, 0
		if cl.nodes {
			e.Kind, born = Nodes, 1
		}
		only := newBitset(len(m.space.classes))
		only.set(c)
		t := traits{place: m.placeID(only), class: c, host: cl.nodes, profile: profile([4]int{1, cl.family, born})}
		m.rangeEnd[c] = len(m.ends)
		m.addEnd(e, t, nil)
	}
	m.profiles = uint32(len(profiles))
}

// Overlapping are the ends of ranges that have addresses of the prefix: what
// holds of all of them holds of every address in it that is no Pod's.
func (m *Matrix) Overlapping(p netip.Prefix) []int {
	if !p.IsValid() {
		return nil
	}
	p = p.Masked()
	last := lastOf(p)
	var out []int
	for e := range m.ends {
		if slices.ContainsFunc(m.ends[e].Ranges, func(r AddrRange) bool {
			return r.First.Is4() == last.Is4() && r.First.Compare(last) <= 0 && p.Addr().Compare(r.Last) <= 0
		}) {
			out = append(out, e)
		}
	}
	return out
}

func (m *Matrix) addEnd(e End, t traits, k *kind) {
	out, in := rowNoPod, rowNoPod
	if k != nil && !k.hostNetwork {
		out, in = m.rowOf(k.egress), m.rowOf(k.ingress)
	}
	m.ends = append(m.ends, e)
	m.traits = append(m.traits, t)
	m.out = append(m.out, out)
	m.in = append(m.in, in)
}

// unknownPlaces are where a Pod and a node may be whose address is not known.
func (m *Matrix) unknownPlaces(c *Cluster) (pod, node int) {
	return m.placeID(m.space.where(func(cl *class) bool { return len(c.PodRanges) == 0 || cl.pods })),
		m.placeID(m.space.where(func(cl *class) bool {
			if len(c.NodeRanges) > 0 {
				return cl.nodes
			}
			return !cl.pods
		}))
}

// part is the Pods of a kind in one place.
type part struct {
	place     int
	workloads []Name
	addrs     []netip.Addr
}

// apart divides the Pods of a kind by where they are, in the order of their
// workloads.
func (m *Matrix) apart(k *kind, otherwise int) []part {
	if k.stranger != nil {
		return []part{{place: otherwise}}
	}
	var out []part
	for _, w := range k.workloads {
		at := otherwise
		addrs := sortedAddrs(w.Addrs)
		if len(addrs) > 0 {
			classes := newBitset(len(m.space.classes))
			for _, a := range addrs {
				if c := m.space.at(a); c >= 0 {
					classes.set(c)
				}
			}
			at = m.placeID(classes)
		}
		i := slices.IndexFunc(out, func(p part) bool { return p.place == at })
		if i < 0 {
			i = len(out)
			out = append(out, part{place: at})
		}
		out[i].workloads = append(out[i].workloads, w.title())
		out[i].addrs = append(out[i].addrs, addrs...)
	}
	return out
}

func (k *kind) end(p part) End {
	e := End{
		Kind: Pods, Namespace: k.namespace, Labels: k.labels, Ports: k.ports,
		Workloads: slices.Compact(p.workloads), Addrs: sortedAddrs(p.addrs),
	}
	switch {
	case k.hostNetwork:
		e.Kind = HostNetwork
	case k.stranger != nil:
		e.Kind = Stranger
	}
	if k.ingress != nil {
		e.Ingress = k.ingress.Policies
	}
	if k.egress != nil {
		e.Egress = k.egress.Policies
	}
	return e
}

// placeID is the number of the place of some classes.
func (m *Matrix) placeID(classes bitset) int {
	key := make([]byte, 0, len(classes)*8)
	for _, word := range classes {
		key = binary.LittleEndian.AppendUint64(key, word)
	}
	return int(m.places.put(key, func() place { return m.space.place(classes) }))
}

func (m *Matrix) portsID(list []policy.NamedPort) uint32 {
	if len(list) == 0 {
		return 0
	}
	var key []byte
	for _, p := range list {
		key = append(key, p.Name...)
		key = append(key, 0, byte(p.Protocol), byte(p.Number>>8), byte(p.Number))
	}
	return 1 + m.ports.put(key, func() []policy.NamedPort { return list })
}
