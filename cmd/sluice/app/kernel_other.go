//go:build !linux

package app

import "github.com/spf13/cobra"

// nodeCommands are those that work on a node, and so not here.
func nodeCommands(IOStreams) []*cobra.Command {
	return []*cobra.Command{
		elsewhere("agent", agentShort, needsLinux("the agent enforces with the nftables of")),
		elsewhere("cleanup", cleanupShort, needsLinux("cleanup removes nftables' tables of")),
	}
}
