package question_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// noded is a random cluster: of some seeds nothing is known of its nodes, of some their
// Nodes have all Pods' ranges, and of some these are not where the Pods are.
func noded(seed uint64) manifest.Set {
	set := drawn(seed)
	ranges := [][]string{nil, {"10.64.0.0/12", "fd00:64::/32"}, {"10.96.0.0/12", "fd00:96::/32"}}[seed%3]
	node := &corev1.Node{}
	node.Name, node.Spec.PodCIDRs = "all", ranges
	for _, p := range set.Pods {
		if ranges == nil {
			p.Status.HostIP, p.Status.HostIPs = "", nil
		}
		for _, ip := range append(p.Status.HostIPs, corev1.HostIP{IP: p.Status.HostIP}) {
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.IP})
		}
	}
	if ranges != nil {
		set.Nodes = []*corev1.Node{node}
	}
	return set
}

// "internet", and what "any" is besides Pods, are the ends that a list calls outside: each
// of them, and nothing else. What is answered about it is what the list says of them all.
func TestInternetIsWhatListSays(t *testing.T) {
	counts := map[string]int{}
	for seed := range uint64(150) {
		set := noded(seed)
		c := inventory.Cluster(&set)
		m, w := connectivity.New(&c), question.New(set)
		pods, _ := inventory.Ranges(&set)
		for e := range m.Ends() {
			if m.Ends()[e].Kind != connectivity.Pods {
				continue
			}
			for _, port := range []uint16{53, 80, 8080} {
				for _, out := range []bool{false, true} {
					counts[outside(t, seed, m, w, pods, e, port, out)]++
				}
			}
		}
	}
	for _, r := range []question.Result{question.Allowed, question.Denied, question.Partly} {
		if counts[string(r)] < 100 {
			t.Errorf("%s was answered %d times: %v", r, counts[string(r)], counts)
		}
	}
}

// outside asks about a workload and the internet; pods are the ranges that Pods are from.
func outside(t *testing.T, seed uint64, m *connectivity.Matrix, w *question.World, pods []netip.Prefix, e int, port uint16, out bool) string {
	t.Helper()
	pod := (&comparison{w: w}).endOf(&m.Ends()[e], 0)
	ask := func(other string) question.Answer {
		src, dst := other, pod
		if out {
			src, dst = pod, other
		}
		q, err := question.Parse(src, fmt.Sprintf("%s:%d", dst, port), "default")
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Ask(q)
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, q, err)
		}
		return a
	}
	a := ask("internet")
	if diff := cmp.Diff(a.Stands, ask("any").Stands); diff != "" {
		t.Fatalf("seed %d: any is another outside than internet (-internet +any):\n%s", seed, diff)
	}
	stands := slices.Collect(maps.Keys(a.Stands))
	listed := map[string]bool{}
	for i := range m.Ends() {
		end := &m.Ends()[i]
		holds := func(a netip.Addr) bool {
			return slices.ContainsFunc(end.Ranges, func(r connectivity.AddrRange) bool {
				return r.First.Is4() == a.Is4() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
			})
		}
		meant := slices.ContainsFunc(stands, holds)
		stands = slices.DeleteFunc(stands, holds)
		if end.Kind != connectivity.Outside {
			if meant {
				t.Fatalf("seed %d: of the internet of %s is %s, which is %s", seed, pod, end, end.Kind)
			}
			continue
		}
		if free := (&comparison{w: w}).endOf(end, 0); (free != "") != meant {
			t.Fatalf("seed %d: %s, which has %q, is of the internet of %s: %v", seed, end, free, pod, meant)
		}
		src, dst := i, e
		if out {
			src, dst = e, i
		}
		_, over, v6 := m.Allows(src, dst, policy.TCP, port)
		is4 := end.Ranges[0].First.Is4()
		if !is4 {
			over = v6
		}
		// An end without an address has those families that Pods' ranges are of.
		addrs := m.Ends()[e].Addrs
		if len(addrs) == 0 {
			for _, p := range pods {
				addrs = append(addrs, p.Addr())
			}
		}
		if meant && (len(addrs) == 0 || slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Is4() == is4 })) {
			listed[over.String()] = true
		}
	}
	if len(stands) > 0 {
		t.Fatalf("seed %d: of the internet of %s are %v, which no list has", seed, pod, stands)
	}
	want := "partly"
	if keys := slices.Collect(maps.Keys(listed)); len(keys) == 1 {
		want = keys[0]
	} else if !listed["allowed"] || !listed["denied"] {
		want = "depends"
	}
	if got := string(a.Result()); got != want {
		t.Fatalf("seed %d: %s: asked %s, listed %v", seed, a.Question, got, listed)
	}
	return want
}
