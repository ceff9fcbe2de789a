package live

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

var bridgeSwitches = []string{"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"}

// Where bridged packets bypass the forward hook, the agent changes that: in its
// own namespace and nowhere else.
func TestBridgedPacketsAreBroughtToTheHook(t *testing.T) {
	own := readSwitches(t)
	c := enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: lab.Bridge}, Pods: labPods(),
		Objects: append(baseNamespaces(), enforced.DenyIngress("shop", "server")), Config: quick, NoAgents: true,
	})
	var denied []lab.Flow
	for f, dst := range addrs(near) {
		for _, protocol := range []uint8{lab.TCP, lab.UDP, lab.SCTP} {
			denied = append(denied, lab.Flow{Src: addrs(client)[f], Dst: dst, Protocol: protocol, Port: streamPort})
		}
	}
	for _, n := range c.Spec().Nodes {
		for _, s := range bridgeSwitches {
			if err := c.Node(n.Name).Sysctl(s, "0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	unexpected(t, c, "before the agent", true, denied...)
	c.StartAgents()
	unexpected(t, c, "with the agent", false, denied...)
	for _, n := range c.Spec().Nodes {
		if err := c.Agent(n.Name).Ready(); err != nil {
			t.Errorf("agent on node %s: %v", n.Name, err)
		}
	}
	if now := readSwitches(t); now != own {
		t.Errorf("switches of the machine itself were %s and are %s", own, now)
	}
}

// readSwitches reads those of the calling thread's namespace.
func readSwitches(t *testing.T) string {
	t.Helper()
	var values []string
	for _, s := range bridgeSwitches {
		b, err := os.ReadFile("/proc/sys/net/" + s)
		if err != nil {
			t.Error(err)
		}
		values = append(values, strings.TrimSpace(string(b)))
	}
	return strings.Join(values, " ")
}
