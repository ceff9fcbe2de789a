package enforcer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/detect"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
	"github.com/sluice-net/sluice/enforcer/rounds"
	"github.com/sluice-net/sluice/enforcer/source"
)

// What the kernel tells of is told once: a look that fails must not lose it.
func TestLostNoticesAreLookedForAgain(t *testing.T) {
	c := newCluster(t, "ptp")
	s := &syncer{cfg: &Config{}, metrics: newFakeGuards(t).metrics, status: newStatusBoard(), ipvs: detect.NewIPVS(c.node)}
	s.cfg.Defaults()
	s.rounds = rounds.New(rounds.Config{}, rounds.Found{}, s.cfg.Clock.Now())
	s.links, s.tunnels = testLinks(t, c.node), links.NewTunnels(nil, true)
	w, err := links.NewWatch(c.node, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s.watch = w
	s.links.SetPod(subjectOf(t, c.web))
	look := func() error {
		if err := s.look(context.Background(), source.Mail{}); err != nil {
			return err
		}
		return s.resolve(context.Background())
	}
	if err := look(); err != nil {
		t.Fatal(err)
	}
	c.node.ip("link del vweb")
	w.Lose()
	closed, err := nlsocket.Open(c.node, unix.NETLINK_ROUTE)
	must(t, err)
	closed.Close()
	good := s.tunnels
	s.tunnels = links.NewTunnels(closed, false)
	if err := look(); err == nil {
		t.Fatal("it did not fail")
	}
	s.tunnels = good
	if err := look(); err != nil {
		t.Fatal(err)
	}
	if b := s.places.Binds[c.web.addr(0)]; b.Veth != "" {
		t.Errorf("still bound to %q, which is gone", b.Veth)
	}
}

// A Pod that toggles its own interface does not set the pace of the loop.
func TestAPodDoesNotSetThePace(t *testing.T) {
	node := newBridgeNode(t)
	pod := bridgePod(node, "a", "10.1.0.2")
	const interval = 50 * time.Millisecond
	agent := startAgent(t, node, &source.Memory{}, func(c *Config) { c.MinInterval = interval })
	agent.set(shop(), pod.object)
	time.Sleep(10 * interval)
	rounds := func() uint64 {
		var m dto.Metric
		if err := agent.metrics.syncDuration.Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetHistogram().GetSampleCount()
	}
	before, started := rounds(), time.Now()
	pod.ip("%s", strings.Repeat("link set eth0 down\nlink set eth0 up\n", 1000))
	n := rounds() - before
	if most := uint64(time.Since(started)/interval) + 2; n > most {
		t.Errorf("%d rounds, %d are allowed", n, most)
	}
}

// TestAgentFollowsTunnels: a device, and a far end, are in the rules a moment after
// they came, and gone with the device.
func TestAgentFollowsTunnels(t *testing.T) {
	node := newNS(t)
	a := startAgent(t, node, &source.Memory{}, func(c *Config) { c.InspectInterval = time.Hour })
	a.set(allow("web", "web", "front", 80))
	has := func(what string, want bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); strings.Contains(node.ruleset(), what) != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%q in the rules is %t", what, !want)
			}
		}
	}
	has("udp dport", false)
	node.ip("link add vx type vxlan id 5 dstport 8472 nolearning local 192.0.2.9\nlink set vx up")
	has("udp dport 8472 goto tunnel-source", true)
	node.cmd("bridge", "fdb", "append", "0a:00:00:00:00:01", "dev", "vx", "dst", "192.0.2.7")
	has("192.0.2.7", true)
	node.cmd("bridge", "fdb", "del", "0a:00:00:00:00:01", "dev", "vx", "dst", "192.0.2.7")
	has("192.0.2.7", false)
	node.ip("link del vx")
	has("udp dport", false)
	node.ip("link add vx type vxlan dstport 4789 external\nlink set vx up")
	eventually(t, "the condition", func() bool { return fmt.Sprint(a.Status().Kinds()) == "[TunnelOpen 1]" && a.Ready() == nil })
	node.ip("link del vx")
	eventually(t, "its end", func() bool { return len(a.Status().Conditions) == 0 })
}
