package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer"
)

// CleanupOptions removes what the agent left in the kernel.
type CleanupOptions struct {
	IOStreams
	markMask string
	wait     bool

	cleanup enforcer.CleanupOptions
}

func newCleanupCommand(streams IOStreams) *cobra.Command {
	o := &CleanupOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: cleanupShort,
		Long: `Cleanup removes the nftables tables that the agent made on this node, and its bits
of the conntrack marks: from then on nothing is enforced. The agent itself leaves
its rules in place when it stops. Cleanup needs root, and fails beside a running
agent, whose process it names. What it could not do it does when it is run again.

Exit codes:
  0  nothing of Sluice is left
  1  an agent runs, or not all could be removed
  2  unusable flags, or root or nft is missing`,
		Example: `  sudo sluice cleanup

  # the rules are damaged and do not tell which bits are Sluice's
  sudo sluice cleanup --ct-mark-mask 0xff003000`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.wait, "wait", false, "when all is removed, wait to be told to stop, as a DaemonSet's Pods must")
	flags.StringVar(&o.markMask, "ct-mark-mask", "", "bits of conntrack marks to clear, those of the agent's --ct-mark-mask (default: those that its rules write)")
	return cmd
}

// Complete reads what the flags give as text.
func (o *CleanupOptions) Complete(*cobra.Command, []string) error {
	if o.markMask == "" {
		return nil
	}
	layout, err := compiler.ParseMask(o.markMask)
	if err != nil {
		return fmt.Errorf("--ct-mark-mask: %w", err)
	}
	o.cleanup.Mask = layout.Mask
	return nil
}

// Validate refuses to start without what it takes.
func (o *CleanupOptions) Validate() error { return needKernel() }

// Run removes the tables.
func (o *CleanupOptions) Run(ctx context.Context) error {
	removed, err := enforcer.Cleanup(ctx, nil, o.cleanup)
	if err != nil {
		if errors.Is(err, enforcer.ErrAgentRuns) {
			return fmt.Errorf("%w; in a cluster delete the agent's DaemonSet, elsewhere stop the process", err)
		}
		return err
	}
	said := "nothing to remove: there were no rules of Sluice on this node"
	if removed {
		said = "removed: nothing is enforced on this node any more"
	}
	if _, err := fmt.Fprintln(o.Out, said); err != nil {
		return err
	}
	if o.wait {
		<-ctx.Done()
	}
	return nil
}
