package denials

import (
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
	r.nft("flush set inet sluice reported-v4")
	r.nft("add element inet sluice reported-v4 { " + r.pods[1].Addrs[0].String() + " . " + r.pods[0].Addrs[0].String() + " . udp . 80 }")
	// Rules of an earlier version had no counters.
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
