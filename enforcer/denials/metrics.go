package denials

import (
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// mostSeries bounds the series by workload of a node, mostOfNamespace those of one
	// namespace, so that one that is noisy does not take all.
	mostSeries      = 2000
	mostOfNamespace = 200
	// mostOthers bounds the namespaces that have series for what is beyond.
	mostOthers = 200
	// mostPods bounds the series by Pod.
	mostPods = 2000
	// other stands for what is beyond.
	other = "other"
)

// seriesKey is a series by workload, or by Pod.
type seriesKey struct{ namespace, name, direction, reason string }

// metrics count denials, in series that cannot grow beyond all bounds: what is beyond
// them is counted as "other".
type metrics struct {
	flows, packets *prometheus.CounterVec
	// audited counts what passed and would be denied.
	audited *prometheus.CounterVec
	// pods is nil unless they were asked for.
	pods *prometheus.CounterVec

	mu          sync.Mutex
	series      map[seriesKey]bool
	ofNamespace map[string]int
	others      map[string]bool
	byPod       map[types.NamespacedName][]seriesKey
	podSeries   int
}

func newMetrics(perPod bool) *metrics {
	m := &metrics{
		flows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_denials_total", Help: "Denied flows that were told of, each once in 10 seconds, by the Pod's namespace and workload.",
		}, []string{"namespace", "workload", "direction", "reason"}),
		packets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_denied_packets_total", Help: "Packets of the denied flows that were told of, as far as the kernel counted them.",
		}, []string{"namespace", "workload", "direction", "reason"}),
		audited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_would_deny_total", Help: "Flows that passed and that audited policies would deny, each once in 10 to 20 seconds, by the Pod's namespace and workload.",
		}, []string{"namespace", "workload", "direction"}),
		series: map[seriesKey]bool{}, ofNamespace: map[string]int{}, others: map[string]bool{},
		byPod: map[types.NamespacedName][]seriesKey{},
	}
	if perPod {
		m.pods = prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_pod_denials_total", Help: "Denied flows that were told of, by Pod.",
		}, []string{"namespace", "pod", "direction", "reason"})
	}
	return m
}

// register also shows what was left out.
func (m *metrics) register(reg prometheus.Registerer, left func() map[LeftOutCause]uint64) error {
	collectors := []prometheus.Collector{m.flows, m.packets, m.audited}
	if m.pods != nil {
		collectors = append(collectors, m.pods)
	}
	for _, cause := range LeftOutCauses {
		collectors = append(collectors, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sluice_denials_left_out_total", Help: "Logs of denied packets that were not told of, by cause.",
			ConstLabels: prometheus.Labels{"cause": string(cause)},
		}, func() float64 { return float64(left()[cause]) }))
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics of denials: %w", err)
		}
	}
	return nil
}

// count counts a denial under the end that it is about.
func (m *metrics) count(d *Denial) {
	e := d.Subject()
	key := seriesKey{e.Namespace, "", d.Direction, string(d.Reason)}
	if e.Kind == PodEnd {
		if key.name = e.Workload; key.name == "" {
			key.name = "none" // one series for each Pod is what perPod is for
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key = m.bounded(key)
	if d.Reason == Audit {
		m.audited.WithLabelValues(key.namespace, key.name, key.direction).Inc()
		return
	}
	m.flows.WithLabelValues(key.namespace, key.name, key.direction, key.reason).Inc()
	m.packets.WithLabelValues(key.namespace, key.name, key.direction, key.reason).Add(float64(d.Packets))
	if m.pods == nil || e.Kind != PodEnd {
		return
	}
	pod := seriesKey{e.Namespace, e.Pod, d.Direction, string(d.Reason)}
	if m.knows(pod) {
		m.pods.WithLabelValues(pod.namespace, pod.name, pod.direction, pod.reason).Inc()
	}
}

// bounded is the series that a denial is counted in.
func (m *metrics) bounded(key seriesKey) seriesKey {
	if m.series[key] {
		return key
	}
	if len(m.series) < mostSeries && m.ofNamespace[key.namespace] < mostOfNamespace {
		m.series[key] = true
		m.ofNamespace[key.namespace]++
		return key
	}
	key.name = other
	if !m.others[key.namespace] {
		if len(m.others) >= mostOthers {
			key.namespace = other
			return key
		}
		m.others[key.namespace] = true
	}
	return key
}

// knows makes the series of a Pod, if there is room.
func (m *metrics) knows(key seriesKey) bool {
	pod := types.NamespacedName{Namespace: key.namespace, Name: key.name}
	for _, k := range m.byPod[pod] {
		if k == key {
			return true
		}
	}
	if m.podSeries >= mostPods {
		return false
	}
	m.podSeries++
	m.byPod[pod] = append(m.byPod[pod], key)
	return true
}

// forget ends the series of a Pod that is gone.
func (m *metrics) forget(pod types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.byPod[pod] {
		m.pods.DeleteLabelValues(k.namespace, k.name, k.direction, k.reason)
		m.podSeries--
	}
	delete(m.byPod, pod)
}

// ForgetPod ends the metrics of a Pod that is gone.
func (r *Recorder) ForgetPod(pod types.NamespacedName) { r.metrics.forget(pod) }
