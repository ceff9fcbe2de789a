package observe

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/enforcer/denials"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

var start = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func pod(name, workload, address, node string) denials.End {
	namespace, name, _ := strings.Cut(name, "/")
	return denials.End{Kind: denials.PodEnd, Namespace: namespace, Pod: name, Workload: workload, Address: address, Node: node}
}

var (
	web1   = pod("shop/web-7d9-aaaaa", "Deployment/web", "10.0.0.1", "n1")
	web2   = pod("shop/web-7d9-bbbbb", "Deployment/web", "10.0.1.1", "n2")
	db     = pod("shop/db-0", "StatefulSet/db", "10.0.0.2", "n1")
	loose  = pod("guests/shell", "", "fd00::9", "n2")
	anyone = denials.End{Kind: denials.OutsideEnd, Address: "203.0.113.7"}
	far6   = denials.End{Kind: denials.OutsideEnd, Address: "2001:db8::7"}
	node   = denials.End{Kind: denials.NodeEnd, Address: "192.0.2.2", Node: "n2"}
)

// told is a denial so many milliseconds after the start.
func told(ms int, src, dst denials.End, direction string, port uint16, change ...func(*denials.Denial)) *denials.Denial {
	d := &denials.Denial{
		APIVersion: denials.APIVersion, Kind: denials.Kind, Time: start.Add(time.Duration(ms) * time.Millisecond), Node: "n1",
		Direction: direction, Reason: denials.Policy, Src: src, Dst: dst, Protocol: "TCP", Port: port, Packets: 1,
		Policies: []string{"shop/db"},
		Message:  "policy shop/db isolates shop/db-0 for ingress and none of its rules allows it; nearest: shop/db ingress[0], where pod label app is web, not api",
		Nearest:  &denials.Nearest{Policy: "shop/db", Rule: 0, Why: "pod label app is web, not api"},
	}
	for _, f := range change {
		f(d)
	}
	return d
}

func because(reason denials.Reason, message string) func(*denials.Denial) {
	return func(d *denials.Denial) { d.Reason, d.Message, d.Policies, d.Nearest = reason, message, nil, nil }
}

// story is what three nodes tell in some seconds.
func story() []*denials.Denial {
	return []*denials.Denial{
		told(0, web1, db, "ingress", 5432),
		told(400, web2, db, "ingress", 5432, func(d *denials.Denial) { d.Packets = 7 }),
		told(500, loose, far6, "egress", 443, because(denials.Policy, "policy guests/none isolates guests/shell for egress with no rule at all"), func(d *denials.Denial) { d.Node = "n2" }),
		told(900, web1, db, "ingress", 0, func(d *denials.Denial) { d.Protocol, d.Type = "ICMP", "8/0" }),
		told(1200, anyone, db, "ingress", 22, because(denials.Invalid, "conntrack calls it invalid: it fits no connection, or its checksum is wrong")),
		told(1500, node, web1, "ingress", 80, because(denials.MidStream, "its connection was met in the middle, so it was reset for the client to open a new one"), func(d *denials.Denial) { d.Approximate = true }),
		told(1600, web1, db, "ingress", 5433, func(d *denials.Denial) {
			d.Service, d.Generation = &denials.Service{Address: "10.96.0.1", Port: 80, Name: "shop/db"}, 12
		}),
		told(1700, loose, anyone, "egress", 25, because(denials.Policy, "policy guests/\x1b[2Jevil isolates\r\nguests/shell")),
		told(9000, web1, db, "ingress", 5432, func(d *denials.Denial) { d.Packets = 3 }),
		told(11000, web2, db, "ingress", 5432),
	}
}

// play has a printer show a story, with a tick each second.
func play(t *testing.T, o Options, list []*denials.Denial, until time.Duration, missed uint64) string {
	t.Helper()
	var b strings.Builder
	p := NewPrinter(&b, o)
	tick := start
	advance := func(to time.Time) {
		for ; !tick.After(to); tick = tick.Add(time.Second) {
			if err := p.Tick(tick); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, d := range list {
		advance(d.Time)
		if err := p.Denial(d, d.Time); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Missed(missed); err != nil {
		t.Fatal(err)
	}
	advance(start.Add(until))
	return b.String()
}

func TestFollow(t *testing.T) {
	for _, f := range Formats {
		golden(t, "follow-"+string(f)+".txt", play(t, Options{Format: f}, story(), 25*time.Second, 4))
	}
	colour := play(t, Options{Format: Text, Colour: true}, story()[:1], 0, 0)
	if !strings.Contains(colour, "\x1b[1;31mDENIED\x1b[0m") {
		t.Errorf("no colour in %q", colour)
	}
}

func TestTable(t *testing.T) {
	groups := Grouped(story())
	for _, o := range []Options{{Format: Text}, {Format: Wide, Location: time.FixedZone("CET", 3600)}} {
		golden(t, "table-"+string(o.Format)+".txt", o.Table(groups))
	}
	if got := (&Options{}).Table(nil); !strings.HasPrefix(got, "LAST") || strings.Count(got, "\n") != 1 {
		t.Errorf("nothing is %q", got)
	}
}

// What a policy's author has written never steers a terminal.
func TestNothingSteersTheTerminal(t *testing.T) {
	for _, f := range []Format{Text, Wide} {
		o := Options{Format: f}
		for i, out := range []string{play(t, o, story(), 25*time.Second, 4), o.Table(Grouped(story()))} {
			for _, r := range strings.ReplaceAll(out, "\n", "") {
				if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
					t.Errorf("%s %d has a %#x", f, i, r)
				}
			}
		}
	}
	if got := plain("a\u202eb\u200bc\x9bd"); got != "a?b?c?d" {
		t.Errorf("%q", got)
	}
}

// A flood of groups, and one group without end, leave a terminal that can be read.
func TestTerminalIsNotFlooded(t *testing.T) {
	var list []*denials.Denial
	for i := range 60_000 {
		src := web1
		if i%2 == 0 {
			src = pod(fmt.Sprintf("guests/g%d", i), "", "10.9.0.1", "n1")
		}
		list = append(list, told(i, src, db, "ingress", 5432))
	}
	out := play(t, Options{Format: Text}, list, 61*time.Second, 0)
	lines := strings.Count(out, "\n")
	if lines > 61*(DefaultLines+1) {
		t.Errorf("%d lines in a minute", lines)
	}
	if n := strings.Count(out, "DENIED ingress: policy"); n < 100 {
		t.Errorf("%d denials were shown in full in a minute", n)
	}
	if !strings.Contains(out, "not shown, too many for a terminal") || !strings.Contains(out, "more flows") {
		t.Error("what is not shown is not told of")
	}
	p := NewPrinter(&strings.Builder{}, Options{Format: Text})
	for _, d := range list {
		if err := p.Denial(d, d.Time); err != nil {
			t.Fatal(err)
		}
		if len(p.groups) > mostGroups || len(p.leftGroups) > mostGroups {
			t.Fatalf("%d groups and %d others are remembered", len(p.groups), len(p.leftGroups))
		}
	}
}

// Groups do not depend on the order in which nodes answer.
func TestGroupedInAnyOrder(t *testing.T) {
	list := story()
	want := (&Options{Format: Wide}).Table(Grouped(list))
	for range len(list) {
		list = append(list[1:], list[0])
		if diff := cmp.Diff(want, (&Options{Format: Wide}).Table(Grouped(list))); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func TestWriterThatFails(t *testing.T) {
	for _, f := range Formats {
		p := NewPrinter(failing{}, Options{Format: f})
		if err := p.Denial(story()[0], start); err == nil || !strings.Contains(err.Error(), "write denials") {
			t.Errorf("%s: %v", f, err)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }
