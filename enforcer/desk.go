package enforcer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-net/sluice/enforcer/source"
)

// readObjects runs the source.
func (a *Agent) readObjects(ctx context.Context) error {
	return a.source.Run(ctx, &sourceDesk{Mailbox: a.box, agent: a, ctx: ctx, conditions: map[string]Condition{}})
}

// sourceDesk is the Sink of an agent. What a source reports shows at once, not
// with the next round of the sync loop, which may be long.
type sourceDesk struct {
	*source.Mailbox
	agent *Agent
	// ctx has the logger: a Sink is handed none.
	ctx        context.Context
	mu         sync.Mutex
	conditions map[string]Condition
}

// Report is of [source.Sink].
func (d *sourceDesk) Report(part string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, had := d.conditions[part]
	var t source.Trouble
	if errors.As(err, &t) {
		d.conditions[part] = Condition(t)
		err = nil
	} else {
		delete(d.conditions, part)
	}
	d.Mailbox.Report(part, err)
	if _, has := d.conditions[part]; has || had {
		d.agent.status.setConditions(d.ctx, "source", slices.Collect(maps.Values(d.conditions)))
	}
	d.agent.metrics.setStatus(d.agent.Status())
}

// Heard tells when the API server last said anything.
func (d *sourceDesk) Heard(kind source.EventKind, at time.Time) {
	d.agent.metrics.lastHeard.WithLabelValues(kind.String()).Set(float64(at.UnixNano()) / 1e9)
}
