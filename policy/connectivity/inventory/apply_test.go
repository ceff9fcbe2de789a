package inventory_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/manifest"
)

// applied are the workloads of a cluster to which a change was applied, with their
// addresses and labels.
func applied(t *testing.T, set, change string) []string {
	t.Helper()
	before, by := read(t, set, false), read(t, change, true)
	untouched := described(before)
	merged := inventory.Apply(before, by)
	if diff := cmp.Diff(untouched, described(before)); diff != "" {
		t.Errorf("the set was changed:\n%s", diff)
	}
	return described(&merged)
}

func read(t *testing.T, text string, addition bool) *manifest.Set {
	t.Helper()
	l := manifest.Loader{Repository: true, Addition: addition}
	l.Add("f.yaml", []byte(text))
	out, problems := l.Finish()
	for _, p := range problems {
		if !p.Notice {
			t.Fatal(p)
		}
	}
	return &out
}

func described(set *manifest.Set) (out []string) {
	for _, w := range inventory.Cluster(set).Workloads {
		out = append(out, describe(&w))
	}
	return out
}

func describe(w *connectivity.Workload) string {
	out := w.Kind + " " + w.Name + " app=" + w.Labels["app"]
	for _, a := range w.Addrs {
		out += " " + a.String()
	}
	return out
}

// What kubectl apply leaves alone stays: labels and annotations that others gave.
func TestApplyKeepsWhatOthersGave(t *testing.T) {
	ns := func(meta string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop" + meta + "}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: shop, name: p" + meta + "}\nspec: {podSelector: {}}\n"
	}
	before := read(t, ns(`, labels: {team: a, ours: x, stays: old}, annotations: {sluice-net.github.io/mode: audit, kubectl.kubernetes.io/last-applied-configuration: '{"metadata": {"labels": {"ours": "x"}}}'}`), false)
	merged := inventory.Apply(before, read(t, ns(`, labels: {stays: new}`), true))
	want := map[string]string{"team": "a", "stays": "new", "kubernetes.io/metadata.name": "shop"}
	if diff := cmp.Diff(want, merged.Namespaces[0].Labels); diff != "" {
		t.Errorf("labels of the Namespace (-want +got):\n%s", diff)
	}
	if merged.Policies[0].Annotations["sluice-net.github.io/mode"] != "audit" || before.Policies[0].Labels["ours"] != "x" {
		t.Errorf("the policy has %v, and had %v", merged.Policies[0].Annotations, before.Policies[0].Labels)
	}
}

func TestApply(t *testing.T) {
	running := deployment + replicaSet + pod("web-1f-x", owner("ReplicaSet", "web-1f"), "app: web, pod-template-hash: 1f", "10.0.0.1")
	bare := pod("bare", "", "app: bare", "10.0.0.2")
	for _, tt := range []struct {
		name, set, change string
		want              []string
	}{
		{"nothing", running + bare, "", []string{"Deployment web app=web 10.0.0.1", "Pod bare app=bare 10.0.0.2"}},
		{"the same", running + bare, deployment, []string{"Deployment web app=web 10.0.0.1", "Pod bare app=bare 10.0.0.2"}},
		{"another template", running + bare, strings.ReplaceAll(deployment, "app: web", "app: new"), []string{"Pod bare app=bare 10.0.0.2", "Deployment web app=new"}},
		{"one more", bare, deployment, []string{"Pod bare app=bare 10.0.0.2", "Deployment web app=web"}},
		{"another Pod of the name", running + bare, pod("bare", "", "app: other", "10.0.0.3"), []string{"Deployment web app=web 10.0.0.1", "Pod bare app=other 10.0.0.3"}},
		{"a name in another namespace", running, strings.ReplaceAll(deployment, "namespace: shop", "namespace: elsewhere"), []string{"Deployment web app=web 10.0.0.1", "Deployment web app=web"}},
	} {
		if diff := cmp.Diff(tt.want, applied(t, tt.set, tt.change)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
