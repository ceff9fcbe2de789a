package frame

import (
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var (
	macA = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	macB = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Each frame decodes to the layers that it was made of.
func TestFramesDecode(t *testing.T) {
	v4 := [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")}
	v6 := [2]netip.AddrPort{netip.MustParseAddrPort("[fd00::1]:1"), netip.MustParseAddrPort("[fd00::2]:2")}
	syn := func(t *layers.TCP) { t.SYN = true }
	tests := map[string]struct {
		make func() ([]byte, error)
		want []gopacket.LayerType
	}{
		"UDP over IPv4": {
			func() ([]byte, error) { return UDP(macA, macB, v4[0], v4[1], "hello") },
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv4, layers.LayerTypeUDP, gopacket.LayerTypePayload},
		},
		"UDP over IPv6": {
			func() ([]byte, error) { return UDP(macA, macB, v6[0], v6[1], "hello") },
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv6, layers.LayerTypeUDP, gopacket.LayerTypePayload},
		},
		"TCP over IPv4": {
			func() ([]byte, error) { return TCP(macA, macB, v4[0], v4[1], syn, "") },
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv4, layers.LayerTypeTCP},
		},
		"TCP over IPv6": {
			func() ([]byte, error) { return TCP(macA, macB, v6[0], v6[1], syn, "") },
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv6, layers.LayerTypeTCP},
		},
		"ARP request": {
			func() ([]byte, error) { return ARPRequest(macA, addr("10.0.0.1"), addr("10.0.0.2")) },
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeARP},
		},
		"ARP reply": {
			func() ([]byte, error) { return ARPReply(macA, macB, addr("10.0.0.1"), addr("10.0.0.2")) },
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeARP},
		},
		"neighbour solicitation": {
			func() ([]byte, error) { return NeighbourSolicitation(macA, addr("fd00::1"), addr("fd00::2")) },
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv6, layers.LayerTypeICMPv6, layers.LayerTypeICMPv6NeighborSolicitation},
		},
		"neighbour advertisement": {
			func() ([]byte, error) {
				return NeighbourAdvertisement(macA, macB, addr("fd00::1"), addr("fd00::2"), addr("fd00::1"))
			},
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv6, layers.LayerTypeICMPv6, layers.LayerTypeICMPv6NeighborAdvertisement},
		},
		"router advertisement": {
			func() ([]byte, error) {
				return RouterAdvertisement(macA, addr("fe80::1"), netip.MustParsePrefix("2001:db8::/64"))
			},
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv6, layers.LayerTypeICMPv6, layers.LayerTypeICMPv6RouterAdvertisement},
		},
		"two tags": {
			func() ([]byte, error) {
				return Build(Ethernet(macA, macB, layers.EthernetTypeQinQ), VLAN(5, layers.EthernetTypeDot1Q),
					VLAN(0, layers.EthernetTypeIPv4), IP(v4[0].Addr(), v4[1].Addr(), layers.IPProtocolUDP),
					&layers.UDP{SrcPort: 1, DstPort: 2})
			},
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeDot1Q, layers.LayerTypeDot1Q, layers.LayerTypeIPv4, layers.LayerTypeUDP},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := test.make()
			if err != nil {
				t.Fatal(err)
			}
			got := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
			if e := got.ErrorLayer(); e != nil {
				t.Fatal(e.Error())
			}
			for i, want := range test.want {
				if i >= len(got.Layers()) || got.Layers()[i].LayerType() != want {
					t.Fatalf("layers %v, want %v", got.Layers(), test.want)
				}
			}
			for _, l := range got.Layers() {
				c, ok := l.(interface {
					SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
				})
				if !ok {
					continue
				}
				if err := c.SetNetworkLayerForChecksum(got.NetworkLayer()); err != nil {
					t.Fatal(err)
				}
			}
			if err, mismatches := got.VerifyChecksums(); err != nil || len(mismatches) > 0 {
				t.Errorf("checksums: %v, %v", err, mismatches)
			}
		})
	}
}

func TestMulticast(t *testing.T) {
	for group, want := range map[string]string{
		"224.0.0.251": "01:00:5e:00:00:fb",
		"239.129.2.3": "01:00:5e:01:02:03",
		"ff02::1":     "33:33:00:00:00:01",
		SolicitedNode(addr("fd00::1:2345:6789")).String(): "33:33:ff:45:67:89",
	} {
		if got := Multicast(addr(group)).String(); got != want {
			t.Errorf("Multicast(%s) = %s, want %s", group, got, want)
		}
	}
}
