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
	for _, in := range from {
		for _, p := range in.problems {
			o.Notices = append(o.Notices, p.String())
		}
	}
	slices.Sort(o.Notices)
	o.Notices = slices.Compact(o.Notices)
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
	o.Asked = func(src, dst *connectivity.End) bool {
		return slices.ContainsFunc(options, func(l connectivity.ListOptions) bool {
			return (l.From == nil || l.From(src)) && (l.To == nil || l.To(dst))
		})
	}
	return page.List(w, &all, o)
}

func diffPage(w io.Writer, d *report.Diff, o page.Options) error {
	return page.Diff(w, &d.Difference, o)
}

func exposurePage(w io.Writer, x *report.Exposure, o page.Options) error {
	o.Directions = x.Directions
	if x.Only != nil {
		o.Asked = func(src, _ *connectivity.End) bool { return x.Only(src) }
	}
	return page.Exposure(w, &x.Exposure, o)
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
