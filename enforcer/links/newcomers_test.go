package links

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

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
			l := &Links{newcomers: map[int]*newcomer{1: {addrs: []netip.Addr{a}}, 2: {addrs: []netip.Addr{b}}, 3: {}}}
			l.Distrust(tt.of)
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
	l := &Links{
		pods:     map[types.NamespacedName]*podLinks{pod: {binds: map[netip.Addr]binding{a: {iface: 1, veth: 2}}}},
		presumed: map[netip.Addr]int{a: 2},
	}
	if l.Carries(pod, []netip.Addr{a}) {
		t.Error("a presumed place counts as the Pod's")
	}
	l.presumed = nil
	if !l.Carries(pod, []netip.Addr{a}) {
		t.Error("a known place does not count as the Pod's")
	}
}

// However often a Pod changes its end, it is looked at a few times in the first second,
// and seldom later.
func TestFarEndsAreAskedAtTheirOwnPace(t *testing.T) {
	n := &newcomer{}
	var at time.Duration
	var asked []time.Duration
	for n.looks = 0; at < 5*time.Minute; n.looks++ {
		asked = append(asked, at)
		at += n.pause()
	}
	within := func(d time.Duration) int {
		return len(asked) - len(slices.DeleteFunc(slices.Clone(asked), func(at time.Duration) bool { return at < d }))
	}
	for d, most := range map[time.Duration]int{50 * time.Millisecond: 4, time.Second: 10, time.Minute: 90, 5 * time.Minute: 210} {
		if n := within(d); n > most || n < most/2 {
			t.Errorf("%d looks in %v, want %d at most", n, d, most)
		}
	}
}
