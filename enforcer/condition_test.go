package enforcer

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// What the README's table says is what the code does, line by line.
func TestREADMETellsAllConditions(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(data), "\n## Conditions\n")
	if !ok {
		t.Fatal("no section Conditions")
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	var got [][2]string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		got = append(got, [2]string{strings.Trim(cells[1], " `"), strings.TrimSpace(cells[2])})
	}
	var want [][2]string
	for _, k := range ConditionKinds {
		ready := "yes"
		if k.NotReady {
			ready = "no"
		}
		want = append(want, [2]string{k.What, ready})
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("the table lacks %v", want[i:])
			return
		case i >= len(want):
			t.Errorf("the table has what there is not: %v", got[i:])
			return
		case got[i] != want[i]:
			t.Errorf("line %d of the table is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestConditionKindsAreSortedAndExplained(t *testing.T) {
	if !slices.IsSortedFunc(ConditionKinds, func(a, b ConditionKind) int { return strings.Compare(a.What, b.What) }) {
		t.Error("they are not sorted")
	}
	for i, k := range ConditionKinds {
		if k.Help == "" || i > 0 && k.What == ConditionKinds[i-1].What {
			t.Errorf("%+v", k)
		}
	}
}

// Every field that says that something is wrong is a condition as well, with an
// object, and whether it leaves the node ready is the kind's decision.
func TestStatusFieldsAreConditions(t *testing.T) {
	boom, addr := errors.New("boom"), netip.MustParseAddr("10.0.0.5")
	pod := types.NamespacedName{Namespace: "shop", Name: "db"}
	lost := links.Report{Unplaced: []links.Unplaced{{Pod: pod, Why: map[netip.Addr]string{addr: "there is no route to it"}}}}
	held := links.Report{Unplaced: []links.Unplaced{{Pod: pod, Why: map[netip.Addr]string{addr: "no port of cni0 has it"}, HeldBack: true}}}
	disputed := links.Report{Disputed: map[types.NamespacedName]map[netip.Addr]string{pod: {addr: "v9"}}}
	for _, tt := range []struct {
		what, object, says string
		set                func(a *Agent)
	}{
		{"TableFailed", "", "boom", func(a *Agent) { a.status.setSyncError(boom) }},
		{"BridgeUnfiltered", "", "boom", func(a *Agent) { a.status.setBridges(boom) }},
		{"GuardFailed", "interface v1", "boom", func(a *Agent) { a.status.setUnguarded(map[string]error{"v1": boom}) }},
		{"SourceFailed", "a.yaml", "boom", func(a *Agent) { a.box.Report("a.yaml", boom) }},
		{"PodUnplaced", "Pod shop/db", "10.0.0.5: there is no route", func(a *Agent) { a.status.setLinks(lost, nil) }},
		{"PodUnresolved", "Pod shop/db", "10.0.0.5: there is no route", func(a *Agent) { a.status.setLinks(lost, isolation{pod: true}) }},
		{"PodUnresolved", "Pod shop/db", "10.0.0.5: no port of cni0", func(a *Agent) { a.status.setLinks(held, nil) }},
		{"InterfaceConflict", "Pod shop/db", "10.0.0.5: also claimed by v9", func(a *Agent) { a.status.setLinks(disputed, nil) }},
	} {
		a, err := New(Config{}, &source.Memory{}, nil, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		a.status.setSynced()
		a.status.setEnforcing(1, time.Now())
		if err := a.Ready(); err != nil {
			t.Fatal(err)
		}
		tt.set(a)
		s := a.Status()
		if len(s.Conditions) != 1 {
			t.Errorf("%s: %+v", tt.what, s.Conditions)
			continue
		}
		c := s.Conditions[0]
		if c.What != tt.what || c.Object != tt.object || !strings.Contains(c.Message, tt.says) || c.Mend == "" {
			t.Errorf("%s: %+v", tt.what, c)
		}
		if !slices.ContainsFunc(ConditionKinds, func(k ConditionKind) bool { return k.What == c.What }) {
			t.Errorf("%s is no kind", c.What)
		}
		if (s.Ready() != nil) != c.NotReady() || (len(s.Details()) == 0) != c.NotReady() {
			t.Errorf("%s: ready: %v, details %v", tt.what, s.Ready(), s.Details())
		}
		if got := fmt.Sprint(s.Kinds()); got != "["+tt.what+" 1]" {
			t.Errorf("%s: for anybody: %s", tt.what, got)
		}
	}
}

func TestIsolationFollowsThePod(t *testing.T) {
	var i isolation
	pod := types.NamespacedName{Namespace: "shop", Name: "db"}
	for _, tt := range []struct {
		now  *policy.Subject
		want bool
	}{
		{&policy.Subject{}, false},
		{&policy.Subject{Ingress: &policy.AllowSet{}}, true},
		{&policy.Subject{Egress: &policy.AllowSet{}}, true},
		{&policy.Subject{}, false},
		{&policy.Subject{Egress: &policy.AllowSet{}}, true},
		{nil, false},
	} {
		i.note(pod, tt.now)
		if i[pod] != tt.want {
			t.Errorf("%+v: %v", tt.now, i[pod])
		}
	}
}
