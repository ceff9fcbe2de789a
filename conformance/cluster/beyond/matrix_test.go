package beyond

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

const (
	// settle is how long a change of policies may take to be in force. It is
	// generous: what is tested is not speed.
	settle = 15 * time.Second
	// unanswered is after how long a packet counts as dropped. It is longer
	// than the second after which TCP sends its first packet again.
	unanswered = 1500 * time.Millisecond
	// atOnce limits how many probes a small machine has to serve.
	atOnce = 16
)

// cell is one line of a matrix: who reaches what.
type cell struct {
	from    *hand
	to      string // what the address is, for people
	network string // tcp, udp or icmp
	addr    netip.AddrPort
	op      probe.Op // Dial, if empty
	want    bool
	seen    string // the address that the server has to see, if not empty
	unsaid  bool   // sluice is not asked
}

func (c *cell) String() string {
	network := c.network
	if network == "icmp" {
		return fmt.Sprintf("%-12s → %-24s icmp %s", c.from.name, c.to, c.addr.Addr())
	}
	return fmt.Sprintf("%-12s → %-24s %s  %s", c.from.name, c.to, network, c.addr)
}

func (c *cell) probe() probe.Response {
	r := probe.Request{Op: c.op, Network: c.network, Address: c.addr.String(), Timeout: unanswered}
	switch {
	case c.network == "icmp":
		r.Op, r.Address, r.Size = probe.Ping, c.addr.Addr().String(), 56
	case c.op == "":
		r.Op = probe.Dial
	}
	return c.from.do(r)
}

// wrong says what is wrong with an answer. Forbidden means that there is none
// at all: a refusal would say that a packet arrived.
func (c *cell) wrong(r probe.Response) string {
	switch {
	case c.want && r.Outcome != probe.OK:
		return fmt.Sprintf("is %s (%s), want ok", r.Outcome, r.Detail)
	case !c.want && r.Outcome != probe.Timeout:
		return fmt.Sprintf("is %s (%s), want no answer", r.Outcome, r.Detail)
	case c.want && c.seen != "" && r.Seen != c.seen:
		return fmt.Sprintf("comes from %s, want %s", r.Seen, c.seen)
	}
	return ""
}

// expect wants packets to do as the cells say, and sluice to say the same.
func (w *world) expect(when string, cells ...cell) {
	w.t.Helper()
	w.observe(when, cells...)
	w.verifyCells(when, cells)
}

// observe probes until everything is as the cells say, and then once more.
func (w *world) observe(when string, cells ...cell) {
	w.t.Helper()
	began := time.Now()
	for {
		wrong := round(cells)
		if len(wrong) == 0 {
			break
		}
		if time.Since(began) > settle {
			w.t.Fatalf("%s, after %s:\n  %s", when, settle, strings.Join(wrong, "\n  "))
		}
		time.Sleep(100 * time.Millisecond)
	}
	if wrong := round(cells); len(wrong) > 0 {
		w.t.Fatalf("%s, after it had been right once:\n  %s", when, strings.Join(wrong, "\n  "))
	}
	w.t.Logf("%s: %d of %d cells are as expected", when, len(cells), len(cells))
}

// round probes all cells once and returns those that are wrong.
func round(cells []cell) []string {
	problems := make([]string, len(cells))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range cells {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if problem := cells[i].wrong(cells[i].probe()); problem != "" {
				problems[i] = fmt.Sprintf("%s %s", &cells[i], problem)
			}
		})
	}
	all.Wait()
	var wrong []string
	for _, p := range problems {
		if p != "" {
			wrong = append(wrong, p)
		}
	}
	return wrong
}

// to is cells from a prober to all addresses of a Pod, over TCP and UDP.
func (h *hand) to(p *pod, port uint16, want bool) []cell {
	var cells []cell
	for _, addr := range p.addrs() {
		for _, network := range []string{"tcp", "udp"} {
			cells = append(cells, cell{from: h, to: p.hand.name, network: network, addr: netip.AddrPortFrom(addr, port), want: want})
		}
	}
	return cells
}

// only leaves the cells of one protocol.
func only(network string, cells []cell) []cell {
	var some []cell
	for _, c := range cells {
		if c.network == network {
			some = append(some, c)
		}
	}
	return some
}

// echo is cells of pings to all addresses of a Pod.
func (h *hand) echo(p *pod, want bool) []cell {
	var cells []cell
	for _, addr := range p.addrs() {
		cells = append(cells, cell{from: h, to: p.hand.name, network: "icmp", addr: netip.AddrPortFrom(addr, 0), want: want})
	}
	return cells
}

// at is cells to a port of something that is no Pod, by its addresses.
func (h *hand) at(what string, addrs []netip.Addr, network string, port uint16, want bool) []cell {
	var cells []cell
	for _, addr := range addrs {
		cells = append(cells, cell{from: h, to: what, network: network, addr: netip.AddrPortFrom(addr, port), want: want})
	}
	return cells
}

// parse parses addresses as the API has them.
func parse(ips []string) []netip.Addr {
	var all []netip.Addr
	for _, ip := range ips {
		all = append(all, netip.MustParseAddr(ip))
	}
	return all
}
