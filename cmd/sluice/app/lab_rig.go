//go:build linux && !nolab

package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/source"
)

// settleTimeout is how long the engine may take to bring a change into the
// kernel before we say that something is wrong.
const settleTimeout = 2 * time.Minute

// rig is a lab with the engine at work on each of its nodes.
type rig struct {
	lab    *lab.Lab
	agents []*enforcer.Agent
	stop   context.CancelFunc
	// ended carries what each agent's Run returned.
	ended chan error
}

// newRig builds the lab and starts an agent in each node's namespace, as the
// DaemonSet would. It is to be closed.
func newRig(ctx context.Context, spec lab.Spec, sourceOf func(node string) source.Source) (*rig, error) {
	l, err := lab.Build(ctx, spec)
	if err != nil {
		return nil, err
	}
	r := &rig{lab: l}
	if err := r.start(ctx, sourceOf); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *rig) start(ctx context.Context, sourceOf func(node string) source.Source) error {
	// Trouble comes back as errors; logs of several agents in one process
	// would only disturb the output.
	ctx, r.stop = context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	nodes := r.lab.Spec().Nodes
	r.ended = make(chan error, len(nodes))
	for _, n := range nodes {
		agent, err := enforcer.New(enforcer.Config{Node: n.Name}, sourceOf(n.Name), r.lab.Node(n.Name), prometheus.NewRegistry())
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
		r.agents = append(r.agents, agent)
		go func() {
			if err := agent.Run(ctx); err != nil {
				r.ended <- fmt.Errorf("agent on node %s: %w", n.Name, err)
				return
			}
			r.ended <- nil
		}()
	}
	return nil
}

// stopAgents ends the agents; their rules stay.
func (r *rig) stopAgents() error {
	r.stop()
	var errs []error
	for range r.agents {
		errs = append(errs, <-r.ended)
	}
	r.agents = nil
	return errors.Join(errs...)
}

// restart replaces the agents by ones with other sources, as an upgrade would:
// the rules stay in force in between.
func (r *rig) restart(ctx context.Context, sourceOf func(node string) source.Source) error {
	if err := r.stopAgents(); err != nil {
		return err
	}
	if err := r.start(ctx, sourceOf); err != nil {
		return err
	}
	return r.settle(ctx)
}

// settle waits until all that the sources said is in the kernel on every node.
func (r *rig) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for i, a := range r.agents {
		if err := a.Settle(ctx); err != nil {
			node := r.lab.Spec().Nodes[i].Name
			return errors.Join(fmt.Errorf("node %s: the policies did not get into the kernel: %w", node, err), a.Ready(), r.failure())
		}
	}
	return nil
}

// failure is why an agent gave up, if one did.
func (r *rig) failure() error {
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	default:
		return nil
	}
}

// close stops the agents, waits for them and takes the lab down.
func (r *rig) close() error {
	return errors.Join(r.stopAgents(), r.lab.Close())
}
