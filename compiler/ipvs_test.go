package compiler_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
)

// ipvsNode has an isolated Pod, db, that lets web in, and a free one, web.
func ipvsNode(t *testing.T) *host {
	t.Helper()
	cfg := plainConfig()
	cfg.NodeDNS = addresses("169.254.20.10")
	n := compileScript(t, cfg, true, readFile(t, "ipvs.txt"))
	n.links.IPVS = true
	n.compiler.Update(n.index, n.index.Changes(), n.links)
	n.install(t)
	return n
}

const (
	webPod, dbPod = "10.0.0.2", "10.0.0.3"
	service       = "10.96.0.10"
	nodeAddress   = "192.0.2.9"
)

// TestIPVSJudgesEachPacketWhereBothEndsAreKnown: at the hooks of a node with IPVS, and
// by whom it is judged there.
func TestIPVSJudgesEachPacketWhereBothEndsAreKnown(t *testing.T) {
	n := ipvsNode(t)
	judged := plainConfig().Mark.Encode(firstEpoch)
	for _, c := range []struct {
		name     string
		from, to string
		port     uint16
		change   func(*rulesim.Packet)
		want     rulesim.Verdict
		// marked: the packet counts as judged.
		marked bool
	}{
		{name: "what IPVS may take is not judged at input", from: webPod, to: service, port: 5432, change: taken, want: rulesim.Accept},
		{name: "nor what an isolated Pod sends", from: dbPod, to: service, port: 5432, change: taken, want: rulesim.Accept},
		{name: "but nobody passes for another", from: webPod, to: service, port: 5432, change: func(p *rulesim.Packet) { taken(p); p.In = uplink }, want: rulesim.Drop},
		{name: "what it left is judged as the node's", from: webPod, to: service, port: 22, change: toNode, want: rulesim.Accept, marked: true},
		{name: "and that of an isolated Pod too", from: dbPod, to: service, port: 22, change: toNode, want: rulesim.Drop},
		{name: "but DNS on the node", from: dbPod, to: "169.254.20.10", port: 53, change: toNode, want: rulesim.Accept, marked: true},
		{name: "what it sends to a Pod is judged as a routed packet", from: webPod, to: dbPod, port: 5432, change: sentOn, want: rulesim.Accept, marked: true},
		{name: "also to another port", from: webPod, to: dbPod, port: 5433, change: sentOn, want: rulesim.Drop},
		{name: "and from a host outside", from: "198.51.100.7", to: dbPod, port: 5432, change: sentOn, want: rulesim.Drop},
		{name: "and what an isolated Pod sends", from: dbPod, to: webPod, port: 80, change: sentOn, want: rulesim.Drop},
		{name: "to other nodes as well", from: dbPod, to: "10.0.1.7", port: 80, change: func(p *rulesim.Packet) { sentOn(p); p.Out = uplink }, want: rulesim.Drop},
		{name: "where a free Pod's passes", from: webPod, to: "10.0.1.7", port: 80, change: func(p *rulesim.Packet) { sentOn(p); p.Out = uplink }, want: rulesim.Accept, marked: true},
		{name: "a Pod reaches itself", from: dbPod, to: dbPod, port: 9, change: sentOn, want: rulesim.Accept, marked: true},
		{name: "the middle of a connection is cut", from: webPod, to: dbPod, port: 5432, change: func(p *rulesim.Packet) { sentOn(p); p.Transport[13] = rulesim.ACK }, want: rulesim.Reject},
		{name: "to no known Pod", from: webPod, to: "10.0.0.99", port: 80, change: sentOn, want: rulesim.Drop},
		{name: "to a Pod by the Service's address, as direct routing does", from: webPod, to: service, port: 80, change: sentOn, want: rulesim.Drop},
		{name: "the node's own", from: nodeAddress, to: dbPod, port: 1, change: func(p *rulesim.Packet) { sentOn(p); p.Own = true }, want: rulesim.Accept},
		{name: "the node's own to a Service", from: service, to: dbPod, port: 1, change: func(p *rulesim.Packet) { sentOn(p); p.Own = true }, want: rulesim.Accept},
		{name: "a reset in a Pod's name", from: dbPod, to: webPod, port: 1, change: func(p *rulesim.Packet) {
			sentOn(p)
			p.State, p.Transport[13] = rulesim.Related, rulesim.RST
		}, want: rulesim.Accept},
		{name: "and no other packet in it", from: dbPod, to: webPod, port: 1, change: func(p *rulesim.Packet) { sentOn(p); p.State = rulesim.Related }, want: rulesim.Drop},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &rulesim.Packet{Src: addr(c.from), Dst: addr(c.to), Protocol: 6, Transport: rulesim.Transport(6, 40000, c.port, rulesim.SYN),
				State: rulesim.New, Entry: &rulesim.Entry{}, HopLimit: 63, Trace: true}
			c.change(p)
			got := n.kernel.Judge(p)
			if got.Verdict != c.want || (p.Entry.Mark == judged) != c.marked {
				t.Errorf("%s, mark %#x; want %s, judged %t\n%s", got.Verdict, p.Entry.Mark, c.want, c.marked, strings.Join(got.Trace, "\n"))
			}
		})
	}
}

// taken is a packet at input that IPVS takes, toNode one that it does not.
func taken(p *rulesim.Packet) { toNode(p); p.Before = ipvsPriority }

func toNode(p *rulesim.Packet) { p.Hook, p.In = rulesim.Input, bridge }

// sentOn is one that IPVS sends on.
func sentOn(p *rulesim.Packet) { p.Hook, p.Out = rulesim.Output, bridge }

// TestIPVSErrorsAreHeldToTheFlow: what a client says about a flow through a Service
// passes input and output where it is about its own flow, and only there.
func TestIPVSErrorsAreHeldToTheFlow(t *testing.T) {
	n := ipvsNode(t)
	for _, c := range []struct {
		name, from, about string
		want              bool
	}{
		{"about its own flow", webPod, webPod, true},
		{"about another's flow", webPod, "10.0.0.77", false},
		{"a router, about a Pod's flow", "203.0.113.1", webPod, true},
	} {
		for _, hook := range []func(*rulesim.Packet){taken, sentOn} {
			p := &rulesim.Packet{Src: addr(c.from), Dst: addr(dbPod), Protocol: 1, Transport: rulesim.Transport(1, 3, 0, 0),
				State: rulesim.Related, HopLimit: 63, Trace: true,
				Entry: &rulesim.Entry{Mark: plainConfig().Mark.Encode(firstEpoch), Original: addr(c.about), Reply: addr(dbPod)}}
			hook(p)
			if p.Hook == rulesim.Input && c.from != webPod {
				p.In = uplink
			}
			if got := n.kernel.Judge(p); got.Passed() != c.want {
				t.Errorf("%s, at %s: %s\n%s", c.name, p.Hook, got.Verdict, strings.Join(got.Trace, "\n"))
			}
		}
	}
}

// TestIPVSComesOnceAndStays: its chains come with one plan, in force from one instant
// on, and nothing more is done about it, whatever the next look says.
func TestIPVSComesOnceAndStays(t *testing.T) {
	n := compileScript(t, plainConfig(), false, readFile(t, "ipvs.txt"))
	n.links.IPVS = true
	plan := n.compiler.Update(n.index, n.index.Changes(), n.links)
	if !plan.Narrows || plan.Divisible {
		t.Errorf("narrows %t, divisible %t: connections that were judged at input must be judged anew", plan.Narrows, plan.Divisible)
	}
	if err := n.kernel.Apply(plan); err != nil {
		t.Fatal(err)
	}
	text := n.compiler.Ruleset().String()
	for _, there := range []string{"chain output {", "chain input-late {", "map sender-v4 {", "10.0.0.3 : jump "} {
		if !strings.Contains(text, there) {
			t.Errorf("the ruleset has no %q", there)
		}
	}
	n.links.IPVS = false
	if again := n.compiler.Update(n.index, n.index.Changes(), n.links); !again.Empty() {
		t.Errorf("not seen once, and the plan is %+v", again)
	}
	sets := n.compiler.Ruleset().Sets
	if i := slices.IndexFunc(sets, func(s compiler.Set) bool { return s.Name == "sender-v4" }); i < 0 || len(sets[i].Elements) != 1 {
		t.Error("the senders are gone")
	}
}
