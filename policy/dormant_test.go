package policy

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// TestDormantPoliciesWakeInTime: policies come before the namespace has a Pod on
// the node, change, go, and count from when it has one.
func TestDormantPoliciesWakeInTime(t *testing.T) {
	x := NewIndex(Options{Node: "here"})
	x.SetNamespace("shop", nil)
	set := func(name, spec string) {
		np := policyFromYAML(t, spec)
		np.Name = name
		if err := x.SetPolicy(np); err != nil {
			t.Fatal(err)
		}
	}
	set("deny", `{podSelector: {}}`)
	set("changed", `{podSelector: {matchLabels: {app: other}}}`)
	set("changed", `{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress]}`)
	set("gone", `{podSelector: {}}`)
	x.DeletePolicy(types.NamespacedName{Namespace: "shop", Name: "gone"})
	if got := x.Counts(); got != (Counts{Namespaces: 1, Policies: 2}) {
		t.Errorf("counts %+v", got)
	}
	x.SetPod(testPod("shop/db", "10.0.0.1", map[string]string{"app": "db"}).with(func(p *Pod) { p.Node = "here" }))
	db := types.NamespacedName{Namespace: "shop", Name: "db"}
	s := x.Subject(db)
	if s == nil || s.Ingress == nil || len(s.Ingress.Policies) != 1 || s.Egress == nil || len(s.Egress.Policies) != 1 {
		t.Fatalf("subject %+v", s)
	}
	x.DeletePolicy(types.NamespacedName{Namespace: "shop", Name: "deny"})
	if s := x.Subject(db); s == nil || s.Ingress != nil || s.Egress == nil {
		t.Errorf("without deny: %+v", s)
	}
	if got := x.Counts(); got != (Counts{Pods: 1, Namespaces: 1, Policies: 1}) {
		t.Errorf("counts %+v", got)
	}
}

// TestDormantPoliciesAnswerQuestions: a remote Pod's policies count as soon as
// somebody asks about it.
func TestDormantPoliciesAnswerQuestions(t *testing.T) {
	x := NewIndex(Options{Node: "here"})
	if err := x.SetPolicy(policyFromYAML(t, `{podSelector: {}}`)); err != nil {
		t.Fatal(err)
	}
	x.SetPod(testPod("shop/db", "10.0.0.1", nil).with(func(p *Pod) { p.Node = "elsewhere" }))
	pod, _ := x.Pod(types.NamespacedName{Namespace: "shop", Name: "db"})
	if v := x.Evaluate(Flow{Dst: End{Pod: pod}, Protocol: TCP, Port: 80}); v.Ingress.Allowed {
		t.Errorf("a denied flow is allowed: %+v", v.Ingress)
	}
}

// TestDormantPolicyThatCannotBeReadIsolates: it may not vanish.
func TestDormantPolicyThatCannotBeReadIsolates(t *testing.T) {
	x := NewIndex(Options{Node: "here"})
	np := policyFromYAML(t, `{podSelector: {matchLabels: {app: other}}}`)
	if err := x.SetPolicy(np); err != nil {
		t.Fatal(err)
	}
	x.namespaces[np.Namespace].asleep[0].raw = []byte{0xff}
	x.SetPod(testPod("shop/db", "10.0.0.1", nil).with(func(p *Pod) { p.Node = "here" }))
	s := x.Subject(types.NamespacedName{Namespace: "shop", Name: "db"})
	if s == nil || s.Ingress == nil || s.Egress == nil || s.Ingress.Policies[0] != (types.NamespacedName{Namespace: np.Namespace, Name: np.Name}) {
		t.Errorf("subject %+v", s)
	}
}
