package controlpath

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// prober is a process that sends a packet each millisecond through the node,
// and says when asked what the worst gap was. It is a process of its own, with
// real-time priority, so that it measures the packets' path and not its own
// waiting for a processor.
type prober struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	err   error
	// missed: that it failed was noted.
	missed bool
}

// report is what the prober's process says of the time since the last one.
type report struct {
	Sent     int `json:"sent"`
	Received int `json:"received"`
	// Gap is the longest time between two arrivals, in milliseconds.
	Gap float64 `json:"gap"`
}

// probe starts the process and measures an idle second.
func (m *measurement) probe(ctx context.Context, n *node) (*prober, error) {
	if len(m.options.Prober) == 0 {
		return &prober{}, nil
	}
	from := n.lab.Pod(types.NamespacedName{Namespace: proberNamespace, Name: "from"})
	to := n.lab.Pod(types.NamespacedName{Namespace: proberNamespace, Name: "to"})
	args := append(m.options.Prober[1:len(m.options.Prober):len(m.options.Prober)], from.Path(), to.Path(), proberAddrs["to"])
	p := &prober{cmd: exec.CommandContext(ctx, m.options.Prober[0], args...)}
	p.cmd.Stderr = os.Stderr //nolint:forbidigo // the process's own trouble is the run's
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the prober: %w", err)
	}
	p.mark()
	if err := pause(ctx, time.Second); err != nil {
		p.stop()
		return nil, err
	}
	m.gap(p, "idle")
	return p, nil
}

// mark forgets what was until now.
func (p *prober) mark() report {
	if p.cmd == nil || p.err != nil {
		return report{}
	}
	var r report
	if _, p.err = io.WriteString(p.in, "mark\n"); p.err != nil {
		return r
	}
	if !p.lines.Scan() {
		p.err = fmt.Errorf("the prober ended: %w", p.lines.Err())
		return r
	}
	p.err = json.Unmarshal(p.lines.Bytes(), &r)
	return r
}

func (p *prober) stop() {
	if p.cmd != nil && p.cmd.Process != nil {
		p.in.Close()
		_ = p.cmd.Wait() // it says nothing new
	}
}

// gap notes the worst gap since the last mark.
func (m *measurement) gap(p *prober, name string) {
	r := p.mark()
	if p.cmd == nil || p.missed {
		return
	}
	if p.err != nil {
		p.missed = true
		m.run.Miss(Part, fmt.Sprintf("worst gaps from %q on, %s, %d Pods", name, m.size.Name, m.size.Cluster.Pods), p.err)
		return
	}
	m.add(name, Gap, "ms", r.Gap)
	m.add(name, "lost packets", "packets", float64(r.Sent-r.Received))
}

func proberEvent(name string) (source.Event, error) {
	p, err := policy.PodFromAPI(proberPod(name))
	if err != nil {
		return source.Event{}, err
	}
	return podEvent(p), nil
}
