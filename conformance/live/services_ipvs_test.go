//go:build kernels

package live

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
)

// The same as of other proxies, word for word, where IPVS translates: what it sends to a
// Pod of the node passes input and output, and never the forward hook.
func TestIPVSServicesAreJudgedByThePodsEnds(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			c := serviceCluster(t, topology, lab.NATIPVS)
			unexpected(t, c, "no policy", true, everyService()...)
			for _, k := range serviceCases() {
				c.Set(k.policies...)
				k.judge(t, c)
				c.Delete(k.policies...)
			}
			for _, node := range []string{"a", "b"} {
				if err := c.Agent(node).Ready(); err != nil {
					t.Errorf("node %s: %v", node, err)
				}
			}
		})
	}
}

// A connection through IPVS is cut by a change of policy, and goes on after the next, to a
// Pod of the node and to another node's.
func TestIPVSForbiddenFlowsAreCutAndComeBack(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			c := serviceCluster(t, topology, lab.NATIPVS)
			servers := func(app string) []any {
				in := ingress([]networkingv1.NetworkPolicyPeer{enforced.PeerApp(app)}, tcpUDP(targetPort, targetPort)...)
				return []any{enforced.DenyIngress("shop", "near", in), enforced.DenyIngress("shop", "far", in)}
			}
			c.Set(servers("client")...)
			var streams []*lab.Stream
			for _, kind := range streamKinds {
				for _, to := range []string{"near-service", "far-service"} {
					for f := range 2 {
						s, err := c.Stream(lab.Flow{Src: ofWho("client")[f], Dst: ofWho(to)[f], Port: 80}, kind, 5*time.Millisecond)
						if err != nil {
							t.Fatal(err)
						}
						streams = append(streams, s)
					}
				}
			}
			defer stopAll(streams)
			awaitAll(t, talking(streams), 3)
			c.Set(servers("nobody")...)
			for _, s := range streams {
				s.Lap()
				s.Talk()
			}
			time.Sleep(500 * time.Millisecond)
			for _, s := range streams {
				if r := s.Lap(); r.Fresh != 0 || r.Err != nil {
					t.Errorf("%s %s: %d messages while it was forbidden, error %v", s.Kind(), s.Flow(), r.Fresh, r.Err)
				}
			}
			c.Set(servers("client")...)
			awaitAll(t, streams, 5)
		})
	}
}

// inNode runs a script of a command on a node.
func inNode(t *testing.T, c *enforced.Cluster, node, script string, argv ...string) {
	t.Helper()
	err := c.Node(node).Do(func() error {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// within waits for a condition that a look of the agent brings.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 2 minutes: %s", what)
		}
	}
}

// saysNotReady reports whether a node is not ready and names all of these.
func saysNotReady(a *enforcer.Agent, names ...string) bool {
	err := a.Ready()
	for _, n := range names {
		if err == nil || !strings.Contains(err.Error(), n) {
			return false
		}
	}
	return true
}

// IPVS that comes while the agent runs, by another program than kube-proxy, is judged from
// the next look on, what was begun before included.
func TestIPVSThatComesLaterIsJudged(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			c := enforced.Start(t, enforced.Options{
				Placement: lab.Placement{Topology: topology}, Pods: labPods(), Objects: baseNamespaces(),
				Config:   func(cfg *enforcer.Config) { quick(cfg); cfg.InspectInterval = 100 * time.Millisecond },
				NoAgents: true,
			})
			to := netip.AddrPortFrom(addrs(near)[0], streamPort)
			if err := c.Serve(lab.TCP, to); err != nil {
				t.Fatal(err)
			}
			// The address is no interface's but lo's: nothing but the list of IPVS shows it.
			inNode(t, c, "a", "", "ip", "addr", "add", "10.96.9.9/32", "dev", "lo")
			inNode(t, c, "a", "", "sysctl", "-qw", "net.ipv4.vs.conntrack=1")
			service := fmt.Sprintf("-A -t 10.96.9.9:80 -s rr\n-a -t 10.96.9.9:80 -r %s -m\n", to)
			flow := lab.Flow{Src: addrs(client)[0], Dst: netip.MustParseAddr("10.96.9.9"), Protocol: lab.TCP, Port: 80}
			inNode(t, c, "a", service, "ipvsadm", "-R")
			unexpected(t, c, "without Sluice", true, flow)
			inNode(t, c, "a", "", "ipvsadm", "-C")
			c.StartAgents()
			c.Set(enforced.DenyIngress("shop", "server"))
			inNode(t, c, "a", service, "ipvsadm", "-R")
			within(t, "a forbidden connection through IPVS fails", func() bool {
				got, err := c.Probe(t.Context(), []lab.Flow{flow})
				return err == nil && !got[0]
			})
			c.Delete(enforced.DenyIngress("shop", "server"))
			unexpected(t, c, "without a policy", true, flow)
			if err := c.Agent("a").Ready(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What of IPVS cannot be judged makes the node not ready, by the service's name.
func TestIPVSIsNotReadyWhereItCannotBeJudged(t *testing.T) {
	c := enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: lab.Bridge}, Pods: labPods(), Objects: baseNamespaces(),
		Config: func(cfg *enforcer.Config) { quick(cfg); cfg.InspectInterval = 100 * time.Millisecond },
	})
	agent := c.Agent("a")
	if err := agent.Ready(); err != nil {
		t.Fatal(err)
	}
	backend := netip.AddrPortFrom(addrs(near)[0], 80)
	for _, k := range []struct{ name, script, names string }{
		{"direct routing", "-A -t 10.96.9.1:80 -s rr\n-a -t 10.96.9.1:80 -r " + backend.String() + " -g\n", "IPVS service tcp 10.96.9.1:80"},
		{"a tunnel", "-A -u 10.96.9.2:80 -s rr\n-a -u 10.96.9.2:80 -r " + backend.String() + " -i\n", "IPVS service udp 10.96.9.2:80"},
		{"each packet by itself", "-A -u 10.96.9.3:80 -s rr -o\n-a -u 10.96.9.3:80 -r " + backend.String() + " -m\n", "IPVS service udp 10.96.9.3:80"},
		{"IPv6", "-A -t [fd00:96::9]:80 -s rr\n-a -t [fd00:96::9]:80 -r " + netip.AddrPortFrom(addrs(near)[1], 80).String() + " -g\n", "IPVS service tcp [fd00:96::9]:80"},
	} {
		inNode(t, c, "a", "", "sysctl", "-qw", "net.ipv4.vs.conntrack=1")
		inNode(t, c, "a", k.script, "ipvsadm", "-R")
		within(t, k.name+" is told", func() bool { return saysNotReady(agent, "IPVS ("+k.names+")") })
		inNode(t, c, "a", "", "ipvsadm", "-C")
		within(t, "its end is told", func() bool { return agent.Ready() == nil })
	}
	inNode(t, c, "a", "", "sysctl", "-qw", "net.ipv4.vs.conntrack=0")
	inNode(t, c, "a", "-A -t 10.96.9.1:80 -s rr\n-a -t 10.96.9.1:80 -r "+backend.String()+" -m\n", "ipvsadm", "-R")
	within(t, "that conntrack does not follow is told", func() bool { return saysNotReady(agent, "IPVS (net.ipv4.vs.conntrack)") })
	inNode(t, c, "a", "", "sysctl", "-qw", "net.ipv4.vs.conntrack=1")
	within(t, "its end is told", func() bool { return agent.Ready() == nil })
}
