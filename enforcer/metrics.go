package enforcer

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	syncDuration     prometheus.Histogram
	syncFailures     prometheus.Counter
	eventToKernel    prometheus.Histogram
	fullReplacements prometheus.Counter
	transactions     *prometheus.CounterVec
	slowTransactions *prometheus.CounterVec
	objects          *prometheus.GaugeVec
	epoch            prometheus.Gauge
	foreignMarks     prometheus.Counter
	dropped          *prometheus.CounterVec
	untold           prometheus.Counter
	driftRepairs     prometheus.Counter
	guardFailures    prometheus.Counter
	unresolved       prometheus.Gauge
	conflicts        prometheus.Gauge
	inferred         prometheus.Counter
	unknown          prometheus.Gauge
	invalid          *prometheus.GaugeVec
	ready            prometheus.Gauge
	conditions       *prometheus.GaugeVec
	lastHeard        *prometheus.GaugeVec
}

// syncBuckets reach from an idle node's single change to a cold start.
var syncBuckets = prometheus.ExponentialBuckets(0.001, 2, 15)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_" + name, Help: help})
	}
	gauges := func(name, help, label string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_" + name, Help: help}, []string{label})
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_" + name, Help: help, Buckets: syncBuckets})
	}
	m := &metrics{
		syncDuration:     histogram("sync_duration_seconds", "How long bringing changes into the kernel took."),
		syncFailures:     counter("sync_failures_total", "Syncs that failed and were retried."),
		eventToKernel:    histogram("event_to_kernel_seconds", "From the oldest event of a sync until the kernel enforced it."),
		fullReplacements: counter("full_replacements_total", "Syncs that replaced the whole table."),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_transactions_total", Help: "Changes of our nftables, by the way they went: a netlink batch, or a run of nft.",
		}, []string{"lane"}),
		slowTransactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_slow_transactions_total", Help: "Changes that a run of nft made, by why they were not a netlink batch: kind, rule, size, length, socket.",
		}, []string{"cause"}),
		objects:      gauges("objects", "Objects known, by kind.", "kind"),
		epoch:        gauge("epoch", "The policy generation that connections are judged under."),
		foreignMarks: counter("foreign_marks_total", "Connections found with an epoch in their mark that was never issued."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_dropped_packets_total", Help: "Packets that were dropped for other reasons than policies, by reason, as the kernel counted them.",
		}, []string{"reason"}),
		untold:        counter("denied_packets_untold_total", "Packets that policies denied and nobody was told of, for their Pod had more new flows denied than 20 a second."),
		driftRepairs:  counter("drift_repairs_total", "Times that others changed our tables and they were replaced."),
		guardFailures: counter("guard_failures_total", "Guards of Pod interfaces that could not be changed."),
		unresolved:    gauge("unresolved_interfaces", "Addresses of local Pods whose interface is not fully known."),
		conflicts:     gauge("address_conflicts", "Addresses of local Pods that another interface claims."),
		inferred:      counter("inferred_interfaces_total", "Interfaces of new Pods that were enforced before it was known whose they are."),
		unknown:       gauge("unknown_interfaces", "Sandboxes of this node that came since the agent's start and are no known Pod's."),
		invalid:       gauges("invalid_objects", "Objects that are partly unusable, by kind.", "kind"),
		ready:         gauge("ready", "1 while the agent is ready."),
		conditions:    gauges("conditions", "Conditions that stand, by kind; each is named in readyz.", "what"),
		lastHeard:     gauges("source_last_event_timestamp_seconds", "When the API server last said anything about a kind: an event, a bookmark, a list, or a watch that it opened with nothing new.", "kind"),
	}
	for _, c := range []prometheus.Collector{
		m.syncDuration, m.syncFailures, m.eventToKernel, m.fullReplacements, m.transactions, m.slowTransactions, m.objects, m.epoch, m.foreignMarks, m.dropped, m.untold,
		m.driftRepairs, m.guardFailures, m.unresolved, m.conflicts, m.inferred, m.unknown, m.invalid, m.ready, m.conditions, m.lastHeard,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// setStatus shows whether the agent is ready, and what stands.
func (m *metrics) setStatus(s Status) {
	m.ready.Set(0)
	if s.Ready() == nil {
		m.ready.Set(1)
	}
	count := map[string]int{}
	for _, c := range s.Conditions {
		count[c.What]++
	}
	for _, k := range ConditionKinds {
		m.conditions.WithLabelValues(k.What).Set(float64(count[k.What]))
	}
}
