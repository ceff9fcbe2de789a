package nftwire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// Batch is a transaction on our table of one family in the kernel's own form:
// netlink messages between a begin and an end, of which all take effect or none.
type Batch struct {
	family byte
	bytes  []byte
	// messages are what stands between begin and end.
	messages []message
	// marks say which bytes are of which operation, for the sake of errors.
	marks []opMark
	// newSets counts the sets that the batch makes: each has a number in it.
	newSets uint32
	// err is the first thing that could not be encoded, and failedAt where: such
	// a batch is never sent. It is kept here so that nobody who builds a message
	// can forget to ask.
	err      error
	failedAt int
}

type message struct {
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
	// ErrUnsupported: an operation on an object that this package does not write, such
	// as a set that packets fill.
	ErrUnsupported = errors.New("not written as netlink bytes")
	// ErrNoEncoding: a rule in a form that nft compiles in a way that is not known
	// here. The compiler writes none.
	ErrNoEncoding = errors.New("this form of a rule has no encoding")
	// ErrTooLarge: more than a batch can have.
	ErrTooLarge = errors.New("too large for one batch")
	// ErrTooLong: something does not fit where its length has to be written.
	ErrTooLong = errors.New("too long for a netlink attribute")
	// ErrNotSent: the kernel did not see the batch, so it may be brought another
	// way.
	ErrNotSent = errors.New("not sent")
)

func newBatch(family byte) *Batch {
	b := &Batch{family: family, bytes: make([]byte, 0, 1024)}
	b.header(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	return b
}

// header begins a message. Its length is set by [Batch.close].
func (b *Batch) header(kind, flags uint16, family byte, resource uint16) {
	start := len(b.bytes)
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, unix.NLMSG_HDRLEN+sizeofNfgenmsg)
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, kind)
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, unix.NLM_F_REQUEST|flags)
	// The sequence number says which message an error is about, and the port is
	// the kernel's to fill in.
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, b.offset(start))
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, 0)
	b.bytes = append(b.bytes, family, unix.NFNETLINK_V0)
	b.bytes = binary.BigEndian.AppendUint16(b.bytes, resource)
}

// sizeofNfgenmsg is of the header that all messages of netfilter have: struct nfgenmsg of
// linux/netfilter/nfnetlink.h.
const sizeofNfgenmsg = 4

// offset is a place or a length within the batch as the kernel has it. A batch that is
// longer than any socket's buffer is an error.
func (b *Batch) offset(n int) uint32 {
	if n > maxBatch {
		b.fail(n, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxBatch))
		return maxBatch
	}
	return uint32(n)
}

// begin opens a message of nftables for operation op.
func (b *Batch) begin(kind, flags uint16, set string, op int) {
	b.messages = append(b.messages, message{start: len(b.bytes), kind: kind, set: set})
	b.marks = append(b.marks, opMark{len(b.bytes), op})
	b.header(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, b.family, 0)
	// The table is the first attribute of all of them.
	b.text(unix.NFTA_RULE_TABLE, compiler.TableName)
}

// close sets the lengths of the message that is open.
func (b *Batch) close() {
	if len(b.messages) == 0 {
		return
	}
	m := b.messages[len(b.messages)-1]
	if m.list != 0 {
		b.endAttr(m.list)
	}
	binary.NativeEndian.PutUint32(b.bytes[m.start:], b.offset(len(b.bytes)-m.start))
}

// finish makes the batch ready to be sent. The last message asks for a word
// when it is done: no news is not good news.
func (b *Batch) finish() ([]byte, error) {
	b.close()
	if b.err != nil {
		return nil, b.err
	}
	last := b.messages[len(b.messages)-1].start
	flags := binary.NativeEndian.Uint16(b.bytes[last+6:])
	binary.NativeEndian.PutUint16(b.bytes[last+6:], flags|unix.NLM_F_ACK)
	b.header(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	if b.offset(len(b.bytes)); b.err != nil {
		return nil, b.err
	}
	return b.bytes, nil
}

// named opens a message about a named object: what is added, deleted or asked
// for by name has it as second attribute, but chains.
func (b *Batch) named(kind, flags uint16, name string, op int) {
	b.close()
	b.begin(kind, flags, "", op)
	switch kind {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		b.text(unix.NFTA_CHAIN_NAME, name)
	default:
		b.text(unix.NFTA_SET_NAME, name)
	}
}

func (b *Batch) text(kind uint16, s string) {
	start := b.beginAttr(kind)
	b.bytes = append(append(b.bytes, s...), 0)
	b.endAttr(start)
}

// uint32 is in network byte order, as all numbers of nftables are.
func (b *Batch) uint32(kind uint16, v uint32) {
	start := b.beginAttr(kind)
	b.bytes = binary.BigEndian.AppendUint32(b.bytes, v)
	b.endAttr(start)
}

func (b *Batch) uint64(kind uint16, v uint64) {
	start := b.beginAttr(kind)
	b.bytes = binary.BigEndian.AppendUint64(b.bytes, v)
	b.endAttr(start)
}

func (b *Batch) uint16(kind, v uint16) {
	start := b.beginAttr(kind)
	b.bytes = binary.BigEndian.AppendUint16(b.bytes, v)
	b.endAttr(start)
}

func (b *Batch) uint8(kind uint16, v uint8) {
	start := b.beginAttr(kind)
	b.bytes = append(b.bytes, v)
	b.endAttr(start)
}

// beginAttr opens an attribute and returns where it begins.
func (b *Batch) beginAttr(kind uint16) int {
	start := len(b.bytes)
	b.bytes = append(b.bytes, 0, 0)
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, kind)
	return start
}

// fail notes the first error, and which bytes it is about.
func (b *Batch) fail(at int, err error) {
	if b.err == nil {
		b.err, b.failedAt = err, at
	}
}

// endAttr sets the attribute's length, and pads what follows it. The lists that
// contain it count the padding. It is the one place that writes such a length, so
// nothing too long ever gets a length that is cut short.
func (b *Batch) endAttr(start int) {
	size := len(b.bytes) - start
	if size > maxAttr {
		b.fail(start, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, size, maxAttr))
		return
	}
	binary.NativeEndian.PutUint16(b.bytes[start:], uint16(size))
	for len(b.bytes)%4 != 0 {
		b.bytes = append(b.bytes, 0)
	}
}

// opAt finds the operation that the bytes at an offset are of.
func (b *Batch) opAt(offset int) int {
	op := 0
	for _, m := range b.marks {
		if m.start > offset {
			break
		}
		op = m.op
	}
	return op
}
