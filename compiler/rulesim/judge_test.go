package rulesim_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/compiler/rulesim"
)

func packet(change func(*rulesim.Packet)) *rulesim.Packet {
	p := &rulesim.Packet{
		Hook: rulesim.Forward, In: "veth1", Out: "veth2", HopLimit: 63,
		Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"),
		Protocol: 6, Transport: rulesim.Transport(6, 4000, 80, rulesim.SYN),
		State: rulesim.New, Entry: &rulesim.Entry{}, Trace: true,
	}
	if change != nil {
		change(p)
	}
	return p
}

// inChain wraps rules in a base chain, beside chains to jump to. A packet that
// falls through is dropped by the policy.
func inChain(rules string) string {
	return `table inet t {
 counter n { }
 set addrs { type ipv4_addr; elements = { 10.0.0.1 } }
 set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/30, 192.168.0.0/16 } }
 set ports { type inet_proto . inet_service; flags interval; elements = { tcp . 80-90, udp . 53 } }
 set seen { type ipv4_addr; flags dynamic,timeout; timeout 5s; size 1; }
 map verdicts { type ipv4_addr : verdict; elements = { 10.0.0.1 : jump pass } }
 map counters { type ipv4_addr : counter; elements = { 10.0.0.1 : "n" } }
 chain nothing { counter; }
 chain early { return; }
 chain pass { accept; }
 chain away { goto early; }
 chain both { jump away
  accept
 }
 chain f { type filter hook forward priority 0; policy drop;
` + rules + "\n }\n}\n"
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name, rules string
		packet      func(*rulesim.Packet)
		want        rulesim.Verdict
	}{
		{name: "policy", rules: "counter", want: rulesim.Drop},
		{name: "return in a base chain is its policy", rules: "return\naccept", want: rulesim.Drop},
		{name: "jump comes back", rules: "jump nothing\naccept", want: rulesim.Accept},
		{name: "goto does not", rules: "goto nothing\naccept", want: rulesim.Drop},
		{name: "goto goes back to whoever jumped", rules: "jump both", want: rulesim.Accept},
		{name: "return leaves one chain", rules: "jump early\naccept", want: rulesim.Accept},
		{name: "vmap found", rules: "ip saddr vmap @verdicts", want: rulesim.Accept},
		{name: "vmap not found goes on", rules: "ip daddr vmap @verdicts\naccept", want: rulesim.Accept},
		{name: "prefix", rules: "ip daddr @nets accept", want: rulesim.Accept},
		{name: "not found, negated", rules: "ip daddr != @addrs accept", want: rulesim.Accept},
		{name: "found, negated", rules: "ip saddr != @addrs accept", want: rulesim.Drop},
		{name: "concatenation with a range", rules: "meta l4proto . th dport @ports accept", want: rulesim.Accept},
		{name: "range of another protocol", rules: "meta l4proto . th dport @ports accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.Protocol = 132 }},
		{name: "no such family, also negated", rules: "ip6 saddr != fd00::1 accept", want: rulesim.Drop},
		{name: "later fragments have no ports", rules: "th dport != 99 accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.LaterFragment = true }},
		{name: "but a protocol", rules: "meta l4proto tcp accept", want: rulesim.Accept,
			packet: func(p *rulesim.Packet) { p.LaterFragment = true }},
		{name: "an ICMP checksum is no port", rules: "meta l4proto . th dport @ports accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) {
				p.Protocol, p.Transport = 1, rulesim.Transport(1, 8, 0, 0)
			}},
		{name: "but th dport reads it", rules: "th dport 8080 accept", want: rulesim.Accept,
			packet: func(p *rulesim.Packet) {
				p.Protocol, p.Transport = 1, rulesim.Transport(1, 8, 0, 0)
			}},
		{name: "short payload", rules: "th dport != 99 accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.Protocol, p.Transport = 89, []byte{1, 2, 3} }},
		{name: "tcp flags", rules: "tcp flags & (fin|syn|rst|ack) != syn accept", want: rulesim.Accept,
			packet: func(p *rulesim.Packet) { p.Transport = rulesim.Transport(6, 1, 2, rulesim.SYN|rulesim.ACK) }},
		{name: "tcp flags of UDP", rules: "tcp flags & (fin|syn|rst|ack) != syn accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.Protocol = 17 }},
		{name: "one of the states", rules: "ct state established,new accept", want: rulesim.Accept},
		{name: "none of the states", rules: "ct state established,related accept", want: rulesim.Drop},
		{name: "other than a state", rules: "ct state != related accept", want: rulesim.Accept},
		{name: "mark", rules: "ct mark set ct mark & 0xe000ffff | 0x70000\nct mark & 0x1fff0000 == 0x70000 accept", want: rulesim.Accept},
		{name: "no mark without an entry", rules: "ct mark != 7 accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.State, p.Entry = rulesim.Untracked, nil }},
		{name: "first packet", rules: "ct status & 0x8 == 0x0 accept", want: rulesim.Accept},
		{name: "later packet", rules: "ct status & 0x8 == 0x0 accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.Entry.Status = rulesim.Confirmed }},
		{name: "no status without an entry", rules: "ct status & 0x8 == 0x0 accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.State, p.Entry = rulesim.Untracked, nil }},
		{name: "no direction either", rules: "ct direction original accept", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.State, p.Entry = rulesim.Invalid, nil }},
		{name: "interface and address", rules: "iifname . ip saddr { \"veth1\" . 10.0.0.1 } accept", want: rulesim.Accept},
		{name: "counter map", rules: "counter name ip saddr map @counters accept", want: rulesim.Accept},
		{name: "no counter ends the rule", rules: "counter name ip daddr map @counters accept", want: rulesim.Drop},
		{name: "remember", rules: "add @seen { ip saddr } accept", want: rulesim.Accept},
		{name: "a full set ends the rule", rules: "add @seen { ip saddr } add @seen { ip daddr } accept", want: rulesim.Drop},
		{name: "limit within a set", rules: "add @seen { ip saddr limit rate 1/second burst 1 packets } add @seen { ip saddr limit rate 1/second burst 1 packets } accept", want: rulesim.Drop},
		{name: "reset is for TCP", rules: "reject with tcp reset", want: rulesim.Drop,
			packet: func(p *rulesim.Packet) { p.Protocol = 17 }},
		{name: "reset", rules: "reject with tcp reset", want: rulesim.Reject},
		{name: "hop limit", rules: "ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit } accept", want: rulesim.Accept,
			packet: func(p *rulesim.Packet) {
				p.Src, p.Dst = netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
				p.HopLimit, p.Protocol, p.Transport = 255, 58, rulesim.Transport(58, 135, 0, 0)
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := rulesim.Load(inChain(tt.rules))
			if err != nil {
				t.Fatal(err)
			}
			if got := k.Judge(packet(tt.packet)); got.Verdict != tt.want {
				t.Errorf("got %s, want %s\n%s", got.Verdict, tt.want, strings.Join(got.Trace, "\n"))
			}
		})
	}
}

func TestJudgeCounts(t *testing.T) {
	k, err := rulesim.Load(inChain(`counter name ip saddr map @counters log prefix "x" group 5` + "\naccept"))
	if err != nil {
		t.Fatal(err)
	}
	want := rulesim.Result{Verdict: rulesim.Accept, Counters: []string{"n"}, Logs: []string{"x"}, Rules: 2, Expressions: 4, Lookups: 1}
	if diff := cmp.Diff(want, k.Judge(packet(func(p *rulesim.Packet) { p.Trace = false }))); diff != "" {
		t.Error(diff)
	}
}

func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, rules := range []string{
		"ip dscp 8 accept", "meta mark set 1", "masquerade", "fib daddr oif eth0 accept", "ct status dnat accept",
		"tcp flags syn / fin,syn accept", "queue num 5", "ct state { new } vmap { new : accept } extra", "ip saddr 10.0.0.1/8 accept",
		"th dport http accept", "log level warn", "limit rate over 5/second drop", "ct mark 1 | 2 accept", "reject with icmp host-unreachable",
		"ip saddr map { 10.0.0.1 : 10.0.0.2 }", "ip saddr . th dport 10.0.0.1 . 80 accept", "notrack", "tproxy to :1", "meta l4proto 010 accept",
	} {
		if _, err := rulesim.Load(inChain(rules)); err == nil {
			t.Errorf("%q was taken", rules)
		}
	}
	for _, text := range []string{
		"flush ruleset", "destroy table inet t", "table ip t { }", "table inet t { set s { type ipv4_addr; flags constant; } }",
		"table inet t { set s { typeof ip saddr; } }", "table inet t { set s { type ipv4_addr; auto-merge; } }",
		"table inet t { map m { type ipv4_addr : mark; } }", "table inet t { flowtable f { } }", "include \"x\"",
		"table inet t { chain c { type nat hook forward priority 0; } }",
	} {
		if _, err := rulesim.Load(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
