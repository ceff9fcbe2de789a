package enforcer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/enforcer/source"
)

// What a source reports is in the agent's readiness and metrics at once.
func TestAgentShowsWhatItsSourceReports(t *testing.T) {
	registry := prometheus.NewRegistry()
	a, err := New(Config{}, &source.Memory{}, nil, registry)
	must(t, err)
	a.status.setSynced()
	a.status.setEnforcing(1, time.Now())
	desk := &sourceDesk{Mailbox: a.box, agent: a, ctx: context.Background(), conditions: map[string]Condition{}}
	desk.Report("watch of pods", source.Trouble{What: "SourceSilent", Object: "pods", Message: "no answer", Mend: "check it"})
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "SourceSilent (pods): no answer; check it") {
		t.Errorf("ready: %v", err)
	}
	if s := a.Status(); len(s.SourceErrors) != 0 || len(s.Conditions) != 1 {
		t.Errorf("status %+v", s)
	}
	if v := gaugeOf(t, registry, "sluice_conditions", "SourceSilent"); v != 1 {
		t.Errorf("sluice_conditions is %v", v)
	}
	desk.Report("watch of pods", nil)
	if err := a.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	desk.Report("a.yaml", errors.New("broken"))
	if s := a.Status(); s.SourceErrors["a.yaml"] == nil || gaugeOf(t, registry, "sluice_ready", "") != 0 {
		t.Errorf("status %+v", s)
	}
	at := time.Unix(1_700_000_000, 0)
	desk.Heard(source.PolicyEvent, at)
	if v := gaugeOf(t, registry, "sluice_source_last_event_timestamp_seconds", "NetworkPolicy"); v != float64(at.Unix()) {
		t.Errorf("last event at %v", v)
	}
	if err := a.Alive(); err != nil {
		t.Errorf("a source's trouble is no reason to be restarted: %v", err)
	}
}

// What a source has to tell is a kind of condition, or nobody knows what follows from it.
func TestTroublesOfSourcesAreKinds(t *testing.T) {
	files, err := filepath.Glob("source/*.go")
	must(t, err)
	kinds := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		must(t, err)
		for _, m := range regexp.MustCompile(`"((?:Source|Node)[A-Z][a-z]+)"`).FindAllSubmatch(data, -1) {
			kinds[string(m[1])] = true
		}
	}
	if len(kinds) < 6 {
		t.Errorf("only %v were found", kinds)
	}
	for what := range kinds {
		if !slices.ContainsFunc(ConditionKinds, func(k ConditionKind) bool { return k.What == what }) {
			t.Errorf("%s is no kind of condition", what)
		}
	}
}

// gaugeOf reads a gauge, by the value of its only label if it has one.
func gaugeOf(t *testing.T, g prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := g.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && (len(m.Label) == 0 || m.Label[0].GetValue() == label) {
				return m.Gauge.GetValue()
			}
		}
	}
	t.Fatalf("no gauge %s of %s", name, label)
	return 0
}
