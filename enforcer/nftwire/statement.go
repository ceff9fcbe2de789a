package nftwire

import (
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

func (e *ruleEncoder) Count(compiler.Count) {
	x := e.b.begins("counter")
	e.b.zeroCounter()
	e.b.ends(x)
}

func (e *ruleEncoder) CountNamed(s compiler.CountNamed) {
	x := e.b.begins("objref")
	e.b.uint32(unix.NFTA_OBJREF_IMM_TYPE, unix.NFT_OBJECT_COUNTER)
	e.b.text(unix.NFTA_OBJREF_IMM_NAME, s.Counter)
	e.b.ends(x)
}

func (e *ruleEncoder) CountMapped(s compiler.CountMapped) {
	e.loadKey(s.Key, false)
	x := e.b.begins("objref")
	e.b.uint32(unix.NFTA_OBJREF_SET_SREG, register(0))
	e.b.text(unix.NFTA_OBJREF_SET_NAME, s.Map)
	e.b.ends(x)
}

func (e *ruleEncoder) MarkConnection(s compiler.MarkConnection) {
	mark := &fields[compiler.ConnMark]
	e.b.load(mark, 0)
	// A mark is a number of the host, a register holds it as such.
	keep, set := compiler.ConnMark.Number(s.Keep), compiler.ConnMark.Number(s.Set)
	e.b.mask(keep.Bytes(), set.Bytes(), true)
	x := e.b.begins("ct")
	e.b.uint32(unix.NFTA_CT_KEY, mark.key)
	e.b.uint32(unix.NFTA_CT_SREG, register(0))
	e.b.ends(x)
}

func (e *ruleEncoder) Remember(s compiler.Remember) {
	e.loadKey(s.Key, false)
	op := uint32(unix.NFT_DYNSET_OP_ADD)
	if s.Again {
		op = unix.NFT_DYNSET_OP_UPDATE
	}
	x := e.b.begins("dynset")
	e.b.uint32(unix.NFTA_DYNSET_SREG_KEY, register(0))
	e.b.uint32(unix.NFTA_DYNSET_OP, op)
	e.b.text(unix.NFTA_DYNSET_SET_NAME, s.Set)
	// One expression stands by itself. No rule has two.
	if s.PerSecond != 0 {
		l := e.b.beginExpression(unix.NFTA_DYNSET_EXPR, "limit")
		e.b.limit(s.PerSecond, s.Burst)
		e.b.ends(l)
	}
	if s.Count {
		c := e.b.beginExpression(unix.NFTA_DYNSET_EXPR, "counter")
		e.b.zeroCounter()
		e.b.ends(c)
	}
	e.b.ends(x)
}

func (e *ruleEncoder) Limit(s compiler.Limit) {
	x := e.b.begins("limit")
	e.b.limit(s.PerSecond, s.Burst)
	e.b.ends(x)
}

// limit is the content of an expression that limits packets a second.
func (b *Batch) limit(perSecond, burst uint32) {
	b.uint64(unix.NFTA_LIMIT_RATE, uint64(perSecond))
	b.uint64(unix.NFTA_LIMIT_UNIT, 1) // seconds
	b.uint32(unix.NFTA_LIMIT_BURST, burst)
	b.uint32(unix.NFTA_LIMIT_TYPE, unix.NFT_LIMIT_PKTS)
	b.uint32(unix.NFTA_LIMIT_FLAGS, 0)
}

// zeroCounter is the content of an expression that counts from nothing.
func (b *Batch) zeroCounter() {
	b.uint64(unix.NFTA_COUNTER_BYTES, 0)
	b.uint64(unix.NFTA_COUNTER_PACKETS, 0)
}

func (e *ruleEncoder) Log(s compiler.Log) {
	x := e.b.begins("log")
	e.b.text(unix.NFTA_LOG_PREFIX, s.Prefix)
	e.b.uint16(unix.NFTA_LOG_GROUP, s.Group)
	e.b.uint32(unix.NFTA_LOG_SNAPLEN, s.Snap)
	e.b.ends(x)
}

func (e *ruleEncoder) Accept(compiler.Accept) { e.b.verdictExpression(nfAccept, "") }

func (e *ruleEncoder) Drop(compiler.Drop) { e.b.verdictExpression(nfDrop, "") }

func (e *ruleEncoder) Return(compiler.Return) { e.b.verdictExpression(unix.NFT_RETURN, "") }

func (e *ruleEncoder) Jump(t compiler.Jump) { e.b.verdictExpression(unix.NFT_JUMP, t.Chain) }

func (e *ruleEncoder) Goto(t compiler.Goto) { e.b.verdictExpression(unix.NFT_GOTO, t.Chain) }

func (e *ruleEncoder) VerdictMap(t compiler.VerdictMap) {
	e.loadKey(t.Key, t.Ranges)
	e.b.lookup(t.Map, 0, false, true)
}

func (e *ruleEncoder) Reject(t compiler.Reject) {
	x := e.b.begins("reject")
	if t.Reset {
		e.b.uint32(unix.NFTA_REJECT_TYPE, unix.NFT_REJECT_TCP_RST)
		e.b.uint8(unix.NFTA_REJECT_ICMP_CODE, 0)
	} else {
		e.b.uint32(unix.NFTA_REJECT_TYPE, unix.NFT_REJECT_ICMPX_UNREACH)
		e.b.uint8(unix.NFTA_REJECT_ICMP_CODE, unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED)
	}
	e.b.ends(x)
}
