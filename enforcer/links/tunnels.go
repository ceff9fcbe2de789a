package links

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Tunnels knows what the node's tunnel devices take from the network. Their far ends
// are read from the device itself, and from its forwarding database, where the
// network plug-in has put every node.
type Tunnels struct {
	socket *nlsocket.Socket
	// off: nobody asks, for Pods may reach them all.
	off bool
	// devices are those that were found, by index.
	devices map[int]*tunnelDevice
	list    []compiler.Tunnel
}

// tunnelDevice is a device, with what it takes.
type tunnelDevice struct {
	index      int
	name, kind string
	// up: only then it takes anything.
	up bool
	// database: its far ends are in its forwarding database too.
	database bool
	takes    []compiler.Tunnel
}

func (d *tunnelDevice) closed() bool {
	return slices.ContainsFunc(d.takes, func(t compiler.Tunnel) bool { return t.Closed })
}

// tunnelKinds are the kinds of devices that take packets out of others, and how their
// own data is read. WireGuard and IPsec are not among them: they know their far ends
// by keys. A device that is down counts, for it can be up at any moment.
var tunnelKinds = map[string]func(d *tunnelDevice, data map[uint16][]byte){
	"vxlan":     (*tunnelDevice).readVXLAN,
	"geneve":    (*tunnelDevice).readGeneve,
	"bareudp":   (*tunnelDevice).readBareUDP,
	"gre":       (*tunnelDevice).readGRE,
	"gretap":    (*tunnelDevice).readGRE,
	"erspan":    (*tunnelDevice).readGRE,
	"ip6gre":    (*tunnelDevice).readGRE,
	"ip6gretap": (*tunnelDevice).readGRE,
	"ip6erspan": (*tunnelDevice).readGRE,
	"ipip":      (*tunnelDevice).readIPTunnel,
	"sit":       (*tunnelDevice).readIPTunnel,
	"ip6tnl":    (*tunnelDevice).readIPTunnel,
}

// NewTunnels asks by the same socket as [New]. If Pods may reach every tunnel, off, nobody
// asks.
func NewTunnels(socket *nlsocket.Socket, off bool) *Tunnels {
	return &Tunnels{socket: socket, off: off}
}

// protocolMPLS is MPLS within IP, which unix does not name.
const protocolMPLS = 137

// Update looks at the devices if something that was touched can be one, or a far end
// of one.
func (t *Tunnels) Update(ctx context.Context, what Touched) error {
	if t.off || !t.due(what) {
		return nil
	}
	devices, err := listTunnels(t.socket)
	if err != nil {
		return err
	}
	var list []compiler.Tunnel
	for _, d := range devices {
		if d.database && d.closed() {
			peers, err := farEnds(t.socket, d.index)
			if err != nil {
				return fmt.Errorf("list the far ends of %s: %w", d.name, err)
			}
			for i := range d.takes {
				d.takes[i].Peers = append(d.takes[i].Peers, peers...)
			}
		}
		if was := t.devices[d.index]; was == nil || was.closed() != d.closed() {
			klog.FromContext(ctx).Info("Pods are kept from a tunnel", "interface", d.name, "kind", d.kind, "farEndsKnown", d.closed())
		}
		list = append(list, d.takes...)
	}
	t.devices, t.list = devices, list
	return nil
}

// List is what the devices take.
func (t *Tunnels) List() []compiler.Tunnel { return t.list }

// OpenTunnel is a device that anybody but Pods of this node may send to.
type OpenTunnel struct{ Name, Kind string }

// Open are those that are up: one that is down takes nothing.
func (t *Tunnels) Open() []OpenTunnel {
	var out []OpenTunnel
	for _, d := range t.devices {
		if d.up && len(d.takes) > 0 && !d.closed() {
			out = append(out, OpenTunnel{d.name, d.kind})
		}
	}
	return out
}

func (t *Tunnels) due(what Touched) bool {
	if what.all || what.tunnels {
		return true
	}
	for index, i := range what.ifaces {
		if t.devices[index] != nil || i != nil && tunnelKinds[i.Kind] != nil {
			return true
		}
	}
	return false
}

// extFilterSkipStats spares the kernel what takes most of a link message.
const extFilterSkipStats = 1 << 3

func listTunnels(s *nlsocket.Socket) (map[int]*tunnelDevice, error) {
	var out map[int]*tunnelDevice
	err := nlsocket.DumpWhole(func() error {
		out = map[int]*tunnelDevice{}
		req := s.Request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extFilterSkipStats)))
		return s.Each(req, func(msg []byte) {
			if d, ok := tunnelOf(msg); ok {
				out[d.index] = d
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list tunnels: %w", err)
	}
	return out, nil
}

// tunnelOf reads a link message. It says false of what is no tunnel.
func tunnelOf(msg []byte) (*tunnelDevice, bool) {
	i, ok := InterfaceOf(msg)
	if !ok || tunnelKinds[i.Kind] == nil {
		return nil, false
	}
	d := &tunnelDevice{index: i.Index, name: i.Name, kind: i.Kind, up: binary.NativeEndian.Uint32(msg[8:])&unix.IFF_UP != 0}
	data := map[uint16][]byte{}
	for a := range nlsocket.Attrs(msg[unix.SizeofIfInfomsg:]) {
		if a.Kind == unix.IFLA_LINKINFO {
			data = nlsocket.AttrMap(nlsocket.Nested(a.Value, nl.IFLA_INFO_DATA))
		}
	}
	tunnelKinds[i.Kind](d, data)
	return d, true
}

// take notes what the device takes. remote is its only far end, if that is valid. If
// it is down, the far ends that it has are not all that others of its kind may have.
func (d *tunnelDevice) take(protocol uint8, port uint16, remote netip.Addr, closed bool) {
	if protocol == unix.IPPROTO_UDP && port == 0 {
		return
	}
	t := compiler.Tunnel{Protocol: protocol, Port: port, Closed: closed && d.up}
	if remote.IsValid() && !remote.IsMulticast() {
		t.Peers = []netip.Addr{remote}
	}
	d.takes = append(d.takes, t)
}

// readVXLAN: without learning a device sends to those of its forwarding database
// alone, which flannel and its like keep. With it, with a group, or where each packet
// says where it goes to, nobody knows them beforehand.
func (d *tunnelDevice) readVXLAN(data map[uint16][]byte) {
	remote := cmp.Or(addrAttr(data[nl.IFLA_VXLAN_GROUP]), addrAttr(data[nl.IFLA_VXLAN_GROUP6]))
	d.database = true
	closed := !isSet(data[nl.IFLA_VXLAN_LEARNING]) && !isSet(data[nl.IFLA_VXLAN_FLOWBASED]) && !remote.IsMulticast()
	d.take(unix.IPPROTO_UDP, portAttr(data[nl.IFLA_VXLAN_PORT], 8472), remote, closed)
}

func (d *tunnelDevice) readGeneve(data map[uint16][]byte) {
	remote := cmp.Or(addrAttr(data[nl.IFLA_GENEVE_REMOTE]), addrAttr(data[nl.IFLA_GENEVE_REMOTE6]))
	_, external := data[nl.IFLA_GENEVE_COLLECT_METADATA]
	d.take(unix.IPPROTO_UDP, portAttr(data[nl.IFLA_GENEVE_PORT], 6081), remote, remote.IsValid() && !external)
}

func (d *tunnelDevice) readBareUDP(data map[uint16][]byte) {
	d.take(unix.IPPROTO_UDP, portAttr(data[nl.IFLA_BAREUDP_PORT], 0), netip.Addr{}, false)
}

func (d *tunnelDevice) readGRE(data map[uint16][]byte) {
	_, external := data[nl.IFLA_GRE_COLLECT_METADATA]
	remote := addrAttr(data[nl.IFLA_GRE_REMOTE])
	closed := remote.IsValid() && !external
	d.take(unix.IPPROTO_GRE, 0, remote, closed)
	d.takeInUDP(data[nl.IFLA_GRE_ENCAP_TYPE], data[nl.IFLA_GRE_ENCAP_DPORT], remote, closed)
}

// readIPTunnel: each kind takes what its name says, and one that is not told what to
// carry takes its relatives too.
func (d *tunnelDevice) readIPTunnel(data map[uint16][]byte) {
	_, external := data[nl.IFLA_IPTUN_COLLECT_METADATA]
	remote := addrAttr(data[nl.IFLA_IPTUN_REMOTE])
	closed := remote.IsValid() && !external
	carried := map[string][]uint8{
		"ipip":   {unix.IPPROTO_IPIP, protocolMPLS},
		"sit":    {unix.IPPROTO_IPV6, unix.IPPROTO_IPIP, protocolMPLS},
		"ip6tnl": {unix.IPPROTO_IPV6, unix.IPPROTO_IPIP, protocolMPLS},
	}[d.kind]
	if proto := data[nl.IFLA_IPTUN_PROTO]; len(proto) == 1 && slices.Contains(carried, proto[0]) {
		carried = proto
	}
	for _, p := range carried {
		d.take(p, 0, remote, closed)
	}
	d.takeInUDP(data[nl.IFLA_IPTUN_ENCAP_TYPE], data[nl.IFLA_IPTUN_ENCAP_DPORT], remote, closed)
}

// takeInUDP is for foo-over-UDP and GUE: both ends use one port, as far as anybody has
// seen.
func (d *tunnelDevice) takeInUDP(kind, port []byte, remote netip.Addr, closed bool) {
	const fou, gue = 1, 2
	if len(kind) != 2 {
		return
	}
	if k := binary.NativeEndian.Uint16(kind); k == fou || k == gue {
		d.take(unix.IPPROTO_UDP, portAttr(port, 0), remote, closed)
	}
}

func isSet(b []byte) bool { return len(b) == 1 && b[0] != 0 }

// portAttr is in network byte order.
func portAttr(b []byte, otherwise uint16) uint16 {
	if len(b) != 2 {
		return otherwise
	}
	return binary.BigEndian.Uint16(b)
}

// addrAttr is the zero Addr where there is none, or any.
func addrAttr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a.Unmap()
}

// fdbMsg is struct ndmsg of the forwarding database of one device.
type fdbMsg struct{ index int }

func (m fdbMsg) Len() int { return 12 }

func (m fdbMsg) Serialize() []byte {
	b := make([]byte, 12)
	b[0] = unix.AF_BRIDGE
	binary.NativeEndian.PutUint32(b[4:], uint32(m.index))
	return b
}

// farEnds are the addresses that a device's forwarding database sends to.
func farEnds(s *nlsocket.Socket, index int) ([]netip.Addr, error) {
	var out []netip.Addr
	err := nlsocket.DumpWhole(func() error {
		out = nil
		req := s.Request(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
		req.AddData(fdbMsg{index})
		return s.Each(req, func(b []byte) {
			if n, ok := neighbourFrom(b); ok && n.iface == index && n.addr.IsValid() {
				out = append(out, n.addr)
			}
		})
	})
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), err
}

// isFarEnd recognises a notice about the forwarding database of a tunnel. What a
// device learns by itself comes and goes with the traffic, and is none.
func isFarEnd(data []byte) bool {
	if len(data) < 12 || data[0] != unix.AF_BRIDGE || binary.NativeEndian.Uint16(data[8:])&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 {
		return false
	}
	n, ok := neighbourFrom(data)
	return ok && n.addr.IsValid()
}
