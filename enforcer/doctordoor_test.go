package enforcer

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/enforcer/source"
)

// Each condition that the agent has is told by doctor under a check that knows how bad it
// is: a problem is what leaves the node not ready.
func TestDoctorKnowsEveryCondition(t *testing.T) {
	known := map[string]bool{}
	for _, c := range diagnosis.Checks {
		for what := range c.Conditions {
			known[what] = true
		}
	}
	for _, k := range ConditionKinds {
		if !known[k.What] {
			t.Errorf("no check tells of %s", k.What)
		}
		_, state := diagnosis.OfCondition(nodestatus.Condition{What: k.What, NotReady: k.NotReady})
		if (state == diagnosis.Problem) != k.NotReady {
			t.Errorf("%s is a %s, and leaves the node not ready: %v", k.What, state, k.NotReady)
		}
		delete(known, k.What)
	}
	for what := range known {
		t.Errorf("a check tells of %s, which is no condition", what)
	}
}

// The agent looks at its node when it is asked, and says of itself what it says elsewhere.
func TestAgentDiagnosesItsNode(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.InspectInterval, cfg.Version = 20*time.Millisecond, "v9" })
	a.set(c.objects()...)
	c.node.nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; chain KUBE-ROUTER-FORWARD { }; }")
	eventually(t, "the chain is told", func() bool {
		return slices.ContainsFunc(a.Status().Conditions, func(c Condition) bool { return c.What == "DropPolicy" })
	})
	ask := func(query string, want int) string {
		t.Helper()
		w := httptest.NewRecorder()
		a.guardedPaths()[diagnosis.Path].ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, diagnosis.Path+query, nil))
		if w.Code != want {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	n, err := diagnosis.ParseNode([]byte(ask("?ruleset=true", http.StatusOK)))
	must(t, err)
	for check, want := range map[string]diagnosis.State{
		diagnosis.IDAgent: diagnosis.OK, diagnosis.IDChains: diagnosis.Warning, diagnosis.IDEngines: diagnosis.Warning, diagnosis.IDBridges: diagnosis.OK,
		diagnosis.IDNftables: diagnosis.OK, diagnosis.IDNft: diagnosis.OK, diagnosis.IDKernel: diagnosis.OK,
	} {
		of := slices.DeleteFunc(slices.Clone(n.Findings), func(f diagnosis.Finding) bool { return f.Check != check })
		if len(of) == 0 || diagnosis.Worst(of) != want {
			t.Errorf("%s: %+v, want %s", check, of, want)
		}
	}
	if n.Version != "v9" || n.Facts.Agent == nil || !n.Facts.Agent.Ready || len(n.Facts.OurTables) == 0 || n.Facts.CNI != nil {
		t.Errorf("%+v", n.Facts)
	}
	if !strings.Contains(n.Ruleset, "table inet sluice") || strings.Contains(n.Ruleset, "KUBE-ROUTER") {
		t.Errorf("not our ruleset, and nobody else's:\n%.300s", n.Ruleset)
	}
	if text := ask("", http.StatusOK); strings.Contains(text, `"ruleset"`) || !json.Valid([]byte(text)) {
		t.Error("a ruleset that nobody asked for")
	}
	ask("?everything=true", http.StatusBadRequest)
	who, runs := AgentAtWork(c.node)
	if !runs || who == "" {
		t.Errorf("nobody is at work: %q", who)
	}
	a.stop()
	if who, runs := AgentAtWork(c.node); runs {
		t.Errorf("after it stopped %s is at work", who)
	}
}
