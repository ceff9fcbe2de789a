package nri

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of what a runtime tells of a sandbox that starts.
const (
	inTime     = "enforced"
	late       = "late"
	failed     = "failed"
	unreadable = "unreadable"
	onNode     = "node-network"
)

type metrics struct {
	connected   prometheus.Gauge
	connections prometheus.Counter
	answers     *prometheus.CounterVec
	wait        prometheus.Histogram
	noAddrs     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sluice_nri_connected", Help: "1 while the container runtime tells of sandboxes before their containers run.",
		}),
		connections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_nri_connections_total", Help: "Times that the container runtime listed its sandboxes to us: once for each connection.",
		}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_nri_answers_total",
			Help: "Sandboxes that the container runtime told of as they started, by what was so when it was answered: enforced, late (it was not, when the wait ended), failed, unreadable, node-network (not ours).",
		}, []string{"outcome"}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sluice_nri_wait_seconds", Help: "How long the container runtime waited for answers, enforced or late.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 11),
		}),
		noAddrs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_nri_addressless_total", Help: "Sandboxes of which the container runtime did not say the addresses.",
		}),
	}
	for _, o := range []string{inTime, late, failed, unreadable, onNode} {
		m.answers.WithLabelValues(o)
	}
	for _, c := range []prometheus.Collector{m.connected, m.connections, m.answers, m.wait, m.noAddrs} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
