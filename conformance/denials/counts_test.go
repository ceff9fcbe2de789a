package denials

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/denials/nflog"
	"github.com/sluice-net/sluice/policy"
)

// counting is the rules that report a flow, such that they count its packets from then
// on: what is in the set is asked for first, and by a lookup that is not inverted, for
// only a match runs an element's expressions. verdict is what becomes of a packet that is
// reported already.
func counting(chain, family, subject, port, verdict string) string {
	flow := fmt.Sprintf("%[1]s saddr . %[1]s daddr . meta l4proto . th %[2]s", family, port)
	suffix := map[string]string{"ip": "v4", "ip6": "v6"}[family]
	return fmt.Sprintf(`add rule inet sluice %[1]s %[2]s @reported-%[3]s %[4]s
add rule inet sluice %[1]s add @report-rate-%[3]s { %[5]s %[6]s limit rate 20/second burst 20 packets } add @reported-%[3]s { %[2]s counter } log prefix "sluice:ingress" group %[7]d snaplen 128
`, chain, flow, suffix, verdict, family, subject, logGroup)
}

func (r *rig) nft(script string) string {
	r.t.Helper()
	cmd := exec.Command("nsenter", "--net="+r.node.Path(), "nft", "-f", "-")
	if !strings.Contains(script, "\n") {
		cmd = exec.Command("nsenter", append([]string{"--net=" + r.node.Path(), "nft"}, strings.Fields(script)...)...)
	}
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("nft: %v: %s\n%s", err, out, script)
	}
	return string(out)
}

// Of a flow that was told of, each packet that is denied after it is counted, whether it
// is dropped or rejected, in both families, and read back by the flow.
func TestPacketsOfAReportedFlowAreCounted(t *testing.T) {
	for _, mode := range []string{"drop", "reject"} {
		t.Run(mode, func(t *testing.T) {
			clock := testingclock.NewFakePassiveClock(time.Now())
			r := newRig(t, compiler.Config{Reject: mode == "reject"}, denials.Config{Clock: clock})
			r.change(func(x *policy.Index) { r.set(x, "shop/default-deny", "podSelector: {}\npolicyTypes: [Ingress]\n") })
			verdict, last := "drop", "add rule inet sluice deny-ingress drop\n"
			script := "flush chain inet sluice deny-ingress\n"
			if mode == "reject" {
				verdict, last = "goto refuse", "add rule inet sluice deny-ingress goto refuse\n"
				script = "add chain inet sluice refuse\nadd rule inet sluice refuse meta l4proto tcp reject with tcp reset\n" +
					"add rule inet sluice refuse reject with icmpx type admin-prohibited\n" + script
			}
			r.nft(script + counting("deny-ingress", "ip", "daddr", "dport", verdict) + counting("deny-ingress", "ip6", "daddr", "dport", verdict) + last)
			from, to := r.pods[1], r.pods[0]
			for i := range 2 {
				for range 42 + i {
					r.send(from, netip.AddrPortFrom(to.Addrs[i], 80))
				}
			}
			if list := r.settle(); len(list) != 2 {
				t.Fatalf("%d flows are told of, want 2: %+v", len(list), list)
			}
			clock.SetTime(clock.Now().Add(denials.Interval - 300*time.Millisecond))
			counts := &nflog.Counts{Namespace: r.node, Table: compiler.TableName, Set: "reported"}
			defer counts.Close()
			flows := r.recorder.Uncounted()
			if len(flows) != 2 {
				t.Fatalf("%d flows are to be counted, want 2", len(flows))
			}
			for i, f := range flows {
				n, err := counts.Packets(f)
				if err != nil || n != uint64(42+i) {
					t.Errorf("%d packets of %v are counted, want %d: %v\n%s", n, f, 42+i, err, r.nft("list set inet sluice reported-v4"))
				}
				r.recorder.Counted(f, n)
			}
			clock.SetTime(clock.Now().Add(denials.Interval))
			r.nft("flush set inet sluice reported-v4")
			r.send(from, netip.AddrPortFrom(to.Addrs[0], 80))
			list := r.settle()
			if len(list) != 3 || list[2].Packets != 42 {
				t.Errorf("the flow goes on as %+v: want 42 packets, the 41 that came after the first and this one", list[len(list)-1])
			}
		})
	}
}

// A flow that the kernel has forgotten, or does not count, is no error to who asks.
func TestFlowsThatAreNotCounted(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(time.Now())
	r := newRig(t, compiler.Config{}, denials.Config{Clock: clock})
	r.change(func(x *policy.Index) { r.set(x, "shop/default-deny", "podSelector: {}\npolicyTypes: [Ingress]\n") })
	r.send(r.pods[1], netip.AddrPortFrom(r.pods[0].Addrs[0], 80))
	if list := r.settle(); len(list) != 1 {
		t.Fatalf("%d flows are told of", len(list))
	}
	clock.SetTime(clock.Now().Add(denials.Interval - 300*time.Millisecond))
	flows := r.recorder.Uncounted()
	if len(flows) != 1 {
		t.Fatalf("%d flows are to be counted", len(flows))
	}
	counts := &nflog.Counts{Namespace: r.node, Table: compiler.TableName, Set: "reported"}
	defer counts.Close()
	// The rules of today have no counters.
	if n, err := counts.Packets(flows[0]); n != 0 || err != nil {
		t.Errorf("%d packets, %v", n, err)
	}
	r.nft("flush set inet sluice reported-v4")
	if n, err := counts.Packets(flows[0]); n != 0 || err == nil {
		t.Errorf("%d packets of a flow that is not in the set, %v", n, err)
	}
	if n, err := counts.Packets(flows[0]); n != 0 || err == nil {
		t.Errorf("asked again: %d packets, %v", n, err)
	}
}
