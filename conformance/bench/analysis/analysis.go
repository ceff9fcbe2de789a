// Package analysis measures questions on paper: single flows, all pairs, and
// the verify command, against the naive evaluator of package spectest.
package analysis

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-net/sluice/cmd/sluice/app"
	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// Part is the name of this part of the run.
const Part = "analysis"

// Names and variants that the report looks for.
const (
	Flows    = "flows"
	Pairs    = "all pairs"
	Verify   = "verify"
	Index    = "index"
	Naive    = "naive"
	Reach    = "Reach"
	OneByOne = "Evaluate one by one"
	Selected = "policies of one Pod"
	// Connections is the case of commands about all workloads at once.
	Connections = "connections"
)

// Options say how much to measure.
type Options struct {
	// Workloads are the sizes of the clusters: each is a Pod of its own.
	Workloads []int
	// Policies are how many select one Pod.
	Policies []int
	Rounds   int
	// Slice is how long each variant runs in a round.
	Slice time.Duration
	// VerifyFlows is how many flows the command is given.
	VerifyFlows int
	// Estates are those of which commands answer about all workloads at once, by running
	// Sluice, the beginning of a command line, behind Measure, that of a process that ends
	// in [Measure].
	Estates         []Estate
	Sluice, Measure []string
	Log             func(format string, args ...any)
}

// The flows that are asked: half of them at a port that policies name.
const flowPort = 8080

type measurement struct {
	Options
	run *figures.Run
}

// Run measures everything. What fails is noted as missing.
func Run(ctx context.Context, o Options, run *figures.Run) error {
	m := measurement{Options: o, run: run}
	for _, n := range o.Workloads {
		if err := m.size(ctx, n); err != nil {
			run.Miss(Part, fmt.Sprintf("%d workloads", n), err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, n := range o.Policies {
		if err := m.selected(n); err != nil {
			run.Miss(Part, fmt.Sprintf("%d policies that select the Pod", n), err)
		}
	}
	for _, e := range o.Estates {
		if err := m.connections(ctx, e); err != nil {
			run.Miss(Part, fmt.Sprintf("commands about %d workloads", e.Workloads), err)
		}
	}
	o.Log("analysis: %d clusters", len(o.Workloads))
	return ctx.Err()
}

// cluster is a cluster both ways, with flows between its Pods.
type cluster struct {
	scale.Cluster
	index *policy.Index
	naive *spectest.Cluster
	flows []spectest.Flow
}

func newCluster(n int) (*cluster, error) {
	c := &cluster{Cluster: scale.Large(n), index: policy.NewIndex(policy.Options{}), naive: &spectest.Cluster{}}
	if err := c.Fill(c.index); err != nil {
		return nil, err
	}
	for i := range c.Namespaces {
		c.naive.Namespaces = append(c.naive.Namespaces, c.NamespaceObject(i))
	}
	for i := range c.Policies {
		c.naive.Policies = append(c.naive.Policies, c.Policy(i))
	}
	for i := range c.Pods {
		c.naive.Pods = append(c.naive.Pods, c.PodObject(i))
	}
	r := rand.New(rand.NewPCG(1, uint64(n)))
	addrs := make([]netip.Addr, n)
	for i := range addrs {
		addrs[i] = c.Pod(i).Addrs[0]
	}
	for range 4096 {
		f := spectest.Flow{Src: addrs[r.IntN(n)], Dst: addrs[r.IntN(n)], Protocol: uint8(policy.TCP), Port: flowPort}
		if r.IntN(2) == 0 {
			f.Port = uint16(1 + r.IntN(1<<16-1))
		}
		c.flows = append(c.flows, f)
	}
	return c, nil
}

func (c *cluster) indexed(f spectest.Flow) bool {
	return c.index.Evaluate(policy.Flow{
		Src: policy.End{Addr: f.Src}, Dst: policy.End{Addr: f.Dst}, Protocol: policy.Protocol(f.Protocol), Port: f.Port,
	}).Allowed
}

func (c *cluster) naively(f spectest.Flow) bool {
	egress, ingress := c.naive.Allowed(f)
	return egress && ingress
}

func (m *measurement) size(ctx context.Context, n int) error {
	c, err := newCluster(n)
	if err != nil {
		return err
	}
	for _, f := range c.flows[:min(len(c.flows), 200)] {
		if c.indexed(f) != c.naively(f) {
			return fmt.Errorf("index and naive evaluator disagree on %+v: nothing else counts", f)
		}
	}
	verified, err := newVerification(c, m.VerifyFlows)
	if err != nil {
		return err
	}
	defer verified.close()
	c.index.Reach(policy.TCP, flowPort) // subjects are resolved when first asked for
	at := figures.Setting{"workloads": float64(n), "policies": float64(c.Policies)}
	samples := map[[2]string][]float64{}
	note := func(name, variant string, value float64) {
		key := [2]string{name, variant}
		samples[key] = append(samples[key], value)
	}
	for range m.Rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		note(Flows, Index, m.rate(c.flows, c.indexed))
		note(Flows, Naive, m.rate(c.flows, c.naively))
		began := time.Now()
		times := 0
		for ; times == 0 || time.Since(began) < m.Slice; times++ {
			c.index.Reach(policy.TCP, flowPort)
		}
		note(Pairs, Reach, float64(times)*float64(n)*float64(n)/time.Since(began).Seconds())
		note(Pairs, OneByOne, m.rate(c.pairs(), c.indexed))
		note(Pairs, Naive, m.rate(c.pairs(), c.naively))
		perSecond, err := verified.rate(ctx)
		if err != nil {
			return err
		}
		note(Verify, "command", perSecond)
	}
	for _, key := range [][2]string{{Flows, Index}, {Flows, Naive}, {Pairs, Reach}, {Pairs, OneByOne}, {Pairs, Naive}, {Verify, "command"}} {
		m.run.Add(figures.Figure{Part: Part, Name: key[0], Variant: key[1], At: at, Unit: "1/s", Samples: samples[key]})
	}
	return nil
}

// pairs are as many pairs at one port as there are flows, taken evenly from
// all: whoever judges one by one needs the same time for each.
func (c *cluster) pairs() []spectest.Flow {
	out := make([]spectest.Flow, len(c.flows))
	for i, f := range c.flows {
		f.Port = flowPort
		out[i] = f
	}
	return out
}

// rate is how many flows a second are judged.
func (m *measurement) rate(flows []spectest.Flow, judge func(spectest.Flow) bool) float64 {
	began := time.Now()
	done := 0
	for time.Since(began) < m.Slice {
		for range 16 {
			judge(flows[done%len(flows)])
			done++
		}
	}
	return float64(done) / time.Since(began).Seconds()
}

// different policies of the published shape are as many as a namespace can
// have before their ports end.
const different = 500

// selected measures a Pod that many policies select.
func (m *measurement) selected(policies int) error {
	c := scale.Cluster{Pods: 150, Namespaces: 10, LocalPods: 150, Shape: scale.Published}
	x := policy.NewIndex(policy.Options{})
	if err := c.Fill(x); err != nil {
		return err
	}
	for i := range policies * c.Namespaces {
		np := c.Policy(i % (different * c.Namespaces))
		np.Name = fmt.Sprintf("policy-%d", i)
		if err := x.SetPolicy(np); err != nil {
			return err
		}
	}
	var flows []policy.Flow
	for i := range c.Pods {
		flows = append(flows, policy.Flow{
			Src: policy.End{Addr: c.Pod(i).Addrs[0]}, Dst: policy.End{Addr: c.Pod((i + 7) % c.Pods).Addrs[0]}, Protocol: policy.TCP, Port: flowPort,
		})
	}
	x.Reach(policy.TCP, flowPort)
	var each, pairs []float64
	for range m.Rounds {
		began, done := time.Now(), 0
		for ; time.Since(began) < m.Slice; done++ {
			x.Evaluate(flows[done%len(flows)])
		}
		each = append(each, time.Since(began).Seconds()*1e6/float64(done))
		began, done = time.Now(), 0
		for ; done == 0 || time.Since(began) < m.Slice; done++ {
			x.Reach(policy.TCP, flowPort)
		}
		pairs = append(pairs, time.Since(began).Seconds()*1e6/float64(done)/float64(c.Pods*c.Pods))
	}
	at := figures.Setting{"policies of the namespace": float64(policies)}
	m.run.Add(figures.Figure{Part: Part, Name: Selected, Variant: OneByOne, At: at, Unit: "µs a flow", Samples: each})
	m.run.Add(figures.Figure{Part: Part, Name: Selected, Variant: Reach, At: at, Unit: "µs a flow", Samples: pairs})
	return nil
}

// verification is the verify command with files to read.
type verification struct {
	dir   string
	args  []string
	flows int
}

func newVerification(c *cluster, flows int) (*verification, error) {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, err
	}
	v := &verification{dir: dir, flows: flows, args: []string{
		"verify", "-o", "json", "-f", filepath.Join(dir, "cluster.json"), "--flows", filepath.Join(dir, "flows.jsonl"),
	}}
	var lines bytes.Buffer
	for i := range flows {
		f := c.flows[i%len(c.flows)]
		fmt.Fprintf(&lines, `{"src":%q,"dst":%q,"port":%d}`+"\n", f.Src, f.Dst, f.Port)
	}
	err = os.WriteFile(filepath.Join(dir, "flows.jsonl"), lines.Bytes(), 0o600)
	if err == nil {
		err = writeObjects(filepath.Join(dir, "cluster.json"), c.naive)
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *verification) close() { _ = os.RemoveAll(v.dir) }

// rate runs the command once, reading of the manifests included.
func (v *verification) rate(ctx context.Context) (float64, error) {
	var trouble bytes.Buffer
	began := time.Now()
	if code := app.Main(ctx, v.args, app.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: &trouble}); code != 0 {
		return 0, fmt.Errorf("verify: exit code %d: %.300s", code, trouble.String())
	}
	return float64(v.flows) / time.Since(began).Seconds(), nil
}

// writeObjects writes manifests as kubectl prints them: one List.
func writeObjects(path string, c *spectest.Cluster) error {
	var items []any
	add := func(apiVersion, kind string, object any) error {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return fmt.Errorf("write manifests: %w", err)
		}
		fields["apiVersion"], fields["kind"] = apiVersion, kind
		items = append(items, fields)
		return nil
	}
	for _, ns := range c.Namespaces {
		if err := add("v1", "Namespace", ns); err != nil {
			return err
		}
	}
	for _, p := range c.Pods {
		if err := add("v1", "Pod", p); err != nil {
			return err
		}
	}
	for _, np := range c.Policies {
		if err := add("networking.k8s.io/v1", "NetworkPolicy", np); err != nil {
			return err
		}
	}
	data, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return fmt.Errorf("write manifests: %w", err)
	}
	return os.WriteFile(path, data, 0o600)
}
