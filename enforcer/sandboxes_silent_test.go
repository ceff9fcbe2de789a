package enforcer

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/enforcer/source"
)

func TestASilentRuntimeIsACondition(t *testing.T) {
	a, err := New(Config{Node: "node-1"}, &source.Memory{}, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	silent := true
	a.AskRuntime(func() (string, string, bool) { return "nobody is at the socket", "mount it", silent })
	told := func() (found bool) {
		a.tellRuntime(t.Context())
		for _, c := range a.Status().Conditions {
			if c.What == "RuntimeSilent" {
				found = true
				if c.NotReady() || c.Message != "nobody is at the socket" || c.Mend != "mount it" {
					t.Errorf("it is told as %+v", c)
				}
			}
		}
		return found
	}
	if !told() {
		t.Error("a silent runtime is not told")
	}
	silent = false
	if told() {
		t.Error("it is told although the runtime is heard")
	}
}
