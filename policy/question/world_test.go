package question

import (
	"errors"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
)

// fixture is a file of testdata in which words are replaced.
func fixture(t testing.TB, name string, oldNew ...string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(oldNew...).Replace(string(text))
}

// load reads manifests, of which notices are nobody's business here.
func load(t testing.TB, text string) manifest.Set {
	t.Helper()
	var loader manifest.Loader
	loader.Add("test", []byte(text))
	set, problems := loader.Finish()
	for _, p := range problems {
		if !p.Notice {
			t.Fatal(p)
		}
	}
	return set
}

// told is the answer to a question as Parse reads it, or the error, as text: the
// result, what was asked, the notices, and of each outcome its ends, notices and
// reasons.
func told(t testing.TB, w *World, src, dst string) string {
	t.Helper()
	q, err := Parse(src, dst, "default")
	if err != nil {
		t.Fatal(err)
	}
	q.GuessPort = true
	a, err := w.Ask(q)
	if err != nil {
		return "error: " + err.Error()
	}
	w.Explain(&a)
	lines := []string{strings.ToUpper(string(a.Result())) + "  " + a.Name(), "through " + a.Through}
	lines = append(lines, a.Notices...)
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		f := o.Path.Flow()
		lines = append(lines, FlowName(f), "from "+f.Src.Addr.String(), "to "+f.Dst.Addr.String())
		lines = append(lines, o.Path.Notices...)
		lines = append(lines, Reason(o.Path.Egress, o.Verdict.Egress), Reason(f, o.Verdict.Ingress))
	}
	return strings.Join(lines, "\n")
}

// A world of a cluster names what a question needs, all of it that is known at
// once, and asks for nothing twice.
func TestMissing(t *testing.T) {
	set := load(t, fixture(t, "town.yaml"))
	manifests := New(set)
	for _, tt := range []struct{ src, dst, needs string }{
		{"client", "default/api-1:80", ""},
		{"client", "svc/api", "Service; EndpointSlice default api"},
		{"deploy/api", "client:1", "Deployment default; ReplicaSet default"},
		{"cronjob/nightly", "client:1", "CronJob default; Job default"},
		{"203.0.113.7", "node/b:30080", "Node; Service; EndpointSlice default api"},
		{"client", "203.0.113.9:80", "Service; Node"},
		{"203.0.113.7", "192.168.0.1:22", "Service; Node"},
		{"internet", "client:1", "Node"},
	} {
		core := set
		core.Services, core.EndpointSlices, core.Nodes, core.Workloads = nil, nil, nil, nil
		w := NewLive(core)
		q, err := Parse(tt.src, tt.dst, "default")
		if err != nil {
			t.Fatal(err)
		}
		q.GuessPort = true
		var needs []string
		for {
			var missing *Missing
			a, err := w.Ask(q)
			if !errors.As(err, &missing) {
				// Of a cluster without EndpointSlices a Service leads nowhere.
				if want := told(t, manifests, tt.src, tt.dst); !strings.Contains(tt.needs, "Slice") && (err != nil || !strings.HasPrefix(want, strings.ToUpper(string(a.Result())))) {
					t.Errorf("%s → %s: %v %v, of manifests %s", tt.src, tt.dst, a.Result(), err, want)
				}
				break
			}
			for _, n := range missing.Needs {
				needs = append(needs, strings.Join(strings.Fields(string(n.Kind)+" "+n.Namespace+" "+n.Service), " "))
				w.Supply(n, manifest.Set{Services: set.Services, Nodes: set.Nodes, Workloads: set.Workloads}, nil)
			}
			if len(needs) > 10 {
				t.Fatalf("%s → %s: it asks for ever: %v", tt.src, tt.dst, needs)
			}
		}
		if got := strings.Join(needs, "; "); got != tt.needs {
			t.Errorf("%s → %s needs %q, want %q", tt.src, tt.dst, got, tt.needs)
		}
	}
}

// Who may not list Nodes is told that addresses of nodes may be among those of the internet.
func TestInternetWithoutNodes(t *testing.T) {
	w := NewLive(load(t, fixture(t, "town.yaml")))
	w.Supply(Need{Kind: KindNode}, manifest.Set{}, apierrors.NewForbidden(corev1.Resource("nodes"), "", nil))
	a, err := w.Ask(Question{Src: End{Kind: KindInternet}, Dst: PodEnd("default", "client"), Protocol: policy.TCP, Port: "1"})
	if err != nil || !strings.Contains(strings.Join(a.Notices, "\n"), "only nodes that run Pods are known") {
		t.Errorf("%v, %v", a.Notices, err)
	}
}
