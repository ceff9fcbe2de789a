package app

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/enforcer"
)

// CleanupOptions removes what the agent left in the kernel.
type CleanupOptions struct {
	IOStreams
	wait bool
}

func newCleanupCommand(streams IOStreams) *cobra.Command {
	o := &CleanupOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove Sluice's rules from this node",
		Long: `Cleanup removes the nftables tables that the agent made on this node: from then
on nothing is enforced. The agent itself leaves its rules in place when it
stops. Run it where the agent runs no more; it needs root.

Exit codes:
  0  nothing of Sluice is left
  1  it could not be removed
  2  root or nft is missing`,
		Example: "  sudo sluice cleanup",
		Args:    cobra.NoArgs,
		RunE:    run(o),
	}
	cmd.Flags().BoolVar(&o.wait, "wait", false, "when all is removed, wait to be told to stop, as a DaemonSet's Pods must")
	return cmd
}

// Complete has nothing to fill in.
func (o *CleanupOptions) Complete(*cobra.Command, []string) error { return nil }

// Validate refuses to start without what it takes.
func (o *CleanupOptions) Validate() error { return needKernel() }

// Run removes the tables.
func (o *CleanupOptions) Run(ctx context.Context) error {
	if err := enforcer.Cleanup(ctx, nil); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(o.Out, "removed: nothing is enforced on this node any more"); err != nil {
		return err
	}
	if o.wait {
		<-ctx.Done()
	}
	return nil
}
