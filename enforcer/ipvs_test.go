package enforcer

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/enforcer/source"
)

// The interface that kube-proxy makes has the hook output judged a moment later, with a
// new epoch, and the node stays ready; it stays so when the interface goes.
func TestAgentJudgesHookOutputWhereIPVSComes(t *testing.T) {
	c := newCluster(t, "bridge")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.InspectInterval = time.Hour })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	judges := func() bool {
		table := c.node.cmd("nft", "list", "table", "inet", "sluice")
		return strings.Contains(table, "hook output") && strings.Contains(table, "chain judge-output")
	}
	if judges() {
		t.Fatal("without IPVS there is a hook too many")
	}
	c.front.expect(c.web, 80, true)
	before := a.Status().Epoch
	c.node.ip("link add kube-ipvs0 type bridge")
	eventually(t, "hook output is judged", judges)
	a.settle()
	if now := a.Status().Epoch; now == before {
		t.Error("what was judged without IPVS counts on")
	}
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
	c.front.expect(c.web, 80, true)
	c.bad.expect(c.web, 80, false)
	if !c.node.reaches(c.web.addr(0), 81, true) {
		t.Error("the node does not reach its own Pod")
	}
	c.node.ip("link del kube-ipvs0")
	a.settle()
	if !judges() {
		t.Error("the hook went with the interface")
	}
	// An agent that finds no IPVS takes it away.
	a.stop()
	a = startAgent(t, c.node, a.source)
	a.settle()
	eventually(t, "the hook is gone", func() bool { return !strings.Contains(c.node.cmd("nft", "list", "table", "inet", "sluice"), "output") })
	c.front.expect(c.web, 80, true)
	c.bad.expect(c.web, 80, false)
}
