// Package app holds the commands of sluice, one file a command. Each is an
// Options value that is completed from its arguments, validated and run, so
// that tests run it in process with buffers for streams.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// IOStreams is where a command reads and writes: results go to Out,
// diagnostics to ErrOut.
type IOStreams struct {
	In          io.Reader
	Out, ErrOut io.Writer
}

// Exit codes, the same for all commands.
const (
	exitOK = 0
	// exitFailed: the command did its work and the answer is no, or the work
	// failed.
	exitFailed = 1
	// exitUnusable: what was given cannot be used.
	exitUnusable = 2
)

const exitCodesHelp = `Exit codes:
  0  all is as it should be
  1  verify: a flow is not as expected; other commands: the work failed
  2  unusable input: flags, manifests, flows or the environment`

// exitError carries an exit code. An err of nil says that all was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// unusable marks an error as the user's input being at fault.
func unusable(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: exitUnusable, err: err}
}

func unusablef(format string, args ...any) error {
	return unusable(fmt.Errorf(format, args...))
}

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, streams IOStreams) int {
	cmd := newRootCommand(streams)
	asPlugin(cmd, os.Args[0])
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		// Errors that no command gave a code are cobra's: unknown commands,
		// flags and arguments.
		exit = &exitError{code: exitUnusable, err: err}
	}
	if exit.err != nil {
		fmt.Fprintf(streams.ErrOut, "error: %v\n", exit.err)
	}
	return exit.code
}

func newRootCommand(streams IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sluice",
		Short: "Kubernetes NetworkPolicy, enforced with nftables and explained",
		Long: `Sluice enforces Kubernetes NetworkPolicy with nftables on each node, and
answers on paper, from the same evaluator, what policies allow and why.

` + exitCodesHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(
		newAgentCommand(streams),
		newCleanupCommand(streams),
		newDemoCommand(streams),
		newExplainCommand(streams),
		newVerifyCommand(streams),
		newVersionCommand(streams),
	)
	return cmd
}

// runner is what all commands have in common.
type runner interface {
	// Complete fills in what the flags leave out.
	Complete(cmd *cobra.Command, args []string) error
	// Validate refuses what cannot be run. It changes nothing.
	Validate() error
	Run(ctx context.Context) error
}

// run makes a runner cobra's. What Complete and Validate refuse is unusable
// input; what Run returns without an exit code of its own is a failure.
func run(r runner) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := r.Complete(cmd, args); err != nil {
			return unusable(err)
		}
		if err := r.Validate(); err != nil {
			return unusable(err)
		}
		err := r.Run(cmd.Context())
		var exit *exitError
		if err != nil && !errors.As(err, &exit) {
			return &exitError{code: exitFailed, err: err}
		}
		return err
	}
}

// oneOf validates the value of a flag that knows a few.
func oneOf(flag, value string, known ...string) error {
	for _, k := range known {
		if value == k {
			return nil
		}
	}
	return fmt.Errorf("--%s: %q is none of %v", flag, value, known)
}
