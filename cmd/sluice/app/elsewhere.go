package app

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// What needs a Linux kernel is built for Linux only (kernel_linux.go, *_linux.go),
// and what needs the packet lab not for the agent's image either (lab_*.go and the
// build tag nolab). It is listed everywhere.
const (
	agentShort   = "Enforce NetworkPolicy on this node"
	cleanupShort = "Remove Sluice's rules from this node"
	demoShort    = "Show it work: a small cluster on this machine, with real packets"
)

// elsewhere is a command that cannot work in this binary. Whatever its flags, it
// says why.
func elsewhere(name, short, why string) *cobra.Command {
	return &cobra.Command{
		Use:                name,
		Short:              short,
		Long:               short + ".\n\nNot here: " + why + ".\n\nExit codes:\n  2  always: it cannot work here",
		Example:            "  sudo sluice " + name,
		DisableFlagParsing: true,
		RunE:               func(*cobra.Command, []string) error { return unusablef("%s", why) },
	}
}

// needsLinux says that something is for Linux only.
func needsLinux(what string) string {
	return fmt.Sprintf("%s Linux, and this is %s", what, runtime.GOOS)
}

// noLab says what keeps a binary without the packet lab from sending packets.
func noLab() string {
	if runtime.GOOS != "linux" {
		return needsLinux("real packets need network namespaces and nftables of")
	}
	return "this binary is that of the agent's image, which has no network namespaces to send packets through: use that of a release, or make build"
}
