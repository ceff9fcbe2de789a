package enforcer

import (
	"context"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/denials/nflog"
	"github.com/sluice-net/sluice/policy"
)

// DenialsConfig is how an agent tells of what is denied.
type DenialsConfig struct {
	// Off: nothing is read, and another program may have the log group. The kernel logs
	// and counts all the same.
	Off bool
	// Lines gets each denial as a line of JSON; nil: they are kept, counted, and told to
	// whoever asks.
	Lines io.Writer
	// PerPod counts by Pod, too, and not only by workload.
	PerPod bool
	// Events, if it is set, gets some of them as Events on the Pod whose policies denied.
	Events corev1client.EventsGetter
	// Rate is how many denials a second are explained, [denials.DefaultRate] if 0.
	Rate int
}

// Validate names what is wrong.
func (c *DenialsConfig) Validate() error {
	if c.Off && (c.Lines != nil || c.PerPod || c.Events != nil) {
		return fmt.Errorf("denials are off: then there are none to write or to count")
	}
	of := denials.Config{Rate: c.Rate}
	return of.Validate()
}

// newRecorder makes what remembers denials, nil if they are off.
func newRecorder(cfg *Config, reg prometheus.Registerer) (*denials.Recorder, error) {
	if cfg.Denials.Off {
		return nil, nil
	}
	return denials.New(denials.Config{
		Node: cfg.Node, Rate: cfg.Denials.Rate, PerPod: cfg.Denials.PerPod, Registerer: reg, Clock: cfg.Clock,
	})
}

// recordDenials starts what reads the kernel's log of denied packets, if anything does.
// It is no part of enforcing: whatever becomes of it, the rest goes on.
func (a *Agent) recordDenials(ctx context.Context, start func(string, func() error)) error {
	if a.denials == nil {
		return nil
	}
	group := a.cfg.Compiler.LogGroup
	reader := &nflog.Reader{Namespace: a.ns, Group: group, Take: a.denials.Log, Lost: a.denials.Lost}
	reader.Changed = func() {
		a.status.setConditions(ctx, "denials", unread(group, reader.Err()))
		a.rouse()
	}
	counts := &nflog.Counts{Namespace: a.ns, Table: compiler.TableName, Set: compiler.ReportedSet}
	start("read denials", func() error { reader.Run(ctx); return nil })
	start("count denied packets", func() error { counts.Run(ctx, a.denials); return nil })
	if a.cfg.Denials.Events != nil {
		following, _, err := a.denials.Store().Follow(nil, 0)
		if err != nil {
			return err
		}
		events := newDenialEvents(a.cfg.Denials.Events, a.cfg.Node, a.cfg.Clock)
		start("make events of denials", func() error { events.Run(ctx, following); return nil })
	}
	if a.cfg.Denials.Lines == nil {
		return nil
	}
	lines, _, err := a.denials.Store().Follow(nil, 0)
	if err != nil {
		return err
	}
	start("write denials", func() error {
		defer lines.Close()
		if err := denials.WriteLines(ctx, lines, nil, a.cfg.Denials.Lines); err != nil {
			// Nobody reads them any more, which is no reason to enforce nothing.
			klog.FromContext(ctx).Error(err, "Failed to write denials; no more are written until the agent's next start")
		}
		return nil
	})
	return nil
}

// unread is the condition that nobody knows what is denied.
func unread(group uint16, err error) []Condition {
	if err == nil {
		return nil
	}
	return []Condition{{
		What: "DenialsUnread", Object: fmt.Sprintf("log group %d", group), Message: err.Error(),
		Mend: "policies hold; end the other program, or give --log-group another number, or --denials=off",
	}}
}

// watchDenials has denials explained by the index, once it has all objects.
func (s *syncer) watchDenials() {
	if s.denials != nil && !s.denialsWatched {
		s.denialsWatched = true
		s.denials.Watch(s.index)
		s.explain()
	}
}

// beginGeneration is to be called before the index is told of what comes into force
// together.
func (s *syncer) beginGeneration() policy.Generation {
	if s.denials == nil {
		return 0
	}
	return s.denials.Begin()
}

// committing says that the next transactions bring generations into force, all if none
// is named.
func (s *syncer) committing(of ...policy.Generation) {
	if s.denials != nil {
		s.denials.Committing(of...)
	}
}

// inForce says that they have.
func (s *syncer) inForce(of ...policy.Generation) {
	if s.denials != nil {
		s.denials.Committed(of...)
	}
}

// explain explains denials that wait, for some milliseconds at most.
func (s *syncer) explain() {
	if s.denials != nil {
		s.denials.Explain(s.rounds.Epoch())
	}
}

// toExplain is readable when denials wait; nil, which never is, where nobody asks.
func (s *syncer) toExplain() <-chan struct{} {
	if s.denials == nil {
		return nil
	}
	return s.denials.Ready()
}

// Denials are those that the agent keeps, nil if nobody reads them.
func (a *Agent) Denials() *denials.Store {
	if a.denials == nil {
		return nil
	}
	return a.denials.Store()
}

// DenialsLeftOut is how many denials were not told of so far, by cause.
func (a *Agent) DenialsLeftOut() map[denials.LeftOutCause]uint64 {
	if a.denials == nil {
		return nil
	}
	return a.denials.LeftOut()
}
