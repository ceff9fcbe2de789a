package nftwire

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// ruleEncoder writes the expressions that nft makes of a rule. nft adds comparisons for
// what a field presupposes, each once, and makes one of comparisons of fields that stand
// one after the other in the packet: so does this. It has a method for each kind of term,
// or it does not compile.
type ruleEncoder struct {
	b *Batch
	// known is what the rule has made sure of.
	known known
	// joins are terms whose comparisons nft makes one, by their place; at is that of the
	// term which is written.
	joins map[int]join
	at    int
	// sets are those that the rule has for itself, by their numbers, in order.
	sets []uint32
}

var _ compiler.Visitor = (*ruleEncoder)(nil)

// known is what a rule has made sure of about the packet.
type known struct {
	// ether: the device is known to have such headers.
	ether bool
	// network is what the network header is, or nothing.
	network need
	// fromType: that is known by the type that the link header has.
	fromType bool
	// several: the rule asked for one of several types, and nothing may follow from it.
	several bool
	// transport is the protocol of the transport header, or negative.
	transport int
	// raw: fields were compared that nft knows nothing of.
	raw bool
	// frame: the rule compares a hardware address with one value, which nft may join
	// with the type.
	frame bool
}

// rule adds a rule, and before it the sets that it has for itself.
func (b *Batch) rule(op int, r *compiler.ChainRule) {
	e := ruleEncoder{b: b, known: known{transport: -1}, joins: joinsOf(r.Terms)}
	reset := false
	tcp := false
	for _, t := range r.Terms {
		switch t := t.(type) {
		case compiler.OneOf:
			if len(t.Values) > t.Field.Size() {
				e.sets = append(e.sets, b.ownSet(op, t))
			}
		case compiler.Reject:
			reset = t.Reset
		case compiler.Is:
			e.known.frame = e.known.frame || fields[t.Field].need == ofEther && t.Field != compiler.EtherProtocol
			tcp = tcp || t == compiler.Is{Field: compiler.L4Protocol, Value: compiler.L4Protocol.Number(unix.IPPROTO_TCP)}
		}
	}
	b.close()
	b.begin(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, "", op)
	b.text(unix.NFTA_RULE_CHAIN, r.Chain)
	list := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_RULE_EXPRESSIONS)
	if reset && !tcp {
		// At the beginning, so that nothing happens to what is not reset.
		e.needTransport(unix.IPPROTO_TCP)
	}
	for e.at = range r.Terms {
		r.Terms[e.at].Visit(&e)
	}
	b.endAttr(list)
	b.comment(r.Comment)
}

// zeroes are as many as a register holds.
var zeroes [registerSize]byte

// unknown notes that the rule is in a form that nft compiles in a way not known here.
func (e *ruleEncoder) unknown(why string) {
	e.b.fail(len(e.b.bytes), fmt.Errorf("%w: %s", ErrNoEncoding, why))
}

// need makes sure of what a field presupposes.
func (e *ruleEncoder) need(f compiler.Field) *field {
	of := &fields[f]
	switch of.need {
	case nothing:
		e.known.raw = e.known.raw || of.from == fromPayload && of.base != unix.NFT_PAYLOAD_TRANSPORT_HEADER
	case ofEther:
		e.needEther()
	case ofARP, ofIPv4, ofIPv6:
		e.needNetwork(of.need, of.from == fromPayload)
	case ofICMP:
		e.needMessage(ofIPv4, unix.IPPROTO_ICMP)
	case ofICMPv6:
		e.needMessage(ofIPv6, unix.IPPROTO_ICMPV6)
	case ofTCP:
		e.needTransport(unix.IPPROTO_TCP)
	case ofUDP:
		e.needTransport(unix.IPPROTO_UDP)
	}
	return of
}

func (e *ruleEncoder) equal(key uint32, value ...byte) {
	e.b.loadMeta(key, 0)
	e.b.compare(unix.NFT_CMP_EQ, value, false)
}

// needEther: all devices of bridges have such a header, others may.
func (e *ruleEncoder) needEther() {
	switch {
	case e.b.family == unix.NFPROTO_BRIDGE || e.known.ether:
	case e.known.network != nothing || e.known.raw:
		e.unknown("a link header after what lies behind it")
	default:
		e.known.ether = true
		e.equal(unix.NFT_META_IIFTYPE, binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER)...)
	}
}

// needNetwork makes sure of a network header by what the kernel says of the packet, tagged
// or not. Behind a bridge nft asks the frame instead for all but fields of IP itself.
func (e *ruleEncoder) needNetwork(n need, ofHeader bool) {
	switch {
	case e.known.network == n:
	case e.known.network != nothing || e.known.several || e.known.ether:
		e.unknown("another network header than the one that was asked for")
	case e.b.family == unix.NFPROTO_INET && n == ofARP:
		e.unknown("ARP among packets of IP")
	case e.b.family == unix.NFPROTO_INET:
		e.known.network = n
		e.equal(unix.NFT_META_NFPROTO, [...]byte{ofIPv4: unix.NFPROTO_IPV4, ofIPv6: unix.NFPROTO_IPV6}[n])
	case e.b.family == unix.NFPROTO_BRIDGE && (n == ofARP || !ofHeader):
		if e.known.frame {
			e.unknown("a link header before what nft asks it for")
		}
		e.known.network = n
		e.b.load(&fields[compiler.EtherProtocol], 0)
		e.b.compare(unix.NFT_CMP_EQ, etherType(n), false)
	default:
		e.known.network = n
		e.equal(unix.NFT_META_PROTOCOL, etherType(n)...)
	}
}

func etherType(n need) []byte {
	return binary.BigEndian.AppendUint16(nil, [...]uint16{ofARP: unix.ETH_P_ARP, ofIPv4: unix.ETH_P_IP, ofIPv6: unix.ETH_P_IPV6}[n])
}

// needMessage is for ICMP, which is of one network protocol alone.
func (e *ruleEncoder) needMessage(n need, protocol byte) {
	if e.known.transport == int(protocol) {
		return
	}
	if e.known.fromType {
		e.unknown("a message after the type of its frame")
	}
	e.needNetwork(n, false)
	e.needTransport(protocol)
}

func (e *ruleEncoder) needTransport(protocol byte) {
	switch {
	case e.known.transport == int(protocol):
	case e.known.transport >= 0:
		e.unknown("another transport header than the one that was asked for")
	default:
		e.known.transport = int(protocol)
		e.equal(unix.NFT_META_L4PROTO, protocol)
	}
}

// learn is what follows from a comparison that holds.
func (e *ruleEncoder) learn(f compiler.Field, value []byte) {
	switch f {
	case compiler.L4Protocol, compiler.IP6NextHeader:
		e.known.transport = int(value[0])
	case compiler.EtherProtocol, compiler.Protocol:
		e.known.fromType = e.known.fromType || f == compiler.EtherProtocol
		switch binary.BigEndian.Uint16(value) {
		case unix.ETH_P_ARP:
			e.known.network = ofARP
		case unix.ETH_P_IP:
			e.known.network = ofIPv4
		case unix.ETH_P_IPV6:
			e.known.network = ofIPv6
		default:
			e.known.several = true
		}
	}
}

// loadKey loads fields one after the other, each beginning with a word.
func (e *ruleEncoder) loadKey(key compiler.Concat, ranges bool) {
	for _, f := range key[:key.Len()] {
		e.need(f)
	}
	word := uint32(0)
	for _, f := range key[:key.Len()] {
		of := &fields[f]
		e.b.load(of, word)
		if ranges && key.Len() > 1 && f.Type() == compiler.InetProto {
			// The protocol is a number of the host to nft.
			e.b.toNetwork(word, of.size)
		}
		word += words(of.size)
	}
}

// fits refuses a value of another size than the field's.
func (e *ruleEncoder) fits(f compiler.Field, values ...compiler.Value) bool {
	for i := range values {
		if len(values[i].Bytes()) != f.Size() {
			e.unknown("a value of another size than its field")
			return false
		}
	}
	return true
}

func (e *ruleEncoder) Is(m compiler.Is) {
	if e.fits(m.Field, m.Value) {
		e.is(m.Field, m.Value.Bytes(), m.Not)
	}
}

func (e *ruleEncoder) is(f compiler.Field, value []byte, not bool) {
	of := e.need(f)
	switch j, joined := e.joins[e.at]; {
	case joined && len(j.value) > 0:
		e.b.loadPayload(j.base, j.offset, j.size(), 0)
		e.b.compare(unix.NFT_CMP_EQ, j.value, false)
	case !joined:
		e.b.load(of, 0)
		e.b.compare(equality(not), value, hostOrder(f))
	}
	if !not {
		e.learn(f, value)
	}
}

func (e *ruleEncoder) OneOf(m compiler.OneOf) {
	if len(m.Values) == m.Field.Size() {
		e.is(m.Field, []byte(m.Values), m.Not)
		return
	}
	of := e.need(m.Field)
	if of.setType == 0 || len(m.Values) == 0 || len(m.Values)%m.Field.Size() != 0 {
		e.unknown("a set of such values")
		return
	}
	e.b.load(of, 0)
	e.b.lookup(ownSetName, e.sets[0], m.Not, false)
	e.sets = e.sets[1:]
	e.known.several = e.known.several || m.Field == compiler.EtherProtocol
}

func (e *ruleEncoder) Between(m compiler.Between) {
	if !e.fits(m.Field, m.First, m.Last) {
		return
	}
	e.b.load(e.need(m.Field), 0)
	e.b.compare(unix.NFT_CMP_GTE, m.First.Bytes(), false)
	e.b.compare(unix.NFT_CMP_LTE, m.Last.Bytes(), false)
	if hostOrder(m.Field) || bytes.Compare(m.First.Bytes(), m.Last.Bytes()) > 0 {
		e.unknown("a range of numbers of the host, or one that is empty")
	}
}

func (e *ruleEncoder) AtMost(m compiler.AtMost) {
	if !e.fits(m.Field, m.Value) {
		return
	}
	of := e.need(m.Field)
	e.b.load(of, 0)
	if hostOrder(m.Field) {
		e.b.toNetwork(0, of.size)
	}
	e.b.compare(unix.NFT_CMP_LTE, m.Value.Bytes(), false)
}

// Within loads no more of an address than a prefix of whole bytes has.
func (e *ruleEncoder) Within(m compiler.Within) {
	of := e.need(m.Field)
	start, bits := m.Prefix.Masked().Addr().AsSlice(), m.Prefix.Bits()
	switch {
	case of.from != fromPayload || bits <= 0 || len(start) != m.Field.Size():
		e.unknown("a prefix of such a field")
		return
	case bits%8 == 0:
		start = start[:bits/8]
		e.b.loadPayload(of.base, of.offset, uint32(len(start)), 0)
	default:
		e.b.load(of, 0)
		mask := make([]byte, len(start))
		for i := range bits {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		e.b.mask(mask, zeroes[:len(start)], false)
	}
	e.b.compare(equality(m.Not), start, false)
}

func (e *ruleEncoder) Masked(m compiler.Masked) {
	if !e.fits(m.Field, m.Mask, m.Value) {
		return
	}
	host := hostOrder(m.Field)
	e.b.load(e.need(m.Field), 0)
	e.b.mask(m.Mask.Bytes(), zeroes[:m.Field.Size()], host)
	e.b.compare(equality(m.Not), m.Value.Bytes(), host)
}

func (e *ruleEncoder) InState(m compiler.InState) {
	e.b.load(&fields[compiler.ConnState], 0)
	states := compiler.ConnState.Number(m.States)
	e.b.mask(states.Bytes(), zeroes[:4], true)
	e.b.compare(unix.NFT_CMP_NEQ, zeroes[:4], true)
}

func (e *ruleEncoder) Exists(m compiler.Exists) {
	of := e.need(m.Field)
	if of.from != fromExtension {
		e.unknown("the existence of such a field")
		return
	}
	e.b.loadExtension(of.key, unix.NFT_EXTHDR_F_PRESENT, 0)
	e.b.compare(unix.NFT_CMP_EQ, []byte{1}, false)
}

func (e *ruleEncoder) In(m compiler.In) {
	e.loadKey(m.Key, m.Ranges)
	e.b.lookup(m.Set, 0, m.Not, false)
}
