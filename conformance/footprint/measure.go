package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sluice-net/sluice/conformance/scale"
)

// result is a line of output. Bytes are what the agent read from the API
// server, TLS included, TCP and IP not.
type result struct {
	Pods       int  `json:"pods"`
	Namespaces int  `json:"namespaces"`
	Policies   int  `json:"policies"`
	LocalPods  int  `json:"localPods"`
	Bare       bool `json:"bare"`
	Simple     bool `json:"simple"`

	SecondsToEnforced float64 `json:"secondsToEnforced"`
	// ResidentBytes after a rest, PeakBytes until then: start and first
	// replacement of all rules included. nft, a process of its own, is not.
	ResidentBytes int64 `json:"residentBytes"`
	PeakBytes     int64 `json:"peakBytes"`
	// ProgramBytes of them are pages of the program's file, which all of its
	// processes share.
	ProgramBytes int64 `json:"programBytes"`

	BytesAtStart       int64   `json:"bytesAtStart"`
	BytesAtStartPerPod float64 `json:"bytesAtStartPerPod"`
	// ListBytes are the bodies of the lists, compressed and plain, of Pods
	// alone: what the Pods themselves bring along.
	ListBytesPerPod      float64 `json:"listBytesPerPod"`
	ListPlainBytesPerPod float64 `json:"listPlainBytesPerPod"`

	IdleBytesPerHour     float64 `json:"idleBytesPerHour"`
	ReplacedPerSecond    float64 `json:"replacedPerSecond"`
	BytesPerReplacedPod  float64 `json:"bytesPerReplacedPod"`
	BytesPerHour         float64 `json:"bytesPerHour"`
	ResidentAfterChanges int64   `json:"residentBytesAfterChanges"`
	PeakAfterChanges     int64   `json:"peakBytesAfterChanges"`
}

func (o *options) measure(ctx context.Context, pods int) (*result, error) {
	dir, err := os.MkdirTemp("", "sluice-footprint-")
	if err != nil {
		return nil, err
	}
	if o.keep {
		o.log(dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	server, err := startAPIServer(ctx, o.programs, dir)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	cluster := scale.Large(pods)
	cluster.LocalPods = min(o.local, pods)
	s := &simulation{cluster: cluster, store: &store{url: server.etcd}, dice: rand.New(rand.NewPCG(1, 2)), bare: o.bare, simple: o.simple}
	if err := s.learn(ctx, server.kubernetes); err != nil {
		return nil, err
	}
	if err := s.write(ctx); err != nil {
		return nil, err
	}
	r := &result{Pods: pods, Namespaces: s.cluster.Namespaces, Policies: s.cluster.Policies, LocalPods: s.cluster.LocalPods, Bare: o.bare, Simple: o.simple, ReplacedPerSecond: o.replaced}
	// This also waits until the API server has them all in its cache.
	if err := r.lists(ctx, server); err != nil {
		return nil, err
	}
	n, err := newNode(server.address)
	if err != nil {
		return nil, err
	}
	return r, r.agent(ctx, o, s, n, dir)
}

func (r *result) agent(ctx context.Context, o *options, s *simulation, n *node, dir string) error {
	began := time.Now()
	a, err := n.startAgent(o.sluice, dir)
	if err != nil {
		return err
	}
	defer a.stop()
	ready, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := a.enforcing(ready); err != nil {
		return fmt.Errorf("wait for the agent: %w", err)
	}
	r.SecondsToEnforced = time.Since(began).Seconds()
	r.BytesAtStart = n.received.Load()
	r.BytesAtStartPerPod = float64(r.BytesAtStart) / float64(r.Pods)
	time.Sleep(o.rest)
	idle := n.received.Load() - r.BytesAtStart
	r.IdleBytesPerHour = float64(idle) * float64(time.Hour) / float64(o.rest)
	if r.ResidentBytes, r.PeakBytes, r.ProgramBytes, err = a.memory(); err != nil {
		return err
	}
	before := n.received.Load()
	replaced, err := s.churn(ctx, o)
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	r.BytesPerReplacedPod = float64(n.received.Load()-before) / float64(replaced)
	r.BytesPerHour = r.BytesPerReplacedPod * o.replaced * 3600
	r.ResidentAfterChanges, r.PeakAfterChanges, _, err = a.memory()
	return err
}

// churn replaces Pods one after the other, each with the steps that a
// Deployment's Pod goes through: made, scheduled, running; told to go, ended,
// gone.
func (s *simulation) churn(ctx context.Context, o *options) (replaced int, err error) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.replaced))
	defer tick.Stop()
	step := func(p *corev1.Pod) {
		if err == nil {
			err = s.writePod(ctx, p)
		}
		if err == nil {
			err = s.store.flush(ctx, 0)
		}
	}
	for end := time.Now().Add(o.churn); time.Now().Before(end) && err == nil; replaced++ {
		<-tick.C
		p := s.podObject(s.cluster.Pods + replaced)
		running, node := p.Status, p.Spec.NodeName
		p.Status, p.Spec.NodeName = corev1.PodStatus{Phase: corev1.PodPending}, ""
		step(p)
		p.Spec.NodeName = node
		step(p)
		p.Status = running
		step(p)
		going := metav1.Now()
		p.DeletionTimestamp = &going
		step(p)
		p.Status.ContainerStatuses = nil
		step(p)
		s.store.remove(podKey(p))
		if err == nil {
			err = s.store.flush(ctx, 0)
		}
	}
	return replaced, err
}

// lists asks for all Pods, as the agent does, until they are all there.
func (r *result) lists(ctx context.Context, server *apiServer) error {
	for {
		plain, err := listSize(ctx, server, false)
		if err != nil {
			return err
		}
		small, err := listSize(ctx, server, true)
		if err != nil {
			return err
		}
		r.ListPlainBytesPerPod, r.ListBytesPerPod = float64(plain)/float64(r.Pods), float64(small)/float64(r.Pods)
		all, err := server.kubernetes.CoreV1().Pods("").List(ctx, metav1.ListOptions{ResourceVersion: "0", Limit: 1, FieldSelector: "metadata.name=none"})
		if err != nil {
			return err
		}
		current, err := server.kubernetes.CoreV1().Pods("").List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return err
		}
		if len(all.ResourceVersion) > 0 && all.ResourceVersion >= current.ResourceVersion {
			return nil
		}
		time.Sleep(time.Second)
	}
}

func listSize(ctx context.Context, server *apiServer, compressed bool) (int64, error) {
	config := server.config()
	config.DisableCompression = true
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/api/v1/pods?resourceVersion=0", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept", "application/vnd.kubernetes.protobuf")
	if compressed {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.Copy(io.Discard, response.Body)
}
