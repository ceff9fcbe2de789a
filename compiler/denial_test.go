package compiler_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/policy"
)

// TestDropsAreReported: what is dropped for another reason than policies is logged with
// that reason, two ends and a protocol once in a while.
func TestDropsAreReported(t *testing.T) {
	n := compileScript(t, plainConfig(), false, `
namespace a
pod a/server on node-a at 10.0.0.2 app=server
pod a/other on node-a at 10.0.0.3 app=other
policy a/deny
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
`)
	for _, tt := range []struct {
		name, in, from, to string
		port               uint16
		logs               []string
	}{
		{"another Pod's address", n.vethOf(t, "10.0.0.3"), "10.0.0.2", "10.0.1.2", 80, []string{"sluice:misplaced"}},
		{"the same to another port", n.vethOf(t, "10.0.0.3"), "10.0.0.2", "10.0.1.2", 81, nil},
		{"a Pod's address from the uplink", uplink, "10.0.0.2", "10.0.1.3", 80, []string{"sluice:misplaced"}},
		{"an address of nobody known", n.vethOf(t, "10.0.0.3"), "10.0.0.9", "10.0.1.2", 80, []string{"sluice:unknown-from"}},
		{"the same in multicast", n.vethOf(t, "10.0.0.3"), "10.0.0.9", "224.0.0.251", 80, nil},
	} {
		c := &rulesim.Connection{
			There: []rulesim.Hop{{Kernel: n.kernel, Hook: rulesim.Forward, In: tt.in, Out: uplink}},
			Flow:  rulesim.Flow{Src: addr(tt.from), Dst: addr(tt.to), Protocol: 6, FromPort: 40000, ToPort: tt.port},
		}
		res := c.Open()[0]
		if diff := cmp.Diff(tt.logs, res.Logs); res.Verdict != rulesim.Drop || diff != "" {
			t.Errorf("%s: %s, logs (-want +got)\n%s", tt.name, res.Verdict, diff)
		}
	}
}

// TestDenialsAreReported: every denial is counted, a flow's denial is logged
// once in a while, a Pod's not too often, and one Pod's flood hides no other.
func TestDenialsAreReported(t *testing.T) {
	n := compileScript(t, compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}, LogGroup: 77}, false, `
namespace a
pod a/server on node-a at 10.0.0.2,fd00::2 app=server
pod a/other on node-a at 10.0.0.3 app=other
policy a/deny
  podSelector: {}
  policyTypes: [Ingress]
`)
	send := func(from, to string, port uint16) rulesim.Result {
		c := &rulesim.Connection{
			There: []rulesim.Hop{{Kernel: n.kernel, Hook: rulesim.Forward, In: uplink, Out: n.vethOf(t, to)}},
			Flow:  rulesim.Flow{Src: addr(from), Dst: addr(to), Protocol: 6, FromPort: 40000, ToPort: port},
		}
		return c.Open()[0]
	}
	prefix := []string{compiler.LogPrefix(policy.Ingress, false)}
	for _, tt := range []struct {
		name, from, to string
		port           uint16
		logs           []string
	}{
		{"a flow", "10.0.1.2", "10.0.0.2", 80, prefix},
		{"the same again", "10.0.1.2", "10.0.0.2", 80, nil},
		{"another port", "10.0.1.2", "10.0.0.2", 81, prefix},
		{"another peer", "10.0.1.3", "10.0.0.2", 80, prefix},
		{"the other family", "fd00:1::2", "fd00::2", 80, prefix},
	} {
		res := send(tt.from, tt.to, tt.port)
		if diff := cmp.Diff(tt.logs, res.Logs); res.Verdict != rulesim.Drop || diff != "" {
			t.Errorf("%s: %s, logs (-want +got)\n%s", tt.name, res.Verdict, diff)
		}
	}
	for i := range 100 {
		send("10.0.1.9", "10.0.0.2", uint16(1000+i))
	}
	if res := send("10.0.1.9", "10.0.0.2", 2000); res.Logs != nil || res.Verdict != rulesim.Drop {
		t.Errorf("a flood is logged on and on: %+v", res)
	}
	if res := send("10.0.1.9", "10.0.0.3", 2000); len(res.Logs) != 1 {
		t.Errorf("a flood on one Pod hides another's denials: %+v", res)
	}
	// Of the flood so many were logged at once, and the rest nobody is told of.
	if untold := n.kernel.Counted()[compiler.UntoldCounter]; untold < 80 || untold > 101 {
		t.Errorf("%d packets are counted as untold", untold)
	}
	counted := map[string]int{}
	for name, packets := range n.kernel.Counted() {
		if _, pod, isPod := strings.Cut(name, "-ingress-"); isPod {
			counted[pod] = packets
		}
	}
	if diff := cmp.Diff(map[string]int{"a.server": 106, "a.other": 1}, counted); diff != "" {
		t.Errorf("counters (-want +got)\n%s", diff)
	}
}
