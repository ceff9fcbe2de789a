package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// waitedObject reads which version an object is in.
type waitedObject struct {
	client    kubernetes.Interface
	target    target
	namespace string
}

func newObjectReader(config *rest.Config, t target, namespace string) (waitedObject, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return waitedObject{}, fmt.Errorf("make a client for the cluster: %w", err)
	}
	return waitedObject{client, t, namespace}, nil
}

// seen is a version of an object, the zero value of one that is not there.
type seen struct {
	UID             types.UID
	ResourceVersion string
}

func (r waitedObject) read(ctx context.Context) (seen, error) {
	var o metav1.Object
	var err error
	switch r.target.kind {
	case "netpol":
		o, err = r.client.NetworkingV1().NetworkPolicies(r.namespace).Get(ctx, r.target.name, metav1.GetOptions{})
	case "pod":
		o, err = r.client.CoreV1().Pods(r.namespace).Get(ctx, r.target.name, metav1.GetOptions{})
	default:
		o, err = r.client.CoreV1().Namespaces().Get(ctx, r.target.name, metav1.GetOptions{})
	}
	switch {
	case apierrors.IsNotFound(err):
		return seen{}, nil
	case err != nil:
		return seen{}, fmt.Errorf("read %s: %w", r, err)
	}
	return seen{o.GetUID(), o.GetResourceVersion()}, nil
}

func (r waitedObject) String() string {
	if r.target.kind == "ns" {
		return "ns/" + r.target.name
	}
	return fmt.Sprintf("%s/%s in namespace %s", r.target.kind, r.target.name, r.namespace)
}

// name is what agents call the object.
func (r waitedObject) name() types.NamespacedName {
	if r.target.kind == "ns" {
		return types.NamespacedName{Name: r.target.name}
	}
	return types.NamespacedName{Namespace: r.namespace, Name: r.target.name}
}

const (
	// pollFor is how long an agent holds its answer back. One that enforces the version
	// answers at once; one that jumped over it is asked for a later one after that.
	pollFor = 2 * time.Second
	// askAgain is the pause after a node could not be asked.
	askAgain = 250 * time.Millisecond
	// waitAtOnce is how many nodes are asked at a time: each answers as soon as it can.
	waitAtOnce = 64
	// findEvery is how often the agents may be looked for anew.
	findEvery = time.Second
)

// waiting waits for a version of an object on all nodes.
type waiting struct {
	*connection
	// again finds the agents anew: those of nodes that do not answer may have been
	// replaced.
	again   func(context.Context) (*connection, error)
	object  waitedObject
	deleted bool
	// first is what the API said at first. A node may answer for any version since.
	first seen

	mu sync.Mutex
	// moved are agents that took the place of others, by node.
	moved map[string]movedAgent
	found time.Time
}

type movedAgent struct {
	agents.Agent
	fleet *agents.Fleet
}

// errOver is of an object that cannot be enforced any more.
var errOver = errors.New("the object is not there any more")

// all waits for all nodes at once, and returns those that are not there.
func (w *waiting) all(ctx context.Context) []agents.Failure {
	w.fleet.AtOnce = waitAtOnce
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// An agent that starts may answer in time.
	for i := range w.fleet.Agents {
		if w.fleet.Agents[i].Port != 0 {
			w.fleet.Agents[i].Why = ""
		}
	}
	return w.fleet.Each(ctx, func(ctx context.Context, a agents.Agent) error {
		err := w.node(ctx, a)
		if errors.Is(err, errOver) {
			cancel() // nor will it be elsewhere
		}
		return err
	})
}

// node waits for one node.
func (w *waiting) node(ctx context.Context, a agents.Agent) error {
	last := errors.New("it was not asked within the time")
	wanted, fleet := w.first, w.fleet
	for ctx.Err() == nil {
		answer, err := w.ask(ctx, fleet, a, wanted)
		if err != nil {
			if ctx.Err() == nil {
				last = err
			}
			pause(ctx, askAgain)
			if !errors.Is(err, agents.ErrBusy) {
				fleet, a = w.lookAgain(ctx, fleet, a)
			}
			continue
		}
		if answer.State == nodestatus.Enforced {
			return nil
		}
		last = fmt.Errorf("%s: %s", answer.State, printable(answer.Message))
		if answer.State == nodestatus.Pending || answer.State == nodestatus.Blocked {
			continue
		}
		// It knows another version, or none: what does the API say now?
		now, err := w.object.read(ctx)
		switch {
		case err != nil:
			pause(ctx, askAgain)
		case w.deleted && answer.State == nodestatus.Absent && (now.UID == "" || w.first.UID != "" && now.UID != w.first.UID):
			return nil
		case w.deleted:
		case now.UID == "":
			return fmt.Errorf("%w: it was deleted", errOver)
		case now.UID != w.first.UID:
			return fmt.Errorf("%w: another of the same name was made", errOver)
		case answer.State == nodestatus.Gone:
			pause(ctx, askAgain) // it will be told that it is not
		default:
			wanted = now
		}
	}
	return last
}

// ask asks one node, which holds its answer back while it may get better.
func (w *waiting) ask(ctx context.Context, fleet *agents.Fleet, a agents.Agent, wanted seen) (*nodestatus.Answer, error) {
	q := nodestatus.Wait{Kind: kinds[w.object.target.kind], Name: w.object.name(), UID: wanted.UID, Deleted: w.deleted, Timeout: pollFor}
	if !w.deleted {
		q.ResourceVersion = wanted.ResourceVersion
	}
	ctx, cancel := context.WithTimeout(ctx, pollFor+statusWithin)
	defer cancel()
	data, err := fleet.Read(ctx, a, nodestatus.WaitPath, q.Values(), nodestatus.MaxAnswer)
	if err != nil {
		return nil, err
	}
	return nodestatus.ParseAnswer(data)
}

// lookAgain finds the agent that a node has now.
func (w *waiting) lookAgain(ctx context.Context, fleet *agents.Fleet, a agents.Agent) (*agents.Fleet, agents.Agent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.found) >= findEvery {
		w.found = time.Now()
		if c, err := w.again(ctx); err == nil {
			w.moved = map[string]movedAgent{}
			for _, now := range c.fleet.Agents {
				if now.Why == "" {
					w.moved[now.Node] = movedAgent{now, c.fleet}
				}
			}
		}
	}
	now, moved := w.moved[a.Node]
	if !moved || now.Pod == a.Pod {
		return fleet, a
	}
	return now.fleet, now.Agent
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
