package connectivity_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spectest"
)

// A list has what the matrix has, each pair once.
func TestListIsTheMatrix(t *testing.T) {
	lines, pairs := 0, 0
	for seed := range *clustersFlag {
		m := connectivity.New(clusterOf(t, random(seed), seed%2 == 0))
		for _, why := range []bool{false, true} {
			list := m.List(connectivity.ListOptions{Why: why})
			lines += len(list.Lines)
			at := byPair(t, list)
			for src := range m.Ends() {
				for dst := range m.Ends() {
					want := m.Passes(src, dst)
					if why {
						want = m.Connection(src, dst)
					}
					if outside(m, src) && outside(m, dst) || alone(m, src, dst) {
						want = nil
					}
					got := at[[2]int{src, dst}]
					for i := range want {
						if s := &want[i]; s.IPv4 == connectivity.Absent {
							s.IPv4 = s.IPv6
						} else if s.IPv6 == connectivity.Absent {
							s.IPv6 = s.IPv4
						}
					}
					if len(want)+len(got) > 0 && !reflect.DeepEqual(got, want) {
						t.Fatalf("seed %d, why %v: %s → %s is listed as\n%s\nand in the matrix\n%s", seed, why, &m.Ends()[src], &m.Ends()[dst], dump(got), dump(want))
					}
					pairs += min(len(want), 1)
				}
			}
		}
	}
	t.Logf("%d pairs on %d lines", pairs, lines)
	if pairs < 2*lines {
		t.Errorf("%d lines for %d pairs: nothing is merged", lines, pairs)
	}
}

func outside(m *connectivity.Matrix, e int) bool {
	return !slices.Contains([]connectivity.EndKind{connectivity.Pods, connectivity.Stranger}, m.Ends()[e].Kind)
}

// alone is a Pod of which there is no other, and itself.
func alone(m *connectivity.Matrix, src, dst int) bool {
	return src == dst && len(m.Ends()[src].Workloads) == 1
}

func byPair(t *testing.T, list connectivity.List) map[[2]int][]connectivity.Stretch {
	t.Helper()
	at := map[[2]int][]connectivity.Stretch{}
	for _, line := range list.Lines {
		if !slices.IsSorted(line.Sources) || !slices.IsSorted(line.Destinations) {
			t.Fatalf("not sorted: %v, %v", line.Sources, line.Destinations)
		}
		for _, src := range line.Sources {
			for _, dst := range line.Destinations {
				if _, twice := at[[2]int{src, dst}]; twice {
					t.Fatalf("%s → %s is listed twice", &list.Ends[src], &list.Ends[dst])
				}
				if src == dst && len(list.Ends[src].Workloads) == 1 && list.Ends[src].Workloads[0].Kind == "Pod" {
					continue // stands on a line with others
				}
				at[[2]int{src, dst}] = line.Stretches
			}
		}
	}
	return at
}

// A list of some ends and ports is what the whole list has of them.
func TestListOfSomeEndsAndPorts(t *testing.T) {
	ports := []connectivity.Ports{{Protocol: policy.TCP, First: 80, Last: 8079}, {Protocol: connectivity.OtherProtocols}}
	found := 0
	for seed := range *clustersFlag / 4 {
		r := spectest.Seeded(seed)
		m := connectivity.New(clusterOf(t, random(seed), false))
		from := func(e *connectivity.End) bool { return e.Namespace == "ns-0" }
		for _, why := range []bool{false, true} {
			list := m.List(connectivity.ListOptions{From: from, To: from, Ports: ports, Why: why})
			at := byPair(t, list)
			for src := range m.Ends() {
				for dst := range m.Ends() {
					for _, e := range append(sampled(r), endpoint{policy.TCP, 80}, endpoint{policy.TCP, 8079}, endpoint{policy.TCP, 8080}) {
						want, _, _ := m.Allows(src, dst, e.protocol, e.port)
						of := e.protocol == policy.TCP && e.port >= 80 && e.port <= 8079 || !e.protocol.HasPorts()
						if !of || !from(&m.Ends()[src]) || !from(&m.Ends()[dst]) || outside(m, src) && outside(m, dst) || alone(m, src, dst) {
							want = connectivity.Denied
						}
						got := connectivity.Denied
						if s := where(at[[2]int{src, dst}], e); s != nil {
							got = s.Answer
							found++
						}
						if got != want {
							t.Fatalf("seed %d: %s → %s %v is %s on the list, not %s", seed, &m.Ends()[src], &m.Ends()[dst], e, got, want)
						}
					}
				}
			}
		}
	}
	if found == 0 {
		t.Error("this tests nothing")
	}
}

// A list of a named port is about the port that each destination has by the name.
func TestListOfNamedPorts(t *testing.T) {
	found, elsewhere := 0, 0
	for seed := range *clustersFlag / 4 {
		m := connectivity.New(clusterOf(t, random(seed), false))
		var named policy.NamedPortRef
		numbers := map[uint16]bool{}
		own := func(e *connectivity.End, number uint16) bool {
			return slices.Contains(e.Ports, policy.NamedPort{Name: named.Name, Protocol: named.Protocol, Number: number})
		}
		for i := range m.Ends() {
			for _, p := range m.Ends()[i].Ports {
				if named.Name == "" {
					named = policy.NamedPortRef{Protocol: p.Protocol, Name: p.Name}
				}
				numbers[p.Number] = true
			}
		}
		if named.Name == "" {
			continue
		}
		for _, why := range []bool{false, true} {
			at := byPair(t, m.List(connectivity.ListOptions{Named: []policy.NamedPortRef{named}, Why: why}))
			for src := range m.Ends() {
				for dst := range m.Ends() {
					for number := range numbers {
						want, _, _ := m.Allows(src, dst, named.Protocol, number)
						if !own(&m.Ends()[dst], number) || outside(m, src) && outside(m, dst) || alone(m, src, dst) {
							if want != connectivity.Denied {
								elsewhere++
							}
							want = connectivity.Denied
						}
						got := connectivity.Denied
						if s := where(at[[2]int{src, dst}], endpoint{named.Protocol, number}); s != nil {
							got = s.Answer
							found++
						}
						if got != want {
							t.Fatalf("seed %d: %s → %s %v %d is %s on the list, not %s", seed, &m.Ends()[src], &m.Ends()[dst], named, number, got, want)
						}
					}
				}
			}
		}
	}
	if found == 0 || elsewhere == 0 {
		t.Errorf("this tests nothing: %d, %d", found, elsewhere)
	}
}

// Stretches are sorted, do not overlap, and name a rule for all that is allowed
// by one.
func TestStretchesAreCanonical(t *testing.T) {
	for seed := range *clustersFlag {
		m := connectivity.New(clusterOf(t, random(seed), false))
		for src := range m.Ends() {
			for dst := range m.Ends() {
				list := m.Connection(src, dst)
				for i, s := range list {
					if s.First > s.Last || s.Answer == connectivity.Denied {
						t.Fatalf("seed %d: %+v", seed, s)
					}
					if i > 0 && !before(list[i-1].Ports, s.Ports) {
						t.Fatalf("seed %d: %s comes after %s", seed, s.Ports, list[i-1].Ports)
					}
					for _, side := range []connectivity.Side{s.Egress, s.Ingress} {
						if (side.Reason == policy.ReasonRule) != (len(side.Grants) > 0) || side.Answer == connectivity.Denied {
							t.Fatalf("seed %d: %s is allowed by %+v", seed, s.Ports, side)
						}
						if (side.Answer == connectivity.Depends) != (len(side.Conditions()) > 0) {
							t.Fatalf("seed %d: %s on %s", seed, side.Answer, side.Conditions())
						}
					}
				}
			}
		}
	}
}

func before(a, b connectivity.Ports) bool {
	order := []policy.Protocol{policy.TCP, policy.UDP, policy.SCTP, connectivity.OtherProtocols}
	i, j := slices.Index(order, a.Protocol), slices.Index(order, b.Protocol)
	return i < j || i == j && a.Last < b.First
}
