package app

import (
	"testing"

	"github.com/sluice-net/sluice/enforcer"
)

// What the command looks for on Nodes is what the agent takes away.
func TestDoctorKnowsTheStartupTaint(t *testing.T) {
	if startupTaint != enforcer.StartupTaint {
		t.Errorf("%s, and the agent has %s", startupTaint, enforcer.StartupTaint)
	}
}
