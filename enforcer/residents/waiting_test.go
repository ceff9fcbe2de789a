package residents

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// While the runtime is silent nobody says that a sandbox goes. So what it said of one whose
// Pod is gone, or has another UID, is forgotten: its addresses are another Pod's one day.
func TestLostSandboxesOfPodsThatAreGone(t *testing.T) {
	addr := netip.MustParseAddr("10.0.0.1")
	pod := func(name string, uid types.UID) *policy.Pod {
		return &policy.Pod{NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}, UID: uid, Node: "node", Addrs: []netip.Addr{addr}}
	}
	for what, change := range map[string]func(*Register){
		"deleted": func(w *Register) { w.DeletePod(types.NamespacedName{Namespace: "shop", Name: "old"}, nil) },
		"made new": func(w *Register) {
			w.SetPod(&policy.Pod{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "old"}, UID: "2", Node: "node"})
		},
	} {
		told := NewTold(func() {})
		index := policy.NewIndex(policy.Options{})
		w := New("node", index, nil, time.Now)
		has := func(name string) bool {
			p, ok := index.Pod(types.NamespacedName{Namespace: "shop", Name: name})
			return ok && slices.Contains(p.Addrs, addr)
		}
		told.Set([]Sandbox{{UID: "1", Pod: types.NamespacedName{Namespace: "shop", Name: "old"}, Addrs: []netip.Addr{addr}}})
		w.SetPod(pod("old", "1"))
		w.Hear(told)
		w.ForgetLost(told)
		change(w)
		w.SetPod(pod("new", "3"))
		w.Hear(told)
		w.ForgetLost(told)
		if has("new") {
			t.Errorf("%s: the runtime says that the sandbox lives, and another Pod has its address", what)
		}
		told.Lost()
		w.Hear(told)
		w.ForgetLost(told)
		if !has("new") || told.Number() != 0 {
			t.Errorf("%s: nobody hears of the sandbox any more, and its address is lost to a new Pod; %d sandboxes are known", what, told.Number())
		}
	}
}

// A sandbox is told of before its Pod's object comes. If the runtime falls silent then, the
// Pod still gets what was said of it.
func TestLostSandboxesOfPodsThatAreToCome(t *testing.T) {
	addr := netip.MustParseAddr("10.0.0.1")
	name := types.NamespacedName{Namespace: "shop", Name: "young"}
	told := NewTold(func() {})
	index := policy.NewIndex(policy.Options{})
	w := New("node", index, nil, time.Now)
	told.Set([]Sandbox{{UID: "1", Pod: name, Addrs: []netip.Addr{addr}}})
	told.Lost()
	w.Hear(told)
	w.ForgetLost(told)
	w.SetPod(&policy.Pod{NamespacedName: name, UID: "1", Node: "node"})
	if p, ok := index.Pod(name); !ok || !slices.Contains(p.Addrs, addr) {
		t.Errorf("%+v", p)
	}
}
