package enforcer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/source"
)

func TestForeignMarksAreDistrustedUntilThereWasCalm(t *testing.T) {
	var f foreignMarks
	now := time.Unix(1e9, 0)
	layout := compiler.MarkLayout{Mask: compiler.DefaultMask}
	for _, step := range []struct {
		counted uint64
		want    int
	}{{7, 0}, {7, 0}, {9, 2}, {3, 3}, {3, 0}} {
		if got := f.read(step.counted); got != step.want {
			t.Errorf("%+v: grew by %d", step, got)
		}
	}
	if f.distrusted(now) || len(f.conditions(now, layout)) > 0 {
		t.Error("distrusted without any")
	}
	f.note(2, now)
	c := f.conditions(now, layout)
	if len(c) != 1 || !c[0].NotReady() || !strings.Contains(c[0].Message, "0xff003000") {
		t.Errorf("conditions %v", c)
	}
	if !f.distrusted(now.Add(foreignCalm-1)) || f.distrusted(now.Add(foreignCalm)) || len(f.conditions(now.Add(foreignCalm), layout)) > 0 {
		t.Errorf("it does not end after %v of calm", foreignCalm)
	}
}

// A program writes random marks. It is noticed, and from then on no packet passes for
// its mark; what is allowed goes on.
func TestAgentJudgesEveryPacketWhereOthersWriteMarks(t *testing.T) {
	c := newCluster(t, "ptp")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.InspectInterval = 50 * time.Millisecond })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	c.bad.expect(c.web, 80, false)
	time.Sleep(200 * time.Millisecond)
	if n := valueOf(t, a.metrics.foreignMarks); n != 0 || a.Ready() != nil {
		t.Fatalf("%v foreign marks without another program: %v", n, a.Ready())
	}
	c.node.nft("table inet foreign { chain p { type filter hook prerouting priority mangle; ct mark set numgen random mod 0xffffffff; }; }")
	eventually(t, "notice", func() bool {
		c.bad.reaches(c.web.addr(0), 80, false)
		return valueOf(t, a.metrics.foreignMarks) > 0
	})
	eventually(t, "every packet judged", func() bool { return !strings.Contains(c.node.ruleset(), "judged under this epoch") })
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "ForeignMarks") {
		t.Errorf("ready: %v", err)
	}
	// With the one right value in each packet nothing passes, either.
	c.node.nft("table inet foreign\ndelete table inet foreign")
	mark := compiler.MarkLayout{Mask: compiler.DefaultMask}
	for epoch := uint32(1); epoch < 4; epoch++ {
		c.node.nft("table inet foreign\ndelete table inet foreign\ntable inet foreign { chain p { type filter hook prerouting priority mangle; ct mark set " + fmt.Sprintf("%#x", mark.Encode(epoch)) + "; }; }")
		c.bad.expect(c.web, 80, false)
	}
	c.front.expect(c.web, 80, true)
	// Changes go on as before.
	a.set(allow("web", "web", "bad", 80))
	c.bad.expect(c.web, 80, true)
	c.front.expect(c.web, 80, false)
}
