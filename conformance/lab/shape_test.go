package lab

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Each topology has what a policy engine has to cope with there.
func TestShapesHaveWhatTheyAreNamedFor(t *testing.T) {
	for _, topology := range Topologies {
		t.Run(topology.String(), func(t *testing.T) {
			l := buildLab(t, smallCluster(topology, families["dual"]))
			if got, want := route(t, l.Node("a"), addr("10.244.1.5")), mainRoute(l, topology); got != want {
				t.Errorf("the node's own route to a Pod is %s, want %s", got, want)
			}
			shapeChecks[topology](t, l)
		})
	}
}

// mainRoute is the interface by which node a sends to its first Pod by itself.
func mainRoute(l *Lab, topology Topology) string {
	if b := topology.shape().bridge; b != "" {
		return b
	}
	if p := l.Pod(podName("one")); !p.IsBranch() {
		return p.Veth
	}
	return uplinkName
}

func route(t *testing.T, n *Namespace, to netip.Addr) string {
	t.Helper()
	routes, err := n.link.RouteGet(to.AsSlice())
	if err != nil || len(routes) != 1 {
		t.Fatalf("route to %s: %v, %v", to, routes, err)
	}
	link, err := n.link.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().Name
}

// says reports whether a command's output has all these words.
func says(t *testing.T, n *Namespace, command string, words ...string) {
	t.Helper()
	argv := strings.Fields(command)
	var out []byte
	err := n.Do(func() error {
		var err error
		out, err = exec.Command(argv[0], argv[1:]...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	for _, word := range words {
		if !strings.Contains(string(out), word) {
			t.Errorf("%s does not say %q:\n%s", command, word, out)
		}
	}
}

// gatewayEntry is the Pod's permanent entry for its gateway.
func gatewayEntry(t *testing.T, l *Lab) {
	t.Helper()
	p := l.Pod(podName("one"))
	says(t, p.Namespace, "ip neigh show dev eth0", "169.254.1.1 lladdr "+p.GatewayMAC.String()+" PERMANENT")
	says(t, p.Namespace, "ip route show", "default via 169.254.1.1", "169.254.1.1 dev eth0 scope link")
	if at := l.Host(addr("169.254.1.1")); at != nil {
		t.Errorf("%s has the gateway's address", at.Name)
	}
}

var shapeChecks = map[Topology]func(t *testing.T, l *Lab){
	Bridge: func(t *testing.T, l *Lab) { says(t, l.Node("a"), "ip link show master cni0", "veth0", "veth1") },
	PTP: func(t *testing.T, l *Lab) {
		says(t, l.Node("a"), "ip route show dev veth0", "10.244.1.5 scope link")
		for _, veth := range []string{"veth0", "veth1"} {
			says(t, l.Node("a"), "ip -4 addr show dev "+veth, "inet "+l.layout.nodes[0].subnets[0].Gateway.String()+"/32")
		}
	},
	GKE: func(t *testing.T, l *Lab) {
		says(t, l.Node("a"), "cat /proc/sys/net/ipv4/conf/all/rp_filter", "1")
	},
	AWSVPC: func(t *testing.T, l *Lab) {
		gatewayEntry(t, l)
		says(t, l.Node("a"), "ip rule show", "512:\tfrom all to 10.244.1.5 lookup main", "1024:\tfrom all fwmark 0x80/0x80 lookup main",
			"1536:\tfrom 10.244.1.6 lookup 2")
		says(t, l.Node("a"), "ip route show table 2", "dev eth1")
		says(t, l.Node("a"), "cat /proc/sys/net/ipv4/conf/all/rp_filter", "1")
		says(t, l.Node("a"), "nft list ruleset", "ct mark | 0x00000080")
		if got := route(t, l.Fabric(), addr("10.244.1.6")); got != "node0-1" {
			t.Errorf("the second Pod's packets come by %s", got)
		}
	},
	AWSBranch: func(t *testing.T, l *Lab) {
		gatewayEntry(t, l)
		says(t, l.Node("a"), "ip rule show", "10:\tfrom all iif vlan0 lookup 1001", "10:\tfrom all iif vlan.eth.0 lookup 1001", "20:\tfrom all lookup local")
		says(t, l.Node("a"), "ip route show table 1001", "default via", "10.244.1.5 dev vlan0")
		rules, err := l.Node("a").link.RuleList(unix.AF_INET)
		if err != nil || slices.ContainsFunc(rules, func(r netlink.Rule) bool { return r.Priority == 0 }) {
			t.Errorf("rules %v, %v", rules, err)
		}
	},
	AzureTransparent: func(t *testing.T, l *Lab) {
		gatewayEntry(t, l)
		says(t, l.Node("a"), "ip route show dev azv0", "10.244.1.5 scope link")
	},
	AzureBridge: func(t *testing.T, l *Lab) {
		says(t, l.Node("a"), "ip link show master azure0", "eth0", "azv0", "azv1")
		says(t, l.Node("a"), "ip addr show dev azure0", "192.0.2.1/32")
		says(t, l.Node("a"), "nft list table bridge lab-hardware", "10.244.1.5 : "+l.Pod(podName("one")).MAC.String())
	},
	Calico: func(t *testing.T, l *Lab) {
		says(t, l.Node("a"), "ip route show", "blackhole 10.244.1.0/26", "10.244.1.5 dev cali0")
		says(t, l.Node("a"), "ip link show cali0", "ee:ee:ee:ee:ee:ee")
		says(t, l.Node("a"), "cat /proc/sys/net/ipv4/conf/cali0/proxy_arp", "1")
		if at := l.Host(addr("169.254.1.1")); at != nil {
			t.Errorf("%s has the gateway's address", at.Name)
		}
	},
	Multus: func(t *testing.T, l *Lab) {
		says(t, l.Node("a"), "ip link show master br1", "sec0")
		says(t, l.Node("a"), "ip route show dev sec1", "198.19.0.2 scope link")
		says(t, l.Pod(podName("three")).Namespace, "ip -d link show dev net1", "macvlan")
	},
	VXLAN: func(t *testing.T, l *Lab) {
		says(t, l.Node("a"), "ip -d link show flannel.1", "vxlan id 1", "nolearning")
		says(t, l.Node("a"), "bridge fdb show dev flannel.1", "dst 192.0.2.2 self permanent")
		if got := route(t, l.Node("a"), addr("10.244.2.5")); got != tunnelName {
			t.Errorf("the other node's Pods are reached by %s", got)
		}
	},
}

// A late Pod is nowhere until it is started, and then it is like any other.
func TestLatePods(t *testing.T) {
	for _, topology := range Topologies {
		t.Run(topology.String(), func(t *testing.T) {
			s := smallCluster(topology, families["dual"])
			for i := range s.Pods {
				s.Pods[i].Late = s.Pods[i].Name == podName("two")
			}
			l := buildLab(t, s)
			late := Flow{addr("10.244.1.6"), addr("10.244.1.5"), TCP, 8080}
			if got := outcomesOf(t, l, []Flow{late}); got[0] != Unsendable {
				t.Errorf("before it was started: %s", got[0])
			}
			if l.Pod(podName("two")) != nil {
				t.Error("it is there before it was started")
			}
			if _, err := l.StartPod(t.Context(), podName("two")); err != nil {
				t.Fatal(err)
			}
			if _, err := l.StartPod(t.Context(), podName("two")); err == nil {
				t.Error("it can be started twice")
			}
			if _, err := l.StartPod(t.Context(), podName("nobody")); err == nil {
				t.Error("a Pod that is not in the plan can be started")
			}
			flows := slices.DeleteFunc(everyFlow(s), func(f Flow) bool {
				return f.Src != addr("10.244.1.6") && f.Dst != addr("10.244.1.6") && f.Src != addr("fd00:10:244:1::6") && f.Dst != addr("fd00:10:244:1::6")
			})
			for i, got := range outcomes(t, l, flows) {
				if got != Reached {
					t.Errorf("%s: %s", flows[i], got)
				}
			}
		})
	}
}

// outcomesOf is outcomes where a flow may not be sendable.
func outcomesOf(t *testing.T, l *Lab, flows []Flow) []Outcome {
	t.Helper()
	results, err := l.ProbeResults(t.Context(), flows, ProbeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []Outcome
	for _, r := range results {
		got = append(got, r.Outcome)
	}
	return got
}
