package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/policy/lint"
	"github.com/sluice-net/sluice/policy/lint/report"
	"github.com/sluice-net/sluice/policy/manifest"
)

// LintOptions looks for mistakes in policies.
type LintOptions struct {
	IOStreams
	manifests manifestFlags
	namespace string
	notices   noticeFlags
	output    string
	failOn    string
}

const lintLong = `Lint finds in manifests what NetworkPolicies surely, or very likely, do not do as
meant: selectors that select nothing, rules that can never match or add nothing, a
dash that turns AND into OR, egress without DNS, and more. It asks the evaluator
that judges flows, and speaks of missing Pods only where the manifests have the
workloads of the namespace: give it these, too.

Pods are those of the manifests and those that Deployments, StatefulSets,
DaemonSets, ReplicaSets, ReplicationControllers, Jobs and CronJobs would make.

A finding says what is, where, and what to do. An error cannot be what was meant, a
warning is very likely not, a note is true and often meant so.

What is meant so can be silenced, with a reason after the checks' IDs:

  metadata:
    annotations:
      sluice-net.github.io/lint-ignore: rule-adds-nothing, pod-not-isolated

or at a field, for that and all below it, on its line or above it:

  egress: # sluice-lint-ignore: egress-without-dns only addresses are dialled

docs/lint.md has all checks. The formats of -o: text, json (a document with
apiVersion and kind), sarif (2.1.0), github (annotations of a workflow), junit.

Exit codes:
  0  there is no finding of --fail-on's severity or a higher one
  1  there is one
  2  unusable input: flags, or manifests that cannot be opened or hold no object`

func newLintCommand(streams IOStreams) *cobra.Command {
	o := &LintOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "lint -f PATH…",
		Short: "Find policies and rules that do not do what they seem to",
		Long:  lintLong,
		Example: `  # policies and workloads of a directory
  sluice lint -f deploy/ -R

  # what a kustomization or a chart is built to
  sluice lint -k deploy/
  helm template shop ./chart | sluice lint -f - -o github

  # for a code host that shows SARIF
  sluice lint -f deploy/ -o sarif > lint.sarif`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	o.manifests.add(flags)
	flags.Lookup("filename").Usage = "manifests: files, directories, or - for stdin; policies, and the workloads, Namespaces, Services and Pods that they are about"
	flags.StringVarP(&o.namespace, "namespace", "n", "", `namespace of objects that name none (default "default")`)
	o.notices.add(flags)
	flags.StringVarP(&o.output, "output", "o", "text", "text, json, sarif, github or junit")
	flags.StringVar(&o.failOn, "fail-on", "warning", "the least severity of a finding for exit code 1: error, warning or note")
	return cmd
}

// Complete has nothing to fill in.
func (o *LintOptions) Complete(*cobra.Command, []string) error { return nil }

// Validate refuses what cannot be linted.
func (o *LintOptions) Validate() error {
	if !o.manifests.given() {
		return errors.New("no manifests: give files, directories or - for stdin with -f")
	}
	return errors.Join(
		o.manifests.validate(),
		validateNamespace(o.namespace),
		oneOf("output", o.output, "text", "json", "sarif", "github", "junit"),
		oneOf("fail-on", o.failOn, "error", "warning", "note"),
	)
}

// Run prints the findings.
func (o *LintOptions) Run(ctx context.Context) error {
	done := o.busy("reading and judging the manifests")
	defer done()
	in, err := o.read(ctx)
	if err != nil {
		return unusable(err)
	}
	o.notices.report(o.ErrOut, unfound(in.Problems))
	result := lint.Run(in)
	done()
	if err := o.print(result); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	if least, _ := lint.ParseSeverity(o.failOn); result.Worst(least) {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (o *LintOptions) print(r lint.Result) error {
	switch o.output {
	case "json":
		return report.JSON(o.Out, r)
	case "sarif":
		return report.SARIF(o.Out, r, versionName())
	case "github":
		return report.GitHub(o.Out, r)
	case "junit":
		return report.JUnit(o.Out, r)
	}
	return report.Text(o.Out, r)
}

// unfound are the notices about the input that are no findings themselves. Of what a
// Namespace that is not given has for labels nothing is taken for granted here.
func unfound(problems []manifest.Problem) []manifest.Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p manifest.Problem) bool {
		return !p.Notice || p.Topic == manifest.Replaced || p.Topic == manifest.NotGiven
	})
}

// read gathers objects and where they stand.
func (o *LintOptions) read(ctx context.Context) (lint.Input, error) {
	files, err := fileReader{manifestFlags: o.manifests, in: o.In, namespace: o.namespace}.objects(ctx)
	if err != nil {
		return lint.Input{}, err
	}
	return lint.Input{Set: files.set, Problems: files.problems, Outline: files.outline}, nil
}
