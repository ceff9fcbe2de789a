package compiler_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

var (
	flows = flag.Int("flows", 60_000, "how many random flows TestAgreement judges")
	seed  = flag.Uint64("seed", 0, "judge only the random cluster with this seed")
)

const flowsPerCluster = 600

// TestAgreement: the naive evaluator, the index and the rulesets of the nodes
// give one verdict, for first packets, for replies and after the policies
// changed.
func TestAgreement(t *testing.T) {
	if *seed != 0 {
		agreeOn(t, *seed)
		return
	}
	var judged, next atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for judged.Load() < int64(*flows) && !t.Failed() {
				judged.Add(int64(agreeOn(t, uint64(next.Add(1)))))
			}
		})
	}
	wait.Wait()
	t.Logf("%d flows over %d clusters", judged.Load(), next.Load())
}

// agreeOn judges the flows of the cluster that a seed names.
func agreeOn(t *testing.T, seed uint64) int {
	r := spectest.Seeded(seed)
	c := spectest.Random(r, spectest.Options{Invalid: r.IntN(3) == 0, Contested: seed%7 == 0, Names: seed%6 == 5, Modes: seed%4 == 3})
	w := newWorld(t, worldConfig(r), r.IntN(2) == 0, c, nodeNames(c.Final()))
	w.ipvs = seed%3 == 2
	switch r.IntN(3) {
	case 0:
		w.crowd(r)
	case 1:
		w.leaves(r)
	}
	w.load(t)
	for range flowsPerCluster {
		f := c.RandomFlow(r)
		if problem := w.disagreement(r, f); problem != "" {
			t.Errorf("seed %d, flow %+v: %s\n(go test ./compiler -run TestAgreement -args -seed=%d)", seed, f, problem, seed)
			break
		}
	}
	return flowsPerCluster
}

// disagreement judges a flow in every way and says what does not fit.
func (w *world) disagreement(r *rand.Rand, f spectest.Flow) string {
	egress, ingress := w.cluster.Allowed(f)
	v := w.whole.Evaluate(policy.Flow{
		Src: w.whole.EndOfAddr(f.Src), Dst: w.whole.EndOfAddr(f.Dst),
		Protocol: policy.Protocol(f.Protocol), Port: f.Port,
	})
	if v.Egress.Allowed != egress || v.Ingress.Allowed != ingress || v.Allowed != (egress && ingress) {
		return fmt.Sprintf("twin says egress=%t ingress=%t, the index %+v", egress, ingress, v)
	}
	for _, l := range w.legs(f) {
		if w.misplaced(f.Src, l.node()) || w.misplaced(f.Dst, l.node()) {
			continue // the node takes it for a Pod of its own, which has no place
		}
		l.deny = ""
		switch {
		case l.dst == nil && w.config.NodeEgress && w.cluster.OnOwnNode(l.src, f.Dst), len(l.there) == 0:
			// Whoever else claims the address: here it is the Pod's own node, and
			// what that sends passes no hook.
		case l.src != nil && !egress:
			l.deny = "egress-" + l.src.Namespace + "." + l.src.Name
		case l.dst != nil && !ingress:
			l.deny = "ingress-" + l.dst.Namespace + "." + l.dst.Name
		}
		c := &rulesim.Connection{There: l.there, Back: l.back, ForeignMark: r.Uint32() &^ w.config.Mark.Mask, Flow: rulesim.Flow{
			Src: f.Src, Dst: f.Dst, Protocol: f.Protocol, FromPort: sourcePort(r, f), ToPort: f.Port,
		}}
		if problem := w.judgeLeg(c, l); problem != "" {
			return problem
		}
		if problem := w.judgeStrays(c, l); problem != "" {
			return problem
		}
	}
	return ""
}

// judgeLeg sends packets of a flow over one leg: as a new connection, as one
// that was judged under an older epoch, in both directions.
func (w *world) judgeLeg(c *rulesim.Connection, l leg) string {
	want := l.deny == ""
	first := c.Open()
	if rulesim.Passed(first) != want {
		return w.explain(c, "first packet", want, c.Open)
	}
	if got := denialCounters(first); len(l.there) > 0 && !want && (len(got) != 1 || !strings.HasSuffix(got[0], "-"+l.deny)) {
		return fmt.Sprintf("the denial is counted by %q, not for %s", got, l.deny)
	}
	if problem := w.checkMarks(c, l); problem != "" {
		return problem
	}
	if want && len(l.there) > 0 {
		for _, res := range append(c.Reply(), c.Send()...) {
			if !res.Passed() || res.Rules != 1 && !w.ipvs || res.Rules > 2 {
				return fmt.Sprintf("a packet of an allowed connection is not passed at once: %+v", res)
			}
		}
	}
	return w.judgeAgain(c, l)
}

// judgeAgain sends packets of a connection that was judged under other epochs,
// one way or the other.
func (w *world) judgeAgain(c *rulesim.Connection, l leg) string {
	want := l.deny == ""
	for _, old := range []uint32{0, w.config.Mark.Encode(l.epoch + 1), w.config.Mark.Denied()} {
		for name, reply := range map[string]bool{"packet": false, "reply": true} {
			again := func() []rulesim.Result { return c.Judged(reply, old) }
			results := again()
			if rulesim.Passed(results) != want && len(results) > 0 {
				return w.explain(c, fmt.Sprintf("%s, marked %#x", name, old), want, again)
			}
			// What the node opened is not marked.
			if problem := w.checkMarks(c, l); problem != "" && len(l.there) > 0 {
				return problem
			}
		}
	}
	return ""
}

// judgeStrays sends packets that begin no connection: untracked ones are judged
// each by itself, invalid ones and those from the middle of a connection have
// no place near an isolated Pod, and an address counts only where it belongs.
func (w *world) judgeStrays(c *rulesim.Connection, l leg) string {
	if len(l.there) == 0 {
		return ""
	}
	want, isolated := l.deny == "", l.src != nil && w.isolated(c.Flow.Src) || l.dst != nil && w.isolated(c.Flow.Dst)
	onNode := l.onNode()
	self := w.cluster.Self(spectest.Flow{Src: c.Flow.Src, Dst: c.Flow.Dst})
	icmp := c.Flow.Protocol == 1 || c.Flow.Protocol == 58
	for _, stray := range []struct {
		name  string
		state rulesim.State
		flags uint8
		mark  uint32
		want  bool
	}{
		{"untracked packet", rulesim.Untracked, rulesim.ACK, 0, want},
		{"invalid packet", rulesim.Invalid, rulesim.ACK, 0, !isolated},
		{"packet from the middle", rulesim.New, rulesim.ACK, 0, want && (onNode || self || !isolated || c.Flow.Protocol != 6)},
		{"packet of an expected connection", rulesim.Related, rulesim.SYN, w.config.Mark.Encode(l.epoch), want || icmp},
		{"packet of one that a stale connection announced", rulesim.Related, rulesim.SYN, w.config.Mark.Encode(l.epoch + 1), icmp && (self || !w.mayBeDenied(c, l)) || !icmp && want},
		{"packet of one that a denied connection announced", rulesim.Related, rulesim.SYN, w.config.Mark.Denied(), want && !icmp},
	} {
		again := func() []rulesim.Result { return c.Stray(stray.state, stray.flags, stray.mark) }
		if rulesim.Passed(again()) != stray.want {
			return w.explain(c, stray.name, stray.want, again)
		}
	}
	if icmp {
		if problem := w.judgeErrors(c, l); problem != "" {
			return problem
		}
	}
	if l.src == nil {
		return ""
	}
	spoofed := *c
	spoofed.There = []rulesim.Hop{l.there[0]}
	spoofed.There[0].In = "elsewhere"
	for _, s := range []rulesim.State{rulesim.New, rulesim.Untracked} {
		again := func() []rulesim.Result { return spoofed.Stray(s, rulesim.SYN, 0) }
		if rulesim.Passed(again()) {
			return w.explain(&spoofed, "spoofed packet", false, again)
		}
	}
	return ""
}

// judgeErrors sends ICMP errors that are about no flow of their sender's: no Pod's
// pass, and others' as far as anybody's does.
func (w *world) judgeErrors(c *rulesim.Connection, l leg) string {
	about := *c
	about.Flow.FromPort = map[uint8]uint16{1: 3, 58: 1}[c.Flow.Protocol]
	about.About = [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), about.Flow.Dst}
	if about.Flow.Src.Is6() {
		about.About[0] = netip.MustParseAddr("2001:db8::1")
	}
	if about.About[0] == about.Flow.Src {
		about.About[0] = about.About[0].Next() // it would be the sender's own flow
	}
	want, foreign := l.deny == "", l.src == nil
	for _, e := range []struct {
		name  string
		state rulesim.State
		want  bool
	}{
		{"error about another's flow", rulesim.Related, foreign},
		{"error about no flow", rulesim.Invalid, foreign && (l.dst == nil || !w.isolated(about.Flow.Dst))},
		{"untracked error", rulesim.Untracked, foreign && want},
	} {
		again := func() []rulesim.Result { return about.Stray(e.state, 0, 0) }
		if rulesim.Passed(again()) != e.want {
			return w.explain(&about, e.name, e.want, again)
		}
	}
	return ""
}

// mayBeDenied reports whether a policy has a say where the leg is.
func (w *world) mayBeDenied(c *rulesim.Connection, l leg) bool {
	if l.onNode() && w.config.NodeEgress {
		return false
	}
	return l.src != nil && w.isolatedIn(c.Flow.Src, networkingv1.PolicyTypeEgress) || l.dst != nil && w.isolatedIn(c.Flow.Dst, networkingv1.PolicyTypeIngress)
}

// isolated reports whether any Pod that claims the address is.
func (w *world) isolated(a netip.Addr) bool {
	return w.isolatedIn(a, networkingv1.PolicyTypeIngress) || w.isolatedIn(a, networkingv1.PolicyTypeEgress)
}

func (w *world) isolatedIn(a netip.Addr, d networkingv1.PolicyType) bool {
	return slices.ContainsFunc(w.cluster.Claimants(a), func(pod *corev1.Pod) bool { return w.cluster.Isolated(pod, d) })
}

// onNode reports whether the leg ends at the node itself.
func (l *leg) onNode() bool { return l.there[len(l.there)-1].Hook == rulesim.Input }

// node is where the leg is.
func (l *leg) node() string {
	if l.src != nil {
		return l.src.Spec.NodeName
	}
	return l.dst.Spec.NodeName
}

// denialCounters are those of Pods among the counters that counted a packet.
func denialCounters(results []rulesim.Result) []string {
	var out []string
	for _, res := range results {
		for _, name := range res.Counters {
			if strings.Contains(name, "gress-") {
				out = append(out, name)
			}
		}
	}
	return out
}

// checkMarks looks at what was remembered of the first packet.
func (w *world) checkMarks(c *rulesim.Connection, l leg) string {
	want := c.ForeignMark | w.config.Mark.Denied()
	allowed := l.deny == ""
	if allowed {
		want = c.ForeignMark | w.config.Mark.Encode(l.epoch)
	}
	marks := c.Marks()
	if w.ipvs && len(marks) > 1 {
		marks = marks[1:] // nothing is judged before IPVS
	}
	for _, got := range marks {
		if got != want {
			return fmt.Sprintf("conntrack mark %#x, want %#x (allowed: %t)", got, want, allowed)
		}
	}
	return ""
}

func (w *world) explain(c *rulesim.Connection, what string, want bool, again func() []rulesim.Result) string {
	c.Trace = true
	var b strings.Builder
	fmt.Fprintf(&b, "%s: want passed=%t, but", what, want)
	for i, res := range again() {
		fmt.Fprintf(&b, "\nhop %d %+v: %s", i, c.There, res.Verdict)
		for _, line := range res.Trace {
			fmt.Fprintf(&b, "\n  %s", line)
		}
	}
	return b.String()
}

// sourcePort is sometimes one that policies name, so that looking at the wrong
// end's port does not go unnoticed. For ICMP it is the type: an echo.
func sourcePort(r *rand.Rand, f spectest.Flow) uint16 {
	switch f.Protocol {
	case 1:
		return 8
	case 58:
		return 128
	}
	if r.IntN(2) == 0 {
		return []uint16{53, 80, 443, 8080, 9090}[r.IntN(5)]
	}
	return uint16(32768 + r.IntN(28000))
}
