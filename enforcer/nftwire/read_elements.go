package nftwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// Elements reads those of one set, in the compiler's terms. What these cannot
// say is an error.
func (r Reader) Elements(s *compiler.Set) ([]compiler.Element, error) {
	if s.Key.Len() == 0 {
		return nil, fmt.Errorf("read set %s: unknown type of key", s.Name)
	}
	e := elementReader{set: s, bounds: s.Interval && s.Key.Len() == 1}
	err := r.ours(unix.NFT_MSG_GETSETELEM, s.Name, func() { e.out, e.ends = nil, nil }, func(a map[uint16][]byte) error {
		for item := range attrs(a[unix.NFTA_SET_ELEM_LIST_ELEMENTS]) {
			if err := e.take(item.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && e.bounds {
		err = e.pair()
	}
	if err != nil {
		return nil, fmt.Errorf("read set %s: %w", s.Name, err)
	}
	return e.out, nil
}

// elementReader reads the elements of a set.
type elementReader struct {
	set *compiler.Set
	out []compiler.Element
	// bounds: the kernel keeps the ends of ranges as elements of their own.
	bounds bool
	ends   []bound
}

// bound is where a range of addresses begins, or the address after its last.
type bound struct {
	addr netip.Addr
	end  bool
}

func (r *elementReader) take(b []byte) error {
	var key, keyEnd, data, object []byte
	var flags uint32
	for a := range attrs(b) {
		switch a.kind {
		case unix.NFTA_SET_ELEM_KEY:
			key = nested(a.value, unix.NFTA_DATA_VALUE)
		case nftaSetElemKeyEnd:
			keyEnd = nested(a.value, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_DATA:
			data = nested(a.value, unix.NFTA_DATA_VERDICT)
		case unix.NFTA_SET_ELEM_OBJREF:
			object = a.value
		case unix.NFTA_SET_ELEM_FLAGS:
			flags = number(a.value)
		case unix.NFTA_SET_ELEM_USERDATA:
			// A comment changes nothing.
		default:
			return fmt.Errorf("an element has attribute %d", a.kind)
		}
	}
	if r.bounds {
		addr, ok := netip.AddrFromSlice(key)
		if !ok {
			return fmt.Errorf("an element of %d bytes", len(key))
		}
		r.ends = append(r.ends, bound{addr, flags&unix.NFT_SET_ELEM_INTERVAL_END != 0})
		return nil
	}
	if flags != 0 {
		return fmt.Errorf("an element has flags %#x", flags)
	}
	e := compiler.Element{}
	var err error
	if e.Key, err = r.key(key, keyEnd); err != nil {
		return err
	}
	switch {
	case data != nil:
		e.Value = verdictOf(data)
	case object != nil:
		e.Value = compiler.MapValue{Do: compiler.DoCount, Name: zeroEnded(object)}
	}
	r.out = append(r.out, e)
	return nil
}

// key is a key in the compiler's form.
func (r *elementReader) key(first, last []byte) (compiler.Key, error) {
	out, err := appendKey(make([]byte, 0, 2*r.set.Key.Size()), r.set.Key, first)
	if err != nil || !r.set.Interval {
		return compiler.Key(out), err
	}
	if last == nil {
		last = first
	}
	out, err = appendKey(out, r.set.Key, last)
	return compiler.Key(out), err
}

// appendKey takes the padding out, and puts numbers of the host into network order.
func appendKey(out []byte, k compiler.KeyType, key []byte) ([]byte, error) {
	if len(key) != int(keySize(k)) {
		return out, fmt.Errorf("a key of %d bytes, not %d", len(key), keySize(k))
	}
	for _, t := range k[:k.Len()] {
		part := key[:t.Size()]
		key = key[padded(k, t):]
		if t.HostOrder() && len(part) == 4 {
			out = binary.BigEndian.AppendUint32(out, binary.NativeEndian.Uint32(part))
		} else {
			out = append(out, part...)
		}
	}
	return out, nil
}

func verdictOf(b []byte) compiler.MapValue {
	a := attrMap(b)
	out := compiler.MapValue{Do: compiler.DoOther, Name: zeroEnded(a[unix.NFTA_VERDICT_CHAIN])}
	switch int32(number(a[unix.NFTA_VERDICT_CODE])) {
	case unix.NFT_JUMP:
		out.Do = compiler.DoJump
	case unix.NFT_GOTO:
		out.Do = compiler.DoGoto
	case unix.NFT_RETURN:
		out.Do = compiler.DoReturn
	}
	return out
}

// pair makes ranges of their ends. A range to the end of the family has none.
func (r *elementReader) pair() error {
	slices.SortFunc(r.ends, func(a, b bound) int {
		if c := a.addr.Compare(b.addr); c != 0 || a.end == b.end {
			return c
		}
		if a.end {
			return -1
		}
		return 1
	})
	var first netip.Addr
	add := func(last []byte) {
		r.out = append(r.out, compiler.Element{Key: compiler.Key(append(first.AsSlice(), last...))})
		first = netip.Addr{}
	}
	for _, b := range r.ends {
		switch {
		case b.end && first.IsValid():
			if !first.Less(b.addr) {
				return errors.New("a range ends where it begins")
			}
			add(b.addr.Prev().AsSlice())
		case !b.end && first.IsValid():
			return fmt.Errorf("a range begins at %s within another", b.addr)
		case !b.end:
			first = b.addr
		}
	}
	if first.IsValid() {
		last := first.AsSlice()
		for i := range last {
			last[i] = 0xff
		}
		add(last)
	}
	return nil
}
