package links

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// routePath is where the routing sends packets for an address.
type routePath struct {
	oif int
	// prefix is the route that matched.
	prefix netip.Prefix
	// gateway: there is a next hop, so the address is not on the interface's
	// own link.
	gateway bool
	// unicast is unset for the node's own, broadcast, blackhole… addresses.
	unicast bool
}

// noRoute is what blackhole, prohibit and other such routes answer.
var noRoute = map[unix.Errno]bool{
	unix.ENETUNREACH: true, unix.EHOSTUNREACH: true, unix.EACCES: true, unix.EINVAL: true, unix.ENODEV: true,
}

// rtmFFibMatch asks for the route that matched, not a copy for the one address.
const rtmFFibMatch = 0x2000

// pathOf asks the kernel's routing. It says false if there is no route.
func pathOf(s *nlsocket.Socket, addr netip.Addr) (routePath, bool, error) {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Dst_len: 32, Flags: rtmFFibMatch}}
	if addr.Is6() {
		msg.Family, msg.Dst_len = unix.AF_INET6, 128
	}
	req := s.Request(unix.RTM_GETROUTE, 0)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, addr.AsSlice()))
	var out routePath
	found := false
	err := s.Each(req, func(b []byte) { out, found = pathFrom(b) })
	var errno unix.Errno
	switch {
	case err == nil:
		return out, found, nil
	case errors.As(err, &errno) && noRoute[errno]:
		return routePath{}, false, nil
	}
	return routePath{}, false, fmt.Errorf("look up the route to %s: %w", addr, err)
}

func pathFrom(b []byte) (routePath, bool) {
	if len(b) < unix.SizeofRtMsg {
		return routePath{}, false
	}
	out := routePath{unicast: b[7] == unix.RTN_UNICAST}
	dst := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	for a := range nlsocket.Attrs(b[unix.SizeofRtMsg:]) {
		switch a.Kind {
		case unix.RTA_DST:
			if v, ok := netip.AddrFromSlice(a.Value); ok {
				dst = v
			}
		case unix.RTA_OIF:
			out.oif = nlsocket.Int(a.Value)
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH:
			out.gateway = true
		}
	}
	out.prefix = netip.PrefixFrom(dst, int(b[1]))
	return out, out.prefix.IsValid()
}

// eachRoute calls f with each route of all tables.
func eachRoute(s *nlsocket.Socket, f func(routePath)) error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var found []routePath
		err := nlsocket.DumpWhole(func() error {
			found = found[:0]
			req := s.Request(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
			req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: family}})
			return s.Each(req, func(b []byte) {
				if p, ok := pathFrom(b); ok && p.oif != 0 {
					found = append(found, p)
				}
			})
		})
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, r := range found {
			f(r)
		}
	}
	return nil
}

// neighbour is what a neighbour table or a forwarding database knows.
type neighbour struct {
	iface int
	mac   string
	addr  netip.Addr
}

// ndMsg is struct ndmsg.
type ndMsg struct{ family uint8 }

func (m ndMsg) Len() int { return 12 }

func (m ndMsg) Serialize() []byte {
	b := make([]byte, 12)
	b[0] = m.family
	return b
}

// neighbours lists a neighbour table: family AF_INET, AF_INET6, or AF_BRIDGE
// for the forwarding databases of all bridges, whose entries have no address.
func neighbours(s *nlsocket.Socket, family uint8) ([]neighbour, error) {
	var out []neighbour
	err := nlsocket.DumpWhole(func() error {
		out = nil
		req := s.Request(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
		req.AddData(ndMsg{family})
		return s.Each(req, func(b []byte) {
			if n, ok := neighbourFrom(b); ok {
				out = append(out, n)
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	return out, nil
}

func neighbourFrom(b []byte) (neighbour, bool) {
	if len(b) < 12 {
		return neighbour{}, false
	}
	n := neighbour{iface: int(int32(binary.NativeEndian.Uint32(b[4:])))}
	for a := range nlsocket.Attrs(b[12:]) {
		switch a.Kind {
		case unix.NDA_DST:
			if v, ok := netip.AddrFromSlice(a.Value); ok {
				n.addr = v.Unmap()
			}
		case unix.NDA_LLADDR:
			n.mac = macString(a.Value)
		}
	}
	return n, n.mac != ""
}

func macString(b []byte) string {
	if len(b) != 6 {
		return ""
	}
	return net.HardwareAddr(b).String()
}

// Forwards reports whether packets for an address are passed on: it is not the node's
// own, and not nobody's.
func (l *Links) Forwards(addr netip.Addr) (bool, error) {
	path, found, err := pathOf(l.socket, addr)
	return err == nil && found && path.unicast, err
}

func (l *Links) neighbourMAC(addr netip.Addr, index int) string {
	family := uint8(unix.AF_INET)
	if addr.Is6() {
		family = unix.AF_INET6
	}
	known, err := neighbours(l.socket, family)
	if err != nil {
		return ""
	}
	for _, n := range known {
		if n.iface == index && n.addr == addr {
			return n.mac
		}
	}
	return ""
}
