package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// told is the changes in short: "pod shop/web", "gone shop/web",
// "group KEY +10.0.0.1 -10.0.0.2".
func told(ch Changes) (out []string) {
	for _, s := range ch.Subjects {
		verb := "pod "
		if s.Now == nil {
			verb = "gone "
		}
		out = append(out, verb+s.Pod.String())
	}
	for _, g := range ch.Groups {
		line := "group " + string(g.Group)
		for _, m := range g.Removed {
			line += " -" + m.Addr.String()
		}
		for _, m := range g.Added {
			line += " +" + m.Addr.String()
		}
		out = append(out, line)
	}
	return out
}

func testPod(name, addr string, labels map[string]string) *Pod {
	namespace, name, _ := strings.Cut(name, "/")
	p := &Pod{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}, Labels: labels, Node: "here"}
	if addr != "" {
		p.Addrs = addrList(strings.Fields(addr)...)
	}
	return p
}

func (p *Pod) with(change func(*Pod)) *Pod { change(p); return p }

func web() map[string]string { return map[string]string{"app": "web"} }

// TestChanges gives events to an index in which api may be reached by web Pods
// of its namespace and of blue namespaces, and looks at what is reported.
func TestChanges(t *testing.T) {
	const rules = `{podSelector: {matchLabels: {app: api}}, ingress: [
		{from: [{podSelector: {matchLabels: {app: web}}}]},
		{from: [{podSelector: {matchLabels: {app: web}}, namespaceSelector: {matchLabels: {team: blue}}}]}]}`
	const near, far = "group shop/app=web", "group {team=blue}/app=web"
	api := func() *Pod { return testPod("shop/api", "10.0.0.1", map[string]string{"app": "api"}) }
	there := func(p *Pod) { p.Node = "there" }
	for _, c := range []struct {
		name   string
		events func(x *Index)
		want   []string
	}{
		{"nothing", func(*Index) {}, nil},
		{"a resync", func(x *Index) {
			x.SetPod(api())
			x.SetPod(testPod("shop/web", "10.0.0.2", web()).with(there))
			x.SetNamespace("far", map[string]string{"team": "blue"})
			x.SetNamespace("shop", nil)
			_ = x.SetPolicy(policyFromYAML(t, strings.ReplaceAll(rules, "\t", " ")))
		}, nil},
		{"a new peer", func(x *Index) { x.SetPod(testPod("shop/web2", "10.0.0.9", web()).with(there)) },
			[]string{near + " +10.0.0.9"}},
		{"a peer of two families", func(x *Index) { x.SetPod(testPod("shop/web2", "10.0.0.9 2001:db8::9", web()).with(there)) },
			[]string{near + " +10.0.0.9 +2001:db8::9"}},
		{"a peer that came and went", func(x *Index) {
			x.SetPod(testPod("shop/web2", "10.0.0.9", web()).with(there))
			x.DeletePod(types.NamespacedName{Namespace: "shop", Name: "web2"})
		}, nil},
		{"a peer that went and came", func(x *Index) {
			x.DeletePod(types.NamespacedName{Namespace: "shop", Name: "web"})
			x.SetPod(testPod("shop/web", "10.0.0.2", web()).with(there))
		}, nil},
		{"a Pod of no group", func(x *Index) { x.SetPod(testPod("shop/db", "10.0.0.9", nil).with(there)) }, nil},
		{"a new local Pod", func(x *Index) { x.SetPod(testPod("shop/db", "10.0.0.9", nil)) }, []string{"pod shop/db"}},
		{"a local Pod without address", func(x *Index) { x.SetPod(testPod("shop/db", "", nil)) }, nil},
		{"a local Pod on the host network", func(x *Index) {
			x.SetPod(testPod("shop/db", "10.0.0.9", web()).with(func(p *Pod) { p.HostNetwork = true }))
		}, nil},
		{"a peer finished", func(x *Index) {
			x.SetPod(testPod("shop/web", "10.0.0.2", web()).with(there).with(func(p *Pod) { p.Finished = true }))
		}, []string{near + " -10.0.0.2"}},
		{"a peer's other number for a port", func(x *Index) {
			x.SetPod(testPod("shop/web", "10.0.0.2", web()).with(there).with(func(p *Pod) { p.Ports = []NamedPort{{"http", TCP, 80}} }))
		}, []string{near + " -10.0.0.2 +10.0.0.2"}},
		{"a peer relabelled", func(x *Index) { x.SetPod(testPod("shop/web", "10.0.0.2", nil).with(there)) },
			[]string{near + " -10.0.0.2"}},
		{"a subject relabelled", func(x *Index) { x.SetPod(testPod("shop/api", "10.0.0.1", web())) },
			[]string{"pod shop/api"}},
		{"a subject's UID", func(x *Index) { x.SetPod(api().with(func(p *Pod) { p.UID = "new" })) }, []string{"pod shop/api"}},
		{"a subject's guard", func(x *Index) { x.SetPod(api().with(func(p *Pod) { p.Unguarded = true })) }, []string{"pod shop/api"}},
		{"a subject's label that nothing selects", func(x *Index) {
			x.SetPod(testPod("shop/api", "10.0.0.1", map[string]string{"app": "api", "color": "red"}))
		}, nil},
		{"a subject moved away", func(x *Index) { x.SetPod(api().with(there)) }, []string{"gone shop/api"}},
		{"an address taken over by a newer Pod", func(x *Index) {
			x.SetPod(testPod("shop/db", "10.0.0.1", nil).with(func(p *Pod) { p.Created = 9 }))
		}, []string{"gone shop/api", "pod shop/db"}},
		{"a namespace turns blue", func(x *Index) { x.SetNamespace("dark", map[string]string{"team": "blue"}) },
			[]string{far + " +10.0.1.2"}},
		{"a namespace there and back", func(x *Index) {
			x.SetNamespace("far", nil)
			x.SetNamespace("far", map[string]string{"team": "blue"})
		}, nil},
		{"a namespace forgotten", func(x *Index) { x.DeleteNamespace("far") }, []string{far + " -10.0.1.1"}},
		{"a policy's rules", func(x *Index) { _ = x.SetPolicy(policyFromYAML(t, `{ingress: []}`)) }, []string{"pod shop/api"}},
		{"a policy away and back, a peer with it", func(x *Index) {
			x.DeletePolicy(types.NamespacedName{Namespace: "shop", Name: "p"})
			x.SetPod(testPod("shop/web2", "10.0.0.9", web()).with(there))
			x.Subject(types.NamespacedName{Namespace: "shop", Name: "api"})
			_ = x.SetPolicy(policyFromYAML(t, strings.ReplaceAll(rules, "\t", " ")))
		}, []string{near + " +10.0.0.9"}},
		{"a policy away, and a peer too", func(x *Index) {
			x.DeletePolicy(types.NamespacedName{Namespace: "shop", Name: "p"})
			x.DeletePod(types.NamespacedName{Namespace: "shop", Name: "web"})
		}, []string{"pod shop/api"}},
		{"a policy of remote Pods", func(x *Index) {
			np := policyFromYAML(t, `{podSelector: {matchLabels: {app: web}}}`)
			np.Name = "remote"
			_ = x.SetPolicy(np)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := NewIndex(Options{Node: "here"})
			x.SetNamespace("shop", nil)
			x.SetNamespace("far", map[string]string{"team": "blue"})
			x.SetNamespace("dark", map[string]string{"team": "red"})
			_ = x.SetPolicy(policyFromYAML(t, strings.ReplaceAll(rules, "\t", " ")))
			x.SetPod(api())
			x.SetPod(testPod("shop/web", "10.0.0.2", web()).with(there))
			x.SetPod(testPod("far/web", "10.0.1.1", web()).with(there))
			x.SetPod(testPod("dark/web", "10.0.1.2", web()).with(there))
			if d := cmp.Diff([]string{"pod shop/api"}, told(x.Changes())); d != "" {
				t.Fatalf("at first (-want +got):\n%s", d)
			}
			c.events(x)
			if d := cmp.Diff(c.want, told(x.Changes())); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
			if again := told(x.Changes()); len(again) > 0 {
				t.Errorf("asked again: %v", again)
			}
		})
	}
}

// A reused address belongs to the newest running Pod whatever the order of
// events.
func TestReusedAddress(t *testing.T) {
	shared := netip.MustParseAddr("10.0.0.1")
	at := func(name string, age int64, change func(*Pod)) *Pod {
		p := testPod("shop/"+name, "10.0.0.1", nil)
		p.UID, p.Created = types.UID(name), age
		return p.with(change)
	}
	as := func(*Pod) {}
	for _, c := range []struct {
		name string
		pods []*Pod
		want string
	}{
		{"the newest", []*Pod{at("a", 3, as), at("b", 2, as), at("c", 1, as)}, "a"},
		{"the newest that runs", []*Pod{at("a", 3, func(p *Pod) { p.Finished = true }), at("b", 2, as), at("c", 1, as)}, "b"},
		{"not the host's", []*Pod{at("a", 3, func(p *Pod) { p.HostNetwork = true }), at("b", 2, as)}, "b"},
		{"the higher UID of one age", []*Pod{at("a", 1, as), at("b", 1, as)}, "b"},
		{"the higher name of one UID", []*Pod{at("a", 1, func(p *Pod) { p.UID = "" }), at("b", 1, func(p *Pod) { p.UID = "" })}, "b"},
		{"nobody's", []*Pod{at("a", 1, func(p *Pod) { p.Finished = true })}, ""},
	} {
		for range 6 {
			c.pods = append(c.pods[1:], c.pods[0])
			x := NewIndex(Options{})
			for _, p := range c.pods {
				x.SetPod(p)
			}
			if got := ownerName(x, shared); got != c.want {
				t.Errorf("%s: %q owns it, not %q", c.name, got, c.want)
			}
			want := c.pods[0].Name
			if !c.pods[0].claims() {
				want = c.want
			}
			if e := x.EndOfPod(c.pods[0], shared); want == "" && e.Pod != nil || want != "" && e.Pod.Name != want {
				t.Errorf("%s: by Pod %s %v", c.name, want, e)
			}
		}
	}
	x := NewIndex(Options{})
	for _, p := range []*Pod{at("a", 3, as), at("b", 2, as), at("c", 1, as)} {
		x.SetPod(p)
	}
	var heirs []string
	for _, name := range []string{"b", "a", "c"} {
		x.DeletePod(types.NamespacedName{Namespace: "shop", Name: name})
		heirs = append(heirs, ownerName(x, shared))
	}
	if want := []string{"a", "c", ""}; !slices.Equal(heirs, want) {
		t.Errorf("owners after deletions: %v, want %v", heirs, want)
	}
}

func ownerName(x *Index, a netip.Addr) string {
	if e := x.EndOfAddr(a); e.Pod != nil {
		return e.Pod.Name
	}
	return ""
}

func TestEndsOfPods(t *testing.T) {
	x := NewIndex(Options{})
	pods := map[string]*Pod{
		"four": testPod("shop/four", "10.0.0.1", nil),
		"six":  testPod("shop/six", "2001:db8::2", nil),
		"dual": testPod("shop/dual", "2001:db8::3 10.0.0.3", nil),
		"none": testPod("shop/none", "", nil),
	}
	for _, p := range pods {
		x.SetPod(p)
	}
	for _, c := range []struct{ src, dst, want string }{
		{"four", "dual", "10.0.0.1 10.0.0.3"},
		{"dual", "four", "10.0.0.3 10.0.0.1"},
		{"six", "dual", "2001:db8::2 2001:db8::3"},
		{"dual", "dual", "2001:db8::3 2001:db8::3"},
		{"four", "six", ""},
		{"none", "dual", ""},
	} {
		got := ""
		if from, to, ok := x.EndsOfPods(pods[c.src], pods[c.dst]); ok {
			got = from.Addr.String() + " " + to.Addr.String()
		}
		if got != c.want {
			t.Errorf("%s to %s: %q, want %q", c.src, c.dst, got, c.want)
		}
	}
}
