package nftwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/specimen"
)

// encoded is a batch with one rule.
func encoded(family byte, r compiler.Rule) (*Batch, error) {
	return NewTable(family, nil).Encode([]compiler.Op{{Verb: compiler.Add, Object: &compiler.ChainRule{Chain: "c", Rule: r}}})
}

// expressionsOf are the names of the expressions of the last rule of a batch.
func expressionsOf(t testing.TB, b *Batch) []string {
	t.Helper()
	var out []string
	eachMessage(b.bytes, func(m answer) {
		if m.kind != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWRULE {
			return
		}
		out = nil
		for e := range attrs(attrMap(m.payload[sizeofNfgenmsg:])[unix.NFTA_RULE_EXPRESSIONS]) {
			out = append(out, zeroEnded(nested(e.value, unix.NFTA_EXPR_NAME)))
		}
	})
	return out
}

// whole fails unless messages and attributes fill the batch without a gap.
func whole(t testing.TB, b *Batch) {
	t.Helper()
	sum := 0
	eachMessage(b.bytes, func(m answer) {
		sum += unix.SizeofNlMsghdr + len(m.payload)
		if len(m.payload) >= sizeofNfgenmsg {
			filled(t, m.payload[sizeofNfgenmsg:], 0)
		}
	})
	if sum != len(b.bytes) {
		t.Errorf("messages of %d bytes in a batch of %d", sum, len(b.bytes))
	}
}

func filled(t testing.TB, b []byte, depth int) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < unix.SizeofRtAttr {
			t.Fatalf("%d bytes are left over", len(b))
		}
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			t.Fatalf("an attribute of %d bytes in %d", size, len(b))
		}
		if binary.NativeEndian.Uint16(b[2:])&unix.NLA_F_NESTED != 0 && depth < 9 {
			filled(t, b[unix.SizeofRtAttr:size], depth+1)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}

// Every rule that the compiler writes has an encoding, whatever the configuration.
func TestEveryRuleHasAnEncoding(t *testing.T) {
	var seen specimen.Seen
	for _, cfg := range specimen.Configs() {
		c, err := specimen.Compiled(cfg)
		if err != nil {
			t.Fatal(err)
		}
		encode := func(family byte, r compiler.Rule) {
			t.Helper()
			seen.Rule(r)
			b, err := encoded(family, r)
			if err != nil {
				t.Errorf("%s: %v", r, err)
				return
			}
			whole(t, b)
			if len(expressionsOf(t, b)) == 0 {
				t.Errorf("%s is a rule without anything", r)
			}
		}
		for _, chain := range c.Ruleset().Chains {
			for _, r := range chain.Rules {
				encode(unix.NFPROTO_INET, r)
			}
		}
		for _, chain := range c.PortGuards().Chains {
			for _, r := range chain.Rules {
				encode(unix.NFPROTO_BRIDGE, r)
			}
		}
		for _, g := range c.Guards() {
			for _, op := range g.Ops {
				if r, ok := op.Object.(*compiler.ChainRule); ok {
					encode(unix.NFPROTO_NETDEV, r.Rule)
				}
			}
		}
	}
	if missing := seen.Missing(); len(missing) > 0 {
		t.Errorf("no rule has %v", missing)
	}
}

// A field without a place in the packet would be loaded from nowhere, and one of another
// size than the compiler's would be compared with something else.
func TestEveryFieldIsSomewhere(t *testing.T) {
	for f := compiler.NoField + 1; f < compiler.FieldCount; f++ {
		if fields[f].from == 0 || int(fields[f].size) != f.Size() {
			t.Errorf("%s: %+v, %d bytes", f, fields[f], f.Size())
		}
	}
}

func TestRulesMakeSureOnceOfWhatFieldsPresuppose(t *testing.T) {
	from := compiler.Is{Field: compiler.IPSource, Value: compiler.AddrValue(netip.MustParseAddr("10.0.0.1"))}
	ask := compiler.In{Key: compiler.Concat{compiler.IPDestination}, Set: "s"}
	hops := func(n uint32) compiler.Term {
		return compiler.Is{Field: compiler.IP6HopLimit, Value: compiler.IP6HopLimit.Number(n)}
	}
	next := compiler.Is{Field: compiler.IP6NextHeader, Value: compiler.IP6NextHeader.Number(58)}
	message := compiler.Is{Field: compiler.ICMPv6Type, Value: compiler.ICMPv6Type.Number(135)}
	for _, tc := range []struct {
		family byte
		rule   compiler.Rule
		want   string
	}{
		{unix.NFPROTO_INET, ruleOf(compiler.Drop{}), "immediate"},
		{unix.NFPROTO_INET, ruleOf(from, ask, compiler.Accept{}), "meta cmp payload cmp payload lookup immediate"},
		{unix.NFPROTO_INET, ruleOf(from, compiler.Reject{Reset: true}), "meta cmp meta cmp payload cmp reject"},
		{unix.NFPROTO_INET, ruleOf(from, compiler.Reject{}), "meta cmp payload cmp reject"},
		{unix.NFPROTO_BRIDGE, ruleOf(hops(255), next, compiler.Drop{}), "meta cmp payload cmp immediate"},
		{unix.NFPROTO_BRIDGE, ruleOf(hops(255), compiler.Count{}, next, compiler.Drop{}), "meta cmp payload cmp counter payload cmp immediate"},
		{unix.NFPROTO_BRIDGE, ruleOf(next, message, compiler.Drop{}), "meta cmp payload cmp payload cmp immediate"},
		{unix.NFPROTO_BRIDGE, ruleOf(message, next, compiler.Drop{}), "payload cmp meta cmp payload cmp payload cmp immediate"},
		{unix.NFPROTO_NETDEV, ruleOf(message, compiler.Drop{}), "meta cmp meta cmp payload cmp immediate"},
	} {
		b, err := encoded(tc.family, tc.rule)
		if err != nil {
			t.Errorf("%s: %v", tc.rule, err)
			continue
		}
		if diff := cmp.Diff(tc.want, strings.Join(expressionsOf(t, b), " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.rule, diff)
		}
	}
}

// What nft compiles in a way that is not known here is an error, never a guess.
func TestUnknownFormsAreRefused(t *testing.T) {
	ip := compiler.Is{Field: compiler.IPSource, Value: compiler.AddrValue(netip.MustParseAddr("10.0.0.1"))}
	ip6 := compiler.Is{Field: compiler.IP6Source, Value: compiler.AddrValue(netip.MustParseAddr("fd00::1"))}
	number := func(f compiler.Field, n uint32) compiler.Is { return compiler.Is{Field: f, Value: f.Number(n)} }
	for what, tc := range map[string]struct {
		family byte
		rule   compiler.Rule
	}{
		"two network headers":   {unix.NFPROTO_INET, ruleOf(ip, ip6)},
		"two transport headers": {unix.NFPROTO_INET, ruleOf(number(compiler.ICMPType, 5), number(compiler.UDPDestinationPort, 53))},
		"ARP among IP":          {unix.NFPROTO_INET, ruleOf(number(compiler.ARPHardware, 1))},
		"a frame after its IP":  {unix.NFPROTO_NETDEV, ruleOf(ip, number(compiler.EtherProtocol, 0x0800))},
		"IP after a tag":        {unix.NFPROTO_BRIDGE, ruleOf(number(compiler.EtherProtocol, 0x8100), ip)},
		"no value":              {unix.NFPROTO_INET, ruleOf(compiler.Is{Field: compiler.IPSource})},
		"another's value":       {unix.NFPROTO_INET, ruleOf(compiler.Is{Field: compiler.IPSource, Value: ip6.Value})},
		"an empty set":          {unix.NFPROTO_INET, ruleOf(compiler.OneOf{Field: compiler.IPSource})},
		"a cut value":           {unix.NFPROTO_INET, ruleOf(compiler.OneOf{Field: compiler.IPSource, Values: "12345"})},
		"a set without a type":  {unix.NFPROTO_INET, ruleOf(compiler.OneOf{Field: compiler.IP6HopLimit, Values: "\x01\xff"})},
		"an empty range":        {unix.NFPROTO_INET, ruleOf(compiler.Between{Field: compiler.IPSource, First: ip.Value, Last: compiler.AddrValue(netip.MustParseAddr("9.0.0.1"))})},
		"a prefix of a port":    {unix.NFPROTO_INET, ruleOf(compiler.Within{Field: compiler.DestinationPort, Prefix: netip.MustParsePrefix("10.0.0.0/8")})},
		"the whole family":      {unix.NFPROTO_INET, ruleOf(compiler.Within{Field: compiler.IPSource, Prefix: netip.MustParsePrefix("0.0.0.0/0")})},
		"an address that is":    {unix.NFPROTO_INET, ruleOf(compiler.Exists{Field: compiler.IPSource})},
	} {
		if b, err := encoded(tc.family, tc.rule); !errors.Is(err, ErrNoEncoding) || b != nil || !strings.Contains(err.Error(), "rule of chain c") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzRules puts terms together at random: each rule is encoded whole, or refused.
func FuzzRules(f *testing.F) {
	var all []compiler.Term
	for _, cfg := range specimen.Configs() {
		c, err := specimen.Compiled(cfg)
		if err != nil {
			f.Fatal(err)
		}
		for _, chain := range slices.Concat(c.Ruleset().Chains, c.PortGuards().Chains) {
			for _, r := range chain.Rules {
				for _, t := range r.Terms {
					if !slices.Contains(all, t) {
						all = append(all, t)
					}
				}
			}
		}
	}
	f.Add(byte(0), []byte{1, 2, 3})
	f.Add(byte(1), []byte{200, 100, 50, 25})
	f.Fuzz(func(t *testing.T, family byte, picks []byte) {
		families := []byte{unix.NFPROTO_INET, unix.NFPROTO_BRIDGE, unix.NFPROTO_NETDEV}
		var r compiler.Rule
		for i, p := range picks[:min(len(picks), 12)] {
			r.Terms = append(r.Terms, all[(int(p)+256*i)%len(all)])
		}
		b, err := encoded(families[int(family)%len(families)], r)
		if err != nil {
			if !errors.Is(err, ErrNoEncoding) {
				t.Errorf("%s: %v", r, err)
			}
			return
		}
		whole(t, b)
	})
}

// The numbers of the answers are not to be trusted.
func FuzzReadAnswers(f *testing.F) {
	f.Add([]byte{36, 0, 0, 0, 2, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	sets := []*compiler.Set{
		{Key: compiler.KeyType{compiler.IPv4Addr}, Interval: true}, {Key: compiler.KeyType{compiler.IfIndex, compiler.EtherAddr, compiler.IPv6Addr}},
		{Key: compiler.KeyType{compiler.InetService, compiler.InetProto}, Interval: true, Value: compiler.VerdictValue},
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		eachMessage(b, func(m answer) {
			if len(m.payload) >= unix.SizeofNlMsgerr {
				refusalOf(m.flags, m.payload)
			}
			errnoOf(m.payload)
			markOf(m.payload)
			for _, s := range sets {
				r := elementReader{set: s, bounds: s.Interval && s.Key.Len() == 1}
				if r.take(m.payload) == nil {
					_ = r.pair()
				}
			}
		})
	})
}

// The bytes are what nft 1.0.6 sent for the same keys.
func TestKeysAreWrittenAsNftDoes(t *testing.T) {
	veth := "veth12\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, tt := range []struct {
		kind     compiler.KeyType
		key      string
		want     string
		interval bool
	}{
		{kind: compiler.KeyType{compiler.IPv4Addr}, key: "\x0a\x00\x00\x01", want: "0a000001"},
		{kind: compiler.KeyType{compiler.IfName}, key: veth, want: "76657468313200000000000000000000"},
		{kind: compiler.KeyType{compiler.IfName, compiler.IPv4Addr}, key: veth + "\x0a\x00\x00\x01", want: "766574683132000000000000000000000a000001"},
		{kind: compiler.KeyType{compiler.IPv4Addr, compiler.InetProto, compiler.InetService}, key: "\x0a\x00\x00\x01\x06\x00\x50", want: "0a0000010600000000500000"},
		{kind: compiler.KeyType{compiler.IPv4Addr}, key: "\x0a\x00\x00"},
		{kind: compiler.KeyType{compiler.IPv4Addr, compiler.IPv4Addr}, key: "\x0a\x00\x00\x01"},
		{kind: compiler.KeyType{compiler.IPv4Addr}, key: "\x0a\x00\x00\x01", interval: true},
	} {
		s := &compiler.Set{Name: "s", Key: tt.kind, Interval: tt.interval}
		b, err := NewTable(unix.NFPROTO_INET, nil).Encode([]compiler.Op{{Verb: compiler.Add, Object: &compiler.SetElement{Set: s, Element: compiler.Element{Key: compiler.Key(tt.key)}}}})
		if tt.want == "" {
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s %q: %v", tt.kind, tt.key, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %q: %v", tt.kind, tt.key, err)
			continue
		}
		var got []byte
		var back compiler.Key
		eachMessage(b.bytes, func(m answer) {
			if m.kind != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM {
				return
			}
			for e := range attrs(attrMap(m.payload[sizeofNfgenmsg:])[unix.NFTA_SET_ELEM_LIST_ELEMENTS]) {
				got = nested(nested(e.value, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
				r := elementReader{set: s}
				if err := r.take(e.value); err != nil {
					t.Error(err)
					continue
				}
				back = r.out[0].Key
			}
		})
		if fmt.Sprintf("%x", got) != tt.want || string(back) != tt.key {
			t.Errorf("%s %q: %x, read back as %q", tt.kind, tt.key, got, back)
		}
	}
}

// A key of numbers of the host is read as it was written.
func TestKeysOfTheHostAreReadBack(t *testing.T) {
	s := &compiler.Set{Name: "guarded-v4", Key: compiler.KeyType{compiler.IfIndex, compiler.EtherAddr, compiler.IPv4Addr}}
	key := compiler.Key("\x00\x00\x01\x02\x0a\x00\x00\x00\x00\x05\x0a\x00\x00\x09")
	b := newBatch(unix.NFPROTO_BRIDGE)
	if err := b.element(0, compiler.Add, &compiler.SetElement{Set: s, Element: compiler.Element{Key: key}}); err != nil {
		t.Fatal(err)
	}
	b.close()
	n := 0
	eachMessage(b.bytes, func(m answer) {
		for e := range attrs(attrMap(m.payload[min(len(m.payload), sizeofNfgenmsg):])[unix.NFTA_SET_ELEM_LIST_ELEMENTS]) {
			raw := nested(nested(e.value, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
			if len(raw) != 16 || binary.NativeEndian.Uint32(raw) != 0x102 {
				t.Errorf("the kernel gets %x", raw)
			}
			r := elementReader{set: s}
			if err := r.take(e.value); err != nil || r.out[0].Key != key {
				t.Errorf("read back: %q, %v", r.out, err)
			}
			n++
		}
	})
	if n != 1 {
		t.Errorf("%d elements", n)
	}
}
