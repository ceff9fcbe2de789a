package nftwire

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// expression is where an open one has its parts.
type expression struct{ element, data int }

// beginExpression opens an expression in the list of a rule, or beside it.
func (b *Batch) beginExpression(kind uint16, name string) expression {
	e := expression{element: b.beginAttr(unix.NLA_F_NESTED | kind)}
	b.text(unix.NFTA_EXPR_NAME, name)
	e.data = b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_EXPR_DATA)
	return e
}

func (b *Batch) begins(name string) expression { return b.beginExpression(unix.NFTA_LIST_ELEM, name) }

func (b *Batch) ends(e expression) {
	b.endAttr(e.data)
	b.endAttr(e.element)
}

// register is the one that holds the value at some word of four bytes: the
// kernel counts whole ones of four words by themselves.
func register(word uint32) uint32 {
	if word%4 == 0 {
		return unix.NFT_REG_1 + word/4
	}
	return unix.NFT_REG32_00 + word
}

// words is how many of four bytes a value takes in registers.
func words(size uint32) uint32 { return (size + 3) / 4 }

// load puts a field into registers.
func (b *Batch) load(f *field, word uint32) {
	switch f.from {
	case fromMeta:
		b.loadMeta(f.key, word)
	case fromConn:
		b.loadConn(f.key, f.direction, word)
	case fromExtension:
		b.loadExtension(f.key, 0, word)
	case fromRoute:
		b.loadRoute(f.key, f.offset, word)
	default:
		b.loadPayload(f.base, f.offset, f.size, word)
	}
}

func (b *Batch) loadMeta(key, word uint32) {
	e := b.begins("meta")
	b.uint32(unix.NFTA_META_KEY, key)
	b.uint32(unix.NFTA_META_DREG, register(word))
	b.ends(e)
}

func (b *Batch) loadConn(key uint32, direction uint8, word uint32) {
	e := b.begins("ct")
	b.uint32(unix.NFTA_CT_KEY, key)
	b.uint32(unix.NFTA_CT_DREG, register(word))
	if direction != 0 {
		b.uint8(unix.NFTA_CT_DIRECTION, direction-opener)
	}
	b.ends(e)
}

// loadExtension loads the first byte of an extension header, which says what the next is,
// or whether there is one.
func (b *Batch) loadExtension(header, flags, word uint32) {
	e := b.begins("exthdr")
	b.uint32(unix.NFTA_EXTHDR_DREG, register(word))
	b.uint8(unix.NFTA_EXTHDR_TYPE, byte(header))
	b.uint32(unix.NFTA_EXTHDR_OFFSET, 0)
	b.uint32(unix.NFTA_EXTHDR_LEN, 1)
	b.uint32(unix.NFTA_EXTHDR_OP, unix.NFT_EXTHDR_OP_IPV6)
	b.uint32(unix.NFTA_EXTHDR_FLAGS, flags)
	b.ends(e)
}

// loadRoute asks the node's routing. The attributes of linux/netfilter/nf_tables.h are
// NFTA_FIB_DREG, _RESULT and _FLAGS.
func (b *Batch) loadRoute(asked, by, word uint32) {
	e := b.begins("fib")
	b.uint32(3, by)
	b.uint32(2, asked)
	b.uint32(1, register(word))
	b.ends(e)
}

func (b *Batch) loadPayload(base, offset, size, word uint32) {
	e := b.begins("payload")
	b.uint32(unix.NFTA_PAYLOAD_DREG, register(word))
	b.uint32(unix.NFTA_PAYLOAD_BASE, base)
	b.uint32(unix.NFTA_PAYLOAD_OFFSET, offset)
	b.uint32(unix.NFTA_PAYLOAD_LEN, size)
	b.ends(e)
}

// appendHost appends a number in the host's order. All that are have four bytes.
func appendHost[T string | []byte](out []byte, number T) []byte {
	if len(number) != 4 {
		return append(out, number...)
	}
	return binary.NativeEndian.AppendUint32(out, binary.BigEndian.Uint32([]byte(number)))
}

// data is a value, in the order in which the kernel has it.
func (b *Batch) data(kind uint16, value []byte, host bool) {
	outer := b.beginAttr(unix.NLA_F_NESTED | kind)
	inner := b.beginAttr(unix.NFTA_DATA_VALUE)
	if host {
		b.bytes = appendHost(b.bytes, value)
	} else {
		b.bytes = append(b.bytes, value...)
	}
	b.endAttr(inner)
	b.endAttr(outer)
}

// compare compares what is loaded.
func (b *Batch) compare(op uint32, value []byte, host bool) {
	e := b.begins("cmp")
	b.uint32(unix.NFTA_CMP_SREG, register(0))
	b.uint32(unix.NFTA_CMP_OP, op)
	b.data(unix.NFTA_CMP_DATA, value, host)
	b.ends(e)
}

func equality(not bool) uint32 {
	if not {
		return unix.NFT_CMP_NEQ
	}
	return unix.NFT_CMP_EQ
}

// mask keeps some bits of what is loaded and turns others round.
func (b *Batch) mask(mask, xor []byte, host bool) {
	e := b.begins("bitwise")
	b.uint32(unix.NFTA_BITWISE_SREG, register(0))
	b.uint32(unix.NFTA_BITWISE_DREG, register(0))
	b.uint32(unix.NFTA_BITWISE_LEN, uint32(len(mask))) // at most a register
	b.data(unix.NFTA_BITWISE_MASK, mask, host)
	b.data(unix.NFTA_BITWISE_XOR, xor, host)
	b.ends(e)
}

// toNetwork swaps the bytes of a number of the host that is to be put in an order.
func (b *Batch) toNetwork(word, size uint32) {
	e := b.begins("byteorder")
	b.uint32(unix.NFTA_BYTEORDER_SREG, register(word))
	b.uint32(unix.NFTA_BYTEORDER_DREG, register(word))
	b.uint32(unix.NFTA_BYTEORDER_OP, unix.NFT_BYTEORDER_HTON)
	b.uint32(unix.NFTA_BYTEORDER_LEN, size)
	// A number of one byte is swapped as if it had two, which changes nothing.
	b.uint32(unix.NFTA_BYTEORDER_SIZE, max(2, size))
	b.ends(e)
}

// lookup looks up what is loaded. A set without a name of its own is known by its number.
func (b *Batch) lookup(set string, id uint32, not, verdict bool) {
	e := b.begins("lookup")
	b.uint32(unix.NFTA_LOOKUP_SREG, register(0))
	if verdict {
		b.uint32(unix.NFTA_LOOKUP_DREG, unix.NFT_REG_VERDICT)
	}
	if not {
		b.uint32(unix.NFTA_LOOKUP_FLAGS, unix.NFT_LOOKUP_F_INV)
	}
	b.text(unix.NFTA_LOOKUP_SET, set)
	b.uint32(unix.NFTA_LOOKUP_SET_ID, id)
	b.ends(e)
}

// verdictExpression ends the rule.
func (b *Batch) verdictExpression(code int32, chain string) {
	e := b.begins("immediate")
	b.uint32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
	data := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_IMMEDIATE_DATA)
	b.verdict(code, chain)
	b.endAttr(data)
	b.ends(e)
}

func (b *Batch) verdict(code int32, chain string) {
	verdict := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_DATA_VERDICT)
	b.uint32(unix.NFTA_VERDICT_CODE, uint32(code))
	if chain != "" {
		b.text(unix.NFTA_VERDICT_CHAIN, chain)
	}
	b.endAttr(verdict)
}

// Verdicts that all of netfilter has: linux/netfilter.h.
const (
	nfDrop   = 0
	nfAccept = 1
)

// hostOrder: the kernel keeps the field in the host's byte order.
func hostOrder(f compiler.Field) bool { return f.Type().HostOrder() }
