package nftwire

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// What nft notes beside an object, to list it as it was written: types with lengths of one
// byte, numbers of the host.
const (
	noteKeyOrder    = 0
	noteValueOrder  = 1
	noteKeyOf       = 3
	noteInterval    = 6
	orderNone       = 0
	orderNetwork    = 2
	noteElementOpen = 1
)

// What nft notes of an expression.
const (
	expressionOf   = 0
	expressionData = 1

	concatOf = 13

	payloadOf     = 7
	payloadHeader = 0
	payloadPart   = 1
	payloadBase   = 2
	payloadOffset = 3
	payloadLength = 4

	extensionOf     = 8
	extensionHeader = 0
	extensionPart   = 1
)

// note appends a number.
func (b *Batch) note(kind byte, value uint32) {
	b.bytes = binary.NativeEndian.AppendUint32(append(b.bytes, kind, 4), value)
}

// beginNotes opens a list of notes and returns where it begins.
func (b *Batch) beginNotes(kind byte) int {
	b.bytes = append(b.bytes, kind, 0)
	return len(b.bytes) - 1
}

func (b *Batch) endNotes(start int) {
	size := len(b.bytes) - start - 1
	if size > 0xff {
		b.fail(start, fmt.Errorf("%w: %d bytes of notes, at most %d", ErrTooLong, size, 0xff))
		return
	}
	b.bytes[start] = byte(size)
}

// beginUserdata opens the attribute with the notes beside an object.
func (b *Batch) beginUserdata(kind uint16) int { return b.beginAttr(kind) }

func (b *Batch) endUserdata(start int) {
	if size := len(b.bytes) - start - unix.SizeofRtAttr; size >= maxUserdata {
		b.fail(start, fmt.Errorf("%w: %d bytes of notes, fewer than %d", ErrTooLong, size, maxUserdata))
	}
	b.endAttr(start)
}

// comment is as nft keeps it: type 0, length, text with a zero at its end.
func (b *Batch) comment(text string) {
	if text == "" {
		return
	}
	data := b.beginUserdata(unix.NFTA_RULE_USERDATA)
	start := b.beginNotes(0)
	b.bytes = append(append(b.bytes, text...), 0)
	b.endNotes(start)
	b.endUserdata(data)
}

// noteField notes where the values of a rule's own set come from.
func (b *Batch) noteField(f *field) {
	b.note(noteKeyOrder, orderNetwork)
	of := b.beginNotes(noteKeyOf)
	kind := uint32(payloadOf)
	if f.from == fromExtension {
		kind = extensionOf
	}
	b.note(expressionOf, kind)
	data := b.beginNotes(expressionData)
	switch f.from {
	case fromExtension:
		b.note(extensionPart, f.part)
		b.note(extensionHeader, f.header)
	default:
		b.note(payloadHeader, f.header)
		b.note(payloadPart, f.part)
		if f.header == 0 {
			b.note(payloadBase, f.base+1)
			b.note(payloadOffset, 8*f.offset)
			b.note(payloadLength, 8*f.size)
		}
	}
	b.endNotes(data)
	b.endNotes(of)
}
