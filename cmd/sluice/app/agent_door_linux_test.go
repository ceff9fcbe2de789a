package app

import (
	"strings"
	"testing"
)

func TestAgentDoor(t *testing.T) {
	for _, tt := range []struct {
		args            string
		health, metrics string
		wrong           string
	}{
		{"", "127.0.0.1:9470", "127.0.0.1:9470", ""},
		{"--metrics-address=127.0.0.1:9000", "127.0.0.1:9000", "127.0.0.1:9000", ""},
		{"--metrics-address=", "", "", ""},
		{"--metrics-address=:9471", "127.0.0.1:9470", ":9471", ""},
		{"--metrics-address=:9471 --health-address=", "", ":9471", ""},
		{"--metrics-address= --health-address=:9470", ":9470", "", ""},
		{"--metrics-address=:9471 --tls-cert=c --tls-key=k", "127.0.0.1:9470", ":9471", ""},
		{"--metrics-address=:9471 --manifests=.", "127.0.0.1:9470", ":9471", "no API server"},
		{"--metrics-address=0.0.0.0:9471 --manifests=.", "127.0.0.1:9470", "0.0.0.0:9471", "no API server"},
		{"--manifests=.", "127.0.0.1:9470", "127.0.0.1:9470", ""},
		{"--metrics-address=:9471 --health-address=:9471", ":9471", ":9471", "give each its own"},
		{"--metrics-address=:9471 --tls-cert=c", "127.0.0.1:9470", ":9471", "without its key"},
	} {
		o := &AgentOptions{}
		cmd := newAgentCommandOf(o)
		if err := cmd.ParseFlags(append(strings.Fields(tt.args), "--node-name=n")); err != nil {
			t.Fatal(err)
		}
		if err := o.Complete(cmd, nil); err != nil {
			t.Fatal(err)
		}
		if o.config.HealthAddress != tt.health || o.config.MetricsAddress != tt.metrics {
			t.Errorf("%q: health at %q, metrics at %q", tt.args, o.config.HealthAddress, o.config.MetricsAddress)
		}
		err := o.Validate()
		if tt.wrong == "" && err != nil || tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.wrong)
		}
	}
}
