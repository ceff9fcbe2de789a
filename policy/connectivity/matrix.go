package connectivity

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// Matrix is who can reach whom. Its methods are for one goroutine at a time.
type Matrix struct {
	ends   []End
	traits []traits
	// ofKind are the ends of each kind, rangeEnd that of each class, -1 for none.
	ofKind     [][]int
	rangeEnd   []int
	profiles   uint32
	nodeEgress bool
	problems   []error

	space  *space
	blocks []policy.IPBlock // by number
	places table[place]
	ports  table[[]policy.NamedPort]

	// rows have the side of each end, by what isolates the other one; out and in
	// are the row of each end.
	rows    [][]uint32
	out, in []int
	sets    []*policy.AllowSet
	setRows map[*policy.AllowSet]int
	// members are the ends that the groups of the sets have.
	members map[policy.GroupKey]bitset

	grantIDs map[grantKey]uint32
	grants   []grantKey
	sides    table[side]
	shapes   table[shape]
	whats    table[what]
	met      map[uint64]uint32
}

// New judges all pairs of ends of a cluster, on all ports.
func New(c *Cluster) *Matrix {
	w := newWorld(c)
	return newMatrix(w, cut(w.prefixes()))
}

// newMatrix takes the address space cut by the world's prefixes, and maybe more
// often.
func newMatrix(w *world, ranges []AddrRange) *Matrix {
	m := &Matrix{
		nodeEgress: w.cluster.NodeEgress, problems: w.problems,
		setRows:  map[*policy.AllowSet]int{},
		members:  map[policy.GroupKey]bitset{},
		grantIDs: map[grantKey]uint32{},
		met:      map[uint64]uint32{},
	}
	blocks := w.blocks()
	m.space = newSpace(ranges, blocks, w.cluster.PodRanges, w.cluster.NodeRanges)
	m.blocks = make([]policy.IPBlock, len(m.space.ids))
	for _, b := range blocks {
		m.blocks[m.space.ids[b.String()]] = b
	}
	m.putWhat(nil) // number 0
	m.number(w)
	m.fill(w)
	return m
}

// Ends are the rows and columns: groups of equal Pods by the names of their
// workloads, then ranges of addresses.
func (m *Matrix) Ends() []End { return m.ends }

// Problems are what is invalid in the policies. It allows nothing.
func (m *Matrix) Problems() []error { return m.problems }

// Stretch is a range of ports on which one answer holds, for the same reasons.
type Stretch struct {
	Ports
	Answer Answer
	// IPv4 and IPv6 are the answers over each family.
	IPv4, IPv6 Answer
	// Egress and Ingress are why the source's side lets it out and the
	// destination's side lets it in. They are empty where no reasons were asked
	// for.
	Egress, Ingress Side
}

// Side is what the policies of one end say.
type Side struct {
	// Reason is ReasonNoPod or ReasonNotIsolated where no policy is asked, else
	// ReasonRule.
	Reason policy.Reason
	Answer Answer
	// Grants allow it, sorted by policy, rule and peer.
	Grants []Grant
}

// Grant is a peer of a rule that allows something.
type Grant struct {
	policy.RuleRef
	// Peer indexes from or to, -1 where the rule names no peers and so allows
	// all.
	Peer int
	// If is what it depends on, nil if on nothing. A condition on the own node
	// stands without a rule.
	If *Condition
}

// Path is where in its policy the grant is, e.g. "spec.ingress[0].from[1]". It
// is empty for what no rule says.
func (g Grant) Path() string {
	if g.Policy.Name == "" || g.Rule < 0 {
		return ""
	}
	path, list := "spec.ingress[", "].from["
	if g.Direction == policy.Egress {
		path, list = "spec.egress[", "].to["
	}
	path += strconv.Itoa(g.Rule)
	if g.Peer < 0 {
		return path + "]"
	}
	return path + list + strconv.Itoa(g.Peer) + "]"
}

// compare does not look at conditions: they follow from the peer, but for port
// names.
func (g Grant) compare(o Grant) int {
	return cmp.Or(
		strings.Compare(g.Policy.Namespace, o.Policy.Namespace), strings.Compare(g.Policy.Name, o.Policy.Name),
		cmp.Compare(g.Direction, o.Direction), cmp.Compare(g.Rule, o.Rule), cmp.Compare(g.Peer, o.Peer),
		strings.Compare(g.portName(), o.portName()),
	)
}

func (g Grant) portName() string {
	if g.If == nil || g.If.Port == nil {
		return ""
	}
	return g.If.Port.String()
}

// Conditions are those of the side, where it depends: one of them must hold.
func (s *Side) Conditions() []Condition {
	if s.Answer != Depends {
		return nil
	}
	var out []Condition
	for _, g := range s.Grants {
		if g.If != nil {
			out = append(out, *g.If)
		}
	}
	return out
}

// Connection is what passes from one end to another: disjoint stretches of
// ports, sorted by protocol and port. What is in none is denied.
func (m *Matrix) Connection(src, dst int) []Stretch {
	var out []Stretch
	for _, o := range m.overlaps(m.sidesOf(src, dst)) {
		out = append(out, m.stretch(&o))
	}
	return out
}

// Passes is Connection without reasons, and so with fewer stretches.
func (m *Matrix) Passes(src, dst int) []Stretch { return m.plain(m.whats.list[m.cell(src, dst)]) }

// Allows is the answer for one port of a protocol; that of protocols without
// ports is 0.
func (m *Matrix) Allows(src, dst int, p policy.Protocol, port uint16) (all, ipv4, ipv6 Answer) {
	at := pointOf(p, port)
	for _, s := range m.whats.list[m.cell(src, dst)] {
		if s.from <= at && at < s.to {
			return s.by.together(), s.by[0], s.by[1]
		}
	}
	return Denied, Denied, Denied
}

// sidesOf are the sides of the source and of the destination.
func (m *Matrix) sidesOf(src, dst int) (egress, ingress uint32) {
	return m.rows[m.out[src]][dst], m.rows[m.in[dst]][src]
}

// cell is the number of what passes, 0 for nothing.
func (m *Matrix) cell(src, dst int) uint32 {
	eg, in := m.sidesOf(src, dst)
	return m.meet(m.sides.list[eg].shape, m.sides.list[in].shape)
}

func (m *Matrix) plain(w what) []Stretch {
	out := make([]Stretch, len(w))
	for i, s := range w {
		out[i] = Stretch{Ports: s.ports(), Answer: s.by.together(), IPv4: s.by[0], IPv6: s.by[1]}
	}
	return out
}

// overlap is a stretch that both ends let through.
type overlap struct {
	span
	by              families
	egress, ingress uint32
	// a and b are the stretches of both sides.
	a, b *sideSpan
}

// overlaps lays two sides over each other.
func (m *Matrix) overlaps(egress, ingress uint32) []overlap {
	var out []overlap
	a, b := m.sides.list[egress].spans, m.sides.list[ingress].spans
	for i, j := 0, 0; i < len(a) && j < len(b); {
		s := span{max(a[i].from, b[j].from), min(a[i].to, b[j].to)}
		if s.from < s.to {
			if by := a[i].and(&b[j].state); by.together() != Denied {
				out = append(out, overlap{s, by, egress, ingress, &a[i], &b[j]})
			}
		}
		if a[i].to <= b[j].to {
			i++
		} else {
			j++
		}
	}
	return out
}

func (m *Matrix) stretch(o *overlap) Stretch {
	return Stretch{
		Ports: o.ports(), Answer: o.by.together(), IPv4: o.by[0], IPv6: o.by[1],
		Egress: m.reasons(&m.sides.list[o.egress], o.a), Ingress: m.reasons(&m.sides.list[o.ingress], o.b),
	}
}

func (m *Matrix) reasons(s *side, at *sideSpan) Side {
	out := Side{Reason: s.reason, Answer: at.by.together()}
	for _, id := range at.grants {
		out.Grants = append(out.Grants, m.grant(id))
	}
	slices.SortFunc(out.Grants, Grant.compare)
	return out
}

func (m *Matrix) grant(id uint32) Grant {
	k := &m.grants[id]
	g := Grant{RuleRef: k.ref, Peer: k.peer}
	if k.block == 0 && !k.ownNode && k.port.Name == "" {
		return g
	}
	g.If = &Condition{OwnNode: k.ownNode}
	if k.block > 0 {
		g.If.Block = &m.blocks[k.block-1]
	}
	if k.port.Name != "" {
		g.If.Port = &policy.NamedPortRef{Protocol: k.port.Protocol, Name: k.port.Name}
	}
	return g
}
