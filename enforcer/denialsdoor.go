package enforcer

import (
	"net/http"

	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/door"
)

// denialsAtOnce bounds the earlier denials of one answer where the query does not.
const denialsAtOnce = denials.DefaultKeep

// DenialsHandler answers with denials as lines of JSON: those that are kept, and, if
// asked to follow, what comes until the client or the agent has enough. Who may ask is the
// door's matter.
func (a *Agent) DenialsHandler() http.Handler { return http.HandlerFunc(a.serveDenials) }

func (a *Agent) serveDenials(w http.ResponseWriter, r *http.Request) {
	store := a.Denials()
	if store == nil {
		http.Error(w, "this agent does not read denials: it was started with --denials=off", http.StatusNotFound)
		return
	}
	query, err := denials.ParseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	filter, err := query.Filter(a.cfg.Clock.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	most := query.Tail
	if most == 0 {
		most = denialsAtOnce
	}
	var following *denials.Subscription
	var earlier []*denials.Denial
	if !query.Follow {
		earlier = store.Find(filter, most)
	} else if following, earlier, err = store.Follow(filter, most); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	} else {
		defer following.Close()
	}
	out := door.BeginLines(w, r)
	if out == nil {
		return
	}
	// A client that hung up needs no answer. When the agent ends its doors close all
	// connections, and the request's context ends with its own.
	_ = denials.WriteLines(r.Context(), following, earlier, out)
}
