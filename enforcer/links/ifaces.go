package links

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Interface is what matters of a network interface.
type Interface struct {
	Index int
	Name  string
	// Kind is as in "ip link show type KIND".
	Kind string
	// Master is the bridge that it is a port of, 0 for none.
	Master int
	// Peer and NSID name the other end of a veth; NSID is -1 if that is in our
	// own namespace.
	Peer, NSID int
	// Up: it is switched on.
	Up  bool
	MAC net.HardwareAddr
	// CallIPTables and CallIP6Tables are a bridge's own switches.
	CallIPTables, CallIP6Tables bool
	// FiltersVLANs: a bridge knows of VLANs, and takes tags off and puts them on.
	FiltersVLANs bool
}

// LeadsOut reports whether the interface is a veth whose other end is in
// another namespace: what a Pod hangs on. The kernel tells of a veth without another end
// while it makes one, and once more, as a port still, before it takes it away.
func (i *Interface) LeadsOut() bool { return i.Kind == "veth" && i.NSID >= 0 && i.Peer != 0 }

// Attributes that the libraries do not name, of linux/if_link.h and
// linux/if_addr.h.
const (
	iflaTargetNetnsid   = 46
	ifaTargetNetnsid    = 10
	iflaBrCallIPTables  = 36
	iflaBrCallIP6Tables = 37
)

// InterfaceOf reads a link message. It says false of what is none.
func InterfaceOf(msg []byte) (Interface, bool) {
	if len(msg) < unix.SizeofIfInfomsg {
		return Interface{}, false
	}
	i := Interface{Index: int(int32(binary.NativeEndian.Uint32(msg[4:]))), NSID: -1, Up: binary.NativeEndian.Uint32(msg[8:])&unix.IFF_UP != 0}
	for a := range nlsocket.Attrs(msg[unix.SizeofIfInfomsg:]) {
		switch a.Kind {
		case unix.IFLA_IFNAME:
			i.Name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_ADDRESS:
			i.MAC = append(net.HardwareAddr(nil), a.Value...)
		case unix.IFLA_MASTER:
			i.Master = nlsocket.Int(a.Value)
		case unix.IFLA_LINK:
			i.Peer = nlsocket.Int(a.Value)
		case unix.IFLA_LINK_NETNSID:
			i.NSID = nlsocket.Int(a.Value)
		case unix.IFLA_LINKINFO:
			i.readInfo(a.Value)
		}
	}
	return i, i.Name != ""
}

func (i *Interface) readInfo(info []byte) {
	var data []byte
	for a := range nlsocket.Attrs(info) {
		switch a.Kind {
		case nl.IFLA_INFO_KIND:
			i.Kind = unix.ByteSliceToString(a.Value)
		case nl.IFLA_INFO_DATA:
			data = a.Value
		}
	}
	if i.Kind != "bridge" {
		return
	}
	for a := range nlsocket.Attrs(data) {
		set := len(a.Value) == 1 && a.Value[0] != 0
		switch a.Kind {
		case iflaBrCallIPTables:
			i.CallIPTables = set
		case iflaBrCallIP6Tables:
			i.CallIP6Tables = set
		case nl.IFLA_BR_VLAN_FILTERING:
			i.FiltersVLANs = set
		}
	}
}

// listIfaces reads all interfaces of the socket's namespace.
func listIfaces(s *nlsocket.Socket) (map[int]*Interface, error) {
	var out map[int]*Interface
	err := nlsocket.DumpWhole(func() error {
		out = map[int]*Interface{}
		req := s.Request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		return s.Each(req, func(msg []byte) {
			if i, ok := InterfaceOf(msg); ok {
				out[i.Index] = &i
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return out, nil
}

func (l *Links) nameOf(index int) string {
	if i := l.ifaces[index]; i != nil {
		return i.Name
	}
	return ""
}

// SwitchOnNetfilter sets the switches of a bridge that bring its packets past the
// hooks of iptables and nftables. A notice follows, but only if the bridge is up.
func SwitchOnNetfilter(ns netns.Namespace, bridge *Interface) error {
	socket, err := nlsocket.Open(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer socket.Close()
	data := nl.NewRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(iflaBrCallIPTables, nl.Uint8Attr(1))
	data.AddRtAttr(iflaBrCallIP6Tables, nl.Uint8Attr(1))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(bridge.Kind))
	info.AddChild(data)
	link := nl.NewIfInfomsg(unix.AF_UNSPEC)
	link.Index = int32(bridge.Index)
	req := socket.Request(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	req.AddData(link)
	req.AddData(info)
	if err := socket.Each(req, func([]byte) {}); err != nil {
		return fmt.Errorf("set its nf_call_iptables and nf_call_ip6tables: %w", err)
	}
	bridge.CallIPTables, bridge.CallIP6Tables = true, true
	return nil
}
