package connectivity

import "math/bits"

// bitset has a bit for each end, or for each class of addresses.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (s bitset) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s bitset) set(i int)      { s[i/64] |= 1 << (i % 64) }

func (s bitset) add(o bitset) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s bitset) meets(o bitset) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// within reports whether o has all of s.
func (s bitset) within(o bitset) bool {
	for i := range s {
		if s[i]&^o[i] != 0 {
			return false
		}
	}
	return true
}

// onlyCommon is the one bit that both have, -1 if there are none or several.
func (s bitset) onlyCommon(o bitset) int {
	only := -1
	for i := range s {
		word := s[i] & o[i]
		if word == 0 {
			continue
		}
		if only >= 0 || word&(word-1) != 0 {
			return -1
		}
		only = i*64 + bits.TrailingZeros64(word)
	}
	return only
}

func (s bitset) each(f func(int)) {
	for at, word := range s {
		for ; word != 0; word &= word - 1 {
			f(at*64 + bits.TrailingZeros64(word))
		}
	}
}
