package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// hearer is a Sink that wants to know when the API last said anything about a
// kind of objects, be it only that nothing has happened.
type hearer interface {
	Heard(kind EventKind, at time.Time)
}

// listen reports what the ears have to say until the context ends.
func (s *Kube) listen(ctx context.Context, sink Sink, ears []*ear) {
	tick := time.NewTicker(s.patience.tick)
	defer tick.Stop()
	troubled := map[*ear]string{}
	heard := map[*ear]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, e := range ears {
				err := e.trouble(now, s.patience)
				if text := errorText(err); text != troubled[e] {
					troubled[e] = text
					sink.Report("watch of "+e.resource, err)
				}
				h, ok := sink.(hearer)
				if at := e.lastHeard(); ok && at.After(heard[e]) {
					heard[e] = at
					h.Heard(e.kind, at)
				}
			}
		}
	}
}

// Current is why there may be more of a kind than was told, nil if there is no sign of
// it.
func (s *Kube) Current(kind EventKind, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.ears {
		if e.kind == kind {
			return e.current(now)
		}
	}
	return errors.New("the API server was not asked yet")
}

// hostOf is whom a client talks to, for people.
func hostOf(c rest.Interface) string {
	if rc, ok := c.(*rest.RESTClient); ok && rc != nil {
		return rc.Get().URL().Host
	}
	return "the API server"
}

// ownNode is the part of a source that says whether the agent's Node is there.
const ownNode = "own Node"

// nodeTrouble is what there is to say of the Nodes that are known.
func (s *Kube) nodeTrouble(known names) error {
	if known.has(types.NamespacedName{Name: s.node}) {
		return nil
	}
	return NodeUnknown(s.node, fmt.Sprintf("the cluster has no Node %q, so no Pod is taken for one of this node and none is enforced", s.node))
}

// NodeUnknown is a node name that is nobody's.
func NodeUnknown(name, message string) Trouble {
	return Trouble{
		What: "NodeUnknown", Object: "Node " + name, Message: message,
		Mend: "set NODE_NAME from spec.nodeName by the downward API, or give --node-name as kubectl get nodes has it",
	}
}
