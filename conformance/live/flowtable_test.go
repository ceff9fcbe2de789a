//go:build kernels

package live

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
)

// devices are a node's uplink and its Pods' veths.
func devices(t *testing.T, c *enforced.Cluster, node string) []string {
	t.Helper()
	var names []string
	err := c.Node(node).Do(func() error {
		list, err := net.Interfaces()
		for _, i := range list {
			if i.Name == "eth0" || strings.HasPrefix(i.Name, "veth") {
				names = append(names, i.Name)
			}
		}
		return err
	})
	if err != nil || len(names) < 2 {
		t.Fatalf("interfaces of node %s: %v, %v", node, names, err)
	}
	return names
}

// A flowtable does carry a connection on that a policy forbids, so the node is not ready,
// and says which one it is and where; without it the connection is cut.
func TestFlowtableIsToldWhereItTakesConnectionsPastPolicies(t *testing.T) {
	c := enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: lab.PTP}, Pods: labPods(), Objects: baseNamespaces(),
		Config: func(cfg *enforcer.Config) { quick(cfg); cfg.InspectInterval = 100 * time.Millisecond },
	})
	allow := func(app string) *networkingv1.NetworkPolicy {
		return enforced.DenyIngress("shop", "server", ingress(podsIn("team", "red", app), tcpUDP(streamPort, streamPort)...))
	}
	c.Set(allow("client"))
	agent, names := c.Agent("b"), devices(t, c, "b")
	inNode(t, c, "b", fmt.Sprintf(`table inet other {
  flowtable idle { hook ingress priority 0; devices = { %[1]s }; }
}`, strings.Join(names, ", ")), "nft", "-f", "-")
	time.Sleep(2 * time.Second)
	if err := agent.Ready(); err != nil {
		t.Errorf("a flowtable that no rule gives anything: %v", err)
	}
	inNode(t, c, "b", `table inet other {
  chain forward { type filter hook forward priority 10; ct state established flow add @idle; }
}`, "nft", "-f", "-")
	within(t, "the flowtable is told", func() bool { return saysNotReady(agent, "Flowtable (flowtable inet other idle)", names[0]) })

	s, err := c.Stream(lab.Flow{Src: addrs(client)[0], Dst: addrs(far)[0], Port: streamPort}, lab.TCPSend, 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	awaitAll(t, []*lab.Stream{s}, 100)
	c.Set(allow("nobody"))
	s.Lap()
	// Were it cut, the flowtable would be no danger, and need not be told.
	within(t, "the connection goes on though it is forbidden", func() bool { return s.Report().Fresh > 0 })
	inNode(t, c, "b", "delete table inet other", "nft", "-f", "-")
	within(t, "its end is told", func() bool { return agent.Ready() == nil })
	s.Lap()
	time.Sleep(500 * time.Millisecond)
	if r := s.Lap(); r.Fresh != 0 {
		t.Errorf("%d messages of a connection that is forbidden", r.Fresh)
	}
}
