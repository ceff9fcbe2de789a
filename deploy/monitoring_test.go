package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/nri"
	"github.com/sluice-net/sluice/enforcer/source"
)

// metric is one that an agent registers.
type metric struct {
	kind, help string
	labels     []string
}

// registered is a Registerer that keeps what it is given: a metric without a value yet
// is gathered nowhere.
type registered struct {
	t   *testing.T
	all map[string]metric
}

var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "(.*?)"(?:, unit: "[^"]*")?, constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func (r *registered) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc, 16)
	c.Describe(ch)
	close(ch)
	for d := range ch {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			return fmt.Errorf("a metric is described as %s", d)
		}
		var labels []string
		for _, pair := range strings.Split(m[3], ",") {
			if name, _, ok := strings.Cut(pair, "="); ok {
				labels = append(labels, name)
			}
		}
		for _, name := range strings.Split(m[4], ",") {
			if name != "" {
				labels = append(labels, name)
			}
		}
		r.all[m[1]] = metric{kindOf(c, m[1]), m[2], labels}
	}
	return nil
}

func (r *registered) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		if err := r.Register(c); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *registered) Unregister(prometheus.Collector) bool { return false }

func kindOf(c prometheus.Collector, name string) string {
	switch c.(type) {
	case prometheus.Gauge, *prometheus.GaugeVec:
		return "gauge"
	case prometheus.Histogram:
		return "histogram"
	case prometheus.Counter, *prometheus.CounterVec, prometheus.CounterFunc:
		if strings.HasSuffix(name, "_total") {
			return "counter"
		}
	}
	return "unknown"
}

// metrics are all that an agent registers with everything on.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	r := &registered{t, map[string]metric{}}
	a, err := enforcer.New(enforcer.Config{Node: "a", Denials: enforcer.DenialsConfig{PerPod: true}}, &source.Memory{}, nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nri.New(nri.DefaultSocket, a, r, clock.RealClock{}); err != nil {
		t.Fatal(err)
	}
	if len(r.all) < 20 {
		t.Fatalf("%d metrics are registered", len(r.all))
	}
	return r.all
}

const metricsPage = "../docs/metrics.md"

// Each metric is in docs/metrics.md as it is registered, and nothing else is.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]metric{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		name := strings.Trim(cells[0], "| `")
		if len(cells) != 4 || !strings.HasPrefix(name, "sluice_") {
			continue
		}
		m := metric{kind: cells[1], help: strings.TrimSuffix(cells[3], " |")}
		for _, l := range strings.Split(cells[2], ", ") {
			if l = strings.Trim(l, "` "); l != "" {
				m.labels = append(m.labels, l)
			}
		}
		documented[name] = m
	}
	if diff := cmp.Diff(metrics(t), documented, cmp.AllowUnexported(metric{})); diff != "" {
		t.Errorf("%s (-registered +documented)\n%s", metricsPage, diff)
	}
}

// expressions are those of the dashboard and of the alerts, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	var dashboard struct {
		Title         string `json:"title"`
		UID           string `json:"uid"`
		SchemaVersion int    `json:"schemaVersion"`
		Templating    struct {
			List []struct {
				Name  string          `json:"name"`
				Query json.RawMessage `json:"query"`
			} `json:"list"`
		} `json:"templating"`
		Panels []struct {
			ID      int                      `json:"id"`
			Type    string                   `json:"type"`
			Title   string                   `json:"title"`
			GridPos struct{ X, Y, W, H int } `json:"gridPos"`
			Targets []struct {
				RefID string `json:"refId"`
				Expr  string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	data, err := os.ReadFile("monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.Title == "" || dashboard.UID == "" || dashboard.SchemaVersion == 0 {
		t.Errorf("the dashboard has no title, uid or schema: %+v", dashboard)
	}
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 || (len(p.Targets) == 0) != (p.Type == "row") {
			t.Errorf("panel %d, %q: %+v", p.ID, p.Title, p)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			out["panel "+p.Title+" "+target.RefID] = target.Expr
		}
	}
	for _, v := range dashboard.Templating.List {
		out["variable "+v.Name] = string(v.Query)
	}
	var rules struct {
		APIVersion, Kind string
		Spec             struct {
			Groups []struct {
				Name  string
				Rules []struct {
					Alert, Expr, For string
					Labels           map[string]string
					Annotations      map[string]string
				}
			}
		}
	}
	if data, err = os.ReadFile("monitoring/alerts.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Spec.Groups {
		for _, r := range g.Rules {
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("alert %s: %+v", r.Alert, r)
			}
			out["alert "+r.Alert] = r.Expr
			for _, l := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
				if !strings.Contains(r.Expr, l[1]) && strings.Contains(r.Expr, " by ") {
					t.Errorf("alert %s speaks of label %s, which its expression drops", r.Alert, l[1])
				}
			}
		}
	}
	return out
}

var (
	metricName = regexp.MustCompile(`sluice_\w+`)
	// labelUse is a label that is compared, and grouping is those that are kept.
	labelUse = regexp.MustCompile(`(\w+)(=~|=|!=|!~)\\?"([^"\\]*)`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
	// ofTarget are labels that Prometheus gives, or that buckets have.
	ofTarget = []string{"node", "le"}
)

// The dashboard and the alerts ask for metrics that there are, by labels and values that
// these have.
func TestDashboardAndAlertsAskForWhatThereIs(t *testing.T) {
	known := metrics(t)
	values := map[string][]string{"direction": {"ingress", "egress"}}
	for _, r := range denials.Reasons {
		values["reason"] = append(values["reason"], string(r.Reason))
	}
	for _, k := range enforcer.ConditionKinds {
		values["what"] = append(values["what"], k.What)
	}
	asked := map[string]bool{}
	for where, expr := range expressions(t) {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 && !strings.HasPrefix(where, "variable datasource") {
			t.Errorf("%s: %s asks for no metric", where, expr)
		}
		labels := slices.Clone(ofTarget)
		for _, name := range names {
			m, there := known[name]
			if base, is := strings.CutSuffix(name, "_bucket"); is && known[base].kind == "histogram" {
				m, there, name = known[base], true, base
			}
			if !there {
				t.Errorf("%s: there is no metric %s", where, name)
			}
			labels = append(labels, m.labels...)
			asked[name] = true
		}
		var used []string
		for _, m := range labelUse.FindAllStringSubmatch(expr, -1) {
			used = append(used, m[1])
			for _, v := range strings.Split(m[3], "|") {
				if list := values[m[1]]; len(list) > 0 && !strings.HasPrefix(v, "$") && !slices.Contains(list, v) {
					t.Errorf("%s: label %s is never %q", where, m[1], v)
				}
			}
		}
		for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
			used = append(used, strings.Split(m[1], ", ")...)
		}
		for _, l := range used {
			if !slices.Contains(labels, l) {
				t.Errorf("%s: %s has no label %s", where, names, l)
			}
		}
	}
	if len(asked) < 20 {
		t.Errorf("%d of %d metrics are asked for", len(asked), len(known))
	}
}
