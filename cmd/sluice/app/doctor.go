package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

// DoctorOptions says what is not well on a node, or over a cluster.
type DoctorOptions struct {
	IOStreams
	agentFlags
	output, failOn string
	quiet, agents  bool
	bundle         string
	redact         bool

	// here: this machine is looked at, and no cluster asked.
	here bool
	// node is the only one that is asked, empty for all.
	node string
}

// defaultSocket is where the documents have an agent's socket.
const defaultSocket = "/run/sluice.sock"

func newDoctorCommand(streams IOStreams) *cobra.Command {
	o := &DoctorOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "doctor [node/NAME]",
		Short: "Say what is not well on a node, or over the cluster, and what mends it",
		Long: `Doctor looks at what policies depend on and what gets in their way: the kernel and
nft, bridge filtering, the network plug-in, kube-proxy, other programs' chains and
policy engines, conntrack, MTU, the agents, clocks, rights. Problems come first, each
with what follows from it, what mends it, and what to type.

As root on Linux it looks at this machine itself, whether an agent runs there or not.
Otherwise, with a flag that names a cluster, with node/NAME, or with --agents, it asks
the agents of all nodes to look. They see less than root on the node does: doctor says
what they do not. Nothing is changed. What the kernel can do is tried in a network
namespace that is made for it.

` + agentsHelp + `

Exit codes:
  0  nothing is as bad as --fail-on
  1  something is: it is named
  2  unusable flags, or nobody can be asked`,
		Example: `  sudo sluice doctor
  sluice doctor --context prod
  sluice doctor node/worker-1
  sluice doctor --agents -q --fail-on problem

  # for a bug report: see docs/doctor.md for what is in it
  sluice doctor --agents --bundle sluice-doctor.tar.gz --redact`,
		Args:    cobra.MaximumNArgs(1),
		PreRunE: check(o),
		RunE:    run(o),
	}
	flags := cmd.Flags()
	o.addWays(flags)
	o.kube.without = "no kubeconfig: to ask a cluster give --kubeconfig, $KUBECONFIG or ~/.kube/config; to look at this machine run it as root, on Linux: sudo sluice doctor"
	flags.StringVar(&o.socket, "socket", "", "socket of this machine's agent, to ask it as well (default: "+defaultSocket+", where it is there)")
	flags.BoolVar(&o.agents, "agents", false, "ask the agents of the cluster, also as root")
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	flags.StringVar(&o.failOn, "fail-on", "warning", "the least state of a finding for exit code 1: problem, warning or note")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "only problems and warnings, and nothing where there are none")
	flags.StringVar(&o.bundle, "bundle", "", "write a bundle for a bug report to this file (.tar.gz)")
	flags.BoolVar(&o.redact, "redact", false, "in the bundle, pseudonyms for names and addresses")
	return cmd
}

// Complete decides where to look.
func (o *DoctorOptions) Complete(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		t, err := parseTarget(args[0], "node")
		if err != nil {
			return err
		}
		o.node = t.name
	}
	root := runtime.GOOS == "linux" && os.Geteuid() == 0
	o.here = o.socket != "" || root && !o.agents && o.node == "" && o.kube.changed() == ""
	if !o.here {
		if _, err := o.kube.config(); err != nil {
			return unusable(err)
		}
	}
	return nil
}

// Validate refuses what cannot be meant.
func (o *DoctorOptions) Validate() error {
	errs := []error{o.validate(), oneOf("output", o.output, "text", "json"), oneOf("fail-on", o.failOn, "problem", "warning", "note")}
	if o.socket != "" && (o.agents || o.node != "") {
		errs = append(errs, errors.New("--socket is of this machine's agent: leave out --agents and node/NAME"))
	}
	if o.bundle == "" && o.redact {
		errs = append(errs, errors.New("--redact is for a bundle: give --bundle FILE.tar.gz"))
	}
	if o.bundle != "" && !strings.HasSuffix(o.bundle, ".tar.gz") && !strings.HasSuffix(o.bundle, ".tgz") {
		errs = append(errs, fmt.Errorf("--bundle: %q does not end in .tar.gz", o.bundle))
	}
	return errors.Join(errs...)
}

// doctored is what was found, and who can be asked for more.
type doctored struct {
	report *diagnosis.Report
	// connection asks agents, nil where there are none to ask.
	connection *connection
}

// Run looks, and prints.
func (o *DoctorOptions) Run(ctx context.Context) error {
	var found doctored
	var err error
	if o.here {
		found, err = o.lookHere(ctx)
	} else {
		found, err = o.askCluster(ctx)
	}
	if found.connection != nil {
		defer found.connection.fleet.Close()
	}
	if err != nil {
		return err
	}
	if err := o.print(found.report); err != nil {
		return err
	}
	if o.bundle != "" {
		if err := o.writeBundle(ctx, found); err != nil {
			return err
		}
	}
	if found.report.State.AtLeast(diagnosis.State(o.failOn)) {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (o *DoctorOptions) print(r *diagnosis.Report) error {
	return o.printAnswer("the diagnosis", o.output, r, func(b *bytes.Buffer) { writeDiagnosis(b, o.palette(), r, o.quiet) })
}

// newReport is an empty report.
func newReport(scope string) *diagnosis.Report {
	return &diagnosis.Report{APIVersion: diagnosis.APIVersion, Kind: diagnosis.Kind, Version: versionName(), Scope: scope, Nodes: []*diagnosis.Node{}}
}

// lookHere looks at this machine, and asks its agent if that has a socket.
func (o *DoctorOptions) lookHere(ctx context.Context) (doctored, error) {
	socket := o.socket
	if socket == "" {
		if info, err := os.Stat(defaultSocket); err == nil && info.Mode()&os.ModeSocket != 0 {
			socket = defaultSocket
		}
	}
	var c *connection
	var agent *diagnosis.Node
	if socket != "" {
		c = &connection{fleet: agents.OnSocket(socket)}
		ctx, cancel := context.WithTimeout(ctx, doctorWithin)
		defer cancel()
		data, err := c.fleet.Read(ctx, c.fleet.Agents[0], diagnosis.Path, nil, diagnosis.MaxAnswer)
		if err == nil {
			agent, err = diagnosis.ParseNode(data)
		}
		if err != nil {
			fmt.Fprintf(o.ErrOut, "notice: the agent at %s does not answer: %v\n", socket, err)
			c = nil
		}
	}
	n, err := lookAtMachine(ctx, agent)
	if err != nil {
		return doctored{connection: c}, err
	}
	r := newReport("node")
	r.Nodes = append(r.Nodes, n)
	r.Judge()
	return doctored{r, c}, nil
}

// doctorWithin bounds the wait for one node: a look takes a second or two, and somebody
// else's may come first.
const doctorWithin = 40 * time.Second
