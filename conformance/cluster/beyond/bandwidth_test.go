package beyond

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// limited has the network plug-in bandwidth send a Pod's frames through a device of
// its own, past what stands at the Pod's interface.
func limited(p *corev1.Pod) {
	p.Annotations = map[string]string{
		"kubernetes.io/egress-bandwidth":  "100M",
		"kubernetes.io/ingress-bandwidth": "100M",
	}
}

// sendings is how often each attack is tried.
const sendings = 10

// TestBandwidth: a Pod whose frames take another way can no more pass for somebody
// else than others can, nor is it worse protected, and the agent says that they do.
func TestBandwidth(t *testing.T) {
	w := newWorld(t)
	w.policy(w.ns, "victims", `
podSelector: {matchLabels: {role: victim}}
ingress:
- from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [friend, far]}]}}]
`)
	victim := map[string]string{"role": "victim"}
	pods := w.pods(
		spec{name: "limited", change: limited}, spec{name: "plain"}, spec{name: "friend"}, spec{name: "far", node: 1},
		spec{name: "limited-victim", labels: victim, change: limited}, spec{name: "plain-victim", labels: victim},
	)
	attackers := []*pod{pods["limited"], pods["plain"]}
	victims := []*pod{pods["limited-victim"], pods["plain-victim"]}
	var cells []cell
	for _, v := range victims {
		cells = slices.Concat(cells, pods["friend"].to(v, web, true), pods["far"].to(v, web, true), v.to(pods["limited"], web, true), v.to(pods["far"], web, true))
		for _, a := range attackers {
			cells = append(cells, a.to(v, web, false)...)
		}
	}
	cells = append(cells, pods["limited"].to(pods["friend"], web, true)...)
	w.expect("before", cells...)

	heard := map[*pod]task{}
	for _, p := range pods {
		heard[p] = p.start(probe.Request{Op: probe.Hear})
	}
	var all []shot
	for _, v := range victims {
		for i := range v.addrs() {
			// What is allowed comes through: so frames are as they should be, and
			// the victims hear them.
			all = append(all, w.shoot(pods["friend"], v, i, pods["friend"], true)...)
			for _, a := range attackers {
				all = append(all, w.shoot(a, v, i, pods["friend"], false)...)
				all = append(all, w.shoot(a, v, i, pods["far"], false)...)
			}
		}
	}
	// What a limited Pod may send passes its device, too.
	for i := range pods["friend"].addrs() {
		all = append(all, w.shoot(pods["limited"], pods["friend"], i, pods["limited"], true)...)
	}
	time.Sleep(time.Second)
	marks := map[string][]string{}
	for p, task := range heard {
		r := task.stop()
		if r.Outcome != probe.Finished {
			t.Fatalf("%s does not hear: %s", p.Pod.Name, r.Detail)
		}
		for mark, n := range r.Heard {
			marks[mark] = append(marks[mark], fmt.Sprintf("%d at %s", n, p.Pod.Name))
		}
	}
	forbidden := 0
	for _, s := range all {
		arrived := len(marks[s.mark]) > 0
		if arrived != s.want {
			t.Errorf("%s: arrives is %v, want %v %v", s.what, arrived, s.want, marks[s.mark])
		}
		if !s.want {
			forbidden += sendings
		}
	}
	t.Logf("%d forbidden frames of %d kinds were sent", forbidden, len(all))
	w.expect("after", cells...)
	w.awaitDetail(pods["limited"].Spec.NodeName, "TrafficRedirect", "ifb")
}

// shot is a frame that was sent.
type shot struct {
	what, mark string
	want       bool
}

// shoot sends what passes for another Pod, or, as the Pod itself, one plain packet.
// i says which of the Pods' addresses, so which family.
func (w *world) shoot(by, at *pod, i int, as *pod, want bool) []shot {
	w.t.Helper()
	to := at.addrs()[i]
	own := ends{src: by.addr(to), dst: to}
	own.srcMAC, own.dstMAC = w.hop(by, to)
	hardware, _ := w.hop(as, to)
	frames := impersonations(own, as.addr(to), hardware)
	if want {
		frames = map[string]func(string) []byte{"a packet of its own": func(mark string) []byte { return own.udp(port(mark), web, mark) }}
	}
	var shots []shot
	var sent [][]byte
	for name, frame := range frames {
		s := shot{what: fmt.Sprintf("%s to %s (%s), as %s: %s", by.Pod.Name, at.Pod.Name, to, as.Pod.Name, name), mark: newMark(), want: want}
		shots = append(shots, s)
		for range sendings {
			sent = append(sent, frame(s.mark))
		}
	}
	if r := by.do(probe.Request{Op: probe.Inject, Frames: sent}); r.Outcome != probe.OK {
		w.t.Fatalf("send frames from %s: %s", by.Pod.Name, r.Detail)
	}
	return shots
}

// hop is a Pod's hardware address, and that of who its packets to an address go to
// first.
func (w *world) hop(p *pod, to netip.Addr) (own, next net.HardwareAddr) {
	w.t.Helper()
	r := p.do(probe.Request{Op: probe.Hop, Address: to.String()})
	if r.Outcome != probe.OK {
		w.t.Fatalf("find the way from %s to %s: %s", p.Pod.Name, to, r.Detail)
	}
	return r.MAC, r.Hop
}

// impersonations are what a Pod sends to pass for another.
func impersonations(own ends, other netip.Addr, hardware net.HardwareAddr) map[string]func(mark string) []byte {
	as := own
	as.src = other
	with := as
	with.srcMAC = hardware
	stranger := own
	stranger.src = netip.MustParseAddr("203.0.113.9")
	if own.dst.Is6() {
		stranger.src = netip.MustParseAddr("2001:db8::9")
	}
	wide := own
	wide.dstMAC = everybody
	kinds := map[string]func(string) []byte{
		"UDP from its address":                       func(m string) []byte { return as.udp(port(m), web, m) },
		"TCP from its address":                       func(m string) []byte { return as.syn(port(m), web, m) },
		"UDP from its address and hardware address":  func(m string) []byte { return with.udp(port(m), web, m) },
		"UDP from a stranger's address":              func(m string) []byte { return stranger.udp(port(m), web, m) },
		"UDP from its own address":                   func(m string) []byte { return own.udp(port(m), web, m) },
		"UDP from its address, tagged":               func(m string) []byte { return tagged(as.udp(port(m), web, m), etherVLAN) },
		"UDP from its own address, tagged":           func(m string) []byte { return tagged(own.udp(port(m), web, m), etherVLAN) },
		"UDP from its own address, tagged twice":     func(m string) []byte { return tagged(own.udp(port(m), web, m), etherQinQ, etherVLAN) },
		"a frame that is no IP":                      func(m string) []byte { return own.ethernet(etherLocal, append([]byte(m), make([]byte, 46)...)) },
		"a frame to all that is no IP":               func(m string) []byte { return wide.ethernet(etherLocal, append([]byte(m), make([]byte, 46)...)) },
		"UDP from its own address in a frame to all": func(m string) []byte { return wide.udp(port(m), web, m) },
	}
	if own.dst.Is4() {
		const request, reply = 1, 2
		kinds["an ARP reply"] = func(m string) []byte { return own.arp(reply, other, m) }
		kinds["an ARP request"] = func(m string) []byte { return wide.arp(request, other, m) }
		return kinds
	}
	group, router := own, own
	group.dst, group.dstMAC = allNodes, allNodesL
	router.src = linkLocal(own.srcMAC)
	routerToAll := group
	routerToAll.src = router.src
	kinds["a neighbour's advertisement"] = func(m string) []byte { return as.advertisement(other, m) }
	kinds["a neighbour's advertisement to all"] = func(m string) []byte { return group.advertisement(other, m) }
	kinds["a router's advertisement"] = router.router
	kinds["a router's advertisement to all"] = routerToAll.router
	return kinds
}

// port is one that only frames with this mark come from: what belongs to a flow that
// was allowed before would prove nothing.
func port(mark string) uint16 {
	n := 0
	for _, digit := range strings.TrimPrefix(mark, "mark-") {
		n = (n*10 + int(digit-'0')) % 20000
	}
	return uint16(10000 + n)
}
