package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wire is a veth between two namespaces, or the two ends of one Pod's.
type wire struct {
	a, b         *Namespace
	aName, bName string
	aMAC, bMAC   net.HardwareAddr
}

// add makes the veth: both ends are born where they belong, so the root
// namespace never sees them. It returns the ends' indexes.
func (w wire) add(master int) (a, b int, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MasterIndex = w.aName, w.aMAC, master
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: w.bName, PeerHardwareAddr: w.bMAC,
		PeerNamespace: netlink.NsFd(int(w.b.file.Fd())),
	}
	if err := w.a.link.LinkAdd(veth); err != nil {
		return 0, 0, fmt.Errorf("add veth %s of %s to %s of %s: %w", w.aName, w.a.Name, w.bName, w.b.Name, err)
	}
	peer, err := w.b.link.LinkByName(w.bName)
	if err != nil {
		return 0, 0, fmt.Errorf("find %s in %s: %w", w.bName, w.b.Name, err)
	}
	if err := w.a.up(veth.Attrs().Index); err != nil {
		return 0, 0, err
	}
	if err := w.b.up(peer.Attrs().Index); err != nil {
		return 0, 0, err
	}
	if err := w.a.settle(veth.Attrs().Index); err != nil {
		return 0, 0, err
	}
	if err := w.b.settle(peer.Attrs().Index); err != nil {
		return 0, 0, err
	}
	return veth.Attrs().Index, peer.Attrs().Index, nil
}

// loopback is the index of lo in every namespace.
const loopback = 1

func linkAt(index int) netlink.Link {
	attrs := netlink.NewLinkAttrs()
	attrs.Index = index
	return &netlink.Device{LinkAttrs: attrs}
}

func (n *Namespace) up(index int) error {
	if err := n.link.LinkSetUp(linkAt(index)); err != nil {
		return fmt.Errorf("set link %d of %s up: %w", index, n.Name, err)
	}
	return nil
}

// settle makes the kernel act on a link that just got its carrier. By itself it
// takes up to a second, in which a bridge's port forwards nothing; asking for
// the link makes it act at once.
func (n *Namespace) settle(index int) error {
	if _, err := n.link.LinkByIndex(index); err != nil {
		return fmt.Errorf("read link %d of %s: %w", index, n.Name, err)
	}
	return nil
}

// addAddr gives an interface an address. Duplicate address detection is off
// for it: a lab must not wait a second.
func (n *Namespace) addAddr(index int, p netip.Prefix, scope netlink.Scope) error {
	a := &netlink.Addr{IPNet: ipNet(p), Scope: int(scope)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := n.link.AddrAdd(linkAt(index), a); err != nil {
		return fmt.Errorf("add address %s in %s: %w", p, n.Name, err)
	}
	if p.Addr().Is6() {
		n.fresh = append(n.fresh, newAddr{p.Addr(), index})
	}
	return nil
}

// hop says where a route leads: to a gateway on a link, or to the link itself.
type hop struct {
	index int
	via   netip.Addr
	// src is the source address that the kernel prefers on this route.
	src netip.Addr
	// table is the main one if 0.
	table int
}

func (n *Namespace) addRoute(to netip.Prefix, h hop) error {
	r := &netlink.Route{LinkIndex: h.index, Dst: ipNet(to), Scope: netlink.SCOPE_UNIVERSE, Table: h.table}
	if h.via.IsValid() {
		r.Gw = h.via.AsSlice()
		r.Flags = int(netlink.FLAG_ONLINK)
	} else if to.Addr().Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	if h.src.IsValid() {
		r.Src = h.src.AsSlice()
	}
	if err := n.link.RouteReplace(r); err != nil {
		return fmt.Errorf("add route to %s in %s: %w", to, n.Name, err)
	}
	return nil
}

// addNeighbour makes a permanent neighbour entry.
func (n *Namespace) addNeighbour(index int, a netip.Addr, mac net.HardwareAddr) error {
	fam := unix.AF_INET
	if a.Is6() {
		fam = unix.AF_INET6
	}
	err := n.link.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: fam, State: netlink.NUD_PERMANENT,
		IP: a.AsSlice(), HardwareAddr: mac,
	})
	if err != nil {
		return fmt.Errorf("add neighbour %s in %s: %w", a, n.Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}
}

// host is the prefix of one address.
func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// everywhere is the default route of a family.
func everywhere(fam int) netip.Prefix {
	if fam == 1 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
