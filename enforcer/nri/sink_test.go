package nri

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// sink keeps what it is told. Pods that are in slow are never enforced.
type sink struct {
	mu      sync.Mutex
	slow    map[types.UID]bool
	failing map[types.UID]func() error
	started []Sandbox
	gone    []types.UID
	sets    [][]Sandbox
	lost    int
}

func (s *sink) SandboxStarted(ctx context.Context, box Sandbox) error {
	s.mu.Lock()
	s.started = append(s.started, box)
	slow, fail := s.slow[box.UID], s.failing[box.UID]
	s.mu.Unlock()
	if fail != nil {
		return fail()
	}
	if slow {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (s *sink) SandboxGone(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, uid)
}

func (s *sink) SetSandboxes(all []Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets = append(s.sets, all)
}

func (s *sink) SandboxesLost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost++
}

func (s *sink) count() (started, gone, sets, lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.started), len(s.gone), len(s.sets), s.lost
}

// await waits for what must come to pass.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after 20 s", what)
		}
	}
}

// plug runs a plugin until the test ends.
func plug(t testing.TB, socket string, s Sink) (*Plugin, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	p, err := New(socket, s, registry, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		p.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("the plugin does not end")
		}
	})
	return p, registry
}

// value reads a gauge or counter, or the number of a histogram's samples.
func value(t testing.TB, r *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return reading(m)
			}
		}
	}
	t.Fatalf("there is no metric %s %s", name, label)
	return 0
}

func reading(m *dto.Metric) float64 {
	switch {
	case m.GetGauge() != nil:
		return m.GetGauge().GetValue()
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	}
	return float64(m.GetHistogram().GetSampleCount())
}
