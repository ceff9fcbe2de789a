package links

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2/ktesting"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// linkBytes is a link message as the kernel writes it.
func linkBytes(kind string, up bool, data ...*nl.RtAttr) []byte {
	info := nl.NewIfInfomsg(unix.AF_UNSPEC)
	info.Index = 7
	if up {
		info.Flags = unix.IFF_UP
	}
	linkInfo := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	linkInfo.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	inner := linkInfo.AddRtAttr(nl.IFLA_INFO_DATA|unix.NLA_F_NESTED, nil)
	for _, a := range data {
		inner.AddChild(a)
	}
	out := append(info.Serialize(), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("tun")).Serialize()...)
	return append(out, linkInfo.Serialize()...)
}

func TestTunnelsAreRead(t *testing.T) {
	port := func(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
	native := func(n uint16) []byte { return binary.NativeEndian.AppendUint16(nil, n) }
	attribute := nl.NewRtAttr
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	group := netip.MustParseAddr("239.1.1.1")
	yes, no := []byte{1}, []byte{0}
	for _, c := range []struct {
		name, kind string
		down       bool
		data       []*nl.RtAttr
		want       []compiler.Tunnel
	}{
		{name: "vxlan that learns", kind: "vxlan", data: []*nl.RtAttr{
			attribute(nl.IFLA_VXLAN_LEARNING, yes), attribute(nl.IFLA_VXLAN_PORT, port(4789)),
		}, want: []compiler.Tunnel{{Protocol: 17, Port: 4789}}},
		{name: "vxlan that does not", kind: "vxlan", data: []*nl.RtAttr{
			attribute(nl.IFLA_VXLAN_LEARNING, no), attribute(nl.IFLA_VXLAN_FLOWBASED, no), attribute(nl.IFLA_VXLAN_PORT, port(8472)), attribute(nl.IFLA_VXLAN_GROUP6, six.AsSlice()),
		}, want: []compiler.Tunnel{{Protocol: 17, Port: 8472, Peers: []netip.Addr{six}, Closed: true}}},
		{name: "vxlan that is down", kind: "vxlan", down: true, data: []*nl.RtAttr{attribute(nl.IFLA_VXLAN_PORT, port(8472))},
			want: []compiler.Tunnel{{Protocol: 17, Port: 8472}}},
		{name: "vxlan with a group", kind: "vxlan", data: []*nl.RtAttr{attribute(nl.IFLA_VXLAN_PORT, port(8472)), attribute(nl.IFLA_VXLAN_GROUP, group.AsSlice())},
			want: []compiler.Tunnel{{Protocol: 17, Port: 8472}}},
		{name: "vxlan of other programs", kind: "vxlan", data: []*nl.RtAttr{attribute(nl.IFLA_VXLAN_PORT, port(8472)), attribute(nl.IFLA_VXLAN_FLOWBASED, yes)},
			want: []compiler.Tunnel{{Protocol: 17, Port: 8472}}},
		{name: "geneve", kind: "geneve", data: []*nl.RtAttr{attribute(nl.IFLA_GENEVE_REMOTE, four.AsSlice()), attribute(nl.IFLA_GENEVE_PORT, port(6082))},
			want: []compiler.Tunnel{{Protocol: 17, Port: 6082, Peers: []netip.Addr{four}, Closed: true}}},
		{name: "geneve of other programs", kind: "geneve", data: []*nl.RtAttr{attribute(nl.IFLA_GENEVE_COLLECT_METADATA, nil), attribute(nl.IFLA_GENEVE_PORT, port(6081))},
			want: []compiler.Tunnel{{Protocol: 17, Port: 6081}}},
		{name: "bareudp", kind: "bareudp", data: []*nl.RtAttr{attribute(nl.IFLA_BAREUDP_PORT, port(6635))},
			want: []compiler.Tunnel{{Protocol: 17, Port: 6635}}},
		{name: "bareudp without a port is not all of UDP", kind: "bareudp"},
		{name: "gre", kind: "gre", data: []*nl.RtAttr{attribute(nl.IFLA_GRE_REMOTE, four.AsSlice())},
			want: []compiler.Tunnel{{Protocol: 47, Peers: []netip.Addr{four}, Closed: true}}},
		{name: "gre from anywhere", kind: "gretap", data: []*nl.RtAttr{attribute(nl.IFLA_GRE_REMOTE, make([]byte, 4))},
			want: []compiler.Tunnel{{Protocol: 47}}},
		{name: "gre over IPv6, in UDP", kind: "ip6gre", data: []*nl.RtAttr{
			attribute(nl.IFLA_GRE_REMOTE, six.AsSlice()), attribute(nl.IFLA_GRE_ENCAP_TYPE, native(2)), attribute(nl.IFLA_GRE_ENCAP_DPORT, port(5555)),
		}, want: []compiler.Tunnel{{Protocol: 47, Peers: []netip.Addr{six}, Closed: true}, {Protocol: 17, Port: 5555, Peers: []netip.Addr{six}, Closed: true}}},
		{name: "ipip", kind: "ipip", data: []*nl.RtAttr{attribute(nl.IFLA_IPTUN_REMOTE, make([]byte, 4)), attribute(nl.IFLA_IPTUN_PROTO, []byte{4})},
			want: []compiler.Tunnel{{Protocol: 4}}},
		{name: "ipip that carries anything", kind: "ipip", data: []*nl.RtAttr{attribute(nl.IFLA_IPTUN_REMOTE, four.AsSlice()), attribute(nl.IFLA_IPTUN_PROTO, []byte{0})},
			want: []compiler.Tunnel{{Protocol: 4, Peers: []netip.Addr{four}, Closed: true}, {Protocol: 137, Peers: []netip.Addr{four}, Closed: true}}},
		{name: "sit", kind: "sit", data: []*nl.RtAttr{attribute(nl.IFLA_IPTUN_PROTO, []byte{41})},
			want: []compiler.Tunnel{{Protocol: 41}}},
		{name: "ip6tnl", kind: "ip6tnl", data: []*nl.RtAttr{attribute(nl.IFLA_IPTUN_REMOTE, six.AsSlice())},
			want: []compiler.Tunnel{
				{Protocol: 41, Peers: []netip.Addr{six}, Closed: true}, {Protocol: 4, Peers: []netip.Addr{six}, Closed: true}, {Protocol: 137, Peers: []netip.Addr{six}, Closed: true},
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, ok := tunnelOf(linkBytes(c.kind, !c.down, c.data...))
			if !ok {
				t.Fatal("it is taken for no tunnel")
			}
			if diff := cmp.Diff(c.want, d.takes, compareAddr); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, ok := tunnelOf(linkBytes("veth", true)); ok {
		t.Error("a veth is taken for a tunnel")
	}
}

// FuzzTunnelOf: whatever a message has in it, it is read without an accident, and none
// is taken for all of UDP.
func FuzzTunnelOf(f *testing.F) {
	for kind := range tunnelKinds {
		f.Add(linkBytes(kind, true, nl.NewRtAttr(1, []byte{0, 1, 2, 3}), nl.NewRtAttr(5, []byte{1, 2})))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		d, ok := tunnelOf(msg)
		if !ok {
			return
		}
		for _, tunnel := range d.takes {
			if tunnel.Protocol == unix.IPPROTO_UDP && tunnel.Port == 0 {
				t.Errorf("%+v", tunnel)
			}
		}
	})
}

// TestTunnelsFollowTheKernel: devices and their far ends are found, and only what can
// change them has them looked at again.
func TestTunnelsFollowTheKernel(t *testing.T) {
	node := netnstest.New(t)
	l := testLinks(t, node)
	tunnels := NewTunnels(l.socket, false)
	_, ctx := ktesting.NewTestContext(t)
	look := func(what Touched, want ...compiler.Tunnel) {
		t.Helper()
		if err := tunnels.Update(ctx, what); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tunnels.List(), compareAddr); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	all := Everything()
	look(all)
	node.IP("link add v0 type veth peer name v1\nlink add vx type vxlan id 5 dstport 8472 nolearning local 192.0.2.9\nlink set vx up")
	look(Touched{ifaces: map[int]*Interface{99: {Kind: "veth"}}, routes: true, neighbours: true})
	empty := compiler.Tunnel{Protocol: 17, Port: 8472, Closed: true}
	look(Touched{ifaces: map[int]*Interface{99: {Kind: "vxlan"}}}, empty)
	node.Cmd("bridge", "fdb", "append", "0a:00:00:00:00:01", "dev", "vx", "dst", "192.0.2.1")
	node.Cmd("bridge", "fdb", "append", "0a:00:00:00:00:02", "dev", "vx", "dst", "192.0.2.2")
	node.Cmd("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx", "dst", "192.0.2.1")
	if open := tunnels.Open(); len(open) > 0 {
		t.Errorf("its far ends are known: %v", open)
	}
	full := empty
	full.Peers = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	look(Touched{tunnels: true}, full)
	for index := range tunnels.devices {
		node.IP("link del vx")
		look(Touched{ifaces: map[int]*Interface{index: nil}})
	}
	node.IP("link add vx type vxlan dstport 4789 external")
	look(all, compiler.Tunnel{Protocol: 17, Port: 4789})
	if open := tunnels.Open(); len(open) > 0 {
		t.Errorf("a device that is down takes nothing: %v", open)
	}
	node.IP("link set vx up")
	look(all, compiler.Tunnel{Protocol: 17, Port: 4789})
	open := tunnels.Open()
	if len(open) != 1 || open[0].Name != "vx" || open[0].Kind != "vxlan" {
		t.Errorf("open to anybody: %v", open)
	}
	off := tunnelsOff(ctx, t, l)
	if off != nil {
		t.Errorf("nobody asks, and it looked: %v", off)
	}
}

func tunnelsOff(ctx context.Context, t *testing.T, l *Links) []compiler.Tunnel {
	t.Helper()
	off := NewTunnels(l.socket, true)
	if err := off.Update(ctx, Everything()); err != nil {
		t.Fatal(err)
	}
	return off.List()
}
