package netnstest

import (
	"fmt"
	"net"
	"net/netip"
)

// Connect has the conntrack table of the namespace hold connections with a mark: of
// datagrams that it sends to its own ports.
func (n NS) Connect(mark uint32, ports ...int) {
	n.T.Helper()
	n.NFT(fmt.Sprintf("table inet marker\ndelete table inet marker\ntable inet marker { chain out { type filter hook output priority 0; ct mark set 0x%x; }; }", mark))
	for _, port := range ports {
		n.Send("127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", port))
	}
	n.Cmd("nft", "delete", "table", "inet", "marker")
}

// Send sends a datagram from one address and port to another, both of this namespace or
// not.
func (n NS) Send(from, to string) {
	n.T.Helper()
	src, dst := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
	err := n.Do(func() error {
		c, err := net.DialUDP("udp", src, dst)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_, err = c.Write([]byte("x"))
		return err
	})
	if err != nil {
		n.T.Fatalf("send from %s to %s: %v", from, to, err)
	}
}
