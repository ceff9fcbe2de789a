package enforcer

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// maxWaiters bounds the answers that are held back at a time: each takes a connection.
const maxWaiters = 32

// lookAgain is how often a wait looks whether what stood in the way is over, of which
// nobody tells it.
const lookAgain = time.Second

// statusPaths are what the door shows of what is enforced.
func (a *Agent) statusPaths() map[string]http.Handler {
	waiters := make(chan struct{}, maxWaiters)
	return map[string]http.Handler{
		nodestatus.StatusPath: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q, err := nodestatus.ParseQuery(r.URL.Query())
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			writeJSON(w, a.NodeStatus(q))
		}),
		nodestatus.WaitPath: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q, err := nodestatus.ParseWait(r.URL.Query())
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			select {
			case waiters <- struct{}{}:
				defer func() { <-waiters }()
			default:
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many wait for this node: ask again", http.StatusServiceUnavailable)
				return
			}
			writeJSON(w, a.WaitEnforced(r.Context(), q))
		}),
	}
}

func writeJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	// A client that hung up needs no answer.
	_ = e.Encode(answer)
}

// NodeStatus is what the node enforces, as far as it is asked for.
func (a *Agent) NodeStatus(q nodestatus.Query) *nodestatus.Node {
	s := a.Status()
	out := &nodestatus.Node{
		APIVersion: nodestatus.APIVersion, Kind: nodestatus.Kind, Node: a.cfg.Node, Version: a.cfg.Version,
		Time: a.cfg.Clock.Now().UTC(), Ready: s.Ready() == nil, Epoch: s.Epoch, PodStart: s.PodStart,
		Objects: nodestatus.Objects{Pods: s.Objects.Pods, Namespaces: s.Objects.Namespaces, Policies: s.Objects.Policies},
	}
	if err := s.waiting(); err != nil {
		out.Waiting = err.Error()
	}
	fillConditions(s.Conditions, out)
	a.ledger.Fill(q, out)
	return out
}

// WaitEnforced answers when a version of an object is enforced, and otherwise when the
// time is up or there is nothing to wait for.
func (a *Agent) WaitEnforced(ctx context.Context, w nodestatus.Wait) *nodestatus.Answer {
	ctx, cancel := context.WithTimeout(ctx, min(w.Timeout, nodestatus.MaxWait))
	defer cancel()
	tick := a.cfg.Clock.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		news := a.ledger.News()
		out := &nodestatus.Answer{APIVersion: nodestatus.APIVersion, Kind: nodestatus.AnswerKind, Node: a.cfg.Node}
		out.State, out.Message = a.ledger.Answer(w)
		if out.State == nodestatus.Enforced {
			if c, blocked := a.blocked(w); blocked {
				out.State, out.Message = nodestatus.Blocked, c.String()
			}
		}
		if out.State == nodestatus.Enforced || out.State == nodestatus.Gone {
			return out
		}
		select {
		case <-news:
		case <-tick.C():
		case <-ctx.Done():
			return out
		}
	}
}

// blocked finds what keeps an object that is in the kernel from having effect. What keeps
// later changes out of the kernel does not.
func (a *Agent) blocked(w nodestatus.Wait) (Condition, bool) {
	for _, c := range a.Status().Conditions {
		if !c.NotReady() || strings.HasPrefix(c.What, "Source") || c.What == "TableFailed" || c.What == "SyncHangs" || c.What == "Asleep" {
			continue
		}
		pod, ofPod := strings.CutPrefix(c.Object, "Pod ")
		if !ofPod {
			return c, true
		}
		namespace, name, _ := strings.Cut(pod, "/")
		if a.ledger.Isolates(w.Kind, w.Name, types.NamespacedName{Namespace: namespace, Name: name}) {
			return c, true
		}
	}
	return Condition{}, false
}

// fillConditions shows conditions: first what makes the node not ready.
func fillConditions(list []Condition, n *nodestatus.Node) {
	for _, c := range list {
		n.Conditions = append(n.Conditions, nodestatus.Condition{What: c.What, NotReady: c.NotReady(), Object: c.Object, Message: c.Message, Mend: c.Mend})
	}
	rank := func(c nodestatus.Condition) int {
		if c.NotReady {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(n.Conditions, func(a, b nodestatus.Condition) int { return cmp.Compare(rank(a), rank(b)) })
	if more := len(n.Conditions) - nodestatus.MaxConditions; more > 0 {
		n.Conditions, n.MoreConditions = n.Conditions[:nodestatus.MaxConditions], more
	}
}
