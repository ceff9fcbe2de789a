package packetpath

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// Watching is what an agent does besides enforcing.
type Watching string

const (
	// Denials is to read and explain what the kernel logs of denied packets, beside an
	// agent that does not (--denials=off).
	Denials Watching = "denials"
	// Followed is to tell somebody of the flows that pass (/v1/flows), beside an agent
	// that nobody asks.
	Followed Watching = "followed"
	// Audited is a policy that would deny what is measured, beside none.
	Audited Watching = "audited"
)

// Traffic is what goes on meanwhile.
type Traffic string

const (
	NewConnections Traffic = "new connections"
	SmallPackets   Traffic = "packets of one flow"
	// DeniedPackets are for so many ports that each of them is a flow to be told of.
	DeniedPackets Traffic = "denied packets of 1,000 flows"
)

// Metrics that only watching has.
const (
	DeniedRate Metric = "denied packets/s"
	DeniedCPU  Metric = "cpu µs/denied packet"
	// Change is the time from a changed policy to when it is in force, in milliseconds.
	Change Metric = "policy change ms"
)

// WatchResult is one metric under one kind of traffic, with the agent watching, and in
// turns with it not watching (Base).
type WatchResult struct {
	Topology string
	Watching Watching
	Traffic  Traffic
	Metric   Metric
	Samples  []float64
	Base     []float64
}

// watched is a site with an agent at work.
type watched struct {
	*site
	given *source.Memory
	agent *enforcer.Agent
	stop  func() error
	// changes counts the changes of a policy.
	changes int
}

// watch is one kind of watching: how it is begun and ended, and under what it is measured.
type watch struct {
	name    Watching
	on, off func(context.Context) error
	traffic []Traffic
}

// RunWatching measures what an agent's watching costs packets, and changes of policies.
// It needs what [Run] needs.
func RunWatching(ctx context.Context, o Options) ([]WatchResult, error) {
	b := &bench{Options: o}
	b.defaults()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4*callers + runtime.NumCPU()))
	var out []WatchResult
	for _, topology := range []lab.Topology{lab.Bridge, lab.PTP} {
		results, err := b.watching(ctx, topology)
		if err != nil {
			return nil, fmt.Errorf("measure watching, %s: %w", topology, err)
		}
		out = append(out, results...)
	}
	return out, nil
}

const (
	// watchingPods are how many Pods the node has.
	watchingPods = 10
	// begins is what an agent gets to begin to watch, or to end it, before it is measured.
	begins = 100 * time.Millisecond
)

func (b *bench) watching(ctx context.Context, topology lab.Topology) (out []WatchResult, err error) {
	s, err := newSite(ctx, topology, watchingPods)
	if err != nil {
		return nil, err
	}
	w := &watched{site: s}
	defer func() {
		if w.stop != nil {
			err = errors.Join(err, w.stop())
		}
		err = errors.Join(err, s.Close())
	}()
	for _, watch := range w.watches() {
		if err := w.start(ctx, true); err != nil {
			return nil, err
		}
		for _, traffic := range watch.traffic {
			began := time.Now()
			times := b.Repeats * b.Turns / 2
			if watch.name == Denials {
				times /= 4 // each turn starts an agent
			}
			results, err := w.turns(ctx, watch, traffic, max(times, 2), 2*b.Window)
			if err != nil {
				return nil, fmt.Errorf("%s under %s: %w", watch.name, traffic, err)
			}
			out = append(out, results...)
			fmt.Fprintf(b.Log, "watching, %s: %s under %s, in %v\n", topology, watch.name, traffic, time.Since(began).Round(time.Millisecond))
		}
	}
	return out, nil
}

// start runs an agent that reads denials or does not, in place of any other.
func (w *watched) start(ctx context.Context, denials bool) error {
	if w.stop != nil {
		if err := w.stop(); err != nil {
			return err
		}
	}
	w.given = &source.Memory{}
	if err := w.given.Set(newWorkload(Load{Policies: 1, LocalPods: watchingPods}).objects(true)...); err != nil {
		return err
	}
	cfg := enforcer.Config{Node: nodeName, Grace: -1}
	cfg.Compiler = compiler.Config{LogGroup: compiler.DefaultLogGroup}
	cfg.Denials.Off = !denials
	agent, err := enforcer.New(cfg, w.given, w.node, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), logr.Discard()))
	ended := make(chan error, 1)
	w.agent, w.stop = agent, func() error {
		cancel()
		w.stop = nil
		return <-ended
	}
	go func() { ended <- agent.Run(running) }()
	return w.settle(ctx)
}

func (w *watched) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.agent.Settle(ctx); err != nil {
		return errors.Join(err, w.agent.Ready())
	}
	return nil
}

func (w *watched) watches() []watch {
	var follower func()
	strict := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "audited", Annotations: map[string]string{policy.ModeKey: policy.ModeAudit}},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": clientApp}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		},
	}
	return []watch{
		{
			name: Denials, traffic: []Traffic{DeniedPackets},
			on:  func(ctx context.Context) error { return w.start(ctx, true) },
			off: func(ctx context.Context) error { return w.start(ctx, false) },
		},
		{
			name: Followed, traffic: []Traffic{NewConnections, SmallPackets},
			on: func(ctx context.Context) (err error) {
				follower, err = w.follow(ctx)
				return err
			},
			off: func(context.Context) error {
				if follower != nil {
					follower()
					follower = nil
				}
				return nil
			},
		},
		{
			name: Audited, traffic: []Traffic{NewConnections, SmallPackets},
			on:  func(ctx context.Context) error { return errors.Join(w.given.Set(strict), w.settle(ctx)) },
			off: func(ctx context.Context) error { return errors.Join(w.given.Delete(strict), w.settle(ctx)) },
		},
	}
}

// follow has the agent tell of all flows that pass, until it is ended.
func (w *watched) follow(ctx context.Context) (end func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, nodestatus.FlowsPath, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.agent.FlowsHandler().ServeHTTP(nowhere{http.Header{}, io.Discard}, request)
	}()
	return func() {
		cancel()
		<-done
	}, nil
}

// nowhere is who follows and looks at nothing.
type nowhere struct {
	header http.Header
	io.Writer
}

func (n nowhere) Header() http.Header { return n.header }
func (nowhere) WriteHeader(int)       {}
func (nowhere) Flush()                {}

// turns reads the traffic with the agent watching and not, there and back, and changes a
// policy each time.
func (w *watched) turns(ctx context.Context, who watch, what Traffic, times int, window time.Duration) (out []WatchResult, err error) {
	flow, err := map[Traffic]func() (*traffic, error){NewConnections: w.connections, SmallPackets: w.packets, DeniedPackets: w.denied}[what]()
	if err != nil {
		return nil, err
	}
	var readings [2][]reading
	var changed [2][]float64
	last := 1
	for n := 0; err == nil && n < 2*times; n++ {
		// Own, base, base, own: what drifts falls on both alike.
		whose := (n + n/2) % 2
		if whose != last {
			err = []func(context.Context) error{who.on, who.off}[whose](ctx)
			last = whose
			// Who begins to read connections looks at all that there are.
			time.Sleep(begins)
		}
		if err != nil {
			break
		}
		time.Sleep(settle)
		var r reading
		var took time.Duration
		if r, err = flow.read(window); err == nil {
			took, err = w.change(ctx)
		}
		readings[whose], changed[whose] = append(readings[whose], r), append(changed[whose], micros(took)/1e3)
	}
	if last == 0 {
		err = errors.Join(err, who.off(ctx))
	}
	if err := errors.Join(err, flow.stop()); err != nil {
		return nil, err
	}
	byMetric := map[Metric]*[2][]float64{Change: &changed}
	for whose, list := range readings {
		for _, r := range list {
			for metric, value := range flow.metrics(r) {
				if byMetric[metric] == nil {
					byMetric[metric] = &[2][]float64{}
				}
				byMetric[metric][whose] = append(byMetric[metric][whose], value)
			}
		}
	}
	for _, metric := range []Metric{Connections, ConnectionP99, ConnectionCPU, Packets, PacketCPU, DeniedRate, DeniedCPU, Change} {
		if samples := byMetric[metric]; samples != nil {
			out = append(out, WatchResult{w.topology.String(), who.name, what, metric, samples[0], samples[1]})
		}
	}
	return out, nil
}

// change changes a policy that has nothing to do with the traffic, and says how long
// it took to be in force.
func (w *watched) change(ctx context.Context) (time.Duration, error) {
	w.changes++
	p := ordinaryPolicy("changing", localPod(fillers).app, w.changes%100)
	began := time.Now()
	err := errors.Join(w.given.Set(p.object()), w.settle(ctx))
	return time.Since(began), err
}
