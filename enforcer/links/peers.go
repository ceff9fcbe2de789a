package links

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// podEnd is the other end of a veth, as seen in its own namespace. Whoever is there
// may have made it up, and any amount of it.
type podEnd struct {
	mac       string
	addrs     []netip.Addr
	linkLocal []netip.Addr
	// cut: there were more addresses than are read.
	cut bool
}

// maxPeerAddrs is how many addresses of a family are read of a Pod's end. A Pod that
// gives itself more must not make others wait: what comes after these is not seen.
// The kernel lists those first that were there first, and in IPv6 those before
// link-local ones, so a Pod's own are among them unless it took care that they are
// not; then the Pod stays closed.
const maxPeerAddrs = 256

// peers asks for the other ends of veths. Its socket is its own, for a dump that is
// cut short takes the socket with it.
type peers struct {
	ns     netns.Namespace
	socket *nlsocket.Socket
}

func (p *peers) open() error {
	if p.socket != nil {
		return nil
	}
	socket, err := nlsocket.Open(p.ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	if err := socket.Strict(); err != nil {
		socket.Close()
		return err
	}
	p.socket = socket
	return nil
}

func (p *peers) close() {
	if p.socket != nil {
		p.socket.Close()
		p.socket = nil
	}
}

// ask looks at the other end of a veth through the namespace id that our namespace
// knows it by. It needs no traffic and believes nothing that comes over the wire.
func (p *peers) ask(veth *Interface) (podEnd, error) {
	if err := p.open(); err != nil {
		return podEnd{}, err
	}
	end := podEnd{}
	req := p.socket.Request(unix.RTM_GETLINK, 0)
	info := nl.NewIfInfomsg(unix.AF_UNSPEC)
	info.Index = int32(veth.Peer)
	req.AddData(info)
	req.AddData(nl.NewRtAttr(iflaTargetNetnsid, nl.Uint32Attr(uint32(veth.NSID))))
	err := p.socket.Each(req, func(msg []byte) {
		if i, ok := InterfaceOf(msg); ok && len(i.MAC) == 6 {
			end.mac = i.MAC.String()
		}
	})
	if err != nil {
		return podEnd{}, fmt.Errorf("look at the Pod's end of %s: %w", veth.Name, err)
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := p.addrs(veth, family, &end); err != nil {
			return podEnd{}, fmt.Errorf("look at the addresses at the Pod's end of %s: %w", veth.Name, err)
		}
	}
	return end, nil
}

func (p *peers) addrs(veth *Interface, family uint8, end *podEnd) error {
	addrs, linkLocal := end.addrs, end.linkLocal
	return nlsocket.DumpWhole(func() error {
		end.addrs, end.linkLocal = addrs, linkLocal
		if err := p.open(); err != nil {
			return err
		}
		seen := 0
		req := p.socket.Request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		req.AddData(&ifAddrmsg{unix.IfAddrmsg{Family: family, Index: uint32(veth.Peer)}})
		req.AddData(nl.NewRtAttr(ifaTargetNetnsid, nl.Uint32Attr(uint32(veth.NSID))))
		return p.dump(req, func(msg []byte) bool {
			addr, ok := addrOf(msg, veth.Peer)
			switch {
			case !ok || addr.Is4() != (family == unix.AF_INET):
				// A kernel without IPv6 answers with the other family's.
			case slices.Contains(end.addrs, addr) || slices.Contains(end.linkLocal, addr):
				// It may have an address with several prefixes.
			case addr.Is6() && addr.IsLinkLocalUnicast():
				end.linkLocal = append(end.linkLocal, addr)
			default:
				end.addrs = append(end.addrs, addr)
			}
			seen++
			end.cut = end.cut || seen > maxPeerAddrs
			return seen <= maxPeerAddrs
		})
	})
}

// dump runs a request until its end, or until enough was seen. Then what the kernel
// still has to say goes with the socket.
func (p *peers) dump(req *nl.NetlinkRequest, more func(msg []byte) bool) error {
	whole, err := p.socket.Exchange(req, more)
	if !whole {
		p.close()
	}
	return err
}

// ifAddrmsg is struct ifaddrmsg.
type ifAddrmsg struct{ unix.IfAddrmsg }

func (m *ifAddrmsg) Len() int { return unix.SizeofIfAddrmsg }

func (m *ifAddrmsg) Serialize() []byte {
	b := make([]byte, unix.SizeofIfAddrmsg)
	b[0] = m.Family
	binary.NativeEndian.PutUint32(b[4:], m.Index)
	return b
}

// addrOf reads an address message about an interface.
func addrOf(msg []byte, index int) (netip.Addr, bool) {
	if len(msg) < unix.SizeofIfAddrmsg || int(binary.NativeEndian.Uint32(msg[4:])) != index {
		return netip.Addr{}, false
	}
	var addr netip.Addr
	for a := range nlsocket.Attrs(msg[unix.SizeofIfAddrmsg:]) {
		// IFA_LOCAL is the own address where the other is the far end's.
		if a.Kind == unix.IFA_LOCAL || a.Kind == unix.IFA_ADDRESS && !addr.IsValid() {
			if v, ok := netip.AddrFromSlice(a.Value); ok {
				addr = v.Unmap()
			}
		}
	}
	return addr, addr.IsValid()
}
