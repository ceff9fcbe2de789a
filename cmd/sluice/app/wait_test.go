package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// script is an agent that answers waits as it is told: the function gets the question,
// and how many came before it.
type script func(w nodestatus.Wait, n int) nodestatus.State

func (f script) paths() map[string]http.Handler {
	var mu sync.Mutex
	n := 0
	return map[string]http.Handler{nodestatus.WaitPath: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := nodestatus.ParseWait(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		state := f(q, n)
		n++
		mu.Unlock()
		if state == "busy" {
			http.Error(w, "too many wait", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(nodestatus.Answer{APIVersion: nodestatus.APIVersion, Kind: nodestatus.AnswerKind, State: state, Message: "so it is"})
	})}
}

func TestWait(t *testing.T) {
	enforced := script(func(nodestatus.Wait, int) nodestatus.State { return nodestatus.Enforced })
	always := func(state nodestatus.State) script {
		return func(nodestatus.Wait, int) nodestatus.State { return state }
	}
	for _, tt := range []struct {
		name   string
		args   []string
		agents map[string]script
		// rv is the policy's in the API, empty for none.
		rv       string
		code     int
		out, err string
	}{
		{"all enforce it", nil, map[string]script{"n1": enforced, "n2": enforced}, "10", exitOK, "netpol/db in namespace shop is enforced on 2 nodes", ""},
		{"the very version", nil, map[string]script{"n1": func(w nodestatus.Wait, _ int) nodestatus.State {
			if w.UID == "uid-db" && w.ResourceVersion == "10" && w.Kind == nodestatus.PolicyObject && w.Name.String() == "shop/db" {
				return nodestatus.Enforced
			}
			return nodestatus.Gone
		}}, "10", exitOK, "enforced on 1 nodes", ""},
		{"one is late, busy and not ready", nil, map[string]script{"n1": enforced, "n2": func(_ nodestatus.Wait, n int) nodestatus.State {
			return []nodestatus.State{nodestatus.Absent, "busy", nodestatus.Pending, nodestatus.Blocked, nodestatus.Enforced}[min(n, 4)]
		}}, "10", exitOK, "enforced on 2 nodes", ""},
		{"one never does", []string{"--timeout", "300ms"}, map[string]script{"n1": enforced, "n2": always(nodestatus.Blocked)}, "10", exitFailed, "", "error: node n2: Blocked: so it is\nerror: netpol/db in namespace shop is not enforced on 1 of 2 nodes\n"},
		{"one is without an agent", nil, map[string]script{"n1": enforced, "n2": nil}, "10", exitFailed, "", "node n2: no agent runs there"},
		{"which does not matter", []string{"--ignore-nodes-without-agent"}, map[string]script{"n1": enforced, "n2": nil}, "10", exitOK, "enforced on 1 nodes", ""},
		{"no such policy", nil, map[string]script{"n1": enforced}, "", exitUnusable, "", "there is no netpol/db in namespace shop"},
		{"another of the name", []string{"--uid", "before"}, map[string]script{"n1": enforced}, "10", exitUnusable, "", "not that of --uid"},
		{"it is gone", []string{"--for", "deleted"}, map[string]script{"n1": enforced, "n2": always(nodestatus.Absent)}, "", exitOK, "is deleted on 2 nodes", ""},
		{"it is not gone", []string{"--for", "deleted", "--timeout", "300ms"}, map[string]script{"n1": always(nodestatus.Pending), "n2": always(nodestatus.Absent)}, "10", exitFailed, "", "not deleted on 2 of 2 nodes"},
		{"gone, by its UID", []string{"--for", "deleted", "--uid", "before"}, map[string]script{"n1": func(w nodestatus.Wait, _ int) nodestatus.State {
			if w.Deleted && w.UID == "before" {
				return nodestatus.Absent
			}
			return nodestatus.Pending
		}}, "10", exitOK, "is deleted on 1 nodes", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := agentstest.New(t)
			s.Set(shopPolicies)
			if tt.rv != "" {
				s.Set(shopPolicies, apiPolicy("db", tt.rv))
			}
			for _, node := range []string{"n1", "n2"} {
				f, there := tt.agents[node]
				switch {
				case f != nil:
					s.Node(node, mayRead(), f.paths())
				case there:
					s.Node(node, nil, nil)
				}
			}
			got := sluice(t, "", append([]string{"wait", "netpol/db", "--kubeconfig", kubeconfigFor(t, s, "mine")}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.out, tt.out) || !strings.Contains(got.err, tt.err) || tt.err == "" && got.err != "" {
				t.Errorf("code %d\n%s%s", got.code, got.out, got.err)
			}
		})
	}
}

// A version that a node jumped over is waited for in the later one that the API has; a
// policy that was deleted or made anew is not.
func TestWaitFollowsTheAPI(t *testing.T) {
	s := agentstest.New(t)
	s.Set(shopPolicies, apiPolicy("db", "10"))
	then := apiPolicy("db", "12")
	s.Node("n1", mayRead(), script(func(w nodestatus.Wait, n int) nodestatus.State {
		if n == 0 {
			s.Set(shopPolicies, then)
			return nodestatus.Other
		}
		if w.ResourceVersion == "12" {
			return nodestatus.Enforced
		}
		return nodestatus.Other
	}).paths())
	s.Node("n2", mayRead(), script(func(w nodestatus.Wait, _ int) nodestatus.State {
		if w.ResourceVersion == "10" {
			return nodestatus.Enforced // it saw the version itself
		}
		return nodestatus.Pending
	}).paths())
	kubeconfig := kubeconfigFor(t, s, "mine")
	got := sluice(t, "", "wait", "netpol/db", "--kubeconfig", kubeconfig)
	if got.code != exitOK {
		t.Errorf("code %d: %s", got.code, got.err)
	}

	s = agentstest.New(t)
	s.Set(shopPolicies, apiPolicy("db", "10"))
	s.Node("n1", mayRead(), script(func(nodestatus.Wait, int) nodestatus.State {
		s.Set(shopPolicies)
		return nodestatus.Gone
	}).paths())
	s.Node("n2", mayRead(), script(func(nodestatus.Wait, int) nodestatus.State { return nodestatus.Pending }).paths())
	got = sluice(t, "", "wait", "netpol/db", "--kubeconfig", kubeconfigFor(t, s, "mine"))
	if got.code != exitFailed || !strings.Contains(got.err, "the object is not there any more: it was deleted") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
}
