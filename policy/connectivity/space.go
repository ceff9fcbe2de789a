package connectivity

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sort"

	"github.com/sluice-net/sluice/policy"
)

// AddrRange is an inclusive range of addresses of one family.
type AddrRange struct{ First, Last netip.Addr }

// String is the range as a CIDR if it is one, else its two ends.
func (r AddrRange) String() string {
	for bits := range r.First.BitLen() + 1 {
		if p, err := r.First.Prefix(bits); err == nil && p.Addr() == r.First && lastOf(p) == r.Last {
			return p.String()
		}
	}
	return r.First.String() + "-" + r.Last.String()
}

// MarshalText writes the range as String does.
func (r AddrRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// family is the place of an address in what is by family.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// whole is the address space of each family. In it IPv4 written as IPv6 is no
// address of its own: it goes with what lies before it.
var (
	whole  = [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	mapped = netip.MustParsePrefix("::ffff:0:0/96")
)

// cut divides the address space of both families wherever a prefix begins or
// ends: sorted, IPv4 first.
func cut(prefixes []netip.Prefix) []AddrRange {
	var starts []netip.Addr
	for _, p := range slices.Concat(whole[:], []netip.Prefix{mapped}, prefixes) {
		if !p.IsValid() {
			continue
		}
		p = p.Masked()
		starts = append(starts, p.Addr())
		if next := lastOf(p).Next(); next.IsValid() {
			starts = append(starts, next)
		}
	}
	slices.SortFunc(starts, netip.Addr.Compare)
	starts = slices.Compact(starts)
	var out []AddrRange
	for i, first := range starts {
		last := lastOf(whole[family(first)])
		if i+1 < len(starts) && starts[i+1].Is4() == first.Is4() {
			last = starts[i+1].Prev()
		}
		if mapped.Contains(first) {
			out[len(out)-1].Last = last
			continue
		}
		out = append(out, AddrRange{first, last})
	}
	return out
}

// runOf is which of the ranges, cut by the prefix too, are in it.
func runOf(ranges []AddrRange, p netip.Prefix) (from, to int) {
	last := lastOf(p)
	from = sort.Search(len(ranges), func(i int) bool { return ranges[i].First.Compare(p.Addr()) >= 0 })
	to = sort.Search(len(ranges), func(i int) bool { return ranges[i].First.Compare(last) > 0 })
	return from, to
}

// class is addresses that no block and no known range tells apart.
type class struct {
	ranges      []AddrRange
	family      int
	pods, nodes bool
	// single is the only address, if there is one only.
	single netip.Addr
}

// space is the address space in classes.
type space struct {
	ranges  []AddrRange
	classOf []int // of each range
	classes []class
	// blocks are the ipBlocks of policies, as sets of classes.
	blocks []bitset
	ids    map[string]int
}

// newSpace puts the ranges into classes. They must be cut by the blocks, the
// Pods' and the nodes' ranges at least.
func newSpace(ranges []AddrRange, blocks []policy.IPBlock, pods, nodes []netip.Prefix) *space {
	s := &space{ranges: ranges, ids: map[string]int{}}
	held := make([][]int, len(ranges)) // by range, the blocks that hold it, ascending
	for _, b := range blocks {
		text := b.String()
		if _, known := s.ids[text]; known {
			continue
		}
		id := len(s.ids)
		s.ids[text] = id
		from, to := runOf(ranges, b.CIDR)
		for i := from; i < to; i++ {
			if b.Contains(ranges[i].First) {
				held[i] = append(held[i], id)
			}
		}
	}
	known := map[string]int{}
	for i, r := range ranges {
		inPods, inNodes := holds(pods, r.First), holds(nodes, r.First)
		key := classKey(family(r.First), inPods, inNodes, held[i])
		at, ok := known[key]
		if !ok {
			at = len(s.classes)
			known[key] = at
			s.classes = append(s.classes, class{family: family(r.First), pods: inPods, nodes: inNodes})
		}
		s.classes[at].ranges = append(s.classes[at].ranges, r)
		s.classOf = append(s.classOf, at)
	}
	s.blocks = make([]bitset, len(s.ids))
	for id := range s.blocks {
		s.blocks[id] = newBitset(len(s.classes))
	}
	for i, list := range held {
		for _, id := range list {
			s.blocks[id].set(s.classOf[i])
		}
	}
	for i := range s.classes {
		if c := &s.classes[i]; len(c.ranges) == 1 && c.ranges[0].First == c.ranges[0].Last {
			c.single = c.ranges[0].First
		}
	}
	return s
}

func holds(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.IsValid() && p.Masked().Contains(a) })
}

func classKey(family int, pods, nodes bool, blocks []int) string {
	key := []byte{byte(family), 0, 0}
	if pods {
		key[1] = 1
	}
	if nodes {
		key[2] = 1
	}
	for _, b := range blocks {
		key = binary.AppendUvarint(key, uint64(b))
	}
	return string(key)
}

// at is the class of an address, -1 for one that is none.
func (s *space) at(a netip.Addr) int {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].First.Compare(a) > 0 }) - 1
	if i < 0 || s.ranges[i].First.Is4() != a.Is4() || s.ranges[i].Last.Less(a) {
		return -1
	}
	return s.classOf[i]
}

// join makes one range of those that touch. They are sorted.
func join(list []AddrRange) []AddrRange {
	var out []AddrRange
	for _, r := range list {
		if last := len(out) - 1; last >= 0 && out[last].Last.Next() == r.First {
			out[last].Last = r.Last
			continue
		}
		out = append(out, r)
	}
	return out
}

// place is where the address of an end may be.
type place struct {
	// classes that it may be in, all together and by family.
	all bitset
	by  [2]bitset
	has [2]bool
}

func (s *space) place(classes bitset) place {
	p := place{all: classes}
	for f := range p.by {
		p.by[f] = newBitset(len(s.classes))
	}
	classes.each(func(c int) {
		f := s.classes[c].family
		p.by[f].set(c)
		p.has[f] = true
	})
	return p
}

// where is the classes for which ok holds.
func (s *space) where(ok func(*class) bool) bitset {
	out := newBitset(len(s.classes))
	for i := range s.classes {
		if ok(&s.classes[i]) {
			out.set(i)
		}
	}
	return out
}
