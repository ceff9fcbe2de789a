package suggest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// there is a policy of namespace shop: its name, the app that it selects, and its mode.
func there(s string) *networkingv1.NetworkPolicy {
	words := strings.Fields(s + " -")
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: words[0]}}
	np.Spec.PodSelector.MatchLabels = map[string]string{"app": words[1]}
	if words[2] != "-" {
		np.Annotations = map[string]string{policy.ModeKey: words[2]}
	}
	return np
}

// No policy that is suggested has the name of one that is enforced, nor of one that is
// audited and selects other Pods; what is suggested anew takes the place of what was
// suggested before.
func TestExistingPoliciesStay(t *testing.T) {
	for name, tt := range map[string]struct {
		existing []string
		// label is the mode of the namespace.
		label   string
		audited bool
		// name and mode are those of the policy for api.
		name, mode, note string
	}{
		"there is none":             {nil, "", true, "api", "audit", ""},
		"enforced":                  {[]string{"api api"}, "", true, "api-2", "audit", "policy shop/api is there, and stays as it is: the one suggested is called api-2"},
		"enforced, by its word":     {[]string{"api api enforce"}, "audit", true, "api-2", "audit", "policy shop/api is there, and stays as it is: the one suggested is called api-2"},
		"enforced, by a wrong word": {[]string{"api api audti"}, "", true, "api-2", "audit", "policy shop/api is there, and stays as it is: the one suggested is called api-2"},
		"the next name, too":        {[]string{"api api", "api-2 x"}, "", true, "api-3", "audit", "policy shop/api is there, and stays as it is: the one suggested is called api-3"},
		"suggested before":          {[]string{"api api audit"}, "", true, "api", "audit", "policy shop/api is there, audited, for the same Pods: this one replaces it"},
		"suggested beside one":      {[]string{"api api", "api-2 api audit"}, "", true, "api-2", "audit", "policy shop/api-2 is there, audited, for the same Pods: this one replaces it; policy shop/api is there, and stays as it is: the one suggested is called api-2"},
		"audited by the namespace":  {[]string{"api api"}, "audit", true, "api", "audit", "policy shop/api is there, audited, for the same Pods: this one replaces it"},
		"audited, for other Pods":   {[]string{"api web audit"}, "", true, "api-2", "audit", "policy shop/api is there, and stays as it is: the one suggested is called api-2"},
		"to be enforced":            {[]string{"api api"}, "", false, "api-2", "", "policy shop/api is there, and stays as it is: the one suggested is called api-2"},
		"enforced after a trial":    {[]string{"api api audit"}, "", false, "api", "", "policy shop/api is there, audited, for the same Pods: this one replaces it"},
		"enforced in a trial":       {nil, "audit", false, "api", "enforce", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, "10.0.2.1 10.0.0.3:9000/TCP")
			in.Audited, in.NamespaceLabels = tt.audited, map[string]map[string]string{"shop": {}}
			if tt.label != "" {
				in.NamespaceLabels["shop"][policy.ModeKey] = tt.label
			}
			for _, s := range tt.existing {
				in.Existing = append(in.Existing, there(s))
			}
			got, err := Make(in)
			if err != nil || len(got.Policies) != 1 {
				t.Fatalf("%v %+v", err, got)
			}
			np := got.Policies[0]
			if np.Name != tt.name || np.Annotations[policy.ModeKey] != tt.mode {
				t.Errorf("%s is suggested, mode %q", np.Name, np.Annotations[policy.ModeKey])
			}
			notes := slices.DeleteFunc(got.Notes, func(n string) bool { return strings.Contains(n, "none was seen") })
			if diff := cmp.Diff(tt.note, strings.Join(notes, "; ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Audited policies, applied beside whatever there is, change no verdict: the naive
// evaluator and the index say the same of all flows as before.
func TestAuditedSuggestionsChangeNoVerdict(t *testing.T) {
	replaced, avoided := 0, 0
	for seed := range uint64(120) {
		r := spectest.Seeded(seed)
		c := spectest.Random(r, spectest.Options{Plain: true, Modes: true, Invalid: seed%4 == 0, Pods: 3 + r.IntN(15), Namespaces: 1 + r.IntN(3), Policies: 6})
		in := inputOf(t, c)
		for range 1 + r.IntN(30) {
			f := c.RandomFlow(r)
			in.Flows = append(in.Flows, Flow{Src: End{Addr: f.Src}, Dst: End{Addr: f.Dst}, Protocol: policy.Protocol(f.Protocol), Port: f.Port})
		}
		alone, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		// What is there gets the names and selectors that would be suggested.
		for i, np := range c.Policies {
			if i >= len(alone.Policies) {
				break
			}
			np.Namespace, np.Name = alone.Policies[i].Namespace, alone.Policies[i].Name
			if r.IntN(2) == 0 {
				np.Spec.PodSelector = alone.Policies[i].Spec.PodSelector
			}
		}
		in.Existing, in.Audited = c.Policies, true
		got, err := Make(in)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		after := *c
		after.Policies = applied(c.Policies, got.Policies)
		replaced += len(c.Policies) + len(got.Policies) - len(after.Policies)
		for _, n := range got.Notes {
			if strings.Contains(n, "stays as it is") {
				avoided++
			}
		}
		for range 60 {
			f := c.RandomFlow(r)
			egress, ingress := c.Allowed(f)
			nowEgress, nowIngress := after.Allowed(f)
			if egress != nowEgress || ingress != nowIngress {
				t.Fatalf("seed %d: %+v: egress %v and ingress %v, with what is suggested %v and %v", seed, f, egress, ingress, nowEgress, nowIngress)
			}
		}
	}
	if replaced < 10 || avoided < 10 {
		t.Errorf("%d policies were replaced and %d names avoided: nothing is shown", replaced, avoided)
	}
}

// inputOf is about all Pods and namespaces of a cluster.
func inputOf(t *testing.T, c *spectest.Cluster) *Input {
	t.Helper()
	in := &Input{NamespaceLabels: map[string]map[string]string{}}
	for _, p := range c.Pods {
		if !slices.ContainsFunc(c.Namespaces, func(ns *corev1.Namespace) bool { return ns.Name == p.Namespace }) {
			c.Namespaces = append(c.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.Namespace}})
		}
		pod, err := policy.PodFromAPI(p)
		if err != nil {
			t.Fatal(err)
		}
		in.Pods = append(in.Pods, pod)
	}
	for _, ns := range c.Namespaces {
		ns.Labels = maps.Clone(ns.Labels)
		if ns.Labels == nil {
			ns.Labels = map[string]string{}
		}
		ns.Labels["kubernetes.io/metadata.name"] = ns.Name // as the API server has it
		in.NamespaceLabels[ns.Name] = ns.Labels
		in.Namespaces = append(in.Namespaces, ns.Name)
	}
	return in
}

// applied has policies replace those of their names.
func applied(existing, more []*networkingv1.NetworkPolicy) []*networkingv1.NetworkPolicy {
	out := slices.DeleteFunc(slices.Clone(existing), func(np *networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(more, func(o *networkingv1.NetworkPolicy) bool { return nameOf(o) == nameOf(np) })
	})
	return append(out, more...)
}

// Whatever gives policies their names: one that would take the place of an enforced one is
// not suggested.
func TestAReplacementIsRefused(t *testing.T) {
	in := input(t)
	in.Audited = true
	m := &maker{in: in, existing: map[types.NamespacedName]*networkingv1.NetworkPolicy{}}
	m.groups = groups(in.Pods, func(*group, string) bool { return false })
	for _, mode := range []string{"", "audit"} {
		np := there("api api " + mode)
		m.existing[nameOf(np)], m.out.Policies = np, []*networkingv1.NetworkPolicy{there("api api audit")}
		err := m.verifyUnchanged()
		if refused := err != nil; refused != (mode == "") {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
}

// A policy's name is one that the API server takes, whatever the labels are.
func TestNamesAreNames(t *testing.T) {
	for value, want := range map[string]string{"web": "web", "Web_1": "web-1", "a..b": "a--b", "v1.2": "v1-2", "x_.y": "x--y"} {
		g := &group{selector: map[string]string{"app": value}}
		if got := g.wantedName(); got != want || len(validation.IsDNS1123Subdomain(got)) > 0 {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
}
