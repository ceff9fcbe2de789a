package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// needRoot fails rather than skips: a lab that was not tried proves nothing.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("lab tests make network namespaces: run them as root (CAP_SYS_ADMIN and CAP_NET_ADMIN)")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Fatal("lab tests need the nft command: install the package nftables")
	}
}

func buildLab(t testing.TB, s Spec) *Lab {
	t.Helper()
	needRoot(t)
	l, err := Build(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrs(list ...string) []netip.Addr {
	var as []netip.Addr
	for _, s := range list {
		as = append(as, addr(s))
	}
	return as
}

func pod(name, node string, list ...string) Pod {
	return Pod{Name: types.NamespacedName{Namespace: "t", Name: name}, Node: node, Addrs: addrs(list...)}
}

func podName(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "t", Name: name}
}

// families are the address mixes that every topology is tried with; a function
// gives the addresses of what has two in dual stack.
var families = map[string]func(v4, v6 string) []netip.Addr{
	"IPv4": func(v4, _ string) []netip.Addr { return addrs(v4) },
	"IPv6": func(_, v6 string) []netip.Addr { return addrs(v6) },
	"dual": func(v4, v6 string) []netip.Addr { return addrs(v4, v6) },
}

// smallCluster has two Pods on each of two nodes, a hostNetwork Pod and two
// external addresses.
func smallCluster(topology Topology, mix func(v4, v6 string) []netip.Addr) Spec {
	p := func(name, node, v4, v6 string) Pod {
		q := pod(name, node)
		q.Addrs = mix(v4, v6)
		q.Ports = []Port{{TCP, 8080}, {UDP, 53}, {SCTP, 3868}}
		return q
	}
	host := p("host", "b", "192.0.2.2", "2001:db8:1::2")
	host.HostNetwork = true
	return Spec{
		Topology: topology,
		Nodes: []Node{
			{Name: "a", Addrs: mix("192.0.2.1", "2001:db8:1::1")},
			{Name: "b", Addrs: mix("192.0.2.2", "2001:db8:1::2")},
		},
		Pods: []Pod{
			p("one", "a", "10.244.1.5", "fd00:10:244:1::5"),
			p("two", "a", "10.244.1.6", "fd00:10:244:1::6"),
			// Odd addresses: the bridge of this node has no prefix to share.
			p("three", "b", "10.244.2.5", "fd00:10:244:2::5"),
			p("four", "b", "172.16.9.1", "2001:db8:ffff::1"),
			host,
		},
		External: append(mix("203.0.113.7", "2001:db8:e::7"), mix("8.8.8.8", "2620:fe::fe")...),
	}
}

// everyFlow are flows of each protocol from each address to each other of the
// same family.
func everyFlow(s Spec) []Flow {
	var all []netip.Addr
	for _, p := range s.Pods {
		if !p.HostNetwork {
			all = append(all, p.Addrs...)
		}
	}
	for _, n := range s.Nodes {
		all = append(all, n.Addrs...)
	}
	all = append(all, s.External...)
	var flows []Flow
	for _, src := range all {
		for _, dst := range all {
			if src.Is4() != dst.Is4() {
				continue
			}
			ping := ICMP
			if src.Is6() {
				ping = ICMPv6
			}
			flows = append(flows,
				Flow{src, dst, TCP, 8080}, Flow{src, dst, TCP, 4711},
				Flow{src, dst, UDP, 53}, Flow{src, dst, UDP, 4711},
				Flow{src, dst, SCTP, 3868}, Flow{src, dst, SCTP, 4711},
				Flow{src, dst, ping, 0}, Flow{src, dst, 47, 0}, Flow{src, dst, 253, 0})
		}
	}
	return flows
}

func TestEverybodyReachesEverybody(t *testing.T) {
	for _, topology := range Topologies {
		for name, mix := range families {
			if name != "dual" && !slices.Contains(Everyday, topology) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", topology, name), func(t *testing.T) {
				s := smallCluster(topology, mix)
				start := time.Now()
				l := buildLab(t, s)
				built := time.Since(start)
				flows := everyFlow(s)
				results, err := l.ProbeResults(t.Context(), flows, ProbeOptions{Once: true})
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range results {
					if r.Outcome != Reached {
						t.Errorf("%s: %s (%v)", flows[i], r.Outcome, r.Err)
					}
				}
				t.Logf("built in %s, %d flows in %s", built, len(flows), time.Since(start)-built)
			})
		}
	}
}

// kube-proxy's strictARP (IPVS mode, MetalLB) has nodes answer for an address only on the
// interface that has it, and the lab's IPVS sets it. It must not cost any shape its next
// hop: the engine would be blamed.
func TestEverybodyReachesEverybodyWithStrictARP(t *testing.T) {
	for _, topology := range Topologies {
		t.Run(topology.String(), func(t *testing.T) {
			s := smallCluster(topology, families["dual"])
			l := buildLab(t, s)
			for _, n := range s.Nodes {
				if err := l.Node(n.Name).sysctls(strictARP); err != nil {
					t.Fatal(err)
				}
			}
			flows := everyFlow(s)
			for i, o := range outcomes(t, l, flows) {
				if o != Reached {
					t.Errorf("%s: %s", flows[i], o)
				}
			}
		})
	}
}

// nft runs an nft script inside a namespace.
func nft(t testing.TB, n *Namespace, script string) {
	t.Helper()
	err := n.Do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func outcomes(t testing.TB, l *Lab, flows []Flow) []Outcome {
	t.Helper()
	results, err := l.ProbeResults(context.Background(), flows, ProbeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]Outcome, len(results))
	for i, r := range results {
		got[i] = r.Outcome
		if r.Outcome == Unsendable {
			t.Errorf("%s: %v", flows[i], r.Err)
		}
	}
	return got
}
