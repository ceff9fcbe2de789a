package enforcer

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-net/sluice/enforcer/source"
)

// listen is where datagrams come in that a Pod gets at a port.
func (p testPod) listen(port int) *net.UDPConn {
	p.t.Helper()
	var c *net.UDPConn
	err := p.Do(func() (err error) {
		c, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// heard is how many datagrams wait.
func heard(c *net.UDPConn) int {
	n := 0
	for _ = c.SetReadDeadline(time.Now().Add(150 * time.Millisecond)); ; n++ {
		if _, _, err := c.ReadFrom(make([]byte, 10)); err != nil {
			return n
		}
	}
}

// A Pod asks, and goes. The next one with its address is isolated, and does not get
// the answers: neither if it comes later nor if it comes in the same moment.
func TestAgentGivesNobodyTheRepliesToTheLastOwner(t *testing.T) {
	for topology, top := range topologies {
		for _, atOnce := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s at once %v", topology, atOnce), func(t *testing.T) {
				c := newCluster(t, topology)
				a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.MinInterval = 100 * time.Millisecond })
				a.set(append(c.objects(), allow("next", "next", "web", 80))...)
				answer := func() {
					for i := range 2 {
						c.front.Send(netip.AddrPortFrom(c.front.addr(i), 5353).String(), netip.AddrPortFrom(c.bad.addr(i), 4000).String())
					}
				}
				asked := c.bad.listen(4000)
				for i := range 2 {
					if _, err := asked.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(c.front.addr(i), 5353)); err != nil {
						t.Fatal(err)
					}
				}
				answer()
				if n := heard(asked); n != 2 {
					t.Fatalf("%d of 2 answers came while the Pod lived", n)
				}
				c.node.ip("link del %s", c.bad.veth)
				if err := a.source.Delete(c.bad.object); err != nil {
					t.Fatal(err)
				}
				if !atOnce {
					a.settle()
				}
				next := top.pod(c.node, "next", "10.1.0.4", "fd01::4")
				a.set(next.object)
				c.front.cmd("ip", "neigh", "flush", "all")
				c.node.cmd("ip", "neigh", "flush", "all")
				late := next.listen(4000)
				for range 5 {
					answer()
				}
				if n := heard(late); n > 0 {
					t.Errorf("the next owner of the address got %d replies to what it did not ask", n)
				}
			})
		}
	}
}
