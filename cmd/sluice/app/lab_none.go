//go:build !linux || nolab

package app

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func newDemoCommand(IOStreams) *cobra.Command { return elsewhere("demo", demoShort, noLab()) }

func needLab() error { return unusable(errors.New(noLab())) }

// probe has nothing to send packets with; needLab has said so before.
func (v *verification) probe(context.Context, []answer) error { return needLab() }
