package enforcer

import (
	"context"
	"net/http"

	"github.com/sluice-net/sluice/enforcer/detect"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// doctorPath looks at the node for who asks, one at a time: a look lists all rules and
// interfaces of the node, and nothing here is urgent.
func (a *Agent) doctorPath() http.Handler {
	turn := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := diagnosis.ParseQuery(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "somebody else asks doctor of this node: ask again", http.StatusServiceUnavailable)
			return
		}
		n := a.Diagnose(r.Context())
		if q.Ruleset {
			if n.Ruleset, err = detect.OurRuleset(r.Context(), a.ns); err != nil {
				n.Ruleset += "# not all of it: " + err.Error() + "\n"
			}
		}
		writeJSON(w, n)
	})
}

// Diagnose looks at the node with what rights the agent has.
func (a *Agent) Diagnose(ctx context.Context) *diagnosis.Node {
	f := detect.Look{
		NS: a.ns, Container: true, Mask: a.cfg.Compiler.Mark.Mask,
		Patterns: links.Patterns{Pods: a.cfg.PodInterfaces, Uplinks: a.cfg.Uplinks, Others: a.cfg.OtherInterfaces},
	}.Facts(ctx)
	s, now := a.Status(), a.cfg.Clock.Now()
	f.Agent = &diagnosis.Agent{Version: a.cfg.Version, Time: now.UTC(), Ready: s.Ready() == nil, PodStart: s.PodStart}
	if err := s.waiting(); err != nil {
		f.Agent.Waiting = err.Error()
	}
	var said nodestatus.Node
	fillConditions(s.Conditions, &said)
	f.Conditions, f.MoreConditions = said.Conditions, said.MoreConditions
	return diagnosis.NewNode(a.cfg.Node, a.cfg.Version, now, f)
}

// AgentAtWork names the process that holds the agents' lock in a network namespace, if
// any does. nil is that of the process.
func AgentAtWork(ns netns.Namespace) (who string, runs bool) {
	_ = netns.OrOwn(ns).Do(func() error {
		if h := holderOf(); h.pid >= 0 && h.mayBeAgent() {
			who, runs = h.String(), true
		}
		return nil
	})
	return who, runs
}
