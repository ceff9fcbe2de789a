package enforcer

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// networkProtocol is what the rest of a rule knows of the packet's.
type networkProtocol uint8

const (
	unknownProtocol networkProtocol = iota
	arpProtocol
	ip4Protocol
	ip6Protocol
	// testedProtocol: compared by the rule itself, and no matter what follows.
	testedProtocol
)

// guardBuilder assembles a rule of a guard.
type guardBuilder struct {
	ruleBuilder
	b  *nlBatch
	op int
	// ether: the device is known to have such headers. network and icmpv6: the
	// packet is known to be of these protocols. byType: from its header's type.
	ether, byType, icmpv6 bool
	network               networkProtocol
	// byOffset: fields were compared that nft knows nothing of.
	byOffset bool
	// single are the fields that were compared with one value each.
	single []*guardField
}

// guardRule assembles a rule of a guard, with the sets it has for itself, from
// what the compiler writes in these. nft adds comparisons for what a header
// presupposes, each once, and so does this.
func guardRule(b *nlBatch, op int, text string) ([]expr.Any, error) {
	g := &guardBuilder{ruleBuilder: ruleBuilder{words: strings.Split(text, " ")}, b: b, op: op}
	for !g.verdict() {
		if !g.match() {
			return nil, errNotForLane
		}
	}
	return g.end(true)
}

// verdict takes the end of the rule, if it is there.
func (g *guardBuilder) verdict() bool {
	words := strings.Join(g.words, " ")
	if rest, ok := strings.CutPrefix(words, "counter "); ok && (rest == "accept" || rest == "drop") {
		g.add(&expr.Counter{})
		words = rest
	}
	switch words {
	case "accept":
		g.add(&expr.Verdict{Kind: expr.VerdictAccept})
	case "drop":
		g.add(&expr.Verdict{Kind: expr.VerdictDrop})
	default:
		return false
	}
	g.words = nil
	return true
}

func (g *guardBuilder) match() bool {
	switch {
	case g.take("ether", "saddr"):
		return g.needEther() && g.compare(&etherSource)
	case g.take("ether", "type"):
		return g.needEther() && g.etherType()
	case g.take("arp", "htype"):
		return g.needNetwork(arpProtocol) && g.compare(&arpHardware)
	case g.take("arp", "plen"):
		return g.needNetwork(arpProtocol) && g.compare(&arpLength)
	case g.take("arp", "saddr", "ether"):
		return g.needNetwork(arpProtocol) && g.compare(&arpEther)
	case g.take("arp", "saddr", "ip"):
		return g.needNetwork(arpProtocol) && g.compare(&arpIP)
	case g.take("ip", "saddr"):
		return g.needNetwork(ip4Protocol) && g.compare(&ipSource)
	case g.take("ip6", "saddr"):
		return g.needNetwork(ip6Protocol) && g.compare(&ip6Source)
	case g.take("ip6", "daddr"):
		return g.needNetwork(ip6Protocol) && g.prefix()
	case g.take("ip6", "hoplimit"):
		return g.needNetwork(ip6Protocol) && g.compare(&ip6HopLimit)
	case g.take("icmpv6", "type"):
		return g.needICMPv6() && g.compare(&icmpv6Kind)
	case g.take("@th,64,128"):
		return g.icmpv6 && g.compare(&target)
	case len(g.words) > 0 && strings.HasPrefix(g.words[0], "@"):
		return g.rawMatch()
	}
	if g.icmpv6 || !g.take("meta", "l4proto", "!=", "icmpv6") {
		return false
	}
	g.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register(0)}, &expr.Cmp{Op: expr.CmpOpNeq, Register: register(0), Data: []byte{unix.IPPROTO_ICMPV6}})
	return true
}

// rawMatch compares what stands at an offset. It presupposes nothing.
func (g *guardBuilder) rawMatch() bool {
	f, ok := rawField(g.one())
	if !ok {
		return false
	}
	g.byOffset = true
	if !g.take("&") {
		return g.compare(f)
	}
	mask, ok := f.read(g.one())
	if !ok || !g.take("!=") {
		return false
	}
	value, ok := f.read(g.one())
	g.add(f.expression(),
		&expr.Bitwise{SourceRegister: register(0), DestRegister: register(0), Len: f.load.len, Mask: mask, Xor: make([]byte, f.load.len)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register(0), Data: value})
	return ok
}

// needEther: there is such a header only on such devices.
func (g *guardBuilder) needEther() bool {
	if g.network != unknownProtocol || g.byOffset {
		return false
	}
	if !g.ether {
		g.ether = true
		g.equal(expr.MetaKeyIIFTYPE, binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER))
	}
	return true
}

func (g *guardBuilder) equal(key expr.MetaKey, value []byte) {
	g.add(&expr.Meta{Key: key, Register: register(0)}, &expr.Cmp{Op: expr.CmpOpEq, Register: register(0), Data: value})
}

func (g *guardBuilder) etherType() bool {
	network := testedProtocol
	switch {
	case len(g.words) == 0:
		return false
	case g.words[0] == "ip":
		network = ip4Protocol
	case g.words[0] == "ip6":
		network = ip6Protocol
	}
	g.network, g.byType = network, true
	return g.compare(&etherType)
}

func (g *guardBuilder) needNetwork(p networkProtocol) bool {
	if g.network == unknownProtocol && !g.ether {
		g.network = p
		types := [...][]byte{arpProtocol: {0x08, 0x06}, ip4Protocol: {0x08, 0x00}, ip6Protocol: {0x86, 0xdd}}
		g.equal(expr.MetaKeyPROTOCOL, types[p])
	}
	return g.network == p
}

func (g *guardBuilder) needICMPv6() bool {
	if g.byType || g.icmpv6 || !g.needNetwork(ip6Protocol) {
		return false
	}
	g.icmpv6 = true
	g.equal(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_ICMPV6})
	return true
}

func (f *guardField) expression() expr.Any {
	return &expr.Payload{DestRegister: register(0), Base: f.load.base, Offset: f.load.offset, Len: f.load.len}
}

// compare compares a field with a value, or looks it up in a set. A set of one
// is none.
func (g *guardBuilder) compare(f *guardField) bool {
	other := g.take("!=")
	values, ok := g.values(f)
	if !ok {
		return false
	}
	if len(values) > 1 {
		if f.kind == 0 {
			return false
		}
		id := g.b.ownSet(g.op, f, values)
		g.add(f.expression(), &expr.Lookup{SourceRegister: register(0), Invert: other, SetName: ownSetName, SetID: id})
		return true
	}
	return g.compareOne(f, values[0], other)
}

// touches reports whether nft makes one comparison of two fields, wherever they
// are in the rule: one after the other in the packet, as far as a register goes.
func (l guardLoad) touches(o guardLoad) bool {
	return l.base == o.base && l.len+o.len <= 16 &&
		(l.offset+l.len == o.offset || o.offset+o.len == l.offset)
}

// compareOne compares a field with a value, but for those that nft would take
// together with an earlier one.
func (g *guardBuilder) compareOne(f *guardField, value []byte, other bool) bool {
	op := expr.CmpOpNeq
	if !other {
		if slices.ContainsFunc(g.single, func(o *guardField) bool { return o.load.touches(f.load) }) {
			return false
		}
		op = expr.CmpOpEq
		g.single = append(g.single, f)
	}
	g.add(f.expression(), &expr.Cmp{Op: op, Register: register(0), Data: value})
	return true
}

// values reads one value, or some in braces, all different.
func (g *guardBuilder) values(f *guardField) ([][]byte, bool) {
	if !g.take("{") {
		value, ok := f.read(g.one())
		return [][]byte{value}, ok
	}
	var out [][]byte
	for more := true; more; {
		var text string
		text, more = strings.CutSuffix(g.one(), ",")
		value, ok := f.read(text)
		if !ok || slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, value) }) {
			return nil, false
		}
		out = append(out, value)
	}
	return out, g.take("}")
}

// prefix compares a destination with the one prefix that guards know.
func (g *guardBuilder) prefix() bool {
	op := expr.CmpOpEq
	if g.take("!=") {
		op = expr.CmpOpNeq
	}
	if !g.take("fe80::/10") {
		return false
	}
	first := func(bytes ...byte) []byte { return append(bytes, make([]byte, 16-len(bytes))...) }
	g.add(&expr.Payload{DestRegister: register(0), Base: networkHeader, Offset: 24, Len: 16},
		&expr.Bitwise{SourceRegister: register(0), DestRegister: register(0), Len: 16, Mask: first(0xff, 0xc0), Xor: first()},
		&expr.Cmp{Op: op, Register: register(0), Data: first(0xfe, 0x80)})
	return true
}

// ownSetName: the kernel puts a number in.
const ownSetName = "__set%d"

// ownSet makes a set for one rule and returns its number in the batch.
func (b *nlBatch) ownSet(op int, f *guardField, values [][]byte) uint32 {
	id := b.declareOwn(op, unix.NFT_SET_ANONYMOUS|unix.NFT_SET_CONSTANT, f, len(values), f.notes)
	for _, value := range values {
		element := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
		b.rawKey(value)
		b.endAttr(element)
	}
	return id
}

// declareOwn leaves the list of elements open.
func (b *nlBatch) declareOwn(op int, flags uint32, f *guardField, size int, described []byte) uint32 {
	b.newSets++
	b.named(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, ownSetName, op)
	b.uint32(unix.NFTA_SET_FLAGS, flags)
	b.uint32(unix.NFTA_SET_KEY_TYPE, f.kind)
	b.uint32(unix.NFTA_SET_KEY_LEN, f.load.len)
	b.uint32(unix.NFTA_SET_ID, b.newSets)
	outer := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_SET_DESC)
	b.uint32(unix.NFTA_SET_DESC_SIZE, uint32(size))
	b.endAttr(outer)
	b.userdata(unix.NFTA_SET_USERDATA, described)
	b.listOf(unix.NFT_MSG_NEWSETELEM, ownSetName, b.newSets, op)
	return b.newSets
}
