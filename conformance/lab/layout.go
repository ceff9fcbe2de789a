package lab

import (
	"fmt"
	"math/big"
	"net/netip"
	"slices"
)

// layout is how the lab's own plumbing is addressed, so that whatever
// addresses the manifests gave to Pods, nodes and the outside keep working:
// nothing of the lab collides with them.
type layout struct {
	// fabric and outside are the IPv4 link addresses that routes point to.
	// IPv6 has link-local addresses for that.
	fabric, outside netip.Addr
	nodes           []nodeLayout
	// own are all addresses that the lab took for itself.
	own map[netip.Addr]bool
	// staticNeighbours: too many neighbours for the kernel's table, which all
	// namespaces of a machine share (gc_thresh3, 1024 by default). Permanent
	// entries do not count.
	staticNeighbours bool
}

type nodeLayout struct {
	Node
	// uplink is the IPv4 link address of the node's eth0.
	uplink netip.Addr
	// subnets are the Pods' per family, IPv4 first.
	subnets [2]subnet
	// vtep is the IPv4 address of the node's tunnel device.
	vtep netip.Addr
	// blocks are prefixes that are the node's, and nowhere but for its Pods.
	blocks []netip.Prefix
	// pods index Spec.Pods, without hostNetwork.
	pods []int
}

// subnet is how the Pods of a node in one family see each other. On a bridge
// they share Prefix if there is one that holds nobody else; else each Pod has
// a route on the link to each of the others, which works with any addresses.
type subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Shared reports whether the Pods have one prefix on their link.
func (s subnet) Shared() bool { return s.Prefix.IsValid() }

var (
	linkAddrs = netip.MustParsePrefix("169.254.0.0/16")
	// usualGateway is what several plug-ins tell Pods to send to, and nobody has.
	usualGateway = netip.MustParseAddr("169.254.1.1")
	gatewayLL6   = netip.MustParseAddr("fe80::1")
	uplinkLL6    = netip.MustParseAddr("fe80::2")
)

// family indexes subnets.
func family(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}

// maxDynamicNeighbours keeps clear of the kernel's gc_thresh2, beyond which it
// starts to throw entries away.
const maxDynamicNeighbours = 300

func newLayout(s *Spec) (*layout, error) {
	known := knownAddrs(s)
	taken := map[netip.Addr]bool{}
	for _, a := range known {
		taken[a] = true
	}
	own := map[netip.Addr]bool{}
	next := linkAddrs.Addr()
	pick := func() netip.Addr {
		for next = next.Next(); taken[next]; {
			next = next.Next()
		}
		taken[next], own[next] = true, true
		return next
	}
	l := &layout{fabric: pick(), outside: pick(), own: own}
	nowhere := usualGateway
	if taken[nowhere] {
		nowhere = pick()
	}
	taken[nowhere], own[nowhere] = true, true
	neighbours := 0
	for _, n := range s.Nodes {
		nl := nodeLayout{Node: n, uplink: pick(), vtep: pick()}
		addrs := nl.take(s)
		fallback := pick()
		switch s.Topology.shape().gateway {
		case byEntry, byProxy:
			fallback = nowhere
		case byNetwork:
			fallback = l.fabric
		}
		nl.subnets[0] = newSubnet(s.Topology, addrs[0], known, fallback)
		nl.subnets[1] = newSubnet(s.Topology, addrs[1], known, s.Topology.gateway6())
		if s.Topology == Calico {
			nl.blocks = append(blocksOf(addrs[0], known), blocksOf(addrs[1], known)...)
		}
		if s.Topology.Bridged() {
			neighbours += max(len(addrs[0])*len(addrs[0]), len(addrs[1])*len(addrs[1]))
		} else {
			neighbours += 2 * max(len(addrs[0]), len(addrs[1]))
		}
		if !linkAddrs.Contains(next) {
			return nil, fmt.Errorf("lay out the lab: %d nodes are more than there are link addresses", len(s.Nodes))
		}
		l.nodes = append(l.nodes, nl)
	}
	l.staticNeighbours = neighbours > maxDynamicNeighbours
	return l, nil
}

// take finds the node's Pods, and returns their addresses by family.
func (n *nodeLayout) take(s *Spec) (addrs [2][]netip.Addr) {
	for i, p := range s.Pods {
		if p.Node != n.Name || p.HostNetwork {
			continue
		}
		n.pods = append(n.pods, i)
		for _, a := range p.Addrs {
			addrs[family(a)] = append(addrs[family(a)], a)
		}
	}
	return addrs
}

// gateway6 is where Pods send IPv6 packets: what the node's end of a veth derives from
// its hardware address, where nothing else is given to it.
func (t Topology) gateway6() netip.Addr {
	if t == Calico {
		return linkLocal(calicoMAC)
	}
	return gatewayLL6
}

// knownAddrs are all addresses that somebody has, sorted.
func knownAddrs(s *Spec) []netip.Addr {
	all := slices.Clone(s.External)
	for _, n := range s.Nodes {
		all = append(all, n.Addrs...)
	}
	for _, p := range s.Pods {
		if !p.HostNetwork {
			all = append(all, p.Addrs...)
		}
	}
	for _, v := range s.Services {
		all = append(all, v.ClusterIPs...)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// newSubnet finds a prefix of the usual size or wider that holds the Pods and
// nobody else, with an address left for the gateway.
func newSubnet(t Topology, pods, known []netip.Addr, fallback netip.Addr) subnet {
	if !t.prefixed() || len(pods) == 0 {
		return subnet{Gateway: fallback}
	}
	usual, widest := 24, 16
	if pods[0].Is6() {
		usual, widest = 64, 48
	}
	bits := min(usual, commonBits(pods))
	if bits < widest {
		return subnet{Gateway: fallback}
	}
	prefix, err := pods[0].Prefix(bits)
	if err != nil {
		return subnet{Gateway: fallback}
	}
	first, last := prefix.Masked().Addr(), lastAddr(prefix)
	lo, _ := slices.BinarySearchFunc(known, first, netip.Addr.Compare)
	hi, found := slices.BinarySearchFunc(known, last, netip.Addr.Compare)
	if found {
		hi++
	}
	own := slices.Clone(pods)
	slices.SortFunc(own, netip.Addr.Compare)
	// The first and the last address of an IPv4 subnet are no host's.
	if !slices.Equal(own, known[lo:hi]) || own[0] == first || own[len(own)-1] == last {
		return subnet{Gateway: fallback}
	}
	for gw := first.Next(); gw != last; gw = gw.Next() {
		if _, taken := slices.BinarySearchFunc(own, gw, netip.Addr.Compare); !taken {
			return subnet{Prefix: prefix.Masked(), Gateway: gw}
		}
	}
	return subnet{Gateway: fallback}
}

// commonBits is the length of the longest prefix that all addresses share.
func commonBits(addrs []netip.Addr) int {
	bits := addrs[0].BitLen()
	for _, a := range addrs[1:] {
		x := new(big.Int).SetBytes(a.AsSlice())
		x.Xor(x, new(big.Int).SetBytes(addrs[0].AsSlice()))
		bits = min(bits, a.BitLen()-x.BitLen())
	}
	return bits
}

// lastAddr is the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
