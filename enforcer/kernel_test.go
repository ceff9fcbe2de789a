package enforcer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/source"
)

const oldRules = `table inet sluice { chain judged { ct mark set ct mark & 0x00ffcfff | 0x05000000 accept; }; }
table netdev sluice { chain guard { }; }
table ip other { chain x { }; }`

func TestCleanupLeavesNothingBehind(t *testing.T) {
	node := newNS(t)
	node.Connect(0x05000007, 1001)
	node.nft(oldRules)
	ctx := context.Background()
	if _, err := Cleanup(ctx, node, CleanupOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := node.ruleset(); !strings.Contains(got, "table ip other") || strings.Contains(got, "sluice") {
		t.Errorf("left:\n%s", got)
	}
	marks, err := conntrack.Table{Namespace: node}.Marks(ctx, 0xffffffff)
	if err != nil {
		t.Fatal(err)
	}
	if marks[0x05000007] != 0 || marks[0x7] != 1 {
		t.Errorf("marks %x", marks)
	}
	if _, err := Cleanup(ctx, node, CleanupOptions{}); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestBridgeNetfilterIsSetOnlyWhereAllowed(t *testing.T) {
	node := newBridgeNode(t)
	sysctls := func(four, six int) {
		node.cmd("sysctl", "-qw", fmt.Sprintf("net.bridge.bridge-nf-call-iptables=%d", four), fmt.Sprintf("net.bridge.bridge-nf-call-ip6tables=%d", six))
	}
	own := func(four, six int) {
		node.ip("link set cni0 type bridge nf_call_iptables %d nf_call_ip6tables %d", four, six)
	}
	may, mayNot := bridgeNetfilter{ns: node}, bridgeNetfilter{ns: node, checkOnly: true}

	sysctls(0, 0)
	if got, err := may.Ensure(nil); got.changed || err != nil {
		t.Errorf("without bridged Pods: %v, %v", got, err)
	}
	got, err := mayNot.Ensure([]links.Bridge{readBridge(t, node)})
	if i := readBridge(t, node); got.changed || err == nil || !strings.Contains(err.Error(), "cni0") || i.CallIPTables || i.CallIP6Tables {
		t.Errorf("where only checking is allowed: %v, %v, bridge %+v", got, err, i)
	}
	known := readBridge(t, node)
	got, err = may.Ensure([]links.Bridge{known})
	if i := readBridge(t, node); !got.changed || err != nil || !i.CallIPTables || !i.CallIP6Tables {
		t.Errorf("where setting is allowed: %v, %v, bridge %+v", got, err, i)
	}
	if got, err := may.Ensure([]links.Bridge{known}); got.changed || err != nil {
		t.Errorf("again: %v, %v", got, err)
	}
	if got := strings.Join(strings.Fields(node.cmd("sysctl", "-n", "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")), ""); got != "00" {
		t.Errorf("the namespace's switches are now %s", got)
	}
	for _, enough := range []struct{ sysctl4, sysctl6, own4, own6 int }{{1, 1, 0, 0}, {0, 0, 1, 1}, {1, 0, 0, 1}, {0, 1, 1, 0}} {
		sysctls(enough.sysctl4, enough.sysctl6)
		own(enough.own4, enough.own6)
		if got, err := mayNot.Ensure([]links.Bridge{readBridge(t, node)}); got.changed || err != nil {
			t.Errorf("%+v: %v, %v", enough, got, err)
		}
	}
	own(1, 0)
	sysctls(1, 0)
	if _, err := mayNot.Ensure([]links.Bridge{readBridge(t, node)}); err == nil {
		t.Error("no switch for IPv6 was good enough")
	}
}

// readBridge returns cni0 as it is now.
func readBridge(t *testing.T, node testNS) links.Bridge {
	t.Helper()
	l := testLinks(t, node)
	for _, i := range l.Interfaces() {
		if i.Name == "cni0" {
			return links.Bridge{Interface: i}
		}
	}
	t.Fatal("no cni0")
	return links.Bridge{}
}

func TestBridgesOwnSwitchesAreRead(t *testing.T) {
	node := newBridgeNode(t)
	if i := readBridge(t, node); i.CallIPTables || i.CallIP6Tables {
		t.Errorf("before: %+v", i)
	}
	node.ip("link set cni0 type bridge nf_call_iptables 1 nf_call_ip6tables 1")
	if i := readBridge(t, node); !i.CallIPTables || !i.CallIP6Tables {
		t.Errorf("after: %+v", i)
	}
}

// What an agent with another mask wrote is cleared, with all that is ours in the same
// marks: what is left of two fields that share bits might be an epoch.
func TestAgentClearsTheBitsOfAnotherMask(t *testing.T) {
	c := newCluster(t, "ptp")
	c.node.Connect(0x00ab0007, 1001, 1002) // as the earlier agent marked them
	c.node.Connect(0x05000007, 1003)       // ours, and none of that one's
	c.node.nft("table inet sluice { chain judged { ct mark set ct mark & 0xff00ffff | 0x00ab0000 accept; }; }")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(c.objects()...)
	marks, err := conntrack.Table{Namespace: c.node}.Marks(t.Context(), 0xffffffff)
	if err != nil {
		t.Fatal(err)
	}
	if marks[0x7] != 2 || marks[0x05000007] != 1 {
		t.Errorf("marks %x: the bits of the old mask must go, and nobody else's", marks)
	}
}

// The namespace's switch is anybody's to set. Where it alone keeps bridged packets in
// sight, the bridge's own are set as well, and then it may go off.
func TestBridgesOwnSwitchesAreSetWhereTheNamespacesSuffices(t *testing.T) {
	c := newCluster(t, "bridge")
	sysctl := func(v int) {
		c.node.cmd("sysctl", "-qw", fmt.Sprintf("net.bridge.bridge-nf-call-iptables=%d", v), fmt.Sprintf("net.bridge.bridge-nf-call-ip6tables=%d", v))
	}
	sysctl(1)
	c.node.ip("link set cni0 type bridge nf_call_iptables 0 nf_call_ip6tables 0")
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.InspectInterval = time.Hour })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	c.bad.expect(c.web, 80, false)
	sysctl(0)
	c.bad.expect(c.web, 80, false)
	c.front.expect(c.web, 80, true)
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
}

// A bridge that cannot be set is told of by name, and is no reason to be not ready
// as long as the namespace's switch is on.
func TestBridgesInSightBySomebodyElsesGraceAreTold(t *testing.T) {
	node := newBridgeNode(t)
	node.cmd("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1")
	gone := links.Bridge{Interface: &links.Interface{Index: 4711, Name: "cni9", Kind: "bridge"}}
	got, err := bridgeNetfilter{ns: node}.Ensure([]links.Bridge{gone})
	c := got.conditions()
	if err != nil || len(c) != 1 || c[0].Object != "bridge cni9" || c[0].NotReady() {
		t.Errorf("%v, conditions %v", err, c)
	}
}
