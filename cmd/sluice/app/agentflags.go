package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
)

// agentFlags say how to reach the agents: all of a cluster, or the one behind a socket.
type agentFlags struct {
	kube      kubeFlags
	namespace string
	where     agents.Options
	socket    string
}

// agentsHelp is what it takes to ask agents.
const agentsHelp = `The agents are asked through the API server, by a port-forward to each, with what
the kubeconfig allows: Role sluice-reader of namespace sluice-system is enough to
reach them. Each is shown a short-lived token of ServiceAccount sluice-reader, or
the kubeconfig's own token where one of those is not given.`

func (a *agentFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&a.namespace, "namespace", "n", "", "namespace of objects that name none (default: the context's)")
	allowEmpty(flags.Lookup("namespace"))
	a.addWays(flags)
	flags.StringVar(&a.socket, "socket", "", "ask the agent of this machine by its socket, and no cluster")
	a.kube.without = "no cluster: " + giveKubeconfig + "; the agent of this machine alone is asked with --socket, as root"
}

// addWays adds what it takes to reach the agents of a cluster.
func (a *agentFlags) addWays(flags *pflag.FlagSet) {
	a.kube.add(flags)
	flags.StringVar(&a.where.Namespace, "agent-namespace", agents.Namespace, "namespace of the agents")
	flags.StringVar(&a.where.Authority, "agent-certificate-authority", "", "file with the certificates that vouch for the agents' own (default: the API server vouches for the way to them)")
}

func (a *agentFlags) validate() error {
	var errs []error
	if why := validation.IsDNS1123Label(a.where.Namespace); len(why) > 0 {
		errs = append(errs, fmt.Errorf("--agent-namespace: %q is no name of a namespace: %s", a.where.Namespace, why[0]))
	}
	if flag := a.kube.changed(); flag != "" && a.socket != "" {
		errs = append(errs, fmt.Errorf("--socket is instead of a cluster: leave out --%s", flag))
	}
	if a.where.Authority != "" {
		if _, err := os.Stat(a.where.Authority); err != nil {
			errs = append(errs, fmt.Errorf("--agent-certificate-authority: %w", err))
		}
	}
	if a.socket != "" && !filepath.IsAbs(a.socket) {
		errs = append(errs, fmt.Errorf("--socket: %q is no absolute path", a.socket))
	}
	return errors.Join(append(errs, validateNamespace(a.namespace), a.kube.validate())...)
}

// connection is who can be asked.
type connection struct {
	fleet *agents.Fleet
	// client asks the API server, nil without a cluster.
	client kubernetes.Interface
}

// connect finds the agents.
func (a *agentFlags) connect(ctx context.Context) (*connection, error) {
	if a.socket != "" {
		return &connection{fleet: agents.OnSocket(a.socket)}, nil
	}
	config, err := a.kube.config()
	if err != nil {
		return nil, unusable(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, unusable(fmt.Errorf("make a client for the cluster: %w", err))
	}
	fleet, err := agents.Find(ctx, client, config, a.where)
	if err != nil {
		return nil, unusable(unreachable(config.Host, err))
	}
	return &connection{fleet, client}, nil
}

// completeNamespace fills in the namespace that no flag gives.
func (a *agentFlags) completeNamespace() (err error) {
	if a.namespace == "" && a.socket == "" {
		a.namespace, err = a.kube.namespace()
	}
	if a.namespace == "" {
		a.namespace = "default"
	}
	return err
}

// answered names the nodes that did not answer, and is the exit code of that: some did
// not, or nobody could be asked at all.
func answered(w io.Writer, fleet *agents.Fleet, failures []agents.Failure) error {
	tellFailures(w, failures)
	switch {
	case len(failures) == 0:
		return nil
	case !fleet.AnyAnswered():
		return &exitError{code: exitUnusable}
	}
	return &exitError{code: exitFailed}
}

// errNotInTime is of an agent that was followed and never answered.
var errNotInTime = errors.New("it did not answer within the time")

// followed is what kept an agent from being followed at the end, nil if nothing did: one
// that is still being dialled has told nothing, and failed at nothing.
func followed(fleet *agents.Fleet, a agents.Agent, last error) error {
	if last == nil && !fleet.Answered(a) {
		return errNotInTime
	}
	return last
}

// tellFailures names the nodes that did not answer.
func tellFailures(w io.Writer, failures []agents.Failure) {
	const most = 20
	for i, f := range failures {
		if i == most {
			fmt.Fprintf(w, "error: and %d nodes more\n", len(failures)-most)
			return
		}
		fmt.Fprintf(w, "error: %s\n", f.Error())
	}
}

// objectTypes are the types that status and wait know, as kubectl lets people write them.
var objectTypes = map[string]string{
	"netpol": "netpol", "networkpolicy": "netpol", "networkpolicies": "netpol", "networkpolicy.networking.k8s.io": "netpol", "networkpolicies.networking.k8s.io": "netpol",
	"pod": "pod", "pods": "pod", "po": "pod",
	"ns": "ns", "namespace": "ns", "namespaces": "ns",
	"node": "node", "nodes": "node", "no": "node",
}

// target is an object that is asked about, such as netpol/db.
type target struct{ kind, name string }

// parseTarget reads type/name, of some types.
func parseTarget(text string, types ...string) (target, error) {
	kind, name, found := strings.Cut(text, "/")
	t := target{objectTypes[strings.ToLower(kind)], name}
	for _, k := range types {
		if found && t.kind == k {
			if why := validation.IsDNS1123Subdomain(name); len(why) > 0 {
				return target{}, fmt.Errorf("%q: %q is no name: %s", text, name, why[0])
			}
			return t, nil
		}
	}
	return target{}, fmt.Errorf("%q is none of %s: give the type and the name", text, strings.Join(types, "/NAME, ")+"/NAME")
}
