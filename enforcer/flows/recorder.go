package flows

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/policy"
)

// Config is what a recorder needs.
type Config struct {
	// Node is the node's name: each judges and tells of its own Pods' flows.
	Node string
	// Denials gets what audited policies would deny.
	Denials *denials.Recorder
	// Cut is the bit of the conntrack mark of a connection that is denied, 0 if there is
	// none.
	Cut uint32
	// Registerer gets the metrics; nil: none.
	Registerer prometheus.Registerer
	Clock      clock.PassiveClock
}

// Recorder looks at connections for who follows and for audited policies. Watch, Audit
// and Explain are the sync loop's; the rest may be called from any goroutine.
type Recorder struct {
	cfg    Config
	intake *intake
	index  *policy.Index

	mu        sync.Mutex
	followers map[*Subscription]struct{}
	auditing  bool
	// own are the node's addresses, those of its bridges included.
	own     map[netip.Addr]bool
	changed chan struct{}
}

// New makes a recorder.
func New(cfg Config) (*Recorder, error) {
	r := &Recorder{cfg: cfg, intake: newIntake(), followers: map[*Subscription]struct{}{}, changed: make(chan struct{})}
	if cfg.Registerer == nil {
		return r, nil
	}
	for _, cause := range LeftOutCauses {
		c := prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sluice_flows_left_out_total", Help: "Connections that were not looked at, by cause.",
			ConstLabels: prometheus.Labels{"cause": string(cause)},
		}, func() float64 { return float64(r.intake.left()[cause]) })
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of flows: %w", err)
		}
	}
	return r, nil
}

// Take takes a connection. It never blocks for long.
func (r *Recorder) Take(c Connection) {
	if r.cfg.Cut != 0 && c.Mark&r.cfg.Cut != 0 {
		return // it is there, and nothing of it passes
	}
	r.intake.add(c, r.cfg.Clock.Now())
}

func (r *Recorder) lost() { r.intake.leave(LeftOutKernel) }

// LeftOut is how many connections were not looked at so far, by cause.
func (r *Recorder) LeftOut() map[LeftOutCause]uint64 { return r.intake.left() }

// Ready is readable when Explain has something to do.
func (r *Recorder) Ready() <-chan struct{} { return r.intake.ready }

// Watch has the recorder ask an index.
func (r *Recorder) Watch(x *policy.Index) { r.index = x }

func (r *Recorder) setOwn(addrs map[netip.Addr]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own = addrs
}

// Audit says whether audited policies select Pods of the node. When they begin to,
// connections that are there already are looked at as well.
func (r *Recorder) Audit(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.auditing == on {
		return
	}
	r.auditing = on
	r.change()
}

// change has the reader look whether it is wanted. The recorder is locked.
func (r *Recorder) change() {
	r.intake.again()
	close(r.changed)
	r.changed = make(chan struct{})
}

// wanted says whether anybody wants to know of connections, and when that may differ.
func (r *Recorder) wanted() (bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.auditing || len(r.followers) > 0, r.changed
}

const (
	// atOnce is how many connections are looked at before the sync loop has its turn
	// again, and turnTime about how long that may take.
	atOnce   = 64
	turnTime = 5 * time.Millisecond
)

// Explain looks at connections that wait, as far as there is time: then Ready is readable
// again.
func (r *Recorder) Explain() {
	if r.index == nil {
		return
	}
	started := r.cfg.Clock.Now()
	for range atOnce {
		c, ok := r.intake.take()
		if !ok {
			return
		}
		r.explain(&c, started)
		if r.cfg.Clock.Since(started) > turnTime {
			return
		}
	}
}

func (r *Recorder) explain(c *Connection, now time.Time) {
	flow := policy.Flow{
		Src: denials.WholeEnd(r.index, c.Src), Dst: denials.WholeEnd(r.index, c.Dst), Protocol: c.Protocol, Port: c.Port,
	}
	from, to := r.local(flow.Src), r.local(flow.Dst)
	if !from && !to {
		return
	}
	r.mu.Lock()
	auditing, followed, own := r.auditing, len(r.followers) > 0, r.own[c.Src]
	r.mu.Unlock()
	// What the node itself sends always reaches its Pods. Of others conntrack may remember
	// what has ended, or what policies have denied since: nothing of it passes.
	passes := r.index.Evaluate(flow).Allowed
	if !passes && !own {
		return
	}
	if auditing && passes {
		r.audit(c, flow, from, to && !own, now)
	}
	// The node of the destination tells, for only there is it known that the flow has
	// passed at both ends, and that of the source of what goes to no Pod.
	if followed && (to || flow.Dst.Pod == nil) {
		f := r.flow(c, flow, now)
		if own && flow.Src.Pod == nil {
			f.Src.Kind, f.Src.Node = denials.NodeEnd, r.cfg.Node
		}
		r.tell(f)
	}
}

func (r *Recorder) local(e policy.End) bool {
	return e.Pod != nil && (r.cfg.Node == "" || e.Pod.Node == r.cfg.Node)
}

// audit asks what audited policies would do at the ends that are this node's.
func (r *Recorder) audit(c *Connection, flow policy.Flow, from, to bool, now time.Time) {
	v, asked := r.index.ExplainAudited(flow)
	if !asked {
		return
	}
	if from && !v.Egress.Allowed {
		r.cfg.Denials.WouldDeny(now, flow, c.Original, &v.Egress)
	}
	if to && !v.Ingress.Allowed {
		r.cfg.Denials.WouldDeny(now, flow, c.Original, &v.Ingress)
	}
}

func (r *Recorder) flow(c *Connection, flow policy.Flow, now time.Time) *Flow {
	return &Flow{
		APIVersion: denials.APIVersion, Kind: Kind, Time: now.UTC(), Node: r.cfg.Node,
		Src: denials.EndOf(r.index, flow.Src), Dst: denials.EndOf(r.index, flow.Dst),
		Protocol: flow.Protocol.String(), Port: flow.Port,
		Service: r.cfg.Denials.ServiceOf(c.Original, flow),
	}
}
