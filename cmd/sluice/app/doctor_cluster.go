package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/policy"
)

// startupTaint is package enforcer's StartupTaint, which is of Linux only; a test holds
// the two together.
const startupTaint = "sluice-net.github.io/agent-not-ready"

// askCluster asks the agents of all nodes to look, and the API what only it knows.
func (o *DoctorOptions) askCluster(ctx context.Context) (doctored, error) {
	config, err := o.kube.config()
	if err != nil {
		return doctored{}, unusable(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return doctored{}, unusable(fmt.Errorf("make a client for the cluster: %w", err))
	}
	r := newReport("cluster")
	fleet, err := agents.Find(ctx, client, config, o.where)
	switch {
	case apierrors.IsForbidden(err):
		r.Findings = append(r.Findings, diagnosis.Complete(diagnosis.Finding{
			Check: diagnosis.IDCoverage, State: diagnosis.Problem, Found: "the agents could not be looked for: " + err.Error(), Consequence: "nothing is known of any node", Mend: "get the rights that are named under rights",
		}))
	case err != nil:
		return doctored{}, unusable(unreachable(config.Host, err))
	}
	found := doctored{report: r}
	if fleet != nil {
		found.connection = &connection{fleet, client}
		if o.node != "" {
			if err := fleet.Only(o.node); err != nil {
				return found, unusable(err)
			}
		}
		r.Findings = append(r.Findings, o.askAgents(ctx, fleet, r)...)
	}
	r.Findings = append(r.Findings, lackingRights(ctx, client, o.where.Namespace)...)
	r.Findings = append(r.Findings, versionFindings(r)...)
	r.Findings = append(r.Findings, taintFindings(ctx, client, r)...)
	if o.node == "" {
		r.Findings = append(r.Findings, policyFindings(ctx, client)...)
	}
	for i := range r.Findings {
		r.Findings[i] = diagnosis.Complete(r.Findings[i])
	}
	r.Findings = append(r.Findings, whatIsWell(r.Findings)...)
	r.Judge()
	return found, nil
}

// whatIsWell are the checks over the cluster that found nothing.
func whatIsWell(findings []diagnosis.Finding) []diagnosis.Finding {
	var out []diagnosis.Finding
	for _, c := range diagnosis.Checks {
		if c.Cluster && !slices.ContainsFunc(findings, func(f diagnosis.Finding) bool { return f.Check == c.ID }) {
			out = append(out, diagnosis.Finding{Check: c.ID, State: diagnosis.OK, Found: c.Clean})
		}
	}
	return out
}

// clockTolerance is how far a node's clock may be off besides the time that its answer took.
const clockTolerance = 5 * time.Second

// askAgents has every agent look at its node.
func (o *DoctorOptions) askAgents(ctx context.Context, fleet *agents.Fleet, r *diagnosis.Report) (out []diagnosis.Finding) {
	var mu sync.Mutex
	failures := fleet.Each(ctx, func(ctx context.Context, a agents.Agent) error {
		ctx, cancel := context.WithTimeout(ctx, doctorWithin)
		defer cancel()
		began := time.Now()
		n, err := diagnose(ctx, fleet, a, diagnosis.Query{Ruleset: o.bundle != ""})
		took := time.Since(began)
		if err != nil {
			return err
		}
		n.Node = cmp.Or(a.Node, n.Node)
		mu.Lock()
		defer mu.Unlock()
		r.Nodes = append(r.Nodes, n)
		if f, off := clockFinding(n, began, took); off {
			out = append(out, f)
		}
		return nil
	})
	slices.SortFunc(r.Nodes, func(a, b *diagnosis.Node) int { return strings.Compare(a.Node, b.Node) })
	slices.SortFunc(out, func(a, b diagnosis.Finding) int { return strings.Compare(a.Object, b.Object) })
	for _, f := range failures {
		out = append(out, coverageFinding(f))
	}
	if fleet.WithoutErr != nil {
		out = append(out, diagnosis.Finding{
			Check: diagnosis.IDCoverage, State: diagnosis.Note, Found: "whether there are nodes without an agent is not known: " + fleet.WithoutErr.Error(),
			Mend: "have somebody look who may list Nodes", Run: "kubectl get nodes",
		})
	}
	return out
}

// diagnose asks one agent. Somebody else may be asking: then it is asked again.
func diagnose(ctx context.Context, fleet *agents.Fleet, a agents.Agent, q diagnosis.Query) (*diagnosis.Node, error) {
	for {
		data, err := fleet.Read(ctx, a, diagnosis.Path, q.Values(), diagnosis.MaxAnswer)
		switch {
		case err == nil:
			return diagnosis.ParseNode(data)
		case !errors.Is(err, agents.ErrBusy) || ctx.Err() != nil:
			return nil, err
		}
		pause(ctx, time.Second)
	}
}

// clockFinding tells of a node whose clock is off. The answer was written while we waited.
func clockFinding(n *diagnosis.Node, began time.Time, took time.Duration) (diagnosis.Finding, bool) {
	off := n.Time.Sub(began.Add(took / 2))
	if off.Abs() <= clockTolerance+took/2 {
		return diagnosis.Finding{}, false
	}
	word := "ahead of"
	if off < 0 {
		word = "behind"
	}
	return diagnosis.Finding{
		Check: diagnosis.IDClocks, State: diagnosis.Warning, Object: "node " + n.Node,
		Found: fmt.Sprintf("its clock is %v %s this machine's", off.Abs().Round(time.Second), word), Run: "timedatectl status   # there, and here",
	}, true
}

func coverageFinding(f agents.Failure) diagnosis.Finding {
	out := diagnosis.Finding{Check: diagnosis.IDCoverage, State: diagnosis.Problem, Object: "node " + f.Node, Found: f.Err.Error(), Run: "kubectl get pods -n sluice-system -o wide --field-selector spec.nodeName=" + f.Node}
	switch {
	case errors.Is(f.Err, agents.ErrNoAgent):
		out.Mend = "see why DaemonSet sluice has no Pod there: taints, nodeSelector, resources"
		out.Run = "kubectl describe daemonset -n sluice-system sluice"
	case strings.Contains(f.Err.Error(), "403 Forbidden"):
		out.Mend, out.Run = "apply the roles of this version: ClusterRole sluice-reader has get of "+diagnosis.Path, "kubectl describe clusterrole sluice-reader"
	case strings.Contains(f.Err.Error(), "it is of another version"):
		out.State, out.Consequence, out.Mend, out.Run = diagnosis.Warning, "that node was not looked at", "update the agents", "kubectl get daemonset -n sluice-system sluice -o wide"
	}
	return out
}

// versionFindings tell of agents of several versions, and of a command of another one.
func versionFindings(r *diagnosis.Report) []diagnosis.Finding {
	of := map[string][]string{}
	for _, n := range r.Nodes {
		of[cmp.Or(n.Version, "unknown")] = append(of[cmp.Or(n.Version, "unknown")], n.Node)
	}
	versions := slices.Sorted(maps.Keys(of))
	if len(versions) > 1 {
		var parts []string
		for _, v := range versions {
			parts = append(parts, fmt.Sprintf("%s on %s", v, onNodes(of[v], 0)))
		}
		return []diagnosis.Finding{{Check: diagnosis.IDVersions, State: diagnosis.Warning, Found: "the agents are of several versions: " + strings.Join(parts, "; "), Run: "kubectl rollout status daemonset -n sluice-system sluice"}}
	}
	if len(versions) == 1 && versions[0] != versionName() {
		return []diagnosis.Finding{{
			Check: diagnosis.IDVersions, State: diagnosis.Note, Found: fmt.Sprintf("the agents are of version %s, and this command of %s", versions[0], versionName()),
			Consequence: "what it says of policies on paper may differ from what the agents do", Mend: "use a command of the agents' version",
		}}
	}
	return nil
}

// taintFindings tell of nodes that are ready and still have the startup taint. Who may
// not list Nodes is told so elsewhere.
func taintFindings(ctx context.Context, client kubernetes.Interface, r *diagnosis.Report) []diagnosis.Finding {
	ready := map[string]bool{}
	for _, n := range r.Nodes {
		ready[n.Node] = n.Facts != nil && n.Facts.Agent != nil && n.Facts.Agent.Ready
	}
	var out []diagnosis.Finding
	_ = list(ctx, "list Nodes", client.CoreV1().Nodes().List, func(l *corev1.NodeList) {
		for i := range l.Items {
			n := &l.Items[i]
			has := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == startupTaint })
			if has && ready[n.Name] {
				out = append(out, diagnosis.Finding{
					Check: diagnosis.IDStartupTaint, State: diagnosis.Warning, Object: "node " + n.Name, Found: "its agent is ready, and the taint is still there",
					Run: "kubectl taint node " + n.Name + " " + startupTaint + "-",
				})
			}
		}
	})
	return out
}

// mostInvalid bounds the policies that are told of.
const mostInvalid = 50

// policyFindings tell of policies that cannot be understood.
func policyFindings(ctx context.Context, client kubernetes.Interface) []diagnosis.Finding {
	var out []diagnosis.Finding
	more := 0
	err := list(ctx, "list NetworkPolicies", client.NetworkingV1().NetworkPolicies(metav1.NamespaceAll).List, func(l *networkingv1.NetworkPolicyList) {
		for i := range l.Items {
			p := &l.Items[i]
			errs := policy.Validate(p)
			if len(errs) == 0 {
				continue
			}
			if len(out) == mostInvalid {
				more++
				continue
			}
			out = append(out, diagnosis.Finding{
				Check: diagnosis.IDPolicies, State: diagnosis.Problem, Object: "NetworkPolicy " + p.Namespace + "/" + p.Name, Found: errs[0].Field + ": " + errs[0].ErrorBody(),
				Run: fmt.Sprintf("kubectl edit networkpolicy -n %s %s", p.Namespace, p.Name),
			})
		}
	})
	if more > 0 {
		out = append(out, diagnosis.Finding{Check: diagnosis.IDPolicies, State: diagnosis.Problem, Found: count(more, "more policy", "more policies"), Run: "kubectl get networkpolicies -A -o yaml | sluice lint -f -"})
	}
	if err != nil {
		out = append(out, diagnosis.Finding{Check: diagnosis.IDPolicies, State: diagnosis.Note, Found: "the policies could not be read: " + err.Error(), Consequence: "whether all of them are understood is not known", Mend: "have somebody look who may list them"})
	}
	return out
}
