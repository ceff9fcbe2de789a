package rulesim_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/compiler/rulesim"
)

const setup = `
table inet t {
 chain leaf { counter; }
 chain other { drop; }
 chain unused { accept; }
 counter n { }
 map dispatch { type ipv4_addr : verdict; elements = { 10.0.0.1 : jump leaf } }
 map counters { type ipv4_addr : counter; elements = { 10.0.0.1 : "n" } }
 set addrs { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 } }
 set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.1-192.168.0.9 } }
 set ports { type inet_proto . inet_service; flags interval; elements = { tcp . 80-90, udp . 53 } }
 set small { type ipv4_addr; size 2; elements = { 10.0.0.1, 10.0.0.2 } }
 set free { type ipv4_addr; elements = { 10.0.0.1 } }
 chain f { type filter hook forward priority filter - 10; policy accept;
  ip saddr @addrs drop
  ip saddr @nets meta l4proto . th dport @ports goto other
  ip daddr vmap @dispatch
  counter name ip daddr map @counters
 }
}
`

// transactions are tried on the simulation and on the kernel of this machine.
var transactions = []struct {
	name, text string
	ok         bool
	// stricter: the simulation refuses what the kernel takes.
	stricter bool
	// older: it refuses what some kernels say they take, Linux 6.1 among them, and leave
	// out: they compare no more than the first field of a concatenation, and so take an
	// element that overlaps with another for that one.
	older bool
}{
	{name: "add what is there", text: "add chain inet t leaf\nadd element inet t addrs { 10.0.0.1 }\nadd set inet t addrs { type ipv4_addr ; }", ok: true},
	{name: "another type under the same name", text: "add set inet t addrs { type ipv6_addr ; }"},
	{name: "delete a chain in use by a map", text: "delete chain inet t leaf"},
	{name: "delete a chain in use by a rule", text: "delete chain inet t other"},
	{name: "delete a chain with rules", text: "delete chain inet t unused", ok: true},
	{name: "delete a chain after its element", text: "delete element inet t dispatch { 10.0.0.1 }\ndelete chain inet t leaf", ok: true},
	{name: "delete a chain after the rules that use it", text: "flush chain inet t f\ndelete chain inet t other", ok: true},
	{name: "delete a chain before the rules that use it", text: "delete chain inet t other\nflush chain inet t f"},
	{name: "delete a map in use", text: "delete map inet t dispatch"},
	{name: "delete a set in use", text: "delete set inet t addrs"},
	{name: "delete a set with elements", text: "delete set inet t free", ok: true},
	{name: "delete a counter in use", text: "delete counter inet t n"},
	{name: "delete a counter after its element", text: "delete element inet t counters { 10.0.0.1 }\ndelete counter inet t n", ok: true},
	{name: "delete what is not there", text: "delete set inet t nothing"},
	{name: "delete an element that is not there", text: "delete element inet t addrs { 10.0.0.9 }"},
	{name: "delete an element twice", text: "delete element inet t addrs { 10.0.0.1 }\ndelete element inet t addrs { 10.0.0.1 }"},
	{name: "retarget", text: "delete element inet t dispatch { 10.0.0.1 }\nadd element inet t dispatch { 10.0.0.1 : goto other }", ok: true},
	{name: "retarget without deleting", text: "add element inet t dispatch { 10.0.0.1 : goto other }"},
	{name: "same target again", text: "add element inet t dispatch { 10.0.0.1 : jump leaf }", ok: true},
	{name: "target that is not there", text: "add element inet t dispatch { 10.0.0.2 : goto nothing }"},
	{name: "counter that is not there", text: `add element inet t counters { 10.0.0.2 : "nothing" }`},
	{name: "target made before", text: "add chain inet t new\nadd element inet t dispatch { 10.0.0.2 : goto new }", ok: true},
	{name: "target made after", text: "add element inet t dispatch { 10.0.0.2 : goto new }\nadd chain inet t new"},
	{name: "interval in a hash set", text: "add element inet t addrs { 10.1.0.0/16 }"},
	{name: "narrower prefix", text: "add element inet t nets { 10.1.0.0/16 }"},
	{name: "partial overlap", text: "add element inet t nets { 192.168.0.5-192.168.0.20 }"},
	{name: "wider prefix", text: "add element inet t nets { 10.0.0.0/7 }"},
	{name: "adjacent range", text: "add element inet t nets { 192.168.0.10-192.168.0.20 }", ok: true},
	{name: "same interval", text: "add element inet t nets { 10.0.0.0/8 }", ok: true},
	{name: "part of an interval deleted", text: "delete element inet t nets { 10.1.0.0/16 }"},
	{name: "narrower concatenation", text: "add element inet t ports { tcp . 85 }", older: true},
	{name: "partly overlapping concatenation", text: "add element inet t ports { tcp . 85-95 }", older: true},
	{name: "wider concatenation", text: "add element inet t ports { tcp . 70-95 }", stricter: true},
	{name: "same ports of another protocol", text: "add element inet t ports { sctp . 85-95 }", ok: true},
	{name: "part of a concatenation deleted", text: "delete element inet t ports { tcp . 85 }", stricter: true},
	{name: "full set", text: "add element inet t small { 10.0.0.3 }"},
	{name: "loop", text: "add rule inet t leaf jump unused\nadd rule inet t unused goto leaf"},
	{name: "loop that nothing reaches", text: "add rule inet t unused jump unused", ok: true},
	{name: "jump to a base chain", text: "add rule inet t leaf jump f"},
	{name: "15 levels of chains", text: nested(15), ok: true},
	{name: "16 levels of chains", text: nested(16)},
	{name: "unknown set in a rule", text: "add rule inet t leaf ip saddr @nothing drop"},
	{name: "key of another type", text: "add rule inet t leaf ip6 saddr @addrs drop"},
	{name: "two families in a rule", text: "add rule inet t leaf ip saddr 10.0.0.1 ip6 daddr fd00::1 drop"},
	{name: "statement after a verdict", text: "add rule inet t leaf accept counter"},
	{name: "long name", text: "add chain inet t " + strings.Repeat("n", 300)},
	{name: "longest name", text: "add chain inet t " + strings.Repeat("n", 255), ok: true},
	{name: "name with a digit first", text: "add chain inet t 1a"},
	{name: "keyword as name", text: "add chain inet t drop"},
	{name: "long comment", text: `add rule inet t leaf counter comment "` + strings.Repeat("c", 129) + `"`},
	{name: "long interface name", text: `add rule inet t leaf iifname "abcdefghijklmnop" drop`},
	{name: "rule without an end", text: "table inet t {\n chain c { drop }\n}"},
	{name: "replace the table", text: "add table inet t\ndelete table inet t\nadd table inet t", ok: true},
}

// nested adds chains one below the other under the base chain, which is on
// level 0: the last is on level n.
func nested(n int) string {
	var b strings.Builder
	for i := n; i > 0; i-- {
		fmt.Fprintf(&b, "add chain inet t deep%d\n", i)
		if i < n {
			fmt.Fprintf(&b, "add rule inet t deep%d jump deep%d\n", i, i+1)
		}
	}
	return b.String() + "add rule inet t f jump deep1\n"
}

// TestTransactionsLikeTheKernel holds the simulation to the kernel and the nft
// of this machine, in a network namespace of its own. It needs root.
func TestTransactionsLikeTheKernel(t *testing.T) {
	for _, tt := range transactions {
		t.Run(tt.name, func(t *testing.T) {
			k, err := rulesim.Load(setup)
			if err != nil {
				t.Fatal(err)
			}
			before := k.Dump()
			err = k.Run(tt.text)
			if (err == nil) != tt.ok {
				t.Errorf("simulation: %v, want ok=%t", err, tt.ok)
			}
			if err != nil && k.Dump() != before {
				t.Errorf("a refused transaction left its traces:\n%s\nwas:\n%s", k.Dump(), before)
			}
			cmd := exec.Command("unshare", "-n", "sh", "-ec", `printf %s "$1" | nft -f -; printf %s "$2" | nft -f - || exit 9`, "sh", setup, tt.text+"\n")
			out, err := cmd.CombinedOutput()
			if err != nil && cmd.ProcessState.ExitCode() != 9 {
				t.Fatalf("this needs root, unshare and nft: %v\n%s", err, out)
			}
			if (err == nil) != (tt.ok || tt.stricter) && !tt.older {
				t.Errorf("kernel: %v\n%s\nwant ok=%t", err, out, tt.ok || tt.stricter)
			}
		})
	}
}
