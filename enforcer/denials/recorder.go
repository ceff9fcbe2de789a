package denials

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/policy"
)

// Config is how an agent tells of denials. The zero value has the defaults.
type Config struct {
	// Node is the name of the node.
	Node string
	// Rate is how many denials a second are explained, DefaultRate if 0. It is no
	// limit on what is counted in the kernel.
	Rate int
	// Keep and KeepBytes bound the denials that are kept, DefaultKeep and
	// DefaultKeepBytes if 0.
	Keep, KeepBytes int
	// PerPod counts by Pod as well.
	PerPod bool
	// ServiceAt names the Service that has an address and port, nil where nobody knows.
	// It is called by the sync loop.
	ServiceAt func(addr netip.Addr, protocol policy.Protocol, port uint16) (name string, ok bool)
	// Registerer is where metrics go.
	Registerer prometheus.Registerer
	Clock      clock.PassiveClock
}

// MaxRate bounds what a node remembers of flows: see [intake].
const MaxRate = 1000

// Validate says what is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.Rate < 0 || c.Rate > MaxRate {
		errs = append(errs, fmt.Errorf("denials: rate %d is not in 1-%d a second", c.Rate, MaxRate))
	}
	if c.Keep < 0 || c.KeepBytes < 0 {
		errs = append(errs, fmt.Errorf("denials: %d denials and %d bytes to keep: none can be less than 0", c.Keep, c.KeepBytes))
	}
	return errors.Join(errs...)
}

// Recorder makes denials of what the kernel logs. Log, and what it says of itself, may be
// called from anywhere; what is about the index belongs to the sync loop.
type Recorder struct {
	cfg      Config
	intake   *intake
	store    *Store
	metrics  *metrics
	index    *policy.Index
	timeline timeline
}

// New returns a recorder that knows no index yet.
func New(cfg Config) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Rate == 0 {
		cfg.Rate = DefaultRate
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	r := &Recorder{cfg: cfg, intake: newIntake(cfg.Rate), store: NewStore(cfg.Keep, cfg.KeepBytes)}
	r.metrics = newMetrics(cfg.PerPod)
	if cfg.Registerer != nil {
		if err := r.metrics.register(cfg.Registerer, r.intake.left); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Store is where the denials are kept.
func (r *Recorder) Store() *Store { return r.store }

// Log takes what the kernel logged. It never blocks for long.
func (r *Recorder) Log(l Log) { r.intake.add(l, r.cfg.Clock.Now()) }

// Lost counts logs that the kernel had no room for.
func (r *Recorder) Lost(n uint64) { r.intake.leave(LeftOutKernel, n) }

// LeftOut is how many denials were not told of so far, by cause.
func (r *Recorder) LeftOut() map[LeftOutCause]uint64 { return r.intake.left() }

// Uncounted are flows that were told of almost an interval ago: the kernel should be
// asked how many packets it has denied since, which is told with [Recorder.Counted].
func (r *Recorder) Uncounted() []Flow { return r.intake.due(r.cfg.Clock.Now()) }

// Counted says how many packets of a flow the kernel has denied since it was told of.
func (r *Recorder) Counted(f Flow, packets uint64) { r.intake.counted(f, packets) }

// Ready is readable when [Recorder.Explain] has something to do.
func (r *Recorder) Ready() <-chan struct{} { return r.intake.ready }

// mostChanges is how many changes of objects are remembered: 3 seconds of the 100 Pods a
// second that a large cluster changes, and a rollout that touches thousands at once.
const mostChanges = 8192

// Watch has the recorder explain by an index. It must have all objects by then, or what
// they are before the first of them is remembered as a change.
func (r *Recorder) Watch(x *policy.Index) {
	x.KeepPast(mostChanges)
	r.index = x
}

// Begin says that the index is about to be told of changes, and returns the number by
// which [Recorder.Committing] and [Recorder.Committed] know them. All that comes into
// force together is one. Call it in every round, before the first change.
func (r *Recorder) Begin() policy.Generation {
	if r.index == nil {
		return 0
	}
	r.tidy(r.cfg.Clock.Now())
	g := r.index.NextGeneration()
	r.timeline.told(g)
	return g
}

// tidy forgets what nobody can ask about: a log may have waited for long.
func (r *Recorder) tidy(now time.Time) {
	r.index.ForgetPast(r.timeline.tidy(r.intake.oldest(now)))
}

// Committing says that the kernel is about to be told of generations, with the
// transaction after which they are in force. None: of all.
func (r *Recorder) Committing(of ...policy.Generation) {
	r.timeline.committing(r.cfg.Clock.Now(), among(of))
}

// Committed says that generations are in force: when their transaction has succeeded, or
// if there was nothing to do. None: all are.
func (r *Recorder) Committed(of ...policy.Generation) {
	r.timeline.committed(r.cfg.Clock.Now(), among(of))
}

func among(list []policy.Generation) func(policy.Generation) bool {
	return func(g policy.Generation) bool {
		for _, one := range list {
			if one == g {
				return true
			}
		}
		return len(list) == 0
	}
}

const (
	// atOnce is how many denials are explained before the sync loop has its turn again,
	// and turnTime about how long that may take.
	atOnce   = 64
	turnTime = 5 * time.Millisecond
)

// Explain explains what waits, as far as there is time, and reports whether more waits:
// then Ready is readable again.
func (r *Recorder) Explain(epoch uint32) (more bool) {
	if r.index == nil {
		return false // what waits is explained when there is an index
	}
	started := r.cfg.Clock.Now()
	r.tidy(started)
	for range atOnce {
		var list []waiting
		if list, more = r.intake.take(1); len(list) == 0 {
			return false
		}
		d := r.explain(&list[0])
		d.Epoch = epoch
		r.metrics.count(d)
		r.store.Add(d)
		if r.cfg.Clock.Since(started) > turnTime {
			return more
		}
	}
	return more
}

// explain makes a denial of a log.
func (r *Recorder) explain(w *waiting) *Denial {
	c := w.flow.cause
	d := &Denial{
		APIVersion: APIVersion, Kind: Kind, Time: w.when.UTC(), Node: r.cfg.Node,
		Direction: c.direction.String(), Reason: c.reason, Protocol: w.flow.Protocol.String(),
		Packets: w.packets, src: w.flow.Src, dst: w.flow.Dst,
	}
	if !w.since.IsZero() {
		since := w.since.UTC()
		d.Since = &since
	}
	flow := policy.Flow{Src: policy.End{Addr: w.flow.Src}, Dst: policy.End{Addr: w.flow.Dst}, Protocol: w.flow.Protocol}
	switch {
	case w.packet.HasType:
		d.Type = fmt.Sprintf("%d/%d", w.packet.Type, w.packet.Code)
	case w.packet.HasPorts:
		flow.Port, d.Port = w.flow.Port, w.flow.Port
	}
	if c.reason == Policy || c.reason == Reply {
		flow = r.judge(d, flow, w.when)
	} else {
		flow.Src, flow.Dst = r.endNow(flow.Src.Addr), r.endNow(flow.Dst.Addr)
		d.Message = sentence(d.Reason, flow, c.direction)
	}
	d.Src, d.Dst = EndOf(r.index, flow.Src), EndOf(r.index, flow.Dst)
	d.WithUIDs(uidOf(flow.Src), uidOf(flow.Dst))
	d.Service = r.ServiceOf(w.original, flow)
	return d
}

// judge finds the state of the policies that denied a flow.
func (r *Recorder) judge(d *Denial, flow policy.Flow, when time.Time) policy.Flow {
	direction := policy.Ingress
	if d.Direction == policy.Egress.String() {
		direction = policy.Egress
	}
	var first *policy.Judgement
	for _, s := range r.timeline.at(when) {
		j := r.index.ExplainAsOf(flow, direction, s.without)
		if first == nil {
			first = &j
		}
		if !j.Allowed {
			d.Generation, d.Approximate = uint64(s.latest), !j.Complete || r.timeline.cut
			d.because(&j)
			return j.Flow
		}
	}
	d.Reason, d.Approximate = Unexplained, !first.Complete || r.timeline.cut
	d.Message = sentence(d.Reason, first.Flow, direction)
	return first.Flow
}

// endNow is the end that has an address now. Who it was when the packet came is asked
// only where policies decided.
func (r *Recorder) endNow(a netip.Addr) policy.End {
	return WholeEnd(r.index, a)
}

// WholeEnd is the end that has an address, a Pod with its labels.
func WholeEnd(x *policy.Index, a netip.Addr) policy.End {
	e := x.EndOfAddr(a)
	if e.Pod != nil {
		if p, ok := x.Pod(e.Pod.NamespacedName); ok {
			e.Pod = p
		}
	}
	return e
}

// EndOf is what an index says of an end of a flow.
func EndOf(x *policy.Index, e policy.End) End {
	out := End{Kind: OutsideEnd, Address: e.Addr.String()}
	if p := e.Pod; p != nil {
		out.Kind, out.Namespace, out.Pod, out.Node = PodEnd, p.Namespace, p.Name, p.Node
		out.Workload = Workload(p)
		return out
	}
	if node := x.NodeOf(e.Addr); node != "" {
		out.Kind, out.Node = NodeEnd, node
	}
	return out
}

func uidOf(e policy.End) types.UID {
	if e.Pod == nil {
		return ""
	}
	return e.Pod.UID
}

// ServiceOf is what the client of a flow asked for, if that is not its destination: where
// the connection was opened to is not where it went.
func (r *Recorder) ServiceOf(to netip.AddrPort, flow policy.Flow) *Service {
	if !to.IsValid() || to.Addr() == flow.Dst.Addr && (to.Port() == flow.Port || flow.Port == 0) {
		return nil
	}
	s := &Service{Address: to.Addr().String(), Port: to.Port()}
	if r.cfg.ServiceAt != nil {
		s.Name, _ = r.cfg.ServiceAt(to.Addr(), flow.Protocol, to.Port())
	}
	return s
}
