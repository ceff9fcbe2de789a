package residents

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/policy"
)

func waitingPod(name, app string) *policy.Pod {
	return &policy.Pod{
		NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}, UID: types.UID(name), Node: "node-1",
		Labels: map[string]string{"app": app},
	}
}

func addrsOf(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

func TestPresume(t *testing.T) {
	a, b, c := waitingPod("a", "web"), waitingPod("b", "db"), waitingPod("c", "web")
	unread := waitingPod("u", "web")
	unread.Unread = true
	named := waitingPod("n", "web")
	named.Ports = []policy.NamedPort{{Name: "http", Protocol: policy.TCP, Number: 80}}
	one := links.Stranger{Ifaces: []int{7}, Addrs: addrsOf("10.1.0.7", "fd01::7")}
	two := links.Stranger{Ifaces: []int{8}, Addrs: addrsOf("10.1.0.8")}
	many := links.Stranger{Ifaces: []int{9}, Addrs: addrsOf("10.1.1.1", "10.1.1.2", "10.1.1.3", "10.1.1.4", "10.1.1.5", "10.1.1.6", "10.1.1.7", "10.1.1.8", "10.1.1.9")}
	twin := links.Stranger{Ifaces: []int{9}, Addrs: addrsOf("10.1.0.7")}
	tests := []struct {
		name      string
		scene     scene
		owners    map[string]string
		addrs     map[string]int
		claim     string
		closed    string
		candidate int
	}{
		{"nobody waits", scene{strangers: []links.Stranger{one}}, nil, nil, "", "1 unknown", 0},
		{"nothing is unknown", scene{waiting: []*policy.Pod{a}}, nil, nil, "", "", 1},
		{"one of one", scene{waiting: []*policy.Pod{a}, strangers: []links.Stranger{one}}, nil, map[string]int{"10.1.0.7": 7, "fd01::7": 7}, "a", "", 1},
		{"one of two", scene{waiting: []*policy.Pod{a, b}, strangers: []links.Stranger{one}}, nil, map[string]int{"10.1.0.7": 7, "fd01::7": 7}, "a b", "", 2},
		{"of those that are alike, one claims", scene{waiting: []*policy.Pod{a, b, c}, strangers: []links.Stranger{two}}, nil, map[string]int{"10.1.0.8": 8}, "a b", "", 3},
		{"other named ports are another kind", scene{waiting: []*policy.Pod{a, named}, strangers: []links.Stranger{two}}, nil, map[string]int{"10.1.0.8": 8}, "a n", "", 2},
		{"more strangers than Pods", scene{waiting: []*policy.Pod{a}, strangers: []links.Stranger{one, two}}, nil, nil, "", "2 unknown", 1},
		{"a Pod that nobody knows the policies of", scene{waiting: []*policy.Pod{a, unread}, strangers: []links.Stranger{two}}, nil, nil, "", "too many labels", 2},
		{"an address of a Pod that waits tells whose it is", scene{waiting: []*policy.Pod{a, b}, strangers: []links.Stranger{one, two}}, map[string]string{"10.1.0.7": "a"}, map[string]int{"10.1.0.8": 8}, "b", "", 1},
		{"an address of another Pod tells nothing", scene{waiting: []*policy.Pod{a, b}, strangers: []links.Stranger{one, two}}, map[string]string{"fd01::7": "elsewhere"}, map[string]int{"10.1.0.8": 8}, "a b", "", 2},
		{"it counts all the same", scene{waiting: []*policy.Pod{a}, strangers: []links.Stranger{one, two}}, map[string]string{"fd01::7": "elsewhere"}, nil, "", "2 unknown", 1},
		{"with many addresses it is odd", scene{waiting: []*policy.Pod{a, b}, strangers: []links.Stranger{two, many}}, nil, map[string]int{"10.1.0.8": 8}, "a b", "", 2},
		{"what two have nobody has", scene{waiting: []*policy.Pod{a, b}, strangers: []links.Stranger{one, twin}}, nil, map[string]int{"fd01::7": 7}, "a b", "", 2},
		{"but who had it first", scene{waiting: []*policy.Pod{a, b}, strangers: []links.Stranger{one, twin}, before: map[netip.Addr]int{addrsOf("10.1.0.7")[0]: 7}}, nil, map[string]int{"10.1.0.7": 7, "fd01::7": 7}, "a b", "", 2},
		{"only whom the runtime started", scene{waiting: []*policy.Pod{a, b}, strangers: []links.Stranger{two}, may: func(p *policy.Pod) bool { return p == b }}, nil, map[string]int{"10.1.0.8": 8}, "b", "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.scene.claimants = func(a netip.Addr) []types.NamespacedName {
				if name := tt.owners[a.String()]; name != "" {
					return []types.NamespacedName{{Namespace: "shop", Name: name}}
				}
				return nil
			}
			got := tt.scene.presume()
			var addrs map[string]int
			for a, index := range got.Addrs {
				if addrs == nil {
					addrs = map[string]int{}
				}
				addrs[a.String()] = index
			}
			if diff := cmp.Diff(tt.addrs, addrs); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			var claim []string
			for _, p := range got.claim {
				claim = append(claim, p.Name)
			}
			if strings.Join(claim, " ") != tt.claim || len(got.Candidates) != tt.candidate {
				t.Errorf("claimed by %v of %d, want %q of %d", claim, len(got.Candidates), tt.claim, tt.candidate)
			}
			if !strings.Contains(got.Closed, tt.closed) || tt.closed == "" && got.Closed != "" {
				t.Errorf("closed: %q, want %q", got.Closed, tt.closed)
			}
		})
	}
}

// The product of what Pods and sandboxes there are is bounded.
func TestPresumptionIsBounded(t *testing.T) {
	s := scene{claimants: func(netip.Addr) []types.NamespacedName { return nil }}
	for i := range 200 {
		s.waiting = append(s.waiting, waitingPod(fmt.Sprint("p", i), fmt.Sprint("app", i)))
		s.strangers = append(s.strangers, links.Stranger{Ifaces: []int{i}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, byte(i)})}})
	}
	if got := s.presume(); got.Closed == "" || len(got.Addrs)+len(got.claim) > 0 {
		t.Errorf("%d addresses of %d Pods are presumed: %q", len(got.Addrs), len(got.claim), got.Closed)
	}
	for _, p := range s.waiting {
		p.Labels = nil
	}
	if got := s.presume(); got.Closed != "" || len(got.Addrs) != 200 || len(got.claim) != 1 {
		t.Errorf("%d addresses of %d Pods are presumed: %q", len(got.Addrs), len(got.claim), got.Closed)
	}
}
