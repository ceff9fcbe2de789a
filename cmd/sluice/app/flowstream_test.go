package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

func passedLine(from, fromAddr, to, toAddr string, port int) string {
	return fmt.Sprintf(`{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"Flow","time":"2026-11-30T12:00:00Z","node":"n1",`+
		`"src":{"kind":"Pod","namespace":"shop","pod":%q,"address":%q},"dst":{"kind":"Pod","namespace":"shop","pod":%q,"address":%q},"protocol":"TCP","port":%d}`+"\n",
		from, fromAddr, to, toAddr, port)
}

// passes is an agent that tells of flows, and goes on.
func passes(asked *denials.Query, lines string) map[string]http.Handler {
	return map[string]http.Handler{nodestatus.FlowsPath: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked, _ = denials.ParseQuery(r.URL.Query())
		_, _ = fmt.Fprint(w, lines)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})}
}

// addressed is a Pod of shop with a label and an address.
func addressed(name, addr string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.Labels = "shop", name, map[string]string{"app": name}
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, addr, []corev1.PodIP{{IP: addr}}
	return p
}

func namespaceNamed(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// What passes on all nodes is shown until the time is over, each group once in a while,
// and as it came in JSON.
func TestObserveAllowed(t *testing.T) {
	s := agentstest.New(t)
	var asked, other denials.Query
	s.Node("n1", mayRead(), passes(&asked, passedLine("web", "10.0.0.1", "db", "10.0.0.2", 5432)+passedLine("web", "10.0.0.1", "db", "10.0.0.2", 5432)))
	s.Node("n2", mayRead(), passes(&other, passedLine("api", "10.0.0.3", "db", "10.0.0.2", 5432)+`{"kind":"FlowsMissed","missed":3}`+"\n"))
	kubeconfig := kubeconfigFor(t, s, "mine")
	got := sluice(t, "", "observe", "--kubeconfig", kubeconfig, "-n", "shop", "--allowed", "--for", "2500ms")
	if got.code != exitOK || strings.Count(got.out, "shop/web → shop/db:5432/TCP  ALLOWED") != 1 || strings.Count(got.out, "shop/api → shop/db:5432/TCP  ALLOWED") != 1 {
		t.Errorf("%+v", got)
	}
	if asked.Namespace != "shop" {
		t.Errorf("asked for %+v", asked)
	}
	got = sluice(t, "", "observe", "--kubeconfig", kubeconfig, "--allowed", "--for", "1500ms", "-o", "json")
	if got.code != exitOK || strings.Count(got.out, "\n") != 4 || strings.Count(got.out, `"kind":"Flow"`) != 3 {
		t.Errorf("%+v", got)
	}
}

// Flows that pass are judged with the policies that are tried, by whom has the addresses,
// and nothing is asked of the cluster but objects.
func TestTry(t *testing.T) {
	s := agentstest.New(t)
	s.Set("/api/v1/pods", addressed("web", "10.0.0.1"), addressed("db", "10.0.0.2"), addressed("api", "10.0.0.3"))
	s.Set("/api/v1/namespaces", namespaceNamed("shop"))
	s.Set("/apis/networking.k8s.io/v1/networkpolicies")
	var asked denials.Query
	s.Node("n1", mayRead(), passes(&asked, passedLine("web", "10.0.0.1", "db", "10.0.0.2", 5432)+
		passedLine("api", "10.0.0.3", "db", "10.0.0.2", 5432)+passedLine("api", "10.0.0.3", "db", "10.0.0.2", 5432)))
	kubeconfig := kubeconfigFor(t, s, "mine")
	const dbFromAPI = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, annotations: {sluice-net.github.io/mode: audit}}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: %s}}}]}]
`
	strict := write(t, "strict.yaml", fmt.Sprintf(dbFromAPI, "api"))
	got := sluice(t, "", "try", "-f", strict, "--kubeconfig", kubeconfig, "--for", "1500ms")
	if got.code != exitFailed || !strings.Contains(got.err, "2 different flows passed, 1 of them would be denied") ||
		!strings.Contains(got.out, "shop/web → shop/db:5432/TCP  WOULD DENY ingress: ") || strings.Contains(got.out, "shop/api →") {
		t.Errorf("%+v", got)
	}
	loose := write(t, "loose.yaml", strings.Replace(fmt.Sprintf(dbFromAPI, "api"), "podSelector: {matchLabels: {app: api}}", "podSelector: {}", 1))
	got = sluice(t, "", "try", "-f", loose, "--kubeconfig", kubeconfig, "--for", "1500ms")
	if got.code != exitOK || got.out != "" || !strings.Contains(got.err, "2 different flows passed, 0 of them would be denied") {
		t.Errorf("%+v", got)
	}
	for _, request := range s.Asked() {
		if !strings.HasPrefix(request, "GET ") && !strings.HasSuffix(request, "/token") {
			t.Errorf("it has asked for %s", request)
		}
	}
}
