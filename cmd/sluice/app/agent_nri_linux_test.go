package app

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/nri"
)

func TestNRISocketIsChecked(t *testing.T) {
	for socket, good := range map[string]bool{
		"": true, nri.DefaultSocket: true, "/" + strings.Repeat("a", maxSocketPath-1): true,
		"nri.sock": false, "./nri.sock": false, "unix:///var/run/nri/nri.sock": false, "/var/run/nri/": false,
		"/a\x00b": false, "/" + strings.Repeat("a", maxSocketPath): false, " ": false,
	} {
		var o AgentOptions
		flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
		o.addNRIFlags(flags)
		if err := flags.Set("nri-socket", socket); err != nil {
			t.Fatal(err)
		}
		if err := o.validateNRI(); (err == nil) != good {
			t.Errorf("%q: %v", socket, err)
		}
	}
}

type nobody struct{ asked *bool }

func (nobody) SandboxStarted(context.Context, nri.Sandbox) error { return nil }
func (nobody) SandboxGone(types.UID)                             {}
func (nobody) SetSandboxes([]nri.Sandbox)                        {}
func (nobody) SandboxesLost()                                    {}
func (n nobody) AskRuntime(func() (string, string, bool))        { *n.asked = true }

// The runtime is heard only where it is asked for, and no longer than the agent
// runs.
func TestRuntimeIsHeardIfAskedFor(t *testing.T) {
	for socket, metrics := range map[string]int{"": 0, filepath.Join(t.TempDir(), "nri.sock"): 5} {
		o := AgentOptions{nriSocket: socket}
		registry := prometheus.NewRegistry()
		asked := false
		stop, err := o.hearRuntime(t.Context(), nobody{&asked}, registry)
		if err != nil {
			t.Fatal(err)
		}
		if asked != (socket != "") {
			t.Errorf("socket %q: the agent is told of silence: %v", socket, asked)
		}
		families, err := registry.Gather()
		if err != nil || len(families) != metrics {
			t.Errorf("socket %q: %d metrics, want %d: %v", socket, len(families), metrics, err)
		}
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		select {
		case <-stopped:
		case <-time.After(20 * time.Second):
			t.Errorf("socket %q: it does not stop", socket)
		}
	}
}
