// Package memory measures what an agent keeps, and what it reads of an API
// server: by the footprint command, which has a real one, and the heap by
// itself.
package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/policy"
)

// Part is the name of this part of the run.
const Part = "memory"

// Cases are how much a simulated Pod is like a real one: with all that
// controllers and a kubelet write, or with what policies are about and nothing
// else, as most simulations have them.
const (
	Full   = "full"
	Simple = "simple"
)

// Names of figures.
const (
	HeapPerPod       = "heap of the index, a Pod"
	Resident         = "resident, at rest"
	Peak             = "resident, peak"
	Changed          = "resident, after changes"
	ChangedPeak      = "resident, peak with changes"
	Program          = "resident, of the program's file"
	Enforced         = "until enforced"
	StartBytes       = "read at the start"
	StartBytesPerPod = "read at the start, a Pod"
	ListBytes        = "list of Pods, compressed, a Pod"
	PlainBytes       = "list of Pods, plain, a Pod"
	ReplacedBytes    = "read for a replaced Pod"
	IdleBytes        = "read in an hour without changes"
	HourBytes        = "read in an hour with 10 Pods a second replaced"
)

// Names are all figures with their units, in the order of the report.
var Names = [][2]string{
	{HeapPerPod, "bytes"}, {Resident, "MiB"}, {Peak, "MiB"}, {Changed, "MiB"}, {ChangedPeak, "MiB"}, {Program, "MiB"}, {Enforced, "s"},
	{StartBytes, "bytes"}, {StartBytesPerPod, "bytes"}, {ListBytes, "bytes"}, {PlainBytes, "bytes"},
	{ReplacedBytes, "bytes"}, {IdleBytes, "bytes"}, {HourBytes, "bytes"},
}

// Options say how much to measure.
type Options struct {
	Pods []int
	// Heap are the sizes at which the index is measured by itself.
	Heap []int
	// Simple are the sizes that are measured with simple Pods.
	Simple []int
	// Footprint is the command that measures, Programs the directory of etcd
	// and kube-apiserver, Sluice the agent's program.
	Footprint, Programs, Sluice string
	// Extra are further arguments of the command.
	Extra []string
	Log   func(format string, args ...any)
}

// line is what the command prints for each number of Pods, as far as it is
// used here.
type line struct {
	Pods                 int     `json:"pods"`
	SecondsToEnforced    float64 `json:"secondsToEnforced"`
	ResidentBytes        float64 `json:"residentBytes"`
	PeakBytes            float64 `json:"peakBytes"`
	BytesAtStart         float64 `json:"bytesAtStart"`
	BytesAtStartPerPod   float64 `json:"bytesAtStartPerPod"`
	ListBytesPerPod      float64 `json:"listBytesPerPod"`
	ListPlainBytesPerPod float64 `json:"listPlainBytesPerPod"`
	IdleBytesPerHour     float64 `json:"idleBytesPerHour"`
	BytesPerReplacedPod  float64 `json:"bytesPerReplacedPod"`
	BytesPerHour         float64 `json:"bytesPerHour"`
	ResidentAfterChanges float64 `json:"residentBytesAfterChanges"`
	PeakAfterChanges     float64 `json:"peakBytesAfterChanges"`
	ProgramBytes         float64 `json:"programBytes"`
}

// Run measures all sizes. What fails is noted as missing.
func Run(ctx context.Context, o Options, run *figures.Run) error {
	for _, pods := range o.Heap {
		each, err := heap(pods)
		if err != nil {
			run.Miss(Part, fmt.Sprintf("heap at %d Pods", pods), err)
			continue
		}
		add(run, Full, pods, HeapPerPod, each)
	}
	o.Log("memory: heap")
	if err := o.available(); err != nil {
		run.Miss(Part, "resident memory and API load", err)
		return ctx.Err()
	}
	for _, c := range []struct {
		name  string
		sizes []int
	}{{Full, o.Pods}, {Simple, o.Simple}} {
		for _, pods := range c.sizes {
			if err := o.measure(ctx, c.name, pods, run); err != nil {
				run.Miss(Part, fmt.Sprintf("resident memory and API load at %d Pods (%s)", pods, c.name), err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			o.Log("memory: %d Pods (%s)", pods, c.name)
		}
	}
	return nil
}

// available says what is missing before minutes are spent.
func (o *Options) available() error {
	if o.Footprint == "" || o.Sluice == "" {
		return errors.New("the programs were not built")
	}
	for _, program := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(o.Programs, program)); err != nil {
			return fmt.Errorf("no %s in %q: say where with -programs", program, o.Programs)
		}
	}
	return nil
}

func (o *Options) measure(ctx context.Context, kind string, pods int, run *figures.Run) error {
	args := append([]string{"-programs", o.Programs, "-sluice", o.Sluice, "-pods", strconv.Itoa(pods), "-simple=" + strconv.FormatBool(kind == Simple)}, o.Extra...)
	cmd := exec.CommandContext(ctx, o.Footprint, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		text := strings.TrimSpace(stderr.String())
		return fmt.Errorf("%w: %s", err, text[max(0, len(text)-300):])
	}
	var l line
	if err := json.Unmarshal(out, &l); err != nil {
		return fmt.Errorf("read what footprint says: %w", err)
	}
	const mib = 1 << 20
	for _, f := range []struct {
		name  string
		value float64
	}{
		{Resident, l.ResidentBytes / mib},
		{Peak, l.PeakBytes / mib},
		{Changed, l.ResidentAfterChanges / mib},
		{ChangedPeak, l.PeakAfterChanges / mib},
		{Program, l.ProgramBytes / mib},
		{Enforced, l.SecondsToEnforced},
		{StartBytes, l.BytesAtStart},
		{StartBytesPerPod, l.BytesAtStartPerPod},
		{ListBytes, l.ListBytesPerPod},
		{PlainBytes, l.ListPlainBytesPerPod},
		{ReplacedBytes, l.BytesPerReplacedPod},
		{IdleBytes, l.IdleBytesPerHour},
		{HourBytes, l.BytesPerHour},
	} {
		add(run, kind, l.Pods, f.name, f.value)
	}
	return nil
}

func add(run *figures.Run, kind string, pods int, name string, value float64) {
	unit := ""
	for _, n := range Names {
		if n[0] == name {
			unit = n[1]
		}
	}
	run.Add(figures.Figure{Part: Part, Case: kind, Name: name, At: figures.Setting{"pods": float64(pods)}, Unit: unit, Samples: []float64{value}})
}

// heap is what a Pod of another node adds to an index.
func heap(pods int) (float64, error) {
	c := scale.Large(pods)
	without := c
	without.Pods = c.LocalPods
	x := policy.NewIndex(policy.Options{Node: scale.Node})
	if err := without.Fill(x); err != nil {
		return 0, err
	}
	x.Changes()
	before := heapSize()
	for i := without.Pods; i < c.Pods; i++ {
		x.SetPod(c.Pod(i))
	}
	x.Changes()
	after := heapSize()
	runtime.KeepAlive(x)
	return float64(after-before) / float64(c.Pods-without.Pods), nil
}

func heapSize() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
