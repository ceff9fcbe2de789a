package enforcer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/detect/detecttest"
	"github.com/sluice-net/sluice/enforcer/source"
)

// datagrams receives at a Pod, and says whether one with a word came.
type datagrams struct{ conn net.PacketConn }

func (p testPod) datagrams(port int) datagrams {
	p.t.Helper()
	var conn net.PacketConn
	err := p.Do(func() error {
		var err error
		conn, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return datagrams{conn}
}

// come sends one and reports whether it came. Whatever came before is not it.
func (d datagrams) come(from testNS, to testPod, word string, wait time.Duration) bool {
	from.t.Helper()
	err := from.Do(func() error {
		c, err := net.Dial("udp4", netip.AddrPortFrom(to.addr(0), uint16(d.conn.LocalAddr().(*net.UDPAddr).Port)).String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_, err = c.Write([]byte(word))
		return err
	})
	if err != nil {
		from.t.Fatal(err)
	}
	if err := d.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		from.t.Fatal(err)
	}
	buf := make([]byte, 64)
	for {
		n, _, err := d.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		if err != nil {
			from.t.Fatal(err)
		}
		if string(buf[:n]) == word {
			return true
		}
	}
}

// A program that redirects, as eBPF network plug-ins have them, does take packets past
// the policies, and the node is not ready as long as it is there.
func TestAgentIsNotReadyWhereAProgramRedirects(t *testing.T) {
	for topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			c := newCluster(t, topology)
			a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.InspectInterval = 20 * time.Millisecond })
			a.set(append(c.objects(), allow("web", "web", "front", 80))...)
			at := c.web.datagrams(9000)
			if at.come(c.bad.testNS, c.web, "before", 300*time.Millisecond) {
				t.Fatal("the policy does not hold")
			}
			var web int
			detecttest.At(c.node.NS, c.web.veth, func(l netlink.Link) error { web = l.Attrs().Index; return nil })
			program := detecttest.LoadProgram(t, unix.BPF_PROG_TYPE_SCHED_CLS, "from_container", detecttest.Set(unix.BPF_REG_1, int32(web)), detecttest.Set(unix.BPF_REG_2, 0), detecttest.Redirect, detecttest.Exit)
			detecttest.Classify(c.node.NS, c.bad.veth, program, "from_container")
			if topology == "ptp" {
				// A routed Pod sends to its gateway's hardware address, which the other one's
				// end would not take for its own.
				c.bad.ip("neigh replace %s lladdr %s dev eth0 nud permanent\nroute replace %s/32 dev eth0", c.web.addr(0), c.web.mac, c.web.addr(0))
			}
			eventually(t, "a forbidden packet gets through", func() bool { return at.come(c.bad.testNS, c.web, "redirected", 300*time.Millisecond) })
			told := func() bool {
				err := a.Ready()
				return err != nil && strings.Contains(err.Error(), "TrafficBypass (interface "+c.bad.veth+")") && strings.Contains(err.Error(), "from_container")
			}
			eventually(t, "the program is told", told)
			c.node.cmd("tc", "qdisc", "del", "dev", c.bad.veth, "clsact")
			eventually(t, "its end is told", func() bool { return a.Ready() == nil })
			if at.come(c.bad.testNS, c.web, "after", 300*time.Millisecond) {
				t.Error("the policy does not hold any more")
			}
		})
	}
}

// Whatever is not known to carry none may carry packets of Pods.
func TestPodWaysLeaveOutOthersInterfaces(t *testing.T) {
	node := newBridgeNode(t)
	bridgePod(node, "a", "10.1.0.2")
	node.ip("link add docker0 type bridge\nlink add vd type veth peer name pd\nlink set vd master docker0\nlink add ifb9 type ifb\nlink add eth9 type veth peer name far")
	l := testLinks(t, node)
	got := map[string]bool{}
	for index := range l.PodWays() {
		got[l.Interfaces()[index].Name] = true
	}
	want := map[string]bool{"cni0": true, "va": true, "eth9": true, "far": true, "pd": true}
	for name := range got {
		if !want[name] {
			t.Errorf("%s carries packets of Pods", name)
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s carries none: %s", name, cmp.Diff(want, got))
		}
	}
}

// A redirection that comes is a condition with the interface's name in readyz'
// details and the log, and the node stays ready; one that goes is none.
func TestAgentTellsOfATrafficRedirect(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.InspectInterval = 20_000_000 })
	a.set(c.objects()...)
	object := "interface " + c.web.veth
	told := func() bool {
		return strings.Contains(strings.Join(a.Status().Details(), "\n"), "TrafficRedirect ("+object+")")
	}
	c.node.ip("link add ifb0 type ifb")
	c.node.cmd("tc", "qdisc", "add", "dev", c.web.veth, "ingress")
	c.node.cmd("tc", "filter", "add", "dev", c.web.veth, "ingress", "protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "ifb0")
	eventually(t, "the redirection is told", told)
	if err := a.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
	c.node.cmd("tc", "qdisc", "del", "dev", c.web.veth, "ingress")
	eventually(t, "its end is told", func() bool { return !told() })
}
