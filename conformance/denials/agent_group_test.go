package denials

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/denials/nflog"
)

// written is a place to write that can be read meanwhile.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *written) lines() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Split(bytes.TrimSuffix(bytes.Clone(w.b.Bytes()), []byte("\n")), []byte("\n"))
}

// eventually waits for something that comes soon.
func (w *watched) eventually(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited 30 s for this: %s", what)
		}
	}
}

// An agent whose log group another program reads enforces and says so, and reads it as
// soon as that one ends. Where it is asked to each denial is a line.
func TestAgentWhoseLogGroupIsTaken(t *testing.T) {
	lines := &written{}
	w := watch(t, lab.PTP, lab.OneNode, map[string]string{"shop/default-deny": denyAll}, func(c *enforcer.Config) { c.Denials.Lines = lines })
	node := w.nodes[0]
	w.StopAgents()
	other := &nflog.Reader{Namespace: w.Node(node), Group: logGroup, Take: func(denials.Log) {}, Lost: func(uint64) {}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		other.Run(ctx)
	}()
	end := sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(end)
	w.eventually("the other program has the group", other.Bound)
	w.StartAgents()
	unread := func() bool {
		return slices.ContainsFunc(w.Agent(node).Status().Conditions, func(c enforcer.Condition) bool { return c.What == "DenialsUnread" })
	}
	w.eventually("the agent says that nobody is told", unread)
	if err := w.Agent(node).Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	end()
	w.eventually("the agent has the group", func() bool { return !unread() })
	to := netip.AddrPortFrom(podAddr(w.pods[0], 0), 80)
	w.send(w.pods[1], to)
	w.eventually("there is a line", func() bool { return len(lines.lines()[0]) > 0 })
	for _, line := range lines.lines() {
		d, _, err := denials.ParseLine(line)
		if err != nil || d.Dst.Name() != fullName(w.pods[0]) || d.Src.Name() != fullName(w.pods[1]) || d.Port != 80 {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// An agent that is not to read denials leaves the group to others.
func TestAgentThatReadsNoDenials(t *testing.T) {
	w := watch(t, lab.PTP, lab.OneNode, map[string]string{"shop/default-deny": denyAll}, func(c *enforcer.Config) { c.Denials = enforcer.DenialsConfig{Off: true} })
	node := w.nodes[0]
	logged := make(chan struct{}, 1)
	other := &nflog.Reader{Namespace: w.Node(node), Group: logGroup, Lost: func(uint64) {}, Take: func(denials.Log) {
		select {
		case logged <- struct{}{}:
		default:
		}
	}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		other.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	w.eventually("another program has the group", other.Bound)
	w.send(w.pods[1], netip.AddrPortFrom(podAddr(w.pods[0], 0), 80))
	select {
	case <-logged:
	case <-time.After(10 * time.Second):
		t.Error("the kernel logs nothing")
	}
	if w.Agent(node).Denials() != nil {
		t.Error("the agent keeps denials")
	}
}
