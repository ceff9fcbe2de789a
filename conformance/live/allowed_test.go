package live

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

// longestStall is how long an allowed stream may be without a message, beyond
// what the machine takes from those that meet no rules.
const longestStall = 500 * time.Millisecond

// allowedStreams are streams of every kind that policies allow throughout.
type allowedStreams struct {
	t       *testing.T
	streams []*lab.Stream
	// control stays inside a Pod, where there are no rules: when it stalls, the
	// machine had something else to do.
	control []*lab.Stream
}

// startAllowed starts counting when all streams are under way.
func startAllowed(t *testing.T, c *enforced.Cluster, every time.Duration) *allowedStreams {
	t.Helper()
	a := &allowedStreams{t: t, streams: startStreams(t, c, every)}
	t.Cleanup(func() { stopAll(append(a.streams, a.control...)) })
	for _, kind := range streamKinds {
		self := addrs(stranger)[0]
		s, err := c.Stream(lab.Flow{Src: self, Dst: self, Port: streamPort}, kind, every)
		if err != nil {
			t.Fatal(err)
		}
		a.control = append(a.control, s)
	}
	all := append(append([]*lab.Stream{}, a.streams...), a.control...)
	for _, s := range all {
		s.Talk()
	}
	awaitAll(t, all, 10)
	for _, s := range all {
		s.Lap()
	}
	return a
}

// end judges the streams: no error, nothing lost, no stall. It says in words
// how they fared.
func (a *allowedStreams) end() string {
	a.t.Helper()
	awaitAll(a.t, a.streams, 10)
	var machine, longest time.Duration
	for _, s := range a.control {
		machine = max(machine, s.Stop().Stall)
	}
	messages := uint64(0)
	for _, s := range a.streams {
		r := s.Stop()
		messages += r.Received
		longest = max(longest, r.Stall)
		if r.Err != nil || r.Lost != 0 || r.Stall > longestStall+machine {
			a.t.Errorf("%s %s: %d of %d messages lost, longest stall %v (without rules %v), error %v",
				s.Kind(), s.Flow(), r.Lost, r.Sent, r.Stall, machine, r.Err)
		}
	}
	return fmt.Sprintf("%d messages on %d streams, longest stall %v (without rules %v)",
		messages, len(a.streams), longest.Round(time.Millisecond), machine.Round(time.Millisecond))
}
