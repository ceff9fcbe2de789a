package app

import (
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/cmd/sluice/app/page"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/report"
)

// listed, differing and exposed are answers that can also be written as a page, which is
// made of more than is in the other formats.
type (
	listed struct {
		*report.List
		page func(io.Writer) error
	}
	differing struct {
		*report.Diff
		page func(io.Writer) error
	}
	exposed struct {
		*report.Exposure
		page func(io.Writer) error
	}
)

// pageOptions say how a page was made, from objects of which the last are those of now.
func pageOptions(typed typedCommand, from ...*objects) page.Options {
	o := page.Options{
		Command: typed.command, Explain: typed.explain, Version: versionName(),
		OldPlace: textPlace(from[0].place), Place: textPlace(from[len(from)-1].place),
	}
	// What is said of the input is said in the page, too, as briefly as on a terminal.
	var said strings.Builder
	for _, in := range from {
		new(noticeFlags).report(&said, in.problems)
	}
	for line := range strings.Lines(said.String()) {
		if line = strings.TrimSpace(line); !slices.Contains(o.Notices, line) {
			o.Notices = append(o.Notices, line)
		}
	}
	return o
}

// withEntries has a page show the ways in from outside.
func withEntries(o page.Options, lines []report.EntryLine) page.Options {
	for _, l := range lines {
		o.Entries = append(o.Entries, page.Entry(l))
	}
	return o
}

func textPlace(at report.Places) func(types.NamespacedName, ...any) string {
	return func(policy types.NamespacedName, path ...any) string { return at(policy, path...).String() }
}

// listPage always has the reasons: they are seen when a cell is chosen.
func listPage(w io.Writer, m *connectivity.Matrix, options []connectivity.ListOptions, o page.Options) error {
	all := connectivity.List{Ends: m.Ends()}
	for _, one := range options {
		one.Why = true
		all.Lines = append(all.Lines, m.List(one).Lines...)
	}
	// With --port an end may deny a pair on that port alone, which Denies does not tell.
	if !slices.ContainsFunc(options, func(l connectivity.ListOptions) bool { return len(l.Ports)+len(l.Named) > 0 }) {
		o.Denies = m.Denies
	}
	o.Asked = func(src, dst *connectivity.End) bool {
		return slices.ContainsFunc(options, func(l connectivity.ListOptions) bool {
			return (l.From == nil || l.From(src)) && (l.To == nil || l.To(dst))
		})
	}
	return page.List(w, &all, o)
}

func diffPage(w io.Writer, d *report.Diff, o page.Options) error {
	return page.Diff(w, &d.Difference, withEntries(o, d.Entries.Lines()))
}

func exposurePage(w io.Writer, x *report.Exposure, o page.Options) error {
	o.Directions = x.Directions
	if x.Only != nil {
		o.Asked = func(src, _ *connectivity.End) bool { return x.Only(src) }
	}
	return page.Exposure(w, &x.Exposure, withEntries(o, x.Entries.Lines()))
}

// typedCommand is what was typed, for a shell, and the beginning of the command that
// explains a connection of the same objects.
type typedCommand struct{ command, explain string }

// saidFlags are those that a page repeats, sourceFlagNames those that explain needs, too.
// Who asked, and with what files of theirs, is nobody else's business.
var (
	sourceFlagNames = []string{"filename", "namespace", "recursive", "context"}
	saidFlags       = append([]string{"focus", "direction", "port"}, sourceFlagNames...)
)

func typed(cmd *cobra.Command, args []string) typedCommand {
	path := strings.Fields(cmd.CommandPath())
	explain := append(slices.Clone(path[:len(path)-1]), "explain")
	// Of diff the new side is what is explained.
	if len(args) > 0 && args[len(args)-1] != "cluster" {
		explain = append(explain, "-f", args[len(args)-1])
	}
	return typedCommand{
		command: shellWords(slices.Concat(path, args, flagWords(cmd.Flags(), saidFlags))),
		explain: shellWords(append(explain, flagWords(cmd.Flags(), sourceFlagNames)...)),
	}
}

// flagWords are the flags that were given, of some.
func flagWords(flags *pflag.FlagSet, names []string) (words []string) {
	flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains(names, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, is := f.Value.(pflag.SliceValue); is {
			values = list.GetSlice()
		}
		for _, v := range values {
			switch {
			case f.Value.Type() == "bool":
				words = append(words, "--"+f.Name)
			case f.Shorthand != "":
				words = append(words, "-"+f.Shorthand, v)
			default:
				words = append(words, "--"+f.Name, v)
			}
		}
	})
	return words
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./~-]+$`)

// shellWords quotes what a shell would read otherwise.
func shellWords(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if !plainWord.MatchString(w) {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
