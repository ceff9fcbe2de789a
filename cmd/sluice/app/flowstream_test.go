package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/denials"
)

func passedLine(from, fromAddr, to, toAddr string, port int) string {
	return fmt.Sprintf(`{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"Flow","time":"2026-11-30T12:00:00Z","node":"n1",`+
		`"src":{"kind":"Pod","namespace":"shop","pod":%q,"address":%q},"dst":{"kind":"Pod","namespace":"shop","pod":%q,"address":%q},"protocol":"TCP","port":%d}`+"\n",
		from, fromAddr, to, toAddr, port)
}

// passes is an agent that tells of flows, and goes on.
func passes(asked *denials.Query, lines string) map[string]http.Handler {
	return map[string]http.Handler{flowsPath: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked, _ = denials.ParseQuery(r.URL.Query())
		_, _ = fmt.Fprint(w, lines)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})}
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
