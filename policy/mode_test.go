package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// auditDisagrees says where what audited policies would do is not what the naive
// evaluator says of the cluster in which they are enforced.
func auditDisagrees(c *spectest.Cluster, x *policy.Index, flow policy.Flow, f spectest.Flow) string {
	v, audited := x.ExplainAudited(flow)
	egress, ingress := c.Enforced().Allowed(f)
	if !audited {
		// Then nothing is different if they are.
		now := x.Evaluate(flow)
		v.Egress.Allowed, v.Ingress.Allowed = now.Egress.Allowed, now.Ingress.Allowed
	}
	if v.Egress.Allowed != egress || v.Ingress.Allowed != ingress {
		return fmt.Sprintf("with all policies enforced naive says egress %v, ingress %v; the index (asked: %v) egress %s\ningress %s",
			egress, ingress, audited, explained(v.Egress), explained(v.Ingress))
	}
	return ""
}

// A Pod that only audited policies select is not isolated; what they would do can be
// asked, and each of them is marked.
func TestAuditedPoliciesCountForNoVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		namespace, policy string
		audited           bool
		problem           string
	}{
		"nothing said":                     {audited: false},
		"annotation":                       {policy: "audit", audited: true},
		"label of the namespace":           {namespace: "audit", audited: true},
		"the policy's own word counts":     {namespace: "audit", policy: "enforce", audited: false},
		"the policy's own word, reversed":  {namespace: "enforce", policy: "audit", audited: true},
		"a wrong word enforces":            {policy: "Audit", audited: false, problem: `metadata.annotations[sluice-net.github.io/mode]: Invalid value: "Audit"`},
		"a wrong word of the namespace":    {namespace: "on", audited: false},
		"a wrong word beside an audit":     {namespace: "audit", policy: "", audited: true},
		"an annotation that is wrong wins": {namespace: "audit", policy: "adit", audited: false, problem: `must be enforce or audit`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, node := range []string{"", "node-0"} { // with a node, policies sleep until a Pod comes
				x := policy.NewIndex(policy.Options{Node: node})
				x.SetNamespace("shop", modeIn(c.namespace))
				np := &networkingv1.NetworkPolicy{}
				np.Namespace, np.Name, np.Annotations = "shop", "deny", modeIn(c.policy)
				if got := policy.Audited(np, modeIn(c.namespace)); got != c.audited {
					t.Errorf("audited: %v, want %v", got, c.audited)
				}
				err := x.SetPolicy(np)
				if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
					t.Errorf("problem %v, want %q", err, c.problem)
				}
				web, db := shopPod(x, "web", "10.0.0.1"), shopPod(x, "db", "10.0.0.2")
				flow := policy.Flow{Src: x.EndOfAddr(web), Dst: x.EndOfAddr(db), Protocol: policy.TCP, Port: 80}
				if got := x.Evaluate(flow).Allowed; got != c.audited {
					t.Errorf("allowed: %v, want %v", got, c.audited)
				}
				if got := x.Subject(types.NamespacedName{Namespace: "shop", Name: "db"}).Ingress == nil; got != c.audited {
					t.Errorf("not isolated: %v, want %v", got, c.audited)
				}
				v, asked := x.ExplainAudited(flow)
				if asked != c.audited || asked && (v.Allowed || !v.Ingress.Policies[0].Audited) {
					t.Errorf("audit: %v %+v", asked, v.Ingress)
				}
				var want []types.NamespacedName
				if c.audited {
					want = []types.NamespacedName{{Namespace: "shop", Name: "deny"}}
				}
				if diff := cmp.Diff(want, x.Audited(types.NamespacedName{Namespace: "shop", Name: "db"}, policy.Ingress)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// modeIn are annotations or labels that say so, and more.
func modeIn(mode string) map[string]string {
	out := map[string]string{"other": "x"}
	if mode != "" {
		out[policy.ModeKey] = mode
	}
	return out
}

func shopPod(x *policy.Index, name, addr string) netip.Addr {
	a := netip.MustParseAddr(addr)
	x.SetPod(&policy.Pod{NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}, Node: "node-0", Addrs: []netip.Addr{a}})
	return a
}

// A namespace whose label changes has its policies enforced, or audited, at once.
func TestANamespaceChangesItsMode(t *testing.T) {
	x := policy.NewIndex(policy.Options{})
	np := &networkingv1.NetworkPolicy{}
	np.Namespace, np.Name = "shop", "deny"
	if err := x.SetPolicy(np); err != nil {
		t.Fatal(err)
	}
	shopPod(x, "db", "10.0.0.2")
	db := types.NamespacedName{Namespace: "shop", Name: "db"}
	x.Changes()
	for _, step := range []struct {
		label    string
		isolated bool
	}{{"", true}, {"audit", false}, {"enforce", true}, {"audit", false}, {"audti", true}} {
		labels := modeIn(step.label)
		x.SetNamespace("shop", labels)
		if got := x.Subject(db).Ingress != nil; got != step.isolated {
			t.Errorf("mode %q: isolated %v, want %v", step.label, got, step.isolated)
		}
		if errs := policy.ValidateNamespace(labels); (len(errs) > 0) != (step.label == "audti") {
			t.Errorf("mode %q: %v", step.label, errs)
		}
	}
	x.DeleteNamespace("shop")
	if x.Subject(db).Ingress == nil {
		t.Error("of a namespace that is not known nobody has said that its policies are audited")
	}
}
