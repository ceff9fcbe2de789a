package links

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// A bridge whose ports are all of Pods gets no frame with a tag: by an uplink, a veth of the
// node's own or a tunnel one may come.
func TestPortsThatAreNoPodsAreKnown(t *testing.T) {
	node := netnstest.NewBridgeNode(t)
	netnstest.BridgePod(node, "a", "10.1.0.2")
	l := testLinks(t, node)
	for _, tt := range []struct {
		change string
		want   bool
	}{
		{"link set va up", false},
		{"link add eth9 type veth peer name far netns " + netnstest.New(t).Name + "\nlink set eth9 master cni0", true},
		{"link del eth9", false},
		{"link add in0 type veth peer name in1\nlink set in0 master cni0", false},
		{"link set in1 up", true},
		{"link set in0 nomaster", false},
		{"link add vx0 type vxlan id 1 dstport 4789\nlink set vx0 master cni0", true},
	} {
		node.IP("%s", tt.change)
		l.must(t, false)
		bridges := l.Bridges()
		if len(bridges) != 1 || bridges[0].Name != "cni0" || bridges[0].Strangers != tt.want {
			t.Errorf("%s: %+v, want one with strangers %t", tt.change, bridges, tt.want)
		}
	}
}

func TestABridgesMessageSaysWhetherItFiltersVLANs(t *testing.T) {
	for _, filters := range []bool{false, true} {
		var value byte
		if filters {
			value = 1
		}
		data := nl.NewRtAttr(nl.IFLA_INFO_DATA, nil)
		data.AddRtAttr(nl.IFLA_BR_VLAN_FILTERING, nl.Uint8Attr(value))
		data.AddRtAttr(iflaBrCallIPTables, nl.Uint8Attr(1))
		info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
		info.AddChild(data)
		link := nl.NewIfInfomsg(unix.AF_UNSPEC)
		link.Index = 7
		msg := append(link.Serialize(), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("br0")).Serialize()...)
		got, ok := InterfaceOf(append(msg, info.Serialize()...))
		want := Interface{Index: 7, Name: "br0", Kind: "bridge", NSID: -1, CallIPTables: true, FiltersVLANs: filters}
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, strangers := range []bool{false, true} {
			if b := (Bridge{&got, strangers}); b.HidesTagged() != (filters && strangers) {
				t.Errorf("%+v hides tags: %t", b, b.HidesTagged())
			}
		}
	}
}
