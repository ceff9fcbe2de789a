package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/question"
)

// connectionFlags are what the commands have in common that answer about all workloads at
// once: where the objects are, which of them are of interest, and how the answer is laid
// out.
type connectionFlags struct {
	sourceFlags
	output    string
	focus     []string
	direction string

	ends    []question.End
	objects objectReader
	// typed is the command line, for a page.
	typed typedCommand
}

// add says of which ends --focus and --direction are, in the words of the command.
func (f *connectionFlags) add(cmd *cobra.Command, formats, focus, direction string) {
	flags := cmd.Flags()
	f.sourceFlags.add(flags)
	f.completeNames(cmd, 0)
	flags.StringVarP(&f.output, "output", "o", "text", formats)
	flags.StringArrayVar(&f.focus, "focus", nil, focus+"; may be repeated")
	flags.StringVar(&f.direction, "direction", "both", direction)
}

// complete reads the ends that are asked about.
func (f *connectionFlags) complete(cmd *cobra.Command, args []string, streams IOStreams) error {
	f.typed = typed(cmd, args)
	// Of a cluster -n asks about a namespace, as it does of kubectl; manifests it places.
	if f.namespace != "" && len(f.focus) == 0 && !f.fromFiles() {
		f.focus = []string{"ns/" + f.namespace}
	}
	err := f.completeNamespace()
	if err != nil {
		return err
	}
	if f.ends, err = focusEnds(f.focus, f.namespace); err != nil {
		return err
	}
	// Half a cluster is an answer only to who asks for it by name: a script that had
	// all of it yesterday must not take a part for the whole today.
	f.objects, err = f.objectReader(streams.In, named(f.ends...))
	return err
}

// focusEnds reads ends that an answer about all can be about.
func focusEnds(words []string, namespace string) ([]question.End, error) {
	var out []question.End
	for _, word := range words {
		e, err := question.ParseEnd(word, namespace)
		switch {
		case err != nil:
			return nil, fmt.Errorf("--focus: %w", err)
		case e.Kind == question.KindService || e.Kind == question.KindNode || e.Entry():
			return nil, fmt.Errorf("--focus: %s: give the workload behind it, such as deploy/%s, or an address; %q answers for it as it is", e, e.Object.Name, "sluice explain")
		}
		out = append(out, e)
	}
	return out, nil
}

func (f *connectionFlags) validate() error {
	return errors.Join(f.sourceFlags.validate(), oneOf("direction", f.direction, "both", "ingress", "egress"))
}

// present refuses ends that are nobody.
func (f *connectionFlags) present(ends []connectivity.End) error {
	for _, e := range f.ends {
		if err := question.Present(ends, e); err != nil {
			return unusable(err)
		}
	}
	return nil
}

// among reports whether an end is one of --focus.
func (f *connectionFlags) among(c *connectivity.End) bool {
	for _, e := range f.ends {
		if e.Among(c) {
			return true
		}
	}
	return false
}

// input reads the objects, and says what is to be said of them; bad is an error among it.
func (f *connectionFlags) input(ctx context.Context, streams IOStreams) (in *objects, bad bool, err error) {
	done := streams.busy("reading the objects")
	in, err = f.objects.objects(ctx)
	done()
	if err != nil {
		return nil, false, err
	}
	return in, f.notices.report(streams.ErrOut, in.problems), nil
}

// concluded is the exit code of an answer that was written, of input that may be bad.
func concluded(bad bool) error {
	if bad {
		return &exitError{code: exitUnusable}
	}
	return nil
}
