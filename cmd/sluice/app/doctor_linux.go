package app

import (
	"context"
	"os"
	"time"

	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/detect"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

// lookAtMachine looks at the node that this machine is. What its agent said, if it was
// asked, counts for what only an agent knows: whose interfaces are whose, and with which
// flags it runs.
func lookAtMachine(ctx context.Context, agent *diagnosis.Node) (*diagnosis.Node, error) {
	if os.Geteuid() != 0 {
		return nil, unusablef("looking at this machine takes root: run it with sudo, or ask the cluster with --agents")
	}
	f := detect.Look{Conditions: true}.Facts(ctx)
	if agent != nil && agent.Facts != nil {
		f.Agent, f.Conditions, f.MoreConditions, f.Mask = agent.Facts.Agent, agent.Facts.Conditions, agent.Facts.MoreConditions, agent.Facts.Mask
	}
	f.AgentProcess, _ = enforcer.AgentAtWork(nil)
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return diagnosis.NewNode(name, versionName(), time.Now(), f), nil
}

// machineRuleset are Sluice's tables of this machine.
func machineRuleset(ctx context.Context) (string, error) { return detect.OurRuleset(ctx, nil) }
