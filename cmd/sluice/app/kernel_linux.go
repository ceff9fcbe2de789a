package app

import (
	"errors"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

// needKernel says what this machine lacks, before anything is changed.
func needKernel() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("network namespaces and nftables need root: run it with sudo"))
	}
	if _, err := exec.LookPath("nft"); err != nil {
		errs = append(errs, errors.New("the nft command is missing (on Debian: apt-get install nftables)"))
	}
	return unusable(errors.Join(errs...))
}

// nodeCommands are those that work on a node.
func nodeCommands(streams IOStreams) []*cobra.Command {
	return []*cobra.Command{newAgentCommand(streams), newCleanupCommand(streams)}
}
