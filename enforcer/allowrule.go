package enforcer

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// words is the rest of a rule's text.
type words []string

// take takes the words if they come next.
func (w *words) take(next ...string) bool {
	if len(*w) < len(next) || !slices.Equal((*w)[:len(next)], next) {
		return false
	}
	*w = (*w)[len(next):]
	return true
}

// one takes the next word, empty if there is none.
func (w *words) one() string {
	if len(*w) == 0 {
		return ""
	}
	out := (*w)[0]
	*w = (*w)[1:]
	return out
}

// register is the one that holds the value at some word of four bytes: the
// kernel counts whole ones of four words by themselves.
func register(word int) uint32 {
	if word%4 == 0 {
		return unix.NFT_REG_1 + uint32(word/4)
	}
	return unix.NFT_REG32_00 + uint32(word)
}

// ruleBuilder collects the expressions of a rule.
type ruleBuilder struct {
	words
	layout func(set string) *layout
	out    []expr.Any
}

func (r *ruleBuilder) add(e ...expr.Any) { r.out = append(r.out, e...) }

// allowRule assembles a rule of a chain that says what policies allow, exactly
// as the compiler writes these: ports, addresses, or both in this order, each in a
// set or compared, then a verdict; or a map of ports.
func allowRule(text string, layout func(set string) *layout) ([]expr.Any, error) {
	r := &ruleBuilder{words: strings.Split(text, " "), layout: layout}
	if len(r.words) > 0 && r.words[0] == "th" {
		mapped, ok := r.ports()
		if !ok || mapped {
			return r.end(ok)
		}
	}
	if !r.address() {
		return nil, errNotForLane
	}
	switch r.one() {
	case "return":
		r.add(&expr.Verdict{Kind: expr.VerdictReturn})
		return r.end(true)
	case "jump":
		chain := r.one()
		r.add(&expr.Verdict{Kind: expr.VerdictJump, Chain: chain})
		return r.end(chain != "" && !strings.ContainsAny(chain, "@\x00\t\n"))
	case "goto":
		chain := r.one()
		r.add(&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain})
		return r.end(chain != "" && !strings.ContainsAny(chain, "@\x00\t\n"))
	}
	return nil, errNotForLane
}

func (r *ruleBuilder) end(ok bool) ([]expr.Any, error) {
	if !ok || len(r.words) > 0 {
		return nil, errNotForLane
	}
	return r.out, nil
}

// ports matches port and protocol, or has a map decide by them, which is then
// all of the rule.
func (r *ruleBuilder) ports() (mapped, ok bool) {
	port, ok := r.port(0)
	if !ok {
		return false, false
	}
	if !r.take(".", "meta", "l4proto") {
		r.add(port)
		return false, r.portRange() && r.protocol()
	}
	value := noValue
	if mapped = r.take("vmap"); mapped {
		value = verdictValue
	}
	r.add(port, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register(1)})
	if l := r.peek(); l != nil && l.interval {
		// The protocol is a number of the host to nft, so it has its bytes
		// swapped where ranges need an order. There is one.
		r.add(&expr.Byteorder{SourceRegister: register(1), DestRegister: register(1), Op: expr.ByteorderHton, Size: 2, Len: 1})
	}
	return mapped, r.set([]part{portPart, protocolPart}, value, true)
}

// port is where a packet has the port, loaded at some word.
func (r *ruleBuilder) port(word int) (expr.Any, bool) {
	out := &expr.Payload{DestRegister: register(word), Base: expr.PayloadBaseTransportHeader, Len: 2}
	switch {
	case r.take("th", "sport"):
	case r.take("th", "dport"):
		out.Offset = 2
	default:
		return nil, false
	}
	return out, true
}

// portRange compares what is loaded with a port, or two with a dash.
func (r *ruleBuilder) portRange() bool {
	from, to, dashed := strings.Cut(r.one(), "-")
	if !dashed {
		to = from
	}
	first, err := portPart.append(nil, from)
	if err != nil {
		return false
	}
	last, err := portPart.append(nil, to)
	return err == nil && r.between(first, last)
}

func (r *ruleBuilder) protocol() bool {
	if !r.take("meta", "l4proto") {
		return false
	}
	number, err := protocolPart.append(nil, r.one())
	r.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register(0)}, &expr.Cmp{Op: expr.CmpOpEq, Register: register(0), Data: number})
	return err == nil
}

// between compares what is loaded with a range.
func (r *ruleBuilder) between(first, last []byte) bool {
	order := bytes.Compare(first, last)
	if order == 0 {
		r.add(&expr.Cmp{Op: expr.CmpOpEq, Register: register(0), Data: first})
		return true
	}
	r.add(&expr.Cmp{Op: expr.CmpOpGte, Register: register(0), Data: first}, &expr.Cmp{Op: expr.CmpOpLte, Register: register(0), Data: last})
	return order < 0
}

// peek is the set that comes next, nil without one.
func (r *ruleBuilder) peek() *layout {
	if len(r.words) == 0 {
		return nil
	}
	name, ok := strings.CutPrefix(r.words[0], "@")
	if !ok || name == "" || strings.ContainsAny(name, "@\x00\t\n") {
		return nil
	}
	return r.layout(name)
}

// set looks up what is loaded, in a set of exactly that.
func (r *ruleBuilder) set(parts []part, value valueKind, ranges bool) bool {
	l := r.peek()
	if l == nil || !slices.Equal(l.parts, parts) || l.value != value || l.interval && !ranges {
		return false
	}
	r.add(&expr.Lookup{SourceRegister: register(0), IsDestRegSet: value == verdictValue, SetName: r.one()[1:]})
	return true
}

// address matches an address, alone or with a port, if one comes next.
func (r *ruleBuilder) address() bool {
	var family byte
	p, load := ipv4Part, &expr.Payload{DestRegister: register(0), Base: expr.PayloadBaseNetworkHeader}
	switch {
	case r.take("ip"):
		family, load.Len, load.Offset = unix.NFPROTO_IPV4, 4, 12
	case r.take("ip6"):
		family, load.Len, load.Offset = unix.NFPROTO_IPV6, 16, 8
		p = ipv6Part
	default:
		return true
	}
	switch r.one() {
	case "saddr":
	case "daddr":
		load.Offset += load.Len
	default:
		return false
	}
	r.add(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register(0)}, &expr.Cmp{Op: expr.CmpOpEq, Register: register(0), Data: []byte{family}}, load)
	switch {
	case r.take(".", "meta", "l4proto", "."):
	case r.peek() != nil:
		return r.set([]part{p}, noValue, true)
	default:
		return r.addressRange(p, load)
	}
	words := int(load.Len) / 4
	port, ok := r.port(words + 1)
	r.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register(words)}, port)
	return ok && r.set([]part{p, protocolPart, portPart}, noValue, false)
}

// addressRange compares an address with one, a prefix, or two with a dash, as nft
// does: of a prefix of whole bytes it loads no more than these.
func (r *ruleBuilder) addressRange(p part, load *expr.Payload) bool {
	text := r.one()
	first, last, ok := addressesOf(text)
	if !ok || first.Is4() != (p == ipv4Part) {
		return false
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return r.between(first.AsSlice(), last.AsSlice())
	case prefix.Addr() != first || prefix.Bits() == 0:
		return false
	case prefix.Bits()%8 == 0:
		load.Len = uint32(prefix.Bits() / 8)
	default:
		r.add(&expr.Bitwise{SourceRegister: register(0), DestRegister: register(0), Len: load.Len, Mask: net.CIDRMask(prefix.Bits(), first.BitLen()), Xor: make([]byte, load.Len)})
	}
	start := first.AsSlice()[:load.Len]
	return r.between(start, start)
}
