package enforcer

import (
	"context"
	"fmt"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/rounds"
	"github.com/sluice-net/sluice/enforcer/source"
)

// apply hands events to the index.
func (s *syncer) apply(ctx context.Context, b source.Mail) {
	logger := klog.FromContext(ctx)
	if !b.Since.IsZero() && s.oldest.IsZero() {
		s.oldest = b.Since
	}
	for key, e := range b.Events {
		logger.V(4).Info("Event", "kind", key.Kind, "name", key.Name, "deleted", e.Deleted)
		err := s.applyOne(e)
		if err != nil {
			logger.Error(err, "An object is partly unusable", "kind", key.Kind, "name", key.Name)
			s.invalid[key] = err
		} else {
			delete(s.invalid, key)
		}
	}
	if s.rounds.Hear(rounds.Mail{Synced: b.Synced, Partly: b.Partly, Settle: b.Settle}) {
		s.status.setSynced()
		n := s.index.Counts()
		logger.Info("All objects were delivered", "pods", n.Pods, "namespaces", n.Namespaces, "policies", n.Policies)
	}
	if len(b.Events) > 0 {
		s.setObjectMetrics()
	}
}

func (s *syncer) applyOne(e source.Event) error {
	switch e.Kind {
	case source.PodEvent:
		if e.Deleted || e.Pod == nil {
			s.where.DeletePod(e.Name, e.Pod)
			if s.denials != nil {
				s.denials.ForgetPod(e.Name)
			}
			return nil
		}
		s.where.SetPod(e.Pod)
		return e.Invalid
	case source.NamespaceEvent:
		if e.Deleted {
			s.index.DeleteNamespace(e.Name.Name)
			return nil
		}
		s.index.SetNamespace(e.Name.Name, e.Labels)
		return e.Invalid
	case source.PolicyEvent:
		if e.Deleted || e.Policy == nil {
			s.index.DeletePolicy(e.Name)
			return nil
		}
		return s.index.SetPolicy(e.Policy)
	case source.NodeEvent:
		return nil
	}
	return fmt.Errorf("apply event of unknown kind %d", e.Kind)
}

func (s *syncer) setObjectMetrics() {
	invalid := map[source.EventKind]int{}
	for key := range s.invalid {
		invalid[key.Kind]++
	}
	n := s.index.Counts()
	s.status.write(func(st *Status) { st.Objects = n })
	for _, of := range []struct {
		kind  source.EventKind
		label string
		count int
	}{{source.PodEvent, "Pod", n.Pods}, {source.NamespaceEvent, "Namespace", n.Namespaces}, {source.PolicyEvent, "NetworkPolicy", n.Policies}} {
		s.metrics.objects.WithLabelValues(of.label).Set(float64(of.count))
		s.metrics.invalid.WithLabelValues(of.label).Set(float64(invalid[of.kind]))
	}
}

// taking is what the next round takes.
func (s *syncer) taking() source.Choice {
	if s.rounds.TakesAll() {
		return source.Everything
	}
	return source.InTurn
}
