package interop

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// asGrafana reads a dashboard as Grafana's own types of dashboards, panels and queries to
// Prometheus demand: no field that these do not have, and none missing.
func asGrafana(text string) error {
	var d dashboard.Dashboard //nolint:staticcheck // this form every Grafana of today imports, its successor does not
	// Without a fault it is a list without faults, and not nil.
	var faults cog.BuildErrors
	if err := d.UnmarshalJSONStrict([]byte(text)); !errors.As(err, &faults) || len(faults) > 0 {
		return err
	}
	return d.Validate()
}

func TestDashboardIsAsGrafanaReadsIt(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile("../monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := asGrafana(string(text)); err != nil {
		t.Error(err)
	}
	for of, with := range map[string]string{`"templating"`: `"templates"`, `"targets"`: `"target"`, `"expr"`: `"expression"`} {
		if err := asGrafana(strings.Replace(string(text), of, with, 1)); err == nil {
			t.Errorf("with %s in place of %s it passes all the same", with, of)
		}
	}
}
