package live

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

// Flows that stay allowed lose nothing and do not stall while policies change
// all the time: those that allow them, whose blocks, ranges and groups are
// replaced, and others.
func TestAllowedFlowsLoseNothing(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			h := &churn{t: t, r: seeded(10 + uint64(topology))}
			h.c = enforced.Start(t, enforced.Options{
				Placement: lab.Placement{Topology: topology}, Pods: labPods(),
				Objects: append(baseNamespaces(), append(h.allowing(), enforced.Namespace("elsewhere"))...), Config: quick,
			})
			h.run(*changesFlag / len(topologies))
		})
	}
}

// churn changes policies under streams.
type churn struct {
	t *testing.T
	c *enforced.Cluster
	r *rand.Rand
	// made are unrelated objects that are there now.
	made []any
	// epochs are those that were seen on node a.
	epochs map[uint32]bool
}

func (h *churn) run(changes int) {
	t := h.t
	h.epochs = map[uint32]bool{}
	streams := startAllowed(t, h.c, 2*time.Millisecond)
	load := h.load()
	resent := h.retransmissions()
	start := time.Now()
	for i := range changes {
		h.change(i)
		h.epochs[h.c.Agent("a").Status().Epoch] = true
	}
	took := time.Since(start)
	load.end()
	summary := streams.end()
	if len(h.epochs) < changes/4 {
		t.Errorf("%d changes brought %d epochs: too few made connections be judged anew", changes, len(h.epochs))
	}
	t.Logf("%d changes in %v, %d epochs; %s, %d TCP segments sent again; %d datagrams of load",
		changes, took.Round(time.Millisecond), len(h.epochs), summary, h.retransmissions()-resent, sentOn(load.flows))
}

// change is one change, enforced before the next.
func (h *churn) change(i int) {
	switch i % 5 {
	case 0, 1, 2:
		h.c.Set(h.allowing()...)
	case 3:
		h.c.Set(h.unrelated(i))
	case 4:
		if n := len(h.made); n > 6 || n > 0 && h.r.IntN(2) == 0 {
			at := h.r.IntN(n)
			h.c.Delete(h.made[at])
			h.made = append(h.made[:at], h.made[at+1:]...)
			return
		}
		h.c.Set(h.related(i))
	}
}

// allowing are policies that allow the streams, by other blocks, ranges and
// groups each time.
func (h *churn) allowing() []any {
	rangePorts := func() []networkingv1.NetworkPolicyPort {
		list := tcpUDP(streamPort-int32(h.r.IntN(100)), streamPort+int32(h.r.IntN(100)))
		return append(list, someRanges(h.r, h.r.IntN(40))...)
	}
	from := append(around(h.r, 1), someBlocks(h.r, h.r.IntN(60))...)
	to := append(append(around(h.r, 1), around(h.r, 2)...), someBlocks(h.r, h.r.IntN(60))...)
	if h.r.IntN(3) == 0 {
		from = podsIn("team", "red", "client")
	}
	if h.r.IntN(3) == 0 {
		to = podsIn("team", "blue", "server")
	}
	some := []networkingv1.NetworkPolicyPeer{enforced.PeerApp(fmt.Sprint("app-", h.r.IntN(4)))}
	return []any{
		enforced.DenyIngress("shop", "server", ingress(some, tcpUDP(1, 100)...), ingress(from, rangePorts()...)),
		enforced.DenyEgress("front", "client", egress(to, rangePorts()...), egress(some)),
	}
}

// unrelated are Pods, Namespaces and policies that have nothing to do with the
// streams, though some share their sets.
func (h *churn) unrelated(i int) any {
	name := "unrelated-" + strconv.Itoa(i)
	switch h.r.IntN(4) {
	case 0:
		p := pod("elsewhere", name, "far-away", fmt.Sprintf("10.9.%d.%d", i/250, i%250+1), fmt.Sprintf("fd00:9::%x", i+1))
		h.made = append(h.made, p)
		return relabelled(p, fmt.Sprint("app-", h.r.IntN(4)))
	case 1:
		p := enforced.DenyIngress("front", "stranger", ingress(someBlocks(h.r, 20), someRanges(h.r, 20)...))
		p.Name = name
		h.made = append(h.made, p)
		return p
	case 2:
		return relabelled(stranger, fmt.Sprint("app-", h.r.IntN(4)))
	}
	return labelledNamespace("elsewhere", "team", []string{"red", "blue", "green"}[h.r.IntN(3)])
}

// related selects an end of the streams besides the policies that allow them,
// or is a peer that comes and goes.
func (h *churn) related(i int) any {
	name := "related-" + strconv.Itoa(i)
	var made any
	switch h.r.IntN(3) {
	case 0:
		p := pod("shop", name, "far-away", fmt.Sprintf("10.8.%d.%d", i/250, i%250+1), fmt.Sprintf("fd00:8::%x", i+1))
		made = relabelled(p, "server")
	case 1:
		p := enforced.DenyIngress("shop", "server", ingress(someBlocks(h.r, 10)))
		p.Name, made = name, p
	case 2:
		p := enforced.DenyEgress("front", "client")
		p.Name, made = name, p
	}
	h.made = append(h.made, made)
	return made
}

// load keeps the processors and the rules busy, but not so that the machine
// drops packets by itself.
func (h *churn) load() *flood {
	f := newFlood(h.t, h.c.Lab)
	for i := range 4 {
		for fam, dst := range addrs(near) {
			f.add(netip.AddrPortFrom(addrs(stranger)[fam], uint16(9000+i)), netip.AddrPortFrom(dst, uint16(9000+i)))
			f.add(netip.AddrPortFrom(addrs(far)[fam], uint16(9100+i)), netip.AddrPortFrom(addrs(client)[fam], uint16(9100+i)))
		}
	}
	f.receive()
	half := len(f.flows) / 2
	f.send(100*time.Microsecond, f.flows[:half]...)
	f.send(100*time.Microsecond, f.flows[half:]...)
	return f
}

// retransmissions are the TCP segments that the streams' ends sent again.
func (h *churn) retransmissions() (n int) {
	h.t.Helper()
	for _, p := range []*corev1.Pod{client, near, far} {
		n += h.counter(nameOf(p), "Tcp:", "RetransSegs")
	}
	return n
}

// counter reads /proc/net/snmp of a Pod: lines of names, each followed by one
// of numbers.
func (h *churn) counter(p types.NamespacedName, line, name string) (n int) {
	h.t.Helper()
	var names []string
	err := h.c.Pod(p).Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		for l := range strings.Lines(string(text)) {
			fields := strings.Fields(l)
			if len(fields) == 0 || fields[0] != line {
				continue
			}
			if names == nil {
				names = fields
				continue
			}
			for i := range fields {
				if names[i] == name {
					n, err = strconv.Atoi(fields[i])
				}
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}
