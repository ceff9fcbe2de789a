//go:build !linux

package app

import (
	"context"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

func lookAtMachine(context.Context, *diagnosis.Node) (*diagnosis.Node, error) {
	return nil, unusablef("%s", needsLinux("doctor looks at machines with"))
}

func machineRuleset(context.Context) (string, error) {
	return "", unusablef("%s", needsLinux("doctor looks at machines with"))
}
