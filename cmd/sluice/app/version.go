package app

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = ""

// VersionOptions prints what this binary is.
type VersionOptions struct {
	IOStreams
}

func newVersionCommand(streams IOStreams) *cobra.Command {
	o := &VersionOptions{IOStreams: streams}
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  sluice version",
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
}

// Complete has nothing to fill in.
func (o *VersionOptions) Complete(*cobra.Command, []string) error { return nil }

// Validate has nothing to refuse.
func (o *VersionOptions) Validate() error { return nil }

// Run prints one line.
func (o *VersionOptions) Run(context.Context) error {
	_, err := fmt.Fprintln(o.Out, versionLine())
	return err
}

// versionLine is what "version" and --version print.
func versionLine() string {
	return "sluice version " + versionText()
}

func versionText() string {
	return fmt.Sprintf("%s (%s %s/%s)", versionName(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// versionName falls back to what "go install module@version" records.
func versionName() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
