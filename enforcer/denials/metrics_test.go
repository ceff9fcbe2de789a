package denials

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/types"
)

// samples are the values of a metric, by its labels.
func samples(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			out[labelsOf(m)] = m.GetCounter().GetValue()
		}
	}
	return out
}

func labelsOf(m *dto.Metric) string {
	var values []string
	for _, l := range m.GetLabel() {
		values = append(values, l.GetValue())
	}
	return strings.Join(values, " ")
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	r, _ := simple(t, Config{PerPod: true, Registerer: reg})
	r.Log(denied(80))
	r.Log(denied(81))
	r.Log(Log{Prefix: []byte("sluice:misplaced"), Payload: packet4("10.0.0.1", "10.0.0.2", 47, 0, 0)})
	r.Log(Log{Prefix: []byte("sluice:tunnel"), Payload: packet4("203.0.113.7", "10.0.0.2", 47, 0, 0)})
	r.Log(Log{Prefix: []byte("nobody's")})
	r.Lost(5)
	r.Explain(0)
	want := map[string]float64{
		"ingress shop Policy none":             2,
		"egress shop Misplaced Deployment/web": 1,
		"egress  Tunnel ":                      1,
	}
	for _, name := range []string{"sluice_denials_total", "sluice_denied_packets_total"} {
		if got := samples(t, reg, name); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := samples(t, reg, "sluice_pod_denials_total"); got["ingress shop db-0 Policy"] != 2 {
		t.Errorf("by Pod: %v", got)
	}
	r.ForgetPod(types.NamespacedName{Namespace: "shop", Name: "db-0"})
	if got := samples(t, reg, "sluice_pod_denials_total"); len(got) != 1 {
		t.Errorf("after db-0 is gone: %v", got)
	}
	if got := samples(t, reg, "sluice_denials_left_out_total"); got["kernel"] != 5 || got["unread"] != 1 || len(got) != len(LeftOutCauses) {
		t.Errorf("left out: %v", got)
	}
}

// However many workloads and namespaces are denied something, the series are few, and
// nothing is lost from the sum.
func TestMetricsAreBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(true)
	if err := m.register(reg, func() map[LeftOutCause]uint64 { return nil }); err != nil {
		t.Fatal(err)
	}
	const namespaces, workloads = 400, 300
	for n := range namespaces {
		for w := range workloads {
			d := numbered(0)
			d.Dst.Namespace, d.Dst.Workload, d.Dst.Pod = fmt.Sprintf("ns-%d", n), fmt.Sprintf("Deployment/w%d", w), fmt.Sprintf("w%d-0", w)
			m.count(d)
		}
	}
	got := samples(t, reg, "sluice_denials_total")
	if len(got) > mostSeries+mostOthers+1 {
		t.Errorf("%d series", len(got))
	}
	sum := 0.0
	for _, v := range got {
		sum += v
	}
	if sum != namespaces*workloads {
		t.Errorf("%v denials are counted of %d", sum, namespaces*workloads)
	}
	if got["ingress ns-0 Policy other"] != workloads-mostOfNamespace {
		t.Errorf("the first namespace has %v under other, want %d", got["ingress ns-0 Policy other"], workloads-mostOfNamespace)
	}
	if n := len(samples(t, reg, "sluice_pod_denials_total")); n != mostPods {
		t.Errorf("%d Pods have series, the limit is %d", n, mostPods)
	}
	// Whoever has a series keeps it.
	d := numbered(0)
	d.Dst.Namespace, d.Dst.Workload = "ns-0", "Deployment/w0"
	m.count(d)
	if v := samples(t, reg, "sluice_denials_total")["ingress ns-0 Policy Deployment/w0"]; v != 2 {
		t.Errorf("a known workload is counted as %v", v)
	}
}
