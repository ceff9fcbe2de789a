package enforcer

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/enforcer/source"
)

// pushed is a connection whose server speaks first.
type pushed struct {
	server, client net.Conn
}

func newPushed(t *testing.T, from, to testPod, addr netip.Addr, port int) pushed {
	t.Helper()
	var listener net.Listener
	err := to.Do(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(addr, uint16(port)).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var p pushed
	if p.client, err = from.dial(addr, port, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	if p.server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.client.Close()
		_ = p.server.Close()
	})
	return p
}

// push reports whether what the server says arrives.
func (p pushed) push(patience time.Duration) bool {
	if _, err := p.server.Write([]byte("x")); err != nil {
		return false
	}
	_ = p.client.SetReadDeadline(time.Now().Add(patience))
	n, err := p.client.Read(make([]byte, 1))
	return n == 1 && err == nil
}

// Connections from before the first install, whose servers speak first: what the
// policies forbid ends with the grace, however conntrack took it, and what they allow
// goes on.
func TestAgentJudgesAfterTheGraceWhatItLetGoOn(t *testing.T) {
	for topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			c := newCluster(t, topology)
			var forbidden, allowed []pushed
			for i := range 2 {
				forbidden = append(forbidden, newPushed(t, c.bad, c.web, c.web.addr(i), 4000))
				allowed = append(allowed, newPushed(t, c.front, c.web, c.web.addr(i), 4000))
			}
			a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Grace = time.Second })
			a.set(append(c.objects(), allow("web", "web", "front", 4000))...)
			for _, p := range append(forbidden, allowed...) {
				if !p.push(3 * time.Second) {
					t.Error("cut in the grace")
				}
			}
			eventually(t, "end of the grace", func() bool { return strings.Contains(c.node.ruleset(), "goto cut-from") })
			a.settle()
			for _, p := range forbidden {
				if p.push(300 * time.Millisecond) {
					t.Error("a server pushes to a client that policies forbid")
				}
			}
			for _, p := range allowed {
				if !p.push(3 * time.Second) {
					t.Error("an allowed connection was cut")
				}
			}
		})
	}
}

// An agent that takes over in another's grace judges what that one let go on.
func TestAgentJudgesWhatAnEarlierGraceLetGoOn(t *testing.T) {
	c := newCluster(t, "ptp")
	forbidden := newPushed(t, c.bad, c.web, c.web.addr(0), 4000)
	from := &source.Memory{}
	a := startAgent(t, c.node, from, func(cfg *Config) { cfg.Grace = time.Hour })
	a.set(append(c.objects(), allow("web", "web", "front", 4000))...)
	if !forbidden.push(3 * time.Second) {
		t.Fatal("cut in the grace")
	}
	a.stop()
	a = startAgent(t, c.node, from)
	a.settle()
	if forbidden.push(300 * time.Millisecond) {
		t.Error("a server pushes to a client that policies forbid")
	}
}
