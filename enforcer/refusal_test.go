package enforcer

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/source"
)

// refusing is a network namespace whose kernel answers nothing.
type refusing struct{}

func (refusing) Do(func() error) error { return errInjected }

// A look for other programs that the kernel refuses ends none of the conditions of the one
// before, and is one itself.
func TestALookThatIsRefusedEndsNoCondition(t *testing.T) {
	e := newEventBench(t, 10, 0)
	node := e.s.ns.(testNS)
	const drop = "DropPolicy"
	told := func(what string, want ...string) {
		t.Helper()
		e.s.detect(t.Context())
		var got []string
		for _, c := range e.a.Status().Conditions {
			if c.What == drop || c.What == searchFailed {
				got = append(got, c.What)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v is told, want %v", what, got, want)
		}
	}
	told("nothing is there")
	node.nft("add table inet other\nadd chain inet other forward { type filter hook forward priority 0; policy drop; }")
	told("a chain drops", drop)
	e.s.ns = refusing{}
	told("the kernel refuses", drop, searchFailed)
	told("and again", drop, searchFailed)
	e.s.ns = node
	told("the kernel answers", drop)
	node.nft("delete table inet other")
	told("the chain is gone")
}

// Whose an address is must be known before a connection of the grace is let go for good.
func TestPickupsWaitForAnAnswerAboutTheirAddresses(t *testing.T) {
	e := newEventBench(t, 10, 0)
	forbidden := []conntrack.Pickup{{From: netip.MustParseAddrPort("10.0.0.1:4000"), To: netip.MustParseAddrPort("10.0.0.2:4001")}}
	if e.s.allowsBothWays(forbidden[0]) {
		t.Fatal("policies allow it: the test shows nothing")
	}
	if found, err := e.s.forbiddenPickups(forbidden); err != nil || len(found) > 0 {
		t.Errorf("nobody has these addresses, and the answer is %v, %v", found, err)
	}
	e.s.links.Close()
	if found, err := e.s.forbiddenPickups(forbidden); err == nil {
		t.Errorf("the kernel does not answer, and those that are forbidden are %v", found)
	}
}

// A kernel that refuses commits for long uses up all epochs. Then it is asked which one its
// rules write, and all others are free again.
func TestEpochsThatARefusingKernelUsedUpComeBack(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	cfg := Config{Node: "here", MinInterval: -1, Grace: -1, Clock: clock}
	cfg.Compiler.Mark.Mask = 0xff000000
	a, err := New(cfg, &source.Memory{}, newNS(t), prometheus.NewRegistry())
	must(t, err)
	s, err := a.newSyncer(t.Context())
	must(t, err)
	t.Cleanup(s.close)
	a.box.Synced()
	if _, err := s.sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	inForce, sure := s.epochs.InForce()
	if !sure {
		t.Fatal("it is not known which epoch is in force")
	}
	for err == nil {
		_, err = s.epochs.Next(t.Context())
	}
	clock.Step(time.Hour)
	if _, err := s.epochs.Next(t.Context()); !errors.Is(err, conntrack.ErrNoneFree) {
		t.Fatalf("the kernel may write all of them: %v", err)
	}
	// It is asked at once, and packets that are on their way have their time.
	_, _ = s.freshEpoch(t.Context())
	clock.Step(time.Minute)
	if fresh, err := s.freshEpoch(t.Context()); err != nil || fresh == inForce {
		t.Errorf("epoch %d after %d, %v", fresh, inForce, err)
	}
}
