package enforcer

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/door"
	"github.com/sluice-net/sluice/enforcer/flows"
)

// newFlows makes what looks at connections that pass, nil if denials are off: there is
// nobody then to tell what audited policies would deny.
func newFlows(cfg *Config, to *denials.Recorder, reg prometheus.Registerer) (*flows.Recorder, error) {
	if to == nil {
		return nil, nil
	}
	return flows.New(flows.Config{
		Node: cfg.Node, Denials: to, Cut: cfg.Compiler.Mark.Denied(), Registerer: reg, Clock: cfg.Clock,
	})
}

// recordFlows starts what reads connections while somebody wants to know of them. It is
// no part of enforcing.
func (a *Agent) recordFlows(ctx context.Context, start func(string, func() error)) {
	if a.flows == nil {
		return
	}
	reader := &flows.Reader{Namespace: a.ns, Recorder: a.flows}
	start("read connections", func() error { reader.Run(ctx); return nil })
}

// watchFlows has connections judged by audited policies as long as there are any.
func (s *syncer) watchFlows() {
	if s.flows != nil {
		s.flows.Watch(s.index)
		s.flows.Audit(s.index.Audits())
	}
}

// lookAtFlows looks at connections that wait, for some milliseconds at most.
func (s *syncer) lookAtFlows() {
	if s.flows != nil {
		s.flows.Explain()
	}
}

// flowsWait is readable when connections wait; nil, which never is, where nobody asks.
func (s *syncer) flowsWait() <-chan struct{} {
	if s.flows == nil {
		return nil
	}
	return s.flows.Ready()
}

// FlowsHandler answers with flows that pass as lines of JSON, until the client or the
// agent has enough. Who may ask is the door's matter.
func (a *Agent) FlowsHandler() http.Handler { return http.HandlerFunc(a.serveFlows) }

func (a *Agent) serveFlows(w http.ResponseWriter, r *http.Request) {
	if a.flows == nil {
		http.Error(w, "this agent does not read connections: it was started with --denials=off", http.StatusNotFound)
		return
	}
	query, err := denials.ParseQuery(r.URL.Query())
	if err == nil {
		query.Reasons = nil
	}
	var filter *denials.Filter
	if err == nil {
		filter, err = query.Filter(a.cfg.Clock.Now())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	following, err := a.flows.Follow(filter)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer following.Close()
	out := door.BeginLines(w, r)
	if out == nil {
		return
	}
	_ = following.WriteLines(r.Context(), out) // who hung up needs no answer
}
