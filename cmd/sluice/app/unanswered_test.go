package app

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// claims are what commands say of what agents told.
var claims = []string{"No denials are remembered", " passed", "READY", "none that passed", "different flow"}

// Where no agent can be asked, the exit code says so, and nothing is said of what none told.
// Where some can, what is said is of these.
func TestWhereAgentsDoNotAnswer(t *testing.T) {
	policy := write(t, "p.yaml", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}}}")
	var asked denials.Query
	all := passes(&asked, passedLine("web", "10.0.0.1", "db", "10.0.0.2", 5432))
	all[nodestatus.StatusPath] = agentPaths(aNode(), nil)[nodestatus.StatusPath]
	all[nodestatus.DenialsPath] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		if r.URL.Query().Get("follow") != "" {
			<-r.Context().Done()
		}
	})
	holds := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	const long, brief = "1500ms", "300ms"
	for _, tt := range []struct {
		name string
		args []string
		// some is what is said where one of two nodes answers, with exit code 1.
		some string
		// follows: it goes on until its time is over.
		follows bool
	}{
		{"status", []string{"status"}, "n1    yes", false},
		{"status of objects", []string{"status", "-n", "shop"}, "n1    yes", false},
		{"observe", []string{"observe"}, "No denials are remembered by the nodes that answered.\n", false},
		{"observe, JSON", []string{"observe", "-o", "json"}, "", false},
		{"observe -f", []string{"observe", "-f"}, "", true},
		{"observe --allowed", []string{"observe", "--allowed"}, "shop/web → shop/db:5432/TCP  ALLOWED", true},
		{"try", []string{"try", "-f", policy}, "1 flow passed on the nodes that answered, 1 of them would be denied", true},
		{"suggest", []string{"suggest", "-n", "shop"}, "kind: NetworkPolicy", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serverOfShop(t)
			s.Node("n1", mayRead(), all)
			s.Node("n2", mayRead(), all)
			ask := func(s *agentstest.Server, within string) result {
				args := append(slices.Clone(tt.args), "--kubeconfig", kubeconfigFor(t, s, "mine"))
				if tt.follows {
					args = append(args, "--for", within)
				}
				return sluice(t, "", args...)
			}
			s.Break("n2")
			got := ask(s, long)
			if got.code != exitFailed || !strings.Contains(got.out+got.err, tt.some) || !strings.Contains(got.err, "error: node n2: ask the agent: ") {
				t.Errorf("one of two answers: code %d\n%s%s", got.code, got.out, got.err)
			}
			s.Break("n1")
			nobodyAnswered(t, "nobody answers", ask(s, brief), "error: node n1: ")
			if tt.follows {
				s := serverOfShop(t)
				s.Node("n1", mayRead(), map[string]http.Handler{nodestatus.DenialsPath: holds, nodestatus.FlowsPath: holds})
				nobodyAnswered(t, "it is over before anybody answers", ask(s, brief), "error: node n1: it did not answer within the time\n")
			}
		})
	}
}

// serverOfShop is a cluster with two Pods, and no policy.
func serverOfShop(t *testing.T) *agentstest.Server {
	s := agentstest.New(t)
	s.Set("/api/v1/pods", addressed("web", "10.0.0.1"), addressed("db", "10.0.0.2"))
	s.Set("/api/v1/namespaces", namespaceNamed("shop"))
	s.Set("/apis/networking.k8s.io/v1/networkpolicies")
	s.Set(shopPods)
	s.Set(shopPolicies)
	return s
}

// A socket behind which nobody is, and an agent whose answer is of no use.
func TestNoDenialsAreOnlyClaimedOfWhoTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{{"status"}, {"status", "-A"}, {"observe"}, {"observe", "-f", "--for", "300ms"}, {"observe", "--allowed", "--for", "300ms"}} {
		nobodyAnswered(t, strings.Join(args, " "), sluice(t, "", append(args, "--socket", socket)...), "error: this node: ask the agent: dial unix ")
	}
	s := agentstest.New(t)
	s.Node("n1", mayRead(), tells(func(denials.Query, int) (string, bool) { return "what is this\n", false }))
	got := sluice(t, "", "observe", "--kubeconfig", kubeconfigFor(t, s, "mine"))
	if got.code != exitFailed || strings.Contains(got.err, "No denials") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
	s.Node("n1", mayRead(), tells(func(denials.Query, int) (string, bool) { return "", false }))
	got = sluice(t, "", "observe", "--kubeconfig", kubeconfigFor(t, s, "mine"))
	if got.code != exitOK || got.err != "No denials are remembered.\n" {
		t.Errorf("code %d: %s", got.code, got.err)
	}
}

func nobodyAnswered(t *testing.T, what string, got result, why string) {
	t.Helper()
	if got.code != exitUnusable || !strings.Contains(got.err, why) {
		t.Errorf("%s: code %d\n%s%s", what, got.code, got.out, got.err)
	}
	for _, claim := range claims {
		if strings.Contains(got.out+got.err, claim) {
			t.Errorf("%s: %q is said, and nobody has told\n%s%s", what, claim, got.out, got.err)
		}
	}
}
