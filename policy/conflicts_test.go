package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

func conflictsText(x *Index) (out []string) {
	for _, c := range x.Conflicts() {
		line := c.Addr.String()
		for _, claim := range c.Claims {
			line += " " + claim.Pod.Name + "@" + claim.Node
		}
		out = append(out, line)
	}
	return out
}

// Conflicts are those of local Pods, and the version tells when to look.
func TestConflicts(t *testing.T) {
	x := NewIndex(Options{Node: "here"})
	there := func(p *Pod) { p.Node = "there" }
	version := x.ConflictsVersion()
	step := func(what string, changes bool, event func(), want ...string) {
		t.Helper()
		event()
		if d := cmp.Diff(want, conflictsText(x)); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
		if now := x.ConflictsVersion(); (now != version) != changes {
			t.Errorf("%s: version %d, before %d", what, now, version)
		} else {
			version = now
		}
	}
	step("one Pod", false, func() { x.SetPod(testPod("shop/a", "10.0.0.1 fd00::1", nil)) })
	step("a remote one", true, func() { x.SetPod(testPod("shop/b", "10.0.0.1", nil).with(there)) }, "10.0.0.1 a@here b@there")
	step("said again", false, func() { x.SetPod(testPod("shop/b", "10.0.0.1", nil).with(there)) }, "10.0.0.1 a@here b@there")
	step("another Pod", false, func() { x.SetPod(testPod("shop/z", "10.0.0.9", nil)) }, "10.0.0.1 a@here b@there")
	step("the other family", true, func() { x.SetPod(testPod("shop/c", "fd00::1", nil)) }, "10.0.0.1 a@here b@there", "fd00::1 a@here c@here")
	step("two elsewhere", true, func() {
		x.SetPod(testPod("shop/d", "10.0.0.7", nil).with(there))
		x.SetPod(testPod("shop/e", "10.0.0.7", nil).with(there))
	}, "10.0.0.1 a@here b@there", "fd00::1 a@here c@here")
	step("one of them comes here", true, func() { x.SetPod(testPod("shop/e", "10.0.0.7", nil)) },
		"10.0.0.1 a@here b@there", "10.0.0.7 d@there e@here", "fd00::1 a@here c@here")
	step("one ends", true, func() { x.SetPod(testPod("shop/c", "fd00::1", nil).with(func(p *Pod) { p.Finished = true })) },
		"10.0.0.1 a@here b@there", "10.0.0.7 d@there e@here")
	step("one goes", true, func() { x.DeletePod(types.NamespacedName{Namespace: "shop", Name: "a"}) }, "10.0.0.7 d@there e@here")
}

// A change of a remote Pod, of its labels or of a policy that selects it changes
// the local subject that shares its address.
func TestRivalsChangeTheSubject(t *testing.T) {
	x := NewIndex(Options{Node: "here"})
	remote := func(labels map[string]string) *Pod {
		return testPod("far/b", "10.0.0.1", labels).with(func(p *Pod) { p.Node = "there" })
	}
	x.SetPod(testPod("shop/a", "10.0.0.1 fd00::1", nil))
	x.SetPod(remote(nil))
	x.Changes()
	step := func(what string, event func(), isolated bool) {
		t.Helper()
		event()
		if d := cmp.Diff([]string{"pod shop/a"}, told(x.Changes())); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
		s := x.Subject(types.NamespacedName{Namespace: "shop", Name: "a"})
		shared, _ := s.Sets(netip.MustParseAddr("10.0.0.1"))
		own, _ := s.Sets(netip.MustParseAddr("fd00::1"))
		if (shared != nil) != isolated || own != nil {
			t.Errorf("%s: the shared address has %v, the own one %v", what, shared, own)
		}
	}
	np := policyFromYAML(t, `{podSelector: {matchLabels: {app: web}}}`)
	np.Namespace = "far"
	if err := x.SetPolicy(np); err != nil || len(x.Changes().Subjects) > 0 {
		t.Fatal("a policy that selects nobody changed something", err)
	}
	step("its labels", func() { x.SetPod(remote(web())) }, true)
	step("the policy gone", func() { x.DeletePolicy(types.NamespacedName{Namespace: "far", Name: np.Name}) }, false)
	step("and back", func() { _ = x.SetPolicy(np) }, true)
	step("the Pod gone", func() { x.DeletePod(types.NamespacedName{Namespace: "far", Name: "b"}) }, false)
}

// However many Pods claim an address, what they cost a packet is bounded, and
// beyond the bound nothing passes.
func TestSharedSetsAreBounded(t *testing.T) {
	for _, n := range []int{mostParts, mostParts + 1, 100} {
		x := NewIndex(Options{})
		for i := range n {
			app := fmt.Sprint("app", i)
			np := policyFromYAML(t, strings.ReplaceAll(`{podSelector: {matchLabels: {app: APP}}, ingress: [{}]}`, "APP", app))
			np.Name = app
			_ = x.SetPolicy(np)
			x.SetPod(testPod("shop/"+app, "10.0.0.1", map[string]string{"app": app}))
		}
		subjects := 0
		for s := range x.Subjects() {
			subjects++
			set, _ := s.Sets(netip.MustParseAddr("10.0.0.1"))
			if want := n <= mostParts; len(set.Policies) != n || (len(set.All) == n) != want || len(set.Rules) > 0 || !want && len(set.All) > 0 {
				t.Errorf("%d Pods: %d policies, %d parts, %d rules", n, len(set.Policies), len(set.All), len(set.Rules))
			}
		}
		v := x.Evaluate(Flow{Src: x.EndOfAddr(netip.MustParseAddr("192.0.2.1")), Dst: x.EndOfAddr(netip.MustParseAddr("10.0.0.1")), Protocol: TCP, Port: 80})
		if v.Allowed != (n <= mostParts) {
			t.Errorf("%d Pods: evaluated %v, %s", n, v.Allowed, v.Ingress.Reason)
		}
		if subjects != 1 {
			t.Errorf("%d Pods: %d subjects have the address", n, subjects)
		}
	}
}

// TestAlikeClaimantsAreOneKind: hundreds of Pods of one Deployment that claim the same
// hundred addresses are one kind, and the addresses have one allow set together.
func TestAlikeClaimantsAreOneKind(t *testing.T) {
	x := NewIndex(Options{Node: "here"})
	np := policyFromYAML(t, `{podSelector: {}, ingress: [{ports: [{port: http}]}]}`)
	_ = x.SetPolicy(np)
	addrs := ""
	for i := range 100 {
		addrs += fmt.Sprintf("10.0.0.%d ", i+1)
	}
	const pods = 200
	claim := func(i int, ports ...NamedPort) {
		x.SetPod(testPod(fmt.Sprint("shop/web-", i), strings.TrimSpace(addrs), web()).with(func(p *Pod) { p.Ports = ports }))
	}
	kinds := func(want int) {
		t.Helper()
		sets := map[*AllowSet]bool{}
		for s := range x.Subjects() {
			for _, a := range s.Addrs {
				in, _ := s.Sets(a)
				sets[in] = true
				if got := len(x.contests[a].kinds); got != want {
					t.Fatalf("%s: %d kinds of Pods claim it, want %d", a, got, want)
				}
			}
		}
		if len(sets) != 1 || len(x.contests) != 100 || x.namespaces["shop"].contenders[x.entry(types.NamespacedName{Namespace: "shop", Name: "web-0"})] != 100 {
			t.Errorf("%d sets for %d addresses", len(sets), len(x.contests))
		}
	}
	http := NamedPort{"http", TCP, 80}
	for i := range pods {
		claim(i, http)
	}
	kinds(1)
	claim(7, http, NamedPort{"other", TCP, 81})
	kinds(2)
	claim(7, http)
	kinds(1)
	x.SetPod(testPod("shop/web-0", "10.0.0.1", web()).with(func(p *Pod) { p.Ports = []NamedPort{http} }))
	if got := x.namespaces["shop"].contenders[x.entry(types.NamespacedName{Namespace: "shop", Name: "web-0"})]; got != 1 {
		t.Errorf("a Pod that claims one address shares %d", got)
	}
	for i := range pods {
		x.DeletePod(types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("web-", i)})
	}
	x.DeletePolicy(types.NamespacedName{Namespace: np.Namespace, Name: np.Name})
	x.Changes()
	if left := x.Leftovers(); left != "" {
		t.Error(left)
	}
}
