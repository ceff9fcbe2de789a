package tables

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/nftwire"
)

// macValue is a hardware address that ends so.
func macValue(last byte) compiler.Value {
	return compiler.EtherSource.Text(string([]byte{0x0a, 0, 0, 0, 0, last}))
}

func is(f compiler.Field, v compiler.Value) compiler.Term { return compiler.Is{Field: f, Value: v} }

func isNumber(f compiler.Field, n uint32) compiler.Term { return is(f, f.Number(n)) }

func isNot(f compiler.Field, v compiler.Value) compiler.Term {
	return compiler.Is{Field: f, Not: true, Value: v}
}

func oneOf(f compiler.Field, values ...compiler.Value) compiler.Term {
	var all []byte
	for _, v := range values {
		all = append(all, v.Bytes()...)
	}
	return compiler.OneOf{Field: f, Values: string(all)}
}

func addr(text string) compiler.Value { return compiler.AddrValue(netip.MustParseAddr(text)) }

func within(f compiler.Field, prefix string) compiler.Term {
	return compiler.Within{Field: f, Prefix: netip.MustParsePrefix(prefix)}
}

func between(f compiler.Field, first, last compiler.Value) compiler.Term {
	return compiler.Between{Field: f, First: first, Last: last}
}

// Rules that the compiler does not write today: what the lane takes of them, it
// takes as nft does.
func TestLaneWritesGuardsAsNftDoes(t *testing.T) {
	w := newTwins(t)
	setup := []compiler.Op{{Verb: compiler.Add, Object: &compiler.Table{}}, {Verb: compiler.Add, Object: &compiler.Chain{Name: "plain"}}}
	for _, by := range []transactor{w.fast, w.slow} {
		if err := by.Transact(context.Background(), knftables.NetDevFamily, setup); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(4, 13))
	for taken := 0; taken < 120; {
		ops := []compiler.Op{{Verb: compiler.Add, Object: &compiler.ChainRule{Chain: "plain", Rule: randomGuardRule(r)}}}
		if _, err := nftwire.NewTable(unix.NFPROTO_NETDEV, nil).Encode(ops); err != nil {
			continue
		}
		taken++
		for _, by := range []transactor{w.fast, w.slow} {
			if err := by.Transact(context.Background(), knftables.NetDevFamily, ops); err != nil {
				t.Fatalf("%s: %v", describeAll(ops), err)
			}
		}
		if taken%30 == 0 {
			w.compareBytes(t, unix.NFPROTO_NETDEV)
		}
	}
	if w.transaction[NftLane] != 0 {
		t.Errorf("%v transactions by lane", w.transaction)
	}
}

func randomGuardRule(r *rand.Rand) compiler.Rule {
	var out compiler.Rule
	for range 1 + r.IntN(4) {
		out.Terms = append(out.Terms, guardMatches[r.IntN(len(guardMatches))])
	}
	if r.IntN(2) == 0 {
		out.Terms = append(out.Terms, compiler.Count{})
	}
	return compiler.Rule{Terms: append(out.Terms, [...]compiler.Term{compiler.Accept{}, compiler.Drop{}}[r.IntN(2)])}
}

var guardMatches = []compiler.Term{
	is(compiler.EtherSource, macValue(1)), isNot(compiler.EtherSource, macValue(1)), oneOf(compiler.EtherSource, macValue(1), macValue(2)),
	isNumber(compiler.EtherProtocol, unix.ETH_P_IP), isNumber(compiler.EtherProtocol, unix.ETH_P_IPV6), isNumber(compiler.EtherProtocol, unix.ETH_P_ARP),
	oneOf(compiler.EtherProtocol, compiler.EtherProtocol.Number(unix.ETH_P_8021Q), compiler.EtherProtocol.Number(unix.ETH_P_8021AD)),
	isNumber(compiler.ARPHardware, 1), isNumber(compiler.ARPProtocolLength, 4), isNumber(compiler.ARPHardwareLength, 6), is(compiler.ARPSourceEther, macValue(1)),
	oneOf(compiler.ARPSourceIP, addr("0.0.0.0"), addr("10.0.0.1")), is(compiler.ARPSourceIP, addr("10.0.0.1")),
	is(compiler.IPSource, addr("10.0.0.1")), isNot(compiler.IPSource, addr("10.0.0.1")), oneOf(compiler.IPSource, addr("10.0.0.1"), addr("10.0.0.2")),
	is(compiler.IPDestination, addr("10.0.0.1")), is(compiler.IP6Source, addr("fd00::1")), oneOf(compiler.IP6Source, addr("fd00::1"), addr("fd00::2")),
	compiler.OneOf{Field: compiler.IP6Source, Not: true, Values: compiler.AddrValues([]netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")})},
	within(compiler.IP6Destination, "fe80::/10"), within(compiler.IP6Destination, "ff00::/8"),
	compiler.Within{Field: compiler.IP6Destination, Not: true, Prefix: netip.MustParsePrefix("fe80::/10")},
	isNumber(compiler.IP6HopLimit, 255), isNot(compiler.IP6HopLimit, compiler.IP6HopLimit.Number(1)), isNumber(compiler.IP6NextHeader, unix.IPPROTO_ICMPV6),
	isNumber(compiler.ICMPv6Type, 137), oneOf(compiler.ICMPv6Type, compiler.ICMPv6Type.Number(137), compiler.ICMPv6Type.Number(134)),
	isNot(compiler.ICMPv6Type, compiler.ICMPv6Type.Number(133)), is(compiler.NeighbourTarget, addr("fd00::1")), oneOf(compiler.NeighbourTarget, addr("::1"), addr("fd00::1")),
	compiler.Masked{Field: compiler.IP6DestinationStart, Not: true, Mask: compiler.IP6DestinationStart.Number(0xffc0), Value: compiler.IP6DestinationStart.Number(0xfe80)},
	isNot(compiler.L4Protocol, compiler.L4Protocol.Number(unix.IPPROTO_ICMPV6)),
}

// Few ports and ranges are compared: the random clusters have some forms only.
func TestLaneComparesAsNftDoes(t *testing.T) {
	w := newTwins(t)
	w.mustBoth(t, []compiler.Op{
		{Verb: compiler.Add, Object: &compiler.Table{}}, {Verb: compiler.Add, Object: &compiler.Chain{Name: "c"}}, {Verb: compiler.Add, Object: &compiler.Chain{Name: "k"}},
		{Verb: compiler.Add, Object: &compiler.Set{Name: "v4", Key: compiler.KeyType{compiler.IPv4Addr}}},
	})
	clear(w.transaction)
	for _, terms := range comparingRules() {
		w.mustBoth(t, []compiler.Op{{Verb: compiler.Add, Object: &compiler.ChainRule{Chain: "c", Rule: compiler.Rule{Terms: terms}}}})
	}
	w.compareBytes(t, unix.NFPROTO_INET)
	if w.transaction[NftLane] != 0 || w.transaction[NetlinkLane] != len(comparingRules()) {
		t.Errorf("%v transactions by lane", w.transaction)
	}
}

func comparingRules() [][]compiler.Term {
	const (
		sport, dport = compiler.SourcePort, compiler.DestinationPort
		tcp, udp     = unix.IPPROTO_TCP, unix.IPPROTO_UDP
	)
	protocol := func(n uint32) compiler.Term { return isNumber(compiler.L4Protocol, n) }
	ports := func(f compiler.Field, first, last uint32) compiler.Term {
		return between(f, f.Number(first), f.Number(last))
	}
	on, back := compiler.Goto{Chain: "k"}, compiler.Return{}
	return [][]compiler.Term{
		{isNumber(dport, 8080), protocol(tcp), on}, {isNumber(sport, 53), protocol(udp), back},
		{ports(dport, 1, 65535), protocol(unix.IPPROTO_SCTP), on}, {ports(dport, 0, 65535), protocol(tcp), back},
		{isNumber(dport, 8080), protocol(tcp), compiler.In{Key: compiler.Concat{compiler.IPSource}, Set: "v4"}, on},
		{ports(sport, 5200, 5209), protocol(udp), within(compiler.IPDestination, "10.0.0.0/8"), back},
		{compiler.Jump{Chain: "k"}}, {is(compiler.IPSource, addr("10.1.2.3")), on}, {within(compiler.IPSource, "10.0.0.0/9"), on},
		{within(compiler.IPDestination, "10.1.2.0/24"), back}, {within(compiler.IPDestination, "10.1.2.0/23"), back}, {within(compiler.IPSource, "0.0.0.0/1"), on},
		{between(compiler.IPSource, addr("0.0.0.0"), addr("9.255.255.255")), on}, {between(compiler.IPSource, addr("192.0.3.0"), addr("255.255.255.255")), on},
		{is(compiler.IP6Source, addr("fd00::1")), on}, {within(compiler.IP6Source, "fc00::/7"), on}, {within(compiler.IP6Destination, "fd00::/8"), back},
		{within(compiler.IP6Destination, "fd00::/17"), back}, {within(compiler.IP6Source, "fd00::/64"), on}, {between(compiler.IP6Source, addr("fd00::1"), addr("fd00::5")), on},
	}
}
