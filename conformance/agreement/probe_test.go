package agreement

import (
	"net/netip"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// experimental is a protocol that nobody has (RFC 3692).
const experimental = 253

// probe sends random flows and compares.
func (w *world) probe(round, n int) (sent tally) {
	w.t.Helper()
	flows := w.flows(n)
	results, err := w.lab.ProbeResults(w.t.Context(), flows, lab.ProbeOptions{})
	if err != nil {
		w.t.Fatalf("%s: %v", w, err)
	}
	for i, f := range flows {
		if results[i].Outcome == lab.Unsendable {
			continue
		}
		sent.sent++
		if results[i].Outcome == lab.Reached {
			sent.allowed++
		}
		if want := w.opinion(f); !want.unanimous() || want.index != (results[i].Outcome == lab.Reached) {
			w.report(round, f, want, results[i])
		}
	}
	return sent
}

// opinion is what is thought of a flow on paper.
type opinion struct{ twin, index, explained bool }

func (o opinion) unanimous() bool { return o.twin == o.index && o.index == o.explained }

func (w *world) opinion(f lab.Flow) opinion {
	egress, ingress := w.cluster.Allowed(spectest.Flow{Src: f.Src, Dst: f.Dst, Protocol: f.Protocol, Port: f.Port})
	return opinion{
		twin:      egress && ingress,
		index:     w.index.Evaluate(w.indexFlow(f)).Allowed,
		explained: w.index.Explain(w.indexFlow(f)).Allowed,
	}
}

func (w *world) indexFlow(f lab.Flow) policy.Flow {
	return policy.Flow{
		Src: w.index.EndOfAddr(f.Src), Dst: w.index.EndOfAddr(f.Dst),
		Protocol: policy.Protocol(f.Protocol), Port: f.Port,
	}
}

// flows draws flows that packets can be sent for.
func (w *world) flows(n int) (flows []lab.Flow) {
	for tries := 0; len(flows) < n && tries < 100*n; tries++ {
		drawn := w.cluster.RandomFlow(w.r)
		f := lab.Flow{Src: drawn.Src, Dst: drawn.Dst, Protocol: drawn.Protocol, Port: drawn.Port}
		if w.r.IntN(30) == 0 {
			f.Protocol, f.Port = experimental, 0
		}
		if f = w.oneWay(f); w.sendable(f) {
			flows = append(flows, f)
		}
	}
	return flows
}

// oneWay turns a flow around if it would be taken for the answers of another.
func (w *world) oneWay(f lab.Flow) lab.Flow {
	switch f.Protocol {
	case lab.TCP, lab.UDP, lab.SCTP, lab.ICMP, lab.ICMPv6:
		return f
	}
	key := pair{f.Src, f.Dst, f.Protocol}
	if key.high.Less(key.low) {
		key.low, key.high = key.high, key.low
	}
	first, known := w.opened[key]
	if !known {
		w.opened[key] = f.Src
	} else if first != f.Src {
		f.Src, f.Dst = f.Dst, f.Src
	}
	return f
}

// sendable reports whether a packet can be sent and a policy has a say, or
// would have if it were not a node's.
func (w *world) sendable(f lab.Flow) bool {
	for _, a := range []netip.Addr{f.Src, f.Dst} {
		if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() || a == broadcast {
			return false
		}
	}
	src, dst := w.lab.Host(f.Src), w.lab.Host(f.Dst)
	if src == nil || dst == nil {
		// An address that was not used before: outside, like all of these.
		return f.Src != f.Dst && (src != nil || dst != nil) && src != w.lab.Outside() && dst != w.lab.Outside()
	}
	if src == dst {
		return w.isPod(f.Src)
	}
	return true
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// isPod reports whether a Pod's namespace has the address.
func (w *world) isPod(a netip.Addr) bool {
	for _, p := range w.lab.Spec().Pods {
		if !p.HostNetwork {
			for _, b := range p.Addrs {
				if a == b {
					return true
				}
			}
		}
	}
	return false
}
