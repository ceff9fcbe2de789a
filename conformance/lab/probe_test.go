package lab

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// perProtocol is a flow of each kind between two addresses.
func perProtocol(src, dst string) []Flow {
	ping := ICMP
	if addr(src).Is6() {
		ping = ICMPv6
	}
	s, d := addr(src), addr(dst)
	return []Flow{{s, d, TCP, 4000}, {s, d, UDP, 4000}, {s, d, SCTP, 4000}, {s, d, ping, 0}, {s, d, 253, 0}}
}

func TestDroppedIsSilentRejectedIsRefused(t *testing.T) {
	for _, topology := range []Topology{Bridge, PTP} {
		for _, verdict := range []struct {
			rule string
			want Outcome
		}{
			{"drop", Silent},
			{"reject with icmpx type admin-prohibited", Refused},
			{"meta l4proto tcp reject with tcp reset; ip daddr 172.16.9.1 reject; ip6 daddr 2001:db8:ffff::1 reject", Refused},
		} {
			t.Run(fmt.Sprintf("%s/%s", topology, verdict.rule), func(t *testing.T) {
				l := buildLab(t, smallCluster(topology, families["dual"]))
				nft(t, l.Node("b"), fmt.Sprintf(`table inet cut {
					chain deny {
						%s
					}
					chain f {
						type filter hook forward priority 0
						ip daddr 172.16.9.1 ct direction original goto deny
						ip6 daddr 2001:db8:ffff::1 ct direction original goto deny
					}
				}
				`, verdict.rule))
				var flows []Flow
				var want []Outcome
				for dst, outcome := range map[string]Outcome{"172.16.9.1": verdict.want, "10.244.2.5": Reached} {
					for _, src := range []string{"10.244.1.5", "203.0.113.7", "192.0.2.1"} {
						flows = append(flows, perProtocol(src, dst)...)
						want = append(want, outcome, outcome, outcome, outcome, outcome)
					}
				}
				for dst, outcome := range map[string]Outcome{"2001:db8:ffff::1": verdict.want, "fd00:10:244:2::5": Reached} {
					for _, src := range []string{"fd00:10:244:1::5", "2001:db8:e::7"} {
						flows = append(flows, perProtocol(src, dst)...)
						want = append(want, outcome, outcome, outcome, outcome, outcome)
					}
				}
				if diff := cmp.Diff(byFlow(flows, want), byFlow(flows, outcomes(t, l, flows))); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// What a bridge carries is seen by the forward hook of the node only with
// bridge-nf-call-iptables; the lab leaves that to the engine.
func TestSameNodeTrafficOfABridgeStaysAtLayer2(t *testing.T) {
	l := buildLab(t, smallCluster(Bridge, families["dual"]))
	for _, n := range []string{"a", "b"} {
		for _, key := range []string{"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"} {
			if err := l.Node(n).Sysctl(key, "0"); err != nil {
				t.Fatal(err)
			}
		}
		nft(t, l.Node(n), "table inet cut { chain f { type filter hook forward priority 0; policy drop; }; }\n")
	}
	flows := []Flow{
		{addr("10.244.1.5"), addr("10.244.1.6"), TCP, 80}, {addr("fd00:10:244:1::5"), addr("fd00:10:244:1::6"), TCP, 80},
		{addr("10.244.2.5"), addr("172.16.9.1"), TCP, 80}, {addr("fd00:10:244:2::5"), addr("2001:db8:ffff::1"), TCP, 80},
		{addr("10.244.1.5"), addr("10.244.2.5"), TCP, 80},
	}
	want := []Outcome{Reached, Reached, Reached, Reached, Silent}
	if diff := cmp.Diff(want, outcomes(t, l, flows)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestUnsendable(t *testing.T) {
	l := buildLab(t, serviceCluster(PTP, NATNFT))
	flows := []Flow{
		{addr("10.244.1.5"), addr("fd00:10:244:1::6"), TCP, 80},
		{addr("10.244.1.5"), addr("127.0.0.1"), TCP, 80},
		{addr("10.244.1.5"), addr("224.0.0.1"), UDP, 80},
		{addr("10.244.1.5"), addr("10.244.1.6"), TCP, 0},
		{addr("10.244.1.5"), addr("10.244.1.6"), 255, 0},
		{addr("fd00:10:244:1::5"), addr("fd00:10:244:1::6"), 44, 0},
		{addr("10.96.0.1"), addr("10.244.1.6"), TCP, 80},
		{addr("10.244.1.5"), addr("169.254.0.1"), TCP, 80},
		{Src: addr("10.244.1.5"), Protocol: TCP, Port: 80},
	}
	results, err := l.ProbeResults(t.Context(), flows, ProbeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Outcome != Unsendable || r.Err == nil {
			t.Errorf("%s: %s, error %v", flows[i], r.Outcome, r.Err)
		}
	}
	if _, err := l.Probe(t.Context(), flows); err == nil {
		t.Error("no error from Probe")
	}
}

// An outside address that turns up in the middle of a bridge's own prefix is
// still outside.
func TestExternalAddressWithinThePodsPrefix(t *testing.T) {
	l := buildLab(t, smallCluster(Bridge, families["dual"]))
	flows := append(perProtocol("10.244.1.5", "10.244.1.77"), perProtocol("10.244.1.78", "10.244.1.6")...)
	flows = append(flows, perProtocol("fd00:10:244:1::5", "fd00:10:244:1::77")...)
	flows = append(flows, perProtocol("192.0.2.1", "10.244.1.77")...)
	flows = append(flows, perProtocol("10.244.1.5", "169.254.169.254")...)
	for i, o := range outcomes(t, l, flows) {
		if o != Reached {
			t.Errorf("%s: %s", flows[i], o)
		}
	}
	if l.Host(addr("10.244.1.77")) != l.Outside() {
		t.Error("10.244.1.77 is not outside")
	}
}

// bigCluster has many Pods on each of two nodes, and odd addresses among them
// if asked for.
func bigCluster(topology Topology, pods int, odd bool) Spec {
	s := Spec{Topology: topology, Nodes: []Node{
		{Name: "a", Addrs: addrs("192.0.2.1", "2001:db8:1::1")},
		{Name: "b", Addrs: addrs("192.0.2.2", "2001:db8:1::2")},
	}}
	for i := range pods {
		n := i % 2
		p := pod(fmt.Sprint("p", i), s.Nodes[n].Name,
			fmt.Sprintf("10.244.%d.%d", n+i/400, 2+i/2%200), fmt.Sprintf("fd00:10:244:%d::%x", n, 2+i/2))
		if odd && i < 2 {
			p.Addrs = addrs(fmt.Sprintf("100.64.%d.1", i), fmt.Sprintf("2001:db8:%d::1", i+100))
		}
		p.Ports = []Port{{TCP, 8080}, {UDP, 53}}
		s.Pods = append(s.Pods, p)
	}
	return s
}

// The kernel has room for a thousand neighbours of all namespaces together.
func TestMorePodsThanTheKernelHasNeighbours(t *testing.T) {
	s := Spec{Topology: PTP, Nodes: []Node{{Name: "a", Addrs: addrs("192.0.2.1")}}}
	for i := range 600 {
		s.Pods = append(s.Pods, pod(fmt.Sprint("p", i), "a", fmt.Sprintf("10.%d.%d.1", i/200, i%200)))
	}
	l := buildLab(t, s)
	var flows []Flow
	for _, p := range s.Pods {
		flows = append(flows, Flow{p.Addrs[0], addr("10.0.0.1"), UDP, 53}, Flow{addr("192.0.2.1"), p.Addrs[0], ICMP, 0})
	}
	for i, o := range outcomes(t, l, flows) {
		if o != Reached {
			t.Errorf("%s: %s", flows[i], o)
		}
	}
}

func TestHundredPodsAndTwentyThousandFlows(t *testing.T) {
	for _, test := range []struct {
		topology Topology
		odd      bool
	}{{Bridge, false}, {Bridge, true}, {PTP, false}} {
		t.Run(fmt.Sprintf("%s/odd=%t", test.topology, test.odd), func(t *testing.T) {
			s := bigCluster(test.topology, 100, test.odd)
			start := time.Now()
			l := buildLab(t, s)
			built := time.Since(start)
			// Half of the Pods are closed.
			for i, n := range s.Nodes {
				var shut []string
				for j, p := range s.Pods {
					if j%2 == i && j/2%2 == 0 {
						shut = append(shut, p.Addrs[0].String())
					}
				}
				set := shut[0]
				for _, a := range shut[1:] {
					set += ", " + a
				}
				nft(t, l.Node(n.Name), "table inet cut { chain f { type filter hook forward priority 0; ct direction original ip daddr { "+set+" } drop; }; }\n")
			}
			var flows []Flow
			var want []Outcome
			for i, p := range s.Pods {
				for j, q := range s.Pods {
					if i == j {
						continue
					}
					outcome := Reached
					if j/2%2 == 0 {
						outcome = Silent
					}
					flows = append(flows, Flow{p.Addrs[0], q.Addrs[0], TCP, 8080}, Flow{p.Addrs[1], q.Addrs[1], UDP, uint16(1000 + i)})
					want = append(want, outcome, Reached)
				}
			}
			start = time.Now()
			got := outcomes(t, l, flows)
			took := time.Since(start)
			wrong := 0
			for i := range flows {
				if got[i] != want[i] {
					if wrong++; wrong <= 10 {
						t.Errorf("%s: %s, want %s", flows[i], got[i], want[i])
					}
				}
			}
			t.Logf("built in %s, %d flows in %s, %d wrong", built, len(flows), took, wrong)
		})
	}
}
