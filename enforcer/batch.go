package enforcer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// nlBatch is a transaction on our table of one family in the kernel's own form:
// netlink messages between a begin and an end, of which all take effect or none.
type nlBatch struct {
	family byte
	bytes  []byte
	// messages are what stands between begin and end.
	messages []nlMessage
	// marks say which bytes are of which operation, for the sake of errors.
	marks []opMark
	// sets are what becomes of those that the batch makes, fills or deletes; the
	// last are nil.
	sets map[string]*layout
	// newSets counts the sets that the batch makes: each has a number in it.
	newSets uint32
	// err is the first thing that could not be encoded, and failedAt where: such
	// a batch is never sent. It is kept here so that nobody who builds a message
	// can forget to ask.
	err      error
	failedAt int
}

type nlMessage struct {
	start int
	kind  uint16
	set   string
	// list is where the attribute with the elements begins, 0 without one.
	list int
}

type opMark struct {
	start, op int
}

const (
	// maxMessage keeps the length of a list of elements within 16 bits.
	maxMessage = 32 << 10
	// maxBatch is what the socket's buffer must hold; the kernel doubles what it
	// is asked for, and needs some of it itself.
	maxBatch = 1 << 20
	// maxAttr is what the length of an attribute can say, its header included.
	maxAttr = 1<<16 - 1
	// maxUserdata is what the kernel keeps of what nft notes beside an object.
	maxUserdata = 256
)

var (
	errBatchTooLarge = errors.New("too large for one batch")
	// errTooLong: something does not fit where its length has to be written.
	errTooLong = errors.New("too long for a netlink attribute")
)

func newBatch(family byte) *nlBatch {
	b := &nlBatch{family: family, bytes: make([]byte, 0, 1024), sets: map[string]*layout{}}
	b.header(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	return b
}

// header begins a message. Its length is set by [nlBatch.close].
func (b *nlBatch) header(kind, flags uint16, family byte, resource uint16) {
	start := len(b.bytes)
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, unix.NLMSG_HDRLEN+4)
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, kind)
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, unix.NLM_F_REQUEST|flags)
	// The sequence number says which message an error is about, and the port is
	// the kernel's to fill in.
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, uint32(start))
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, 0)
	b.bytes = append(b.bytes, family, unix.NFNETLINK_V0)
	b.bytes = binary.BigEndian.AppendUint16(b.bytes, resource)
}

// begin opens a message of nftables for operation op.
func (b *nlBatch) begin(kind, flags uint16, set string, op int) {
	b.messages = append(b.messages, nlMessage{start: len(b.bytes), kind: kind, set: set})
	b.marks = append(b.marks, opMark{len(b.bytes), op})
	b.header(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, b.family, 0)
	// The table is the first attribute of all of them.
	b.text(unix.NFTA_RULE_TABLE, compiler.TableName)
}

// close sets the lengths of the message that is open.
func (b *nlBatch) close() {
	if len(b.messages) == 0 {
		return
	}
	m := b.messages[len(b.messages)-1]
	if m.list != 0 {
		b.endAttr(m.list)
	}
	binary.NativeEndian.PutUint32(b.bytes[m.start:], uint32(len(b.bytes)-m.start))
}

// finish makes the batch ready to be sent. The last message asks for a word
// when it is done: no news is not good news.
func (b *nlBatch) finish() ([]byte, error) {
	b.close()
	if b.err != nil {
		return nil, b.err
	}
	last := b.messages[len(b.messages)-1].start
	flags := binary.NativeEndian.Uint16(b.bytes[last+6:])
	binary.NativeEndian.PutUint16(b.bytes[last+6:], flags|unix.NLM_F_ACK)
	b.header(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	if len(b.bytes) > maxBatch {
		return nil, errBatchTooLarge
	}
	return b.bytes, nil
}

// element adds or deletes an element. Those of one set that follow each other
// share a message.
func (b *nlBatch) element(kind uint16, set string, op int, l *layout, key, value []string) error {
	b.listOf(kind, set, 0, op)
	b.marks = append(b.marks, opMark{len(b.bytes), op})
	if l.interval && len(l.parts) == 1 {
		return b.rangeOf(l, key)
	}
	element := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
	first, last := key, key
	if l.interval {
		first, last = l.ends(key)
	}
	if err := b.key(unix.NFTA_SET_ELEM_KEY, l, first); err != nil {
		return err
	}
	if l.interval {
		if err := b.key(nftaSetElemKeyEnd, l, last); err != nil {
			return err
		}
	}
	if kind == unix.NFT_MSG_NEWSETELEM {
		if err := b.value(l, value); err != nil {
			return err
		}
	}
	b.endAttr(element)
	return nil
}

// listOf opens a message with elements of a set, or goes on with one. A set
// without a name of its own is known by its number in the batch.
func (b *nlBatch) listOf(kind uint16, set string, id uint32, op int) {
	if b.joins(kind, set) && id == 0 {
		return
	}
	b.close()
	flags := uint16(0)
	if kind == unix.NFT_MSG_NEWSETELEM {
		flags = unix.NLM_F_CREATE
	}
	b.begin(kind, flags, set, op)
	b.text(unix.NFTA_SET_ELEM_LIST_SET, set)
	if id != 0 {
		b.uint32(unix.NFTA_SET_ELEM_LIST_SET_ID, id)
	}
	b.messages[len(b.messages)-1].list = b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_SET_ELEM_LIST_ELEMENTS)
}

func (b *nlBatch) key(kind uint16, l *layout, key []string) (err error) {
	outer := b.beginAttr(unix.NLA_F_NESTED | kind)
	inner := b.beginAttr(unix.NFTA_DATA_VALUE)
	if b.bytes, err = l.appendKey(b.bytes, key); err != nil {
		return err
	}
	b.endAttr(inner)
	b.endAttr(outer)
	return nil
}

func (b *nlBatch) joins(kind uint16, set string) bool {
	if len(b.messages) == 0 {
		return false
	}
	m := b.messages[len(b.messages)-1]
	return m.list != 0 && m.kind == kind && m.set == set && len(b.bytes)-m.start < maxMessage
}

func (b *nlBatch) value(l *layout, value []string) error {
	switch {
	case l.value == noValue && len(value) == 0:
		return nil
	case l.value == verdictValue && len(value) == 1:
		code, chain, ok := verdictOf(value[0])
		if !ok {
			break
		}
		data := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_SET_ELEM_DATA)
		b.verdict(code, chain)
		b.endAttr(data)
		return nil
	case l.value == counterValue && len(value) == 1:
		b.text(unix.NFTA_SET_ELEM_OBJREF, value[0])
		return nil
	}
	return fmt.Errorf("value %q: %w", value, errNotForLane)
}

func (b *nlBatch) verdict(code int32, chain string) {
	verdict := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_DATA_VERDICT)
	b.uint32(unix.NFTA_VERDICT_CODE, uint32(code))
	if chain != "" {
		b.text(unix.NFTA_VERDICT_CHAIN, chain)
	}
	b.endAttr(verdict)
}

// flush deletes the rules of a chain.
func (b *nlBatch) flush(chain string, op int) {
	b.close()
	b.begin(unix.NFT_MSG_DELRULE, 0, "", op)
	b.text(unix.NFTA_RULE_CHAIN, chain)
}

func (b *nlBatch) text(kind uint16, s string) {
	start := b.beginAttr(kind)
	b.bytes = append(append(b.bytes, s...), 0)
	b.endAttr(start)
}

// uint32 is in network byte order, as all numbers of nftables are.
func (b *nlBatch) uint32(kind uint16, v uint32) {
	start := b.beginAttr(kind)
	b.bytes = binary.BigEndian.AppendUint32(b.bytes, v)
	b.endAttr(start)
}

// beginAttr opens an attribute and returns where it begins.
func (b *nlBatch) beginAttr(kind uint16) int {
	start := len(b.bytes)
	b.bytes = append(b.bytes, 0, 0)
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, kind)
	return start
}

// fail notes the first error, and which bytes it is about.
func (b *nlBatch) fail(at int, err error) {
	if b.err == nil {
		b.err, b.failedAt = err, at
	}
}

// endAttr sets the attribute's length, and pads what follows it. The lists that
// contain it count the padding. It is the one place that writes such a length, so
// nothing too long ever gets a length that is cut short.
func (b *nlBatch) endAttr(start int) {
	size := len(b.bytes) - start
	if size > maxAttr {
		b.fail(start, fmt.Errorf("%w: %d bytes, at most %d", errTooLong, size, maxAttr))
		return
	}
	binary.NativeEndian.PutUint16(b.bytes[start:], uint16(size))
	for len(b.bytes)%4 != 0 {
		b.bytes = append(b.bytes, 0)
	}
}

// opAt finds the operation that the bytes at an offset are of.
func (b *nlBatch) opAt(offset int) int {
	op := 0
	for _, m := range b.marks {
		if m.start > offset {
			break
		}
		op = m.op
	}
	return op
}
