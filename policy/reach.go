package policy

import (
	"math/bits"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// Reach is who reaches whom at one port: [Index.Evaluate] for each pair of
// addresses that Pods own.
type Reach struct {
	// Addrs are sorted; Pods are their owners.
	Addrs []netip.Addr
	Pods  []types.NamespacedName
	rows  []bitset
}

// Allowed reports whether a flow from one of Addrs to another one passes.
func (r *Reach) Allowed(src, dst int) bool { return r.rows[src].has(dst) }

// Count is the number of pairs that reach each other, of len(Addrs) squared.
func (r *Reach) Count() int {
	n := 0
	for _, row := range r.rows {
		for _, word := range row {
			n += bits.OnesCount64(word)
		}
	}
	return n
}

// Reach judges all pairs of subjects at once, by their allow sets rather than
// pair by pair: Pods with the same set see the same peers. It takes a bit of
// memory for each pair. Where the index is a node's, its Pods are the subjects.
func (x *Index) Reach(protocol Protocol, port uint16) *Reach {
	b := reachBuilder{index: x, protocol: protocol, port: port, at: map[netip.Addr]int{}}
	subjects := slices.Collect(x.Subjects())
	b.number(subjects)
	n := len(b.out.Addrs)
	b.out.rows = make([]bitset, n)
	for i := range b.out.rows {
		b.out.rows[i] = newBitset(n)
	}
	b.ingress(subjects)
	b.ownNode(subjects)
	b.egress(subjects)
	return &b.out
}

type reachBuilder struct {
	index    *Index
	protocol Protocol
	port     uint16
	out      Reach
	at       map[netip.Addr]int
}

// number gives each address its place. They are sorted, so that a block is a
// run of them.
func (b *reachBuilder) number(subjects []*Subject) {
	owner := map[netip.Addr]types.NamespacedName{}
	for _, s := range subjects {
		for _, a := range s.Addrs {
			owner[a] = s.Pod
			b.out.Addrs = append(b.out.Addrs, a)
		}
	}
	slices.SortFunc(b.out.Addrs, netip.Addr.Compare)
	for i, a := range b.out.Addrs {
		b.at[a] = i
		b.out.Pods = append(b.out.Pods, owner[a])
	}
}

// ingress has each row say who lets the source in.
func (b *reachBuilder) ingress(subjects []*Subject) {
	guarded := map[*AllowSet][]int{}
	var open []int
	for _, s := range subjects {
		for _, a := range s.Addrs {
			if set, _ := s.Sets(a); set == nil {
				open = append(open, b.at[a])
			} else {
				guarded[set] = append(guarded[set], b.at[a])
			}
		}
	}
	for _, row := range b.out.rows {
		row.setAll(open)
	}
	for set, destinations := range guarded {
		b.peers(set).each(func(src int) { b.out.rows[src].setAll(destinations) })
	}
}

// egress takes out of each row whom the source may not leave for, and puts in
// what no policy forbids.
func (b *reachBuilder) egress(subjects []*Subject) {
	allowed := map[*AllowSet]bitset{}
	for _, s := range subjects {
		for _, a := range s.Addrs {
			_, set := s.Sets(a)
			if set == nil {
				continue
			}
			peers := allowed[set]
			if peers == nil {
				peers = b.peers(set)
				allowed[set] = peers
			}
			if b.index.opts.NodeEgress {
				peers = slices.Clone(peers)
				b.eachNodeAddr(a, peers.set)
			}
			b.out.rows[b.at[a]].and(peers)
		}
	}
	for _, s := range subjects { // a Pod reaches itself
		for _, from := range s.Addrs {
			for _, to := range s.Addrs {
				if from == to || !s.Shares(from) && !s.Shares(to) {
					b.out.rows[b.at[from]].set(b.at[to])
				}
			}
		}
	}
}

// ownNode lets in what comes from addresses of the subjects' nodes. Pods have
// such an address only where the API says strange things.
func (b *reachBuilder) ownNode(subjects []*Subject) {
	for _, s := range subjects {
		for _, a := range s.Addrs {
			b.eachNodeAddr(a, func(src int) { b.out.rows[src].set(b.at[a]) })
		}
	}
}

// eachNodeAddr visits the addresses of the node that is every Pod's that claims
// the address.
func (b *reachBuilder) eachNodeAddr(a netip.Addr, f func(int)) {
	c := b.index.claims(a)
	if c.none() {
		return
	}
	for _, n := range c.first.pod.NodeAddrs {
		i, ours := b.at[n]
		for e := range c.all {
			ours = ours && slices.Contains(e.pod.NodeAddrs, n)
		}
		if ours {
			f(i)
		}
	}
}

// peers are the addresses that an allow set lets through at the port.
func (b *reachBuilder) peers(set *AllowSet) bitset {
	parts := set.Parts()
	out := b.peersOf(parts[0])
	for _, p := range parts[1:] {
		out.and(b.peersOf(p))
	}
	return out
}

func (b *reachBuilder) peersOf(set *AllowSet) bitset {
	out := newBitset(len(b.out.Addrs))
	for i := range set.Rules {
		r := &set.Rules[i]
		if r.AllPorts || slices.ContainsFunc(r.Ports, b.inRange) {
			b.addPeers(out, r)
		}
		if slices.ContainsFunc(r.NamedPorts, func(n NamedPortRef) bool { return n.Protocol == b.protocol }) {
			b.addNamed(out, r)
		}
	}
	return out
}

func (b *reachBuilder) inRange(p PortRange) bool {
	return p.Protocol == b.protocol && p.First <= b.port && b.port <= p.Last
}

func (b *reachBuilder) addPeers(out bitset, r *AllowRule) {
	if r.AllPeers {
		for i := range b.out.Addrs {
			out.set(i)
		}
		return
	}
	for _, g := range r.Groups {
		for m := range b.index.Members(g.Group) {
			if i, ours := b.at[m.Addr]; ours {
				out.set(i)
			}
		}
	}
	for i := range r.Blocks {
		block := &r.Blocks[i].Block
		first, _ := slices.BinarySearchFunc(b.out.Addrs, block.CIDR.Addr(), netip.Addr.Compare)
		for at := first; at < len(b.out.Addrs) && block.CIDR.Contains(b.out.Addrs[at]); at++ {
			if block.Contains(b.out.Addrs[at]) {
				out.set(at)
			}
		}
	}
}

// addNamed looks the rule's names up on the destination Pods.
func (b *reachBuilder) addNamed(out bitset, r *AllowRule) {
	for _, g := range r.NamedGroups {
		for m := range b.index.Members(g) {
			i, ours := b.at[m.Addr]
			if ours && slices.ContainsFunc(m.Ports, func(p NamedPort) bool {
				return p.Number == b.port && p.Protocol == b.protocol &&
					slices.Contains(r.NamedPorts, NamedPortRef{Protocol: p.Protocol, Name: p.Name})
			}) {
				out.set(i)
			}
		}
	}
}

// bitset has a bit for each address.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (s bitset) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s bitset) set(i int)      { s[i/64] |= 1 << (i % 64) }

func (s bitset) setAll(list []int) {
	for _, i := range list {
		s.set(i)
	}
}

func (s bitset) and(o bitset) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s bitset) each(f func(int)) {
	for at, word := range s {
		for ; word != 0; word &= word - 1 {
			f(at*64 + bits.TrailingZeros64(word))
		}
	}
}
