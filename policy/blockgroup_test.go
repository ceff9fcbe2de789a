package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// The Pods in a block are members while a rule looks port names up on them,
// from whatever event and in as few words as other groups.
func TestChangesOfPodsInBlocks(t *testing.T) {
	const rules = `{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [
		{to: [{ipBlock: {cidr: 10.0.1.0/24, except: [10.0.1.128/25]}}], ports: [{port: http}]},
		{to: [{ipBlock: {cidr: "2001:db8::/32"}}], ports: [{port: http}]}]}`
	const four, six = "group [10.0.1.0/24 except 10.0.1.128/25]", "group [2001:db8::/32]"
	web := func(addr string) *Pod {
		return testPod("far/web", addr, nil).with(func(p *Pod) { p.Node, p.Ports = "there", []NamedPort{{"http", TCP, 80}} })
	}
	for _, c := range []struct {
		name   string
		events func(x *Index)
		want   []string
	}{
		{"a Pod in it", func(x *Index) { x.SetPod(web("10.0.1.1")) }, []string{four + " +10.0.1.1"}},
		{"in both", func(x *Index) { x.SetPod(web("10.0.1.1 2001:db8::1")) }, []string{four + " +10.0.1.1", six + " +2001:db8::1"}},
		{"in the exception", func(x *Index) { x.SetPod(web("10.0.1.200")) }, nil},
		{"elsewhere", func(x *Index) { x.SetPod(web("10.0.2.1")) }, nil},
		{"without a named port", func(x *Index) { x.SetPod(web("10.0.1.1").with(func(p *Pod) { p.Ports = nil })) }, nil},
		{"there and gone", func(x *Index) { x.SetPod(web("10.0.1.1")); x.DeletePod(web("").NamespacedName) }, nil},
		{"another number", func(x *Index) {
			x.SetPod(web("10.0.1.1"))
			x.Changes()
			x.SetPod(web("10.0.1.1").with(func(p *Pod) { p.Ports = []NamedPort{{"http", TCP, 81}} }))
		}, []string{four + " -10.0.1.1 +10.0.1.1"}},
		{"its last named port gone", func(x *Index) {
			x.SetPod(web("10.0.1.1"))
			x.Changes()
			x.SetPod(web("10.0.1.1").with(func(p *Pod) { p.Ports = nil }))
		}, []string{four + " -10.0.1.1"}},
		{"another address", func(x *Index) {
			x.SetPod(web("10.0.1.1"))
			x.Changes()
			x.SetPod(web("10.0.1.2"))
		}, []string{four + " -10.0.1.1 +10.0.1.2"}},
		{"finished", func(x *Index) {
			x.SetPod(web("10.0.1.1"))
			x.Changes()
			x.SetPod(web("10.0.1.1").with(func(p *Pod) { p.Finished = true }))
		}, []string{four + " -10.0.1.1"}},
		{"the policy gone", func(x *Index) {
			x.SetPod(web("10.0.1.1"))
			x.DeletePolicy(types.NamespacedName{Namespace: "shop", Name: "p"})
		}, []string{"pod shop/api"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := NewIndex(Options{Node: "here"})
			if err := x.SetPolicy(policyFromYAML(t, strings.ReplaceAll(rules, "\t", " "))); err != nil {
				t.Fatal(err)
			}
			x.SetPod(testPod("shop/api", "10.0.0.1", map[string]string{"app": "api"}))
			x.Changes()
			c.events(x)
			if d := cmp.Diff(c.want, told(x.Changes())); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
			for _, key := range []GroupKey{GroupKey(four[6:]), GroupKey(six[6:])} {
				for m := range x.Members(key) {
					if g := x.groups[key]; !g.block.Contains(m.Addr) || len(m.Ports) == 0 {
						t.Errorf("%v is in %s", m, key)
					}
				}
			}
		})
	}
}
