package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluice-net/sluice/policy/findings"
)

// VerifyOptions answers flows and compares with what is expected of them.
type VerifyOptions struct {
	IOStreams
	sourceFlags
	flows    string
	output   string
	inKernel bool
	topology string
	// topologyGiven: it was not left to the default.
	topologyGiven bool
	// onlyMismatches leaves out what is as expected.
	onlyMismatches bool

	clusters clusterReader
}

const verifyLong = `Verify answers for each flow whether NetworkPolicy allows it, and compares with
what is expected: unit tests for policies. It asks the cluster of the kubeconfig,
or reads manifests with -f.

Flows are read from --flows or else from stdin. A line is a flow, as text or as JSON;
YAML, and JSON that goes over many lines, is a list of either, also under "flows":

  shop/frontend -> shop/api:http allow  # PCI 1.2
  internet -> ns/shop:5432 deny
  {"src":"shop/frontend","dst":"shop/api","port":8080,"expected":true}
  {"src":"10.9.8.7","dst":"shop/api","proto":"TCP","port":"http","expected":false}
  {"src":"shop/api","dst":"2001:db8::1","proto":"ICMPv6"}

src, dst   what explain takes, see below
proto      TCP (when absent), UDP, SCTP, ICMP, ICMPv6 or a number
port       a number, or the name of a port of the destination: a container port of
           a Pod, or a port of a Service
expected   may be absent: then the flow is only answered
Other fields are carried through to the output.

` + endsHelp + `

A Service leads to the Pods and ports behind it. Where an end stands for several
Pods, a flow is allowed if all of its paths are, and as expected only if all are
as expected.

Addresses are those of the Pods themselves: after Service translation, before
masquerading; the Pods of other nodes see a node of an overlay network by its
tunnel's address, as the annotations of flannel and Calico tell it.

With -o json each line is the input's fields, and then

  result             allowed, denied, partly (some of its paths are allowed) or depends
                     (on addresses that are not known)
  allowed            whether it is allowed on all paths, whatever the addresses are
  egress, ingress    what either end's policies say; with partly and depends, on the
                     path and with the address that "reason" is about
  reason, policies   why, and which policies had a say
  nearest            the rule that came nearest to allowing
  dependsOn          on what, where a path depends
  mismatch           what is not as expected, if so
  paths              how many are allowed of the total, where an end may stand for
                     several Pods
  kernel             with --in-kernel: what packets did; null where none can be sent
  error              instead of all these, on a line that cannot be used

Such lines can be given to verify again: it answers them anew. Of a line of text, dst
is as it stood there, with the port.

The other formats of -o: junit (a case for each flow), github (annotations of a
workflow at the lines of the flows), md (a table of what is not as expected).

--in-kernel also builds the Pods as network namespaces on this machine, lets the
engine enforce the policies on them, and sends a packet for each flow. A
difference between paper and kernel is a mismatch. It needs root and nft.

Exit codes:
  0  all flows are as expected
  1  a flow is not as expected, or paper and kernel differ
  2  a manifest or a flow is unusable; the others are answered all the same`

const flowsHint = `give lines such as "shop/frontend -> shop/api:8080 allow", or {"src":"shop/frontend","dst":"shop/api","port":8080,"expected":true}, with --flows FILE or on stdin`

func newVerifyCommand(streams IOStreams) *cobra.Command {
	o := &VerifyOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "verify [-f PATH…] [--flows FILE|-]",
		Short: "Answer flows, on paper or with real packets, and compare with what is expected",
		Long:  verifyLong,
		Example: `  # test the policies of a directory
  sluice verify -f manifests/ --flows flows.jsonl

  # a cluster as it is, one question
  echo '{"src":"deploy/shop/frontend","dst":"svc/shop/db","port":5432}' | sluice verify

  # a cluster as it was
  kubectl get pods,namespaces,networkpolicies,services,endpointslices,nodes -A -o yaml > cluster.yaml
  sluice verify -f cluster.yaml --flows flows.jsonl

  # the same with real packets
  sudo sluice verify -f manifests/ --flows flows.jsonl --in-kernel`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	o.sourceFlags.add(flags)
	o.completeNames(cmd, 0)
	flags.StringVar(&o.flows, "flows", "-", "flows as lines of text or JSON, or as YAML: a file, or - for stdin")
	flags.StringVarP(&o.output, "output", "o", "text", "text, json (JSON lines), junit, github or md")
	flags.BoolVar(&o.onlyMismatches, "only-mismatches", false, "print only flows that are not as expected, or that cannot be used")
	flags.BoolVar(&o.inKernel, "in-kernel", false, "also send real packets through network namespaces on this machine (root)")
	flags.StringVar(&o.topology, "topology", "bridge", "with --in-kernel, how Pods are connected: bridge, ptp or two-node")
	return cmd
}

// Complete chooses the reader.
func (o *VerifyOptions) Complete(cmd *cobra.Command, _ []string) error {
	o.topologyGiven = cmd.Flags().Changed("topology")
	err := o.completeNamespace()
	if err != nil {
		return err
	}
	o.clusters, err = o.reader(o.In, []string{o.namespace})
	return err
}

// Validate refuses options that contradict each other.
func (o *VerifyOptions) Validate() error {
	if err := o.sourceFlags.validate(); err != nil {
		return err
	}
	if o.flows == "-" {
		if o.manifests.stdin() {
			return errors.New("-f - takes stdin for manifests: give the flows with --flows FILE")
		}
		if isTerminal(o.In) {
			return errors.New("no flows: " + flowsHint)
		}
	}
	return errors.Join(
		oneOf("output", o.output, "text", "json", "junit", "github", "md"),
		oneOf("topology", o.topology, "bridge", "ptp", "two-node"),
		o.validateKernel(),
	)
}

func (o *VerifyOptions) validateKernel() error {
	switch {
	case o.inKernel:
		return needLab()
	case o.topologyGiven:
		return errors.New("--topology says how packets are sent: give --in-kernel, too")
	}
	return nil
}

// Run answers all flows in their order.
func (o *VerifyOptions) Run(ctx context.Context) error {
	in, err := o.openFlows()
	if err != nil {
		return unusable(err)
	}
	defer in.Close()
	done := o.busy("reading the objects")
	c, err := o.clusters.read(ctx)
	done()
	if err != nil {
		return err
	}
	bad := o.notices.report(o.ErrOut, c.problems)

	v := verification{options: o, cluster: c}
	switch o.output {
	case "text":
		v.print = v.text
	case "json":
		v.print = v.json
	default:
		v.print = v.collect
	}
	out := bufio.NewWriterSize(o.Out, 1<<16)
	v.out = out
	if err := v.answerAll(ctx, in); err != nil {
		return unusable(errors.Join(err, out.Flush()))
	}
	if v.flows > 0 {
		if err := v.finishOutput(); err != nil {
			return fmt.Errorf("write the output: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	switch {
	case v.flows == 0:
		return unusablef("no flows in %s: %s", o.flowsName(), flowsHint)
	case bad || v.unusable > 0:
		return &exitError{code: exitUnusable}
	case len(v.mismatches) > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}

// verification is one run of verify.
type verification struct {
	options *VerifyOptions
	cluster *cluster
	out     io.Writer
	print   func([]answer)
	buffer  bytes.Buffer

	flows, expected, unusable, unsent int
	mismatches                        []string
	found                             findings.Result
}

// finishOutput writes what stands behind the flows, or all that waited for the last.
func (v *verification) finishOutput() error {
	switch v.options.output {
	case "junit":
		return findings.JUnit(v.out, v.found)
	case "github":
		return findings.GitHub(v.out, v.found)
	case "md":
		_, err := io.WriteString(v.out, v.markdown())
		return err
	}
	v.summary()
	return nil
}

// chunk is how many flows are answered before they are printed: enough to
// align them, few enough to stream.
const chunk = 1000

func (v *verification) answerAll(ctx context.Context, in io.Reader) error {
	lines := bufio.NewReaderSize(in, 1<<16)
	first, number := true, 0
	var answers []answer
	for {
		data, err := lines.ReadBytes('\n')
		number++
		if number == 1 {
			data = bytes.TrimPrefix(data, []byte("\ufeff"))
		}
		text := bytes.TrimSpace(data)
		said := len(text) > 0 && text[0] != '#'
		if first && said && formatOf(text) != byLine {
			flows, again, err := wholeFlows(formatOf(text), io.MultiReader(strings.NewReader(strings.Repeat("\n", number-1)), bytes.NewReader(data), lines))
			switch {
			case err != nil:
				return unusable(err)
			case again == nil:
				return v.answerWhole(ctx, flows)
			}
			lines.Reset(again)
			first, number = false, 0
			continue
		}
		if said {
			first = false
			answers = append(answers, v.answer(ctx, number, text))
		}
		done := errors.Is(err, io.EOF)
		if err != nil && !done {
			return unusablef("read flows: %w", err)
		}
		// Packets are sent for all flows at once: that is what makes it quick.
		if done || len(answers) >= chunk && !v.options.inKernel {
			if err := v.finish(ctx, answers); err != nil || done {
				return err
			}
			answers = answers[:0]
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// answerWhole answers flows that are a document.
func (v *verification) answerWhole(ctx context.Context, flows []wholeFlow) error {
	var answers []answer
	for _, f := range flows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.err != nil {
			answers = append(answers, answer{input: f.data, line: flowLine{number: f.line}, err: f.err})
			continue
		}
		answers = append(answers, v.answer(ctx, f.line, f.data))
	}
	return v.finish(ctx, answers)
}

func (v *verification) answer(ctx context.Context, number int, data []byte) answer {
	a := answer{input: data}
	if bytes.HasPrefix(data, []byte("{")) {
		a.line, a.err = parseFlowLine(number, data, v.options.namespace)
	} else {
		a.line, a.err = parseTextLine(number, string(data), v.options.namespace)
	}
	if a.err == nil {
		a.Answer, a.err = v.cluster.ask(ctx, a.line.question)
	}
	return a
}

// finish sends the packets, prints and counts. The paper's answers are printed
// also where no packets could be sent.
func (v *verification) finish(ctx context.Context, answers []answer) error {
	var kernelErr error
	if v.options.inKernel && len(answers) > 0 {
		if kernelErr = v.probe(ctx, answers); kernelErr != nil {
			for i := range answers {
				answers[i].kernel, answers[i].kernelWhy = nil, "no packets could be sent"
			}
		}
	}
	for i := range answers {
		a := &answers[i]
		v.flows++
		if a.line.expected != nil && a.err == nil {
			v.expected++
		}
		if a.kernel == nil && a.err == nil {
			v.unsent++
		}
		if a.err != nil {
			v.unusable++
			if v.options.output != "text" { // which says it in its place
				fmt.Fprintf(v.options.ErrOut, "error: %s:%d: %v\n", v.options.flowsName(), a.line.number, a.err)
			}
		}
		if m := a.mismatch(); m != "" {
			v.mismatches = append(v.mismatches, v.explainMismatch(a, m))
		}
	}
	v.print(answers)
	return kernelErr
}

func (v *verification) explainMismatch(a *answer, what string) string {
	why := ""
	for _, r := range v.reasons(a) {
		why += "\n    " + r
	}
	return fmt.Sprintf("%s:%d: %s: %s%s", v.options.flowsName(), a.line.number, a.Name(), what, why)
}

// printed reports whether an answer is to be printed.
func (v *verification) printed(a *answer) bool {
	return !v.options.onlyMismatches || a.err != nil || a.mismatch() != ""
}

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
