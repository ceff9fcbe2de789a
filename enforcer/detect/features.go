package detect

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

// feature is something of nftables that the rules need, and a table that has it.
type feature struct {
	name, purpose, since string
	table                string
}

// features are what the compiler's rules are made of. Each table is loaded alone, so that
// what is missing is named.
var features = []feature{
	{"family inet", "all that is judged", "3.14", "table inet t { chain c { type filter hook forward priority -10; policy accept; ct state established,related accept; }; chain d { type filter hook input priority -10; }; }"},
	{"conntrack marks", "what was judged passes by the mark", "3.14", "table inet t { chain c { type filter hook forward priority -10; ct mark & 0xff003000 == 0x1000000 accept; ct mark set ct mark & 0x00ffcfff | 0x2000000; }; }"},
	{"conntrack originals", "addresses before NAT", "4.0", "table inet t { chain c { type filter hook forward priority -10; ct direction original ct original ip saddr 10.0.0.1 drop; }; }"},
	{"routing questions", "addresses that lead nowhere, and the node's own", "4.10", "table inet t { chain c { type filter hook prerouting priority -10; fib saddr . iif oif missing drop; fib daddr type local accept; }; }"},
	{"kinds of interfaces", "veths that nobody knows are closed", "5.6", "table inet t { chain c { type filter hook forward priority -10; meta iifkind \"veth\" drop; meta oifkind \"veth\" drop; }; }"},
	{"verdict maps", "each Pod has chains of its own", "3.14", "table inet t { map m { type ipv4_addr : verdict; }; chain p { drop; }; chain c { type filter hook forward priority -10; ip daddr vmap @m; }; }"},
	{"concatenated ranges", "address ranges with ports", "5.6", "table inet t { set s { type ipv4_addr . inet_proto . inet_service; flags interval; elements = { 10.0.0.0/8 . 6 . 80-90 }; }; chain c { type filter hook forward priority -10; ip saddr . meta l4proto . th dport @s accept; }; }"},
	{"sets that packets fill", "each denial is told once", "4.3", "table inet t { set s { type ipv4_addr . ipv4_addr; flags dynamic,timeout; timeout 10s; size 1000; }; chain c { type filter hook forward priority -10; add @s { ip saddr . ip daddr limit rate 10/second } counter; }; }"},
	{"named counters", "what is denied to whom is counted", "4.10", "table inet t { counter k { }; map m { type ipv4_addr : counter; }; chain c { type filter hook forward priority -10; counter name ip daddr map @m; counter name k; }; }"},
	{"packet log", "denials are told", "3.17", "table inet t { chain c { type filter hook forward priority -10; log prefix \"x\" group 7; }; }"},
	{"reject", "--reject, and connections that cannot be judged", "3.18", "table inet t { chain c { type filter hook forward priority -10; meta l4proto tcp reject with tcp reset; reject with icmpx admin-prohibited; }; }"},
	{"netdev ingress", "guards of Pods' interfaces", "4.2", "table netdev t { chain c { type filter hook ingress device \"lo\" priority 0; ether type arp drop; }; }"},
	{"netdev egress", "guards of Pods' interfaces", "5.16", "table netdev t { chain c { type filter hook egress device \"lo\" priority 0; ether type arp drop; }; }"},
	{"family bridge", "guards of bridge ports", "3.14", "table bridge t { map m { type iface_index : verdict; }; chain p { drop; }; chain c { type filter hook prerouting priority -300; meta iif vmap @m; ether saddr 02:00:00:00:00:01 drop; }; chain d { type filter hook postrouting priority 0; }; }"},
}

// tryFeatures loads each table in a network namespace that is made for it, and ends with
// it. Who may make none, as an agent in its container, tries nothing.
func tryFeatures(ctx context.Context) (out []diagnosis.Feature, why string) {
	err := inFreshNamespace(func() error {
		for _, f := range features {
			tried := diagnosis.Feature{Name: f.name, For: f.purpose, Since: f.since}
			_, err := runNft(ctx, f.table+"\n", "-f", "-")
			if err == nil {
				_, err = runNft(ctx, "flush ruleset\n", "-f", "-")
			}
			if err != nil {
				tried.Error = err.Error()
			}
			out = append(out, tried)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	})
	if err != nil {
		return nil, err.Error()
	}
	return out, ""
}

// inFreshNamespace runs f in a network namespace of its own. "flush ruleset" is for such a
// one alone, so f does not run where it could not be made.
func inFreshNamespace(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the namespace with it.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			if errors.Is(err, unix.EPERM) {
				err = errors.New("to make a network namespace for it takes root, and more than an agent in its container has")
			}
			done <- fmt.Errorf("make a network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}
