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
	read := func(text string, addition bool) *manifest.Set {
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
	before, by := read(set, false), read(change, true)
	untouched := described(before)
	merged := inventory.Apply(before, by)
	if diff := cmp.Diff(untouched, described(before)); diff != "" {
		t.Errorf("the set was changed:\n%s", diff)
	}
	return described(&merged)
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
