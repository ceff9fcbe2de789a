package enforcer

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestDistrustReachesAsFarAsTheDoubt(t *testing.T) {
	a, b := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd01::3")
	tests := []struct {
		name string
		of   []netip.Addr
		want []int // who is still trusted
	}{
		{"nobody knows which was its", nil, nil},
		{"one of them has its address", []netip.Addr{a}, []int{2, 3}},
		{"none has it, so it may be one that was not seen yet", []netip.Addr{netip.MustParseAddr("10.1.0.9")}, []int{1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &links{newcomers: map[int]*newcomer{1: {addrs: []netip.Addr{a}}, 2: {addrs: []netip.Addr{b}}, 3: {}}}
			l.distrust(tt.of)
			if got := slices.Sorted(maps.Keys(l.newcomers)); !slices.Equal(got, tt.want) {
				t.Errorf("trusted are %v, want %v", got, tt.want)
			}
		})
	}
}

// A Pod whose place is only presumed still waits, also when its object has the address
// already: otherwise its sandbox would count as somebody else's for a round.
func TestAPresumedPlaceCarriesNoPod(t *testing.T) {
	a := netip.MustParseAddr("10.1.0.2")
	pod := types.NamespacedName{Namespace: "shop", Name: "web"}
	l := &links{
		pods:     map[types.NamespacedName]*podLinks{pod: {binds: map[netip.Addr]binding{a: {iface: 1, veth: 2}}}},
		presumed: map[netip.Addr]int{a: 2},
	}
	if l.carries(pod, []netip.Addr{a}) {
		t.Error("a presumed place counts as the Pod's")
	}
	l.presumed = nil
	if !l.carries(pod, []netip.Addr{a}) {
		t.Error("a known place does not count as the Pod's")
	}
}
