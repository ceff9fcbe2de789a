package enforcer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// ConditionError is a [Condition] that a source hands to [Sink.Report]. The agent
// shows it among its conditions; any other error is one of its SourceErrors.
type ConditionError struct{ Condition Condition }

func (e ConditionError) Error() string { return e.Condition.String() }

// readObjects runs the source.
func (a *Agent) readObjects(ctx context.Context) error {
	return a.source.Run(ctx, &sourceDesk{mailbox: a.box, agent: a, ctx: ctx, conditions: map[string]Condition{}})
}

// sourceDesk is the Sink of an agent. What a source reports shows at once, not
// with the next round of the sync loop, which may be long.
type sourceDesk struct {
	*mailbox
	agent *Agent
	// ctx has the logger: a Sink is handed none.
	ctx        context.Context
	mu         sync.Mutex
	conditions map[string]Condition
}

// Report is of [Sink].
func (d *sourceDesk) Report(part string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, had := d.conditions[part]
	var c ConditionError
	if errors.As(err, &c) {
		d.conditions[part] = c.Condition
		err = nil
	} else {
		delete(d.conditions, part)
	}
	d.mailbox.Report(part, err)
	if _, has := d.conditions[part]; has || had {
		d.agent.status.setConditions(d.ctx, "source", slices.Collect(maps.Values(d.conditions)))
	}
	d.agent.metrics.setStatus(d.agent.Status())
}

// Heard is of [hearer].
func (d *sourceDesk) Heard(kind EventKind, at time.Time) {
	d.agent.metrics.lastHeard.WithLabelValues(kind.String()).Set(float64(at.UnixNano()) / 1e9)
}
