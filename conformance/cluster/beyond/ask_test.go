package beyond

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// pluginName is what kubectl runs for "kubectl sluice".
const pluginName = "kubectl-sluice"

// reply is what a program said.
type reply struct {
	out, err string
	code     int
}

// ask runs a program, with the tests' kubeconfig, and waits for its answer.
func (w *world) ask(in string, program string, args ...string) (reply, error) {
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &problem
	// kubectl looks for its plugins there.
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(cluster.sluice)+":"+os.Getenv("PATH"))
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return reply{}, fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return reply{out.String(), problem.String(), cmd.ProcessState.ExitCode()}, nil
}

// mustAsk is for questions that have an answer.
func (w *world) mustAsk(in string, program string, args ...string) string {
	w.t.Helper()
	r, err := w.ask(in, program, args...)
	w.must("ask", err)
	if r.code != 0 {
		w.t.Fatalf("%s %s: exit code %d: %s", program, strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// flow is a line that sluice verify reads.
type flow struct {
	Src      string `json:"src"`
	Dst      string `json:"dst"`
	Proto    string `json:"proto,omitempty"`
	Port     any    `json:"port,omitempty"` // a number or a name
	Expected bool   `json:"expected"`
}

// verify has sluice answer flows from the live cluster, and wants it to expect
// of every one what the packets did.
func (w *world) verify(when string, flows []flow) {
	w.t.Helper()
	if len(flows) == 0 {
		return
	}
	var lines bytes.Buffer
	for _, f := range flows {
		line, err := json.Marshal(f)
		w.must("write a flow", err)
		lines.Write(append(line, '\n'))
	}
	r, err := w.ask(lines.String(), cluster.sluice, "verify", "-o", "json")
	w.must("ask", err)
	if n := strings.Count(r.out, "\n"); r.code != 0 || n != len(flows) {
		w.t.Fatalf("%s: sluice verify answers %d of %d flows, with exit code %d:\n%s", when, n, len(flows), r.code, r.err)
	}
}

// flow is the question that a cell answers, if its client has a name for sluice.
func (c *cell) flow() (flow, bool) {
	f := flow{Src: c.from.end(c.addr.Addr()), Dst: c.addr.Addr().String(), Proto: c.network, Expected: c.want}
	switch {
	case c.network != "icmp":
		f.Port = c.addr.Port()
	case c.addr.Addr().Is6():
		f.Proto = "icmpv6"
	}
	return f, f.Src != "" && !c.unsaid
}

// verifyCells has sluice answer what packets have answered already.
func (w *world) verifyCells(when string, cells []cell) {
	w.t.Helper()
	var flows []flow
	for i := range cells {
		if f, ok := cells[i].flow(); ok {
			flows = append(flows, f)
		}
	}
	w.verify(when, flows)
	w.t.Logf("%s: sluice verify says the same of %d", when, len(flows))
}

// end is what sluice calls a prober when it speaks to an address, or empty.
func (h *hand) end(to netip.Addr) string {
	if h.pod != "" {
		return h.pod
	}
	if a := h.addr(to); a.IsValid() {
		return a.String()
	}
	return ""
}

// addr is a prober's address of the family of another, if it is known.
func (h *hand) addr(of netip.Addr) netip.Addr {
	i := slices.IndexFunc(h.known, func(a netip.Addr) bool { return a.Is4() == of.Is4() })
	if i < 0 {
		return netip.Addr{}
	}
	return h.known[i]
}

// learn finds out which addresses a prober has that is in no Pod: those that a
// Pod on a node's network sees.
func (h *hand) learn(t *testing.T, server *pod) {
	t.Helper()
	for _, a := range server.addrs() {
		r := h.do(probe.Request{Op: probe.Dial, Network: "tcp", Address: netip.AddrPortFrom(a, web).String(), Timeout: unanswered})
		if r.Outcome != probe.OK {
			t.Fatalf("ask %s for the address of the client %s: %s", server.hand.name, h.name, r.Detail)
		}
		h.known = append(h.known, netip.MustParseAddr(r.Seen))
	}
}
