package nftwire

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// Refusal is the kernel's word that a batch failed, with nothing of it done. An
// errno says little by itself: ENOENT is of some object of the batch, whichever.
// So it comes with the operation that the kernel refused, and with what of it.
type Refusal struct {
	Errno unix.Errno
	// Op is what was refused; nil where that is not known.
	Op *compiler.Op
	// Culprit is the value of the attribute that the kernel points at, if it
	// points at one.
	Culprit []byte
	// text is what the kernel has to say besides.
	text string
	// offset is where in the batch the trouble is.
	offset int
}

func (r *Refusal) Error() string {
	out := r.Errno.Error()
	if r.text != "" {
		out += ": " + r.text
	}
	if r.Op != nil {
		out = inShort(*r.Op) + ": " + out
	}
	return out
}

func (r *Refusal) Unwrap() error { return r.Errno }

// Blames reports whether the kernel points at a name.
func (r *Refusal) Blames(name string) bool { return zeroEnded(r.Culprit) == name }

// blame finds the operation that the kernel refused, and the attribute in it.
func (r *Refusal) blame(b *Batch, ops []compiler.Op) {
	if len(ops) == 0 {
		return
	}
	op := ops[b.opAt(r.offset)]
	r.Op = &op
	for _, m := range b.messages {
		if m.start == r.offset {
			return // the message as a whole
		}
	}
	if r.offset+unix.SizeofRtAttr > len(b.bytes) {
		return
	}
	size := int(binary.NativeEndian.Uint16(b.bytes[r.offset:]))
	if size >= unix.SizeofRtAttr && r.offset+size <= len(b.bytes) {
		r.Culprit = bytes.Clone(b.bytes[r.offset+unix.SizeofRtAttr : r.offset+size])
	}
}

// refusalOf reads an answer: the error's number, the header of the message that it
// answers, and attributes.
func refusalOf(flags uint16, payload []byte) Refusal {
	out := Refusal{Errno: errnoOf(payload)}
	if flags&unix.NLM_F_ACK_TLVS == 0 || flags&unix.NLM_F_CAPPED == 0 {
		return out
	}
	for a := range attrs(payload[unix.SizeofNlMsgerr:]) {
		switch {
		case a.kind == unix.NLMSGERR_ATTR_MSG:
			out.text = zeroEnded(a.value)
		case a.kind == unix.NLMSGERR_ATTR_OFFS && len(a.value) == 4:
			out.offset = int(binary.NativeEndian.Uint32(a.value))
		}
	}
	return out
}
