package compiler

import (
	"fmt"
	"math/bits"
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

// Validate fails if the field has no room for the denied bit and three epochs.
func (m MarkLayout) Validate() error {
	if n := bits.OnesCount32(m.Mask); n < 3 {
		return fmt.Errorf("conntrack mark mask %#x has %d bits: at least 3 are needed", m.Mask, n)
	}
	return nil
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
