package agents

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
)

// What the manifests call things; a test holds them to it.
const (
	// Namespace is where the agents are if nobody says otherwise.
	Namespace = "sluice-system"
	// ReaderAccount is a ServiceAccount beside them that may ask them.
	ReaderAccount = "sluice-reader"
	// PortName is that of the port of their door.
	PortName = "metrics"
)

// Labels are those of the agents' Pods.
var Labels = labels.Set{"app.kubernetes.io/name": "sluice"}

// Agent is the agent of a node.
type Agent struct {
	// Node is the node's name, empty for the one behind a socket.
	Node string
	// Pod and Port are where its door is.
	Pod  string
	Port int
	// Why says why it cannot be asked, empty if it can.
	Why string
}

// Failure is a node that did not answer, and why.
type Failure struct {
	Node string
	Err  error
}

func (f Failure) Error() string { return fmt.Sprintf("node %s: %v", f.Node, f.Err) }

func (f Failure) Unwrap() error { return f.Err }

// pageSize is how many objects are asked for at once.
const pageSize = 500

// find lists the agents, one a node, sorted by it.
func find(ctx context.Context, client kubernetes.Interface, namespace string) ([]Agent, error) {
	byNode := map[string]Agent{}
	options := metav1.ListOptions{LabelSelector: labels.SelectorFromSet(Labels).String(), Limit: pageSize}
	for {
		page, err := client.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return nil, findError(namespace, err)
		}
		for i := range page.Items {
			if a, ok := agentOf(&page.Items[i]); ok && (byNode[a.Node].Node == "" || byNode[a.Node].Why != "") {
				byNode[a.Node] = a
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	if len(byNode) == 0 {
		return nil, fmt.Errorf("find the agents: no Pod in namespace %s has the labels %s: give --agent-namespace where they are", namespace, Labels)
	}
	return slices.SortedFunc(maps.Values(byNode), func(a, b Agent) int { return cmp.Compare(a.Node, b.Node) }), nil
}

func findError(namespace string, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("find the agents: %w (bind Role sluice-reader of namespace %s to who asks)", err, namespace)
	}
	return fmt.Errorf("find the agents in namespace %s: %w", namespace, err)
}

// agentOf is the agent of a Pod that has a node.
func agentOf(p *corev1.Pod) (Agent, bool) {
	a := Agent{Node: p.Spec.NodeName, Pod: p.Name}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == PortName {
				a.Port = int(port.ContainerPort)
			}
		}
	}
	switch {
	case p.DeletionTimestamp != nil:
		a.Why = "its agent's Pod " + p.Name + " is being deleted"
	case p.Status.Phase != corev1.PodRunning:
		a.Why = fmt.Sprintf("its agent's Pod %s is not running: %s", p.Name, p.Status.Phase)
	case a.Port == 0:
		a.Why = fmt.Sprintf("its agent's Pod %s has no port %q: without --metrics-address it shows nothing to others", p.Name, PortName)
	}
	return a, a.Node != ""
}

// nodesWithout are the Linux nodes that have none of the agents.
func nodesWithout(ctx context.Context, client kubernetes.Interface, agents []Agent) ([]string, error) {
	has := map[string]bool{}
	for _, a := range agents {
		has[a.Node] = true
	}
	var out []string
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := client.CoreV1().Nodes().List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list Nodes: %w", err)
		}
		for i := range page.Items {
			n := &page.Items[i]
			if os := n.Labels[corev1.LabelOSStable]; !has[n.Name] && (os == "" || os == "linux") {
				out = append(out, n.Name)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			slices.Sort(out)
			return out, nil
		}
	}
}
