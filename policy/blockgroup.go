package policy

import (
	"net/netip"
	"slices"
)

// A port that an egress rule gives by name is looked up on the destination
// Pod, so an ipBlock beside it stands for the Pods in the block: those are a
// group, too. Its members are found by address and not by class, and those
// without any named port are left out.

// blockGroup is the Pods in a block. No namespace's key begins so.
func blockGroup(b IPBlock) *groupSpec {
	return &groupSpec{key: GroupKey("[" + b.String() + "]"), block: &b}
}

// blockGroups are the groups of Pods in blocks, in use.
type blockGroups struct {
	byCIDR map[netip.Prefix][]*group
	// lengths counts the CIDRs by family and length.
	lengths [2][129]int
	// addrs are the owned addresses in their order, nil when not known.
	addrs []netip.Addr
}

func familyIndex(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (b *blockGroups) add(g *group) {
	if b.byCIDR == nil {
		b.byCIDR = map[netip.Prefix][]*group{}
	}
	cidr := g.block.CIDR
	b.byCIDR[cidr] = append(b.byCIDR[cidr], g)
	b.lengths[familyIndex(cidr.Addr())][cidr.Bits()]++
}

func (b *blockGroups) remove(g *group) {
	cidr := g.block.CIDR
	removeFrom(b.byCIDR, cidr, g)
	b.lengths[familyIndex(cidr.Addr())][cidr.Bits()]--
	if len(b.byCIDR) == 0 {
		b.addrs = nil
	}
}

// around visits the groups whose block has the address.
func (b *blockGroups) around(a netip.Addr, visit func(*group)) {
	if len(b.byCIDR) == 0 {
		return
	}
	for bits, n := range b.lengths[familyIndex(a)][:a.BitLen()+1] {
		if n == 0 {
			continue
		}
		cidr, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		for _, g := range b.byCIDR[cidr] {
			if g.block.Contains(a) {
				visit(g)
			}
		}
	}
}

// ownedIn are the owned addresses in the prefix. They are sorted for the first
// of many groups that come into use together.
func (x *Index) ownedIn(cidr netip.Prefix) []netip.Addr {
	if x.blocks.addrs == nil {
		x.blocks.addrs = x.owners.addrs()
		slices.SortFunc(x.blocks.addrs, netip.Addr.Compare)
	}
	all := x.blocks.addrs
	first, _ := slices.BinarySearchFunc(all, cidr.Addr(), netip.Addr.Compare)
	last := first
	for last < len(all) && cidr.Contains(all[last]) {
		last++
	}
	return all[first:last]
}
