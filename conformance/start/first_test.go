package start

import (
	"testing"

	"github.com/sluice-net/sluice/conformance/lab"
)

// A Pod that nobody waits to be isolated speaks before the API has its address; one that
// is, says no more than it may; one that the API does not name says nothing, until it does.
func TestFirstPackets(t *testing.T) {
	inEach(t, func(t *testing.T, topology lab.Topology) {
		w := newWorld(t, topology, pod(3, "young", "young"), pod(4, "locked", caged), pod(5, "stray", "stray"))
		w.undisturbed("before anybody starts")

		w.Set(w.waiting("young"))
		w.start("young")
		w.reaches("young", bad, 80)
		w.reaches(bad, "young", 80)
		w.never("young", web, 80)
		w.expectStart("inference")
		w.undisturbed("while one is not known")
		w.Set(w.known("young"))
		w.reaches("young", bad, 81)
		w.never("young", web, 80)

		w.Set(w.waiting("locked"))
		w.start("locked")
		w.reaches("locked", bad, 80)
		w.never("locked", bad, 81)
		w.never("locked", "young", 80)
		w.Set(w.known("locked"))
		w.reaches("locked", bad, 80)
		w.never("locked", bad, 81)

		w.start("stray")
		w.never("stray", bad, 80)
		w.never(bad, "stray", 80)
		w.never("stray", web, 80)
		w.undisturbed("beside one that the API does not name")
		w.expectReady()
		w.Set(w.known("stray"))
		w.reaches("stray", bad, 80)
		w.never("stray", web, 80)
		w.expectReady()
	})
}
