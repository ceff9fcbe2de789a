package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/entries"
	"github.com/sluice-net/sluice/policy/connectivity/report"
)

// DiffOptions says what a change to policies and workloads does.
type DiffOptions struct {
	IOStreams
	kube      kubeFlags
	notices   noticeFlags
	namespace string
	output    string
	failOn    string
	apply     bool
	build     bool

	before, after objectReader
	// live: a side is a cluster. built: a side is built.
	live, built bool
	// typed is the command line, for a page.
	typed typedCommand
}

// diffOutputs are the formats of diff.
var diffOutputs = outputs[*differing]{
	"text":   func(w io.Writer, d *differing) error { return d.Text(w) },
	"json":   func(w io.Writer, d *differing) error { return d.JSON(w) },
	"md":     func(w io.Writer, d *differing) error { return d.Markdown(w) },
	"html":   func(w io.Writer, d *differing) error { return d.page(w) },
	"github": func(w io.Writer, d *differing) error { return d.GitHub(w) },
	"sarif":  func(w io.Writer, d *differing) error { return d.SARIF(w, versionName()) },
	"junit":  func(w io.Writer, d *differing) error { return d.JUnit(w) },
}

const diffLong = `Diff says what a change does: who can reach whom now that could not before, who no
longer can, and on which other ports, each with the policies and rules that cause it,
their files and lines; and which policies changed and change nothing.

OLD and NEW are each one of

  PATH              a file, a directory with all below it, or - for stdin
  REVISION:PATH     a file or directory as a commit of git has it, such as
                    main:deploy/ or HEAD~1:deploy/; the path is that from the top of
                    the repository, ./ leads from here
  cluster           the cluster of the kubeconfig, or of --context: all of it, so that
                    who may read a part only is refused; ./cluster is a path

Symbolic links, patterns, Helm charts and kustomizations are of a revision what they are
of a directory. With -k a side that is the directory of a kustomization, here or in a
revision, is built as kubectl apply -k builds it; the other one is read as it is, if it
is none.

Workloads are the same if kind, namespace and name are; addresses of Pods are not
looked at. Give both sides the workloads, not the policies alone; or a change as NEW,
with --apply: then it is what kubectl apply would make of OLD, and what NEW does not
name stays as it is.

The formats of -o: text, json (a document with apiVersion and kind), md (a comment of
a pull request, of 60,000 characters at most), github (annotations of a workflow),
sarif (2.1.0), junit.

Exit codes:
  0  nothing differs that --fail-on is about
  1  something does: by default, any connection; with --fail-on allowed, one that
     passes now and did not before
  2  unusable input: flags, manifests, git or the cluster`

func newDiffCommand(streams IOStreams) *cobra.Command {
	o := &DiffOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what a change allows and denies, and by which rules",
		Long:  diffLong,
		Example: `  # what the last commit changed
  sluice diff HEAD~1:deploy/ deploy/

  # what a branch would change in a cluster
  sluice diff cluster deploy/ --context staging

  # what a policy would change in a cluster, if it were applied
  sluice diff cluster policy.yaml --apply

  # what a commit changed in what a kustomization makes
  sluice diff -k HEAD~1:overlays/prod overlays/prod

  # a comment for a pull request; fails only where something opens
  sluice diff origin/main:deploy/ deploy/ -o md --fail-on allowed`,
		Args:    cobra.ExactArgs(2),
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	o.kube.add(flags)
	o.notices.add(flags)
	flags.StringVarP(&o.namespace, "namespace", "n", "", `namespace of objects that name none (default "default")`)
	flags.StringVarP(&o.output, "output", "o", "text", diffOutputs.usage())
	flags.StringVar(&o.failOn, "fail-on", "any", "the difference for exit code 1: any, allowed (something passes now that did not) or never")
	flags.BoolVarP(&o.build, "kustomize", "k", false, "OLD and NEW are built, as kubectl apply -k builds them, where they are directories of kustomizations")
	flags.BoolVar(&o.apply, "apply", false, "NEW is applied to OLD, as kubectl apply does, and not all that there is")
	return cmd
}

// Complete finds out what OLD and NEW are.
func (o *DiffOptions) Complete(cmd *cobra.Command, args []string) (err error) {
	o.typed = typed(cmd, args)
	if args[0] == "-" && args[1] == "-" {
		return errors.New("OLD and NEW are both stdin, which can be read once")
	}
	if o.before, err = o.side(cmd.Context(), args[0]); err != nil {
		return fmt.Errorf("OLD: %w", err)
	}
	if o.after, err = o.side(cmd.Context(), args[1]); err != nil {
		return fmt.Errorf("NEW: %w", err)
	}
	if !o.apply {
		return nil
	}
	files, is := o.after.(fileReader)
	if !is {
		return errors.New("--apply: NEW is what is applied, and the cluster is all that there is: name the manifests, as in diff cluster policy.yaml --apply")
	}
	files.addition = true
	o.after = files
	return nil
}

// side is where one side is read: what is there as a file is that file.
func (o *DiffOptions) side(ctx context.Context, arg string) (objectReader, error) {
	if arg == "cluster" {
		return o.cluster()
	}
	files := fileReader{in: o.In, namespace: o.namespace}
	if _, err := os.Stat(arg); err != nil && arg != "-" {
		if _, is := parseRevision(arg); !is && !isPattern(arg) {
			return nil, fmt.Errorf("%q is no file or directory, no REVISION:PATH of git, and not \"cluster\"", arg)
		}
	}
	if o.build && arg != "-" {
		built, err := holdsKustomization(ctx, arg)
		if err != nil {
			return nil, err
		}
		if built {
			o.built, files.kustomizations = true, []string{arg}
			return files, nil
		}
	}
	files.paths = []string{arg}
	return files, nil
}

// cluster reads the one that the flags name. A path of that name is not taken for it, nor
// it for the path, unless a flag tells that the cluster is meant.
func (o *DiffOptions) cluster() (objectReader, error) {
	if _, err := os.Stat("cluster"); err == nil && o.kube.changed() == "" {
		return nil, errors.New("\"cluster\" is the cluster of the kubeconfig, and here it is a path, too: write ./cluster for the path, or give --context or --kubeconfig for the cluster")
	}
	client, server, err := o.kube.client()
	if err != nil {
		return nil, err
	}
	o.live = true
	return liveReader{client: client, server: server, instead: "compare manifests: a part of a cluster differs from anything by all that was not read"}, nil
}

// Validate refuses unknown words, and flags of which the answer would not depend.
func (o *DiffOptions) Validate() error {
	var unused error
	if flag := o.kube.changed(); flag != "" && !o.live {
		unused = fmt.Errorf("--%s is for a cluster, and neither OLD nor NEW is \"cluster\": leave it out", flag)
	} else if o.build && !o.built {
		unused = errors.New("-k: neither OLD nor NEW is a directory with a kustomization.yaml: leave it out")
	}
	return errors.Join(unused, validateNamespace(o.namespace), diffOutputs.validate(o.output), oneOf("fail-on", o.failOn, "any", "allowed", "never"))
}

// entryDiff compares the ways in from outside; most clusters have none.
func entryDiff(before, after *objects, old, now *connectivity.Cluster) report.EntryDiff {
	out := report.EntryDiff{Old: before.entryPlace, New: after.entryPlace}
	if len(before.set.Entries)+len(after.set.Entries) > 0 {
		out.Changes = entries.Diff(entries.Judge(&before.set, old, connectivity.New(old)), entries.Judge(&after.set, now, connectivity.New(now)))
	}
	return out
}

// Run prints the difference.
func (o *DiffOptions) Run(ctx context.Context) error {
	done := o.busy("reading OLD and NEW")
	defer func() { done() }()
	before, err := o.before.objects(ctx)
	if err != nil {
		return unusable(fmt.Errorf("OLD: %w", err))
	}
	after, err := o.after.objects(ctx)
	if err != nil {
		return unusable(fmt.Errorf("NEW: %w", err))
	}
	done()
	before.forget(after.problems)
	bad := o.notices.report(o.ErrOut, before.problems)
	bad = o.notices.report(o.ErrOut, after.problems) || bad
	if o.apply {
		after = after.onto(before)
	}
	done = o.busy("comparing all pairs")
	old, now := before.cluster(), after.cluster()
	d := report.NewDiff(connectivity.Diff(old, now), before.place, after.place)
	d.Entries = entryDiff(before, after, old, now)
	found := &differing{d, func(w io.Writer) error { return diffPage(w, d, pageOptions(o.typed, before, after)) }}
	done()
	if err := diffOutputs.write(o.Out, o.output, found); err != nil {
		return err
	}
	switch {
	case bad:
		return concluded(bad)
	case o.failOn == "any" && !d.Same(), o.failOn == "allowed" && d.Opens():
		return &exitError{code: exitFailed}
	}
	return nil
}
