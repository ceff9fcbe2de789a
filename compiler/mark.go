package compiler

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// DefaultMask is bits 24 to 31 and 12 to 13 of the conntrack mark. They keep
// off the bits that others use: AWS VPC CNI 0x80, Istio 0x111, Cilium 0xf00,
// kube-proxy 0x4000 and 0x8000, Tailscale 0xff0000.
const DefaultMask uint32 = 0xff003000

// MarkLayout is the field of the conntrack mark that is ours. It need not be
// contiguous. The highest bit says "denied", the others hold the epoch: the
// policy generation under which the connection was last judged, 0 for none.
type MarkLayout struct {
	Mask uint32
}

// MinMarkBits and MaxMarkBits bound the size of the field.
//
// An epoch that was retired may still be written by packets in flight and is not
// issued anew for 5 seconds. An agent that changes something without a pause
// retires one every 50 ms, so 100 wait at a time; one more is in force, and 16
// are the reserve at which it looks in the background which others are free.
// 7 bits hold 127 of them, and the denied bit is the eighth. With fewer an agent
// would run out under load, and changes would wait for dumps of all connections.
// Each dump lists the free values: beyond 16 bits that list only costs memory.
const (
	MinMarkBits = 8
	MaxMarkBits = 16
)

// Validate fails if the field has no room for the denied bit and enough epochs,
// or more than is of use.
func (m MarkLayout) Validate() error {
	if n := bits.OnesCount32(m.Mask); n < MinMarkBits || n > MaxMarkBits {
		return fmt.Errorf("conntrack mark mask %#x has %d bits: want %d to %d, such as %#x", m.Mask, n, MinMarkBits, MaxMarkBits, DefaultMask)
	}
	return nil
}

// ParseMask reads a field as users write it, and validates it.
func ParseMask(s string) (MarkLayout, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(s), "0x")
	mask, err := strconv.ParseUint(digits, 16, 32)
	if !ok || err != nil {
		return MarkLayout{}, fmt.Errorf("%q is no mask of the conntrack mark: want one hexadecimal number of 32 bits, %d to %d of them set, such as %#x", s, MinMarkBits, MaxMarkBits, DefaultMask)
	}
	m := MarkLayout{Mask: uint32(mask)}
	return m, m.Validate()
}

// Denied is the bit that marks a connection whose last judgement was a denial.
func (m MarkLayout) Denied() uint32 {
	if m.Mask == 0 {
		return 0
	}
	return 1 << (31 - bits.LeadingZeros32(m.Mask))
}

// Epochs is the number of epoch values: valid ones are 1 to Epochs()-1.
func (m MarkLayout) Epochs() uint32 {
	n := bits.OnesCount32(m.Mask)
	if n == 0 {
		return 0
	}
	return 1 << (n - 1)
}

// Encode spreads an epoch over the bits of the field. Bits that do not fit are
// dropped.
func (m MarkLayout) Encode(epoch uint32) uint32 {
	var out uint32
	for rest := m.Mask &^ m.Denied(); rest != 0 && epoch != 0; rest &= rest - 1 {
		if epoch&1 != 0 {
			out |= rest & -rest
		}
		epoch >>= 1
	}
	return out
}

// Decode reads the epoch of a conntrack mark.
func (m MarkLayout) Decode(mark uint32) uint32 {
	var out uint32
	shift := 0
	for rest := m.Mask &^ m.Denied(); rest != 0; rest &= rest - 1 {
		if mark&rest&-rest != 0 {
			out |= 1 << shift
		}
		shift++
	}
	return out
}
