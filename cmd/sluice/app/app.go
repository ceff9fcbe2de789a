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
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// IOStreams is where a command reads and writes: results go to Out,
// diagnostics to ErrOut.
type IOStreams struct {
	In          io.Reader
	Out, ErrOut io.Writer
	// colour is --color, where a command has it.
	colour colourMode
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
  1  the answer is no: a flow is not as expected, something differs, there is a finding,
     a node does not enforce what the API says; or the work failed
  2  unusable input: flags, manifests, flows or the environment`

// exitError carries an exit code. An err of nil says that all was said.
type exitError struct {
	code int
	err  error
	// usage: the command line is at fault, so an example helps.
	usage bool
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
	used, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		// Errors that no command gave a code are cobra's: unknown commands,
		// flags and arguments.
		exit = &exitError{code: exitUnusable, err: err, usage: true}
	}
	if exit.err != nil {
		fmt.Fprintf(streams.ErrOut, "error: %v\n", exit.err)
	}
	if exit.usage {
		fmt.Fprint(streams.ErrOut, usageHint(used))
	}
	return exit.code
}

// usageHint shows how a command is used: its first example, and where there is
// more.
func usageHint(cmd *cobra.Command) string {
	hint := ""
	for line := range strings.Lines(cmd.Example) {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "#") {
			hint = "for example:  " + text + "\n"
			break
		}
	}
	return hint + fmt.Sprintf("see also:     %s --help\n", cmd.CommandPath())
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
		// Printed by the library's own words. With a template of ours, which may call any
		// method by its name, the linker would keep all methods of all types there are, and
		// the program would be twice as large, in memory too.
		Version: versionText(),
	}
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(nodeCommands(streams)...)
	cmd.AddCommand(
		newDemoCommand(streams),
		newDiffCommand(streams),
		newDoctorCommand(streams),
		newExplainCommand(streams),
		newExposureCommand(streams),
		newLintCommand(streams),
		newSuggestCommand(streams),
		newListCommand(streams),
		newObserveCommand(streams),
		newStatusCommand(streams),
		newTryCommand(streams),
		newVerifyCommand(streams),
		newVersionCommand(streams),
		newWaitCommand(streams),
	)
	completeOutputs(cmd)
	completeColours(cmd)
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

// misused marks an error as the command line's, unless it says itself what it is.
func misused(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return &exitError{code: exit.code, err: err}
	}
	return &exitError{code: exitUnusable, err: err, usage: true}
}

// check completes and validates a runner, before it is run: what it refuses is
// unusable input.
func check(r runner) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := notEmpty(cmd.Flags()); err != nil {
			return misused(err)
		}
		if err := r.Complete(cmd, args); err != nil {
			return misused(err)
		}
		if err := r.Validate(); err != nil {
			return misused(err)
		}
		return nil
	}
}

// run runs what was checked. What it returns without an exit code of its own is a
// failure.
func run(r runner) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
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

// mayBeEmpty annotates flags to which an empty value means something, or the same
// as to kubectl.
const mayBeEmpty = "sluice-may-be-empty"

// notEmpty refuses empty values, as an unset variable of a script leaves behind:
// such a flag would count as absent, and the command do something else.
func notEmpty(flags *pflag.FlagSet) error {
	var errs []error
	flags.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), "")
		}
		if strings.TrimSpace(value) == "" && len(f.Annotations[mayBeEmpty]) == 0 {
			errs = append(errs, fmt.Errorf("--%s: the value is empty: give one, or leave out the flag", f.Name))
		}
	})
	return errors.Join(errs...)
}

// allowEmpty lets a flag be empty.
func allowEmpty(f *pflag.Flag) { f.Annotations = map[string][]string{mayBeEmpty: {"true"}} }
