package nftwire

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// typeNumbers are those that nft gives the types of keys.
var typeNumbers = map[compiler.DataType]uint32{
	compiler.IPv4Addr: typeIPv4, compiler.IPv6Addr: typeIPv6, compiler.InetProto: typeProtocol, compiler.InetService: typeService,
	compiler.IfName: typeIfName, compiler.IfIndex: typeIfIndex, compiler.EtherAddr: typeEther, compiler.Integer: typeInteger,
}

// addSet makes a set of addresses, or of a concatenation with ports, or a map
// from the latter to verdicts: those that policies make.
func (b *Batch) addSet(op int, s *compiler.Set) error {
	parts := s.Key[:s.Key.Len()]
	switch {
	case b.family != unix.NFPROTO_INET || s.Dynamic() || s.Value == compiler.CounterValue,
		slices.ContainsFunc(parts, func(t compiler.DataType) bool { return t > compiler.InetService }),
		len(parts) == 0,
		len(parts) == 1 && (s.Value != compiler.NoValue || parts[0] > compiler.IPv6Addr):
		return ErrUnsupported
	}
	b.named(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, s.Name, op)
	var flags, kind uint32
	if s.Interval {
		flags |= unix.NFT_SET_INTERVAL
		if len(parts) > 1 {
			flags |= setConcat
		}
	}
	if s.Value == compiler.VerdictValue {
		flags |= unix.NFT_SET_MAP
	}
	for _, t := range parts {
		kind = kind<<typeBits | typeNumbers[t]
	}
	b.uint32(unix.NFTA_SET_FLAGS, flags)
	b.uint32(unix.NFTA_SET_KEY_TYPE, kind)
	b.uint32(unix.NFTA_SET_KEY_LEN, keySize(s.Key))
	if s.Value == compiler.VerdictValue {
		b.uint32(unix.NFTA_SET_DATA_TYPE, typeVerdict)
		b.uint32(unix.NFTA_SET_DATA_LEN, 0)
	}
	b.newSets++
	b.uint32(unix.NFTA_SET_ID, b.newSets)
	if s.Interval && len(parts) > 1 {
		b.fieldLengths(parts)
	}
	b.noteSet(s)
	return nil
}

// keySize is how long a key is. Each part of several fills whole registers.
func keySize(k compiler.KeyType) uint32 {
	var out uint32
	for _, t := range k[:k.Len()] {
		out += padded(k, t)
	}
	return out
}

func padded(k compiler.KeyType, t compiler.DataType) uint32 {
	size := uint32(t.Size())
	if k.Len() == 1 {
		return size
	}
	return 4 * words(size)
}

// These are missing in package unix.
const (
	setDescConcat     = 2
	setFieldLen       = 1
	nftaSetElemKeyEnd = 10
)

// fieldLengths tells the kernel where ranges of a concatenation have their ends.
func (b *Batch) fieldLengths(parts []compiler.DataType) {
	outer := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_SET_DESC)
	list := b.beginAttr(unix.NLA_F_NESTED | setDescConcat)
	for _, t := range parts {
		one := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
		b.uint32(setFieldLen, uint32(t.Size()))
		b.endAttr(one)
	}
	b.endAttr(list)
	b.endAttr(outer)
}

// noteSet notes what nft notes beside such a set.
func (b *Batch) noteSet(s *compiler.Set) {
	start := b.beginUserdata(unix.NFTA_SET_USERDATA)
	if s.Key.Len() == 1 {
		b.note(noteKeyOrder, orderNetwork)
		b.endUserdata(start)
		return
	}
	isMap := s.Value == compiler.VerdictValue
	b.note(noteKeyOrder, orderNone)
	if isMap {
		b.note(noteValueOrder, 0)
	}
	of := b.beginNotes(noteKeyOf)
	b.note(expressionOf, concatOf)
	b.endNotes(b.beginNotes(expressionData))
	b.endNotes(of)
	if isMap {
		b.note(noteInterval, 0)
	}
	b.endUserdata(start)
}

func (b *Batch) deleteSet(op int, name string) { b.named(unix.NFT_MSG_DELSET, 0, name, op) }

// element adds or deletes an element. Those of one set that follow each other
// share a message.
func (b *Batch) element(op int, verb compiler.Verb, e *compiler.SetElement) error {
	s, kind := e.Set, uint16(unix.NFT_MSG_NEWSETELEM)
	if verb == compiler.Delete {
		kind = unix.NFT_MSG_DELSETELEM
	}
	first, last := string(e.Key), string(e.Key)
	if s.Interval {
		first, last = first[:len(first)/2], last[len(last)/2:]
	}
	// Sets with ranges never change in place, and deleting from them what was
	// never added deletes something else.
	if len(first) != s.Key.Size() || len(last) != len(first) || s.Interval && verb == compiler.Delete {
		return ErrUnsupported
	}
	begun := b.listOf(kind, s.Name, 0, op)
	b.marks = append(b.marks, opMark{len(b.bytes), op})
	if s.Interval && s.Key.Len() == 1 {
		return b.addrRange(first, last, begun)
	}
	element := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
	b.key(unix.NFTA_SET_ELEM_KEY, s.Key, first)
	if s.Interval {
		b.key(nftaSetElemKeyEnd, s.Key, last)
	}
	if kind == unix.NFT_MSG_NEWSETELEM {
		if err := b.value(s.Value, e.Value); err != nil {
			return err
		}
	}
	b.endAttr(element)
	return nil
}

// listOf opens a message with elements of a set, or goes on with one, and reports
// whether it is the same. A set without a name of its own is known by its number in the
// batch.
func (b *Batch) listOf(kind uint16, set string, id uint32, op int) (goesOn bool) {
	if b.joins(kind, set) && id == 0 {
		return true
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
	return false
}

func (b *Batch) joins(kind uint16, set string) bool {
	if len(b.messages) == 0 {
		return false
	}
	m := b.messages[len(b.messages)-1]
	return m.list != 0 && m.kind == kind && m.set == set && len(b.bytes)-m.start < maxMessage
}

// key writes the parts of a key, in the order in which the kernel has them.
func (b *Batch) key(kind uint16, k compiler.KeyType, key string) {
	outer := b.beginAttr(unix.NLA_F_NESTED | kind)
	inner := b.beginAttr(unix.NFTA_DATA_VALUE)
	for _, t := range k[:k.Len()] {
		part := key[:t.Size()]
		key = key[t.Size():]
		if t.HostOrder() {
			b.bytes = appendHost(b.bytes, part)
		} else {
			b.bytes = append(b.bytes, part...)
		}
		for n := uint32(t.Size()); n < padded(k, t); n++ {
			b.bytes = append(b.bytes, 0)
		}
	}
	b.endAttr(inner)
	b.endAttr(outer)
}

func (b *Batch) value(kind compiler.ValueType, v compiler.MapValue) error {
	verdict := func(code int32) {
		data := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_SET_ELEM_DATA)
		b.verdict(code, v.Name)
		b.endAttr(data)
	}
	switch {
	case kind == compiler.NoValue && v.Do == compiler.Nothing:
	case kind == compiler.VerdictValue && v.Do == compiler.DoReturn:
		verdict(unix.NFT_RETURN)
	case kind == compiler.VerdictValue && v.Do == compiler.DoJump:
		verdict(unix.NFT_JUMP)
	case kind == compiler.VerdictValue && v.Do == compiler.DoGoto:
		verdict(unix.NFT_GOTO)
	case kind == compiler.CounterValue && v.Do == compiler.DoCount:
		b.text(unix.NFTA_SET_ELEM_OBJREF, v.Name)
	default:
		return fmt.Errorf("another value than the map's: %w", ErrUnsupported)
	}
	return nil
}

// addrRange adds a range of addresses: an element where it begins, and one where
// it has ended. Before the first range of a message that leaves something out
// before it, nft puts an end that has no beginning.
func (b *Batch) addrRange(first, last string, begun bool) error {
	from, ok := netip.AddrFromSlice([]byte(first))
	to, also := netip.AddrFromSlice([]byte(last))
	if !ok || !also || to.Less(from) {
		return ErrUnsupported
	}
	if !begun && from.Prev().IsValid() {
		b.bound(make([]byte, len(first)), true, false)
	}
	after := to.Next()
	b.bound([]byte(first), false, !after.IsValid())
	if after.IsValid() {
		b.bound(after.AsSlice(), true, false)
	}
	return nil
}

func (b *Batch) bound(key []byte, end, open bool) {
	element := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
	if end {
		b.uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	b.data(unix.NFTA_SET_ELEM_KEY, key, false)
	if open {
		notes := b.beginUserdata(unix.NFTA_SET_ELEM_USERDATA)
		b.note(noteElementOpen, 1)
		b.endUserdata(notes)
	}
	b.endAttr(element)
}

// ownSetName: the kernel puts a number in.
const ownSetName = "__set%d"

// ownSet makes a set for one rule and returns its number in the batch.
func (b *Batch) ownSet(op int, m compiler.OneOf) uint32 {
	f, size := &fields[m.Field], m.Field.Size()
	b.newSets++
	b.named(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, ownSetName, op)
	b.uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_ANONYMOUS|unix.NFT_SET_CONSTANT)
	b.uint32(unix.NFTA_SET_KEY_TYPE, f.setType)
	b.uint32(unix.NFTA_SET_KEY_LEN, f.size)
	b.uint32(unix.NFTA_SET_ID, b.newSets)
	outer := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_SET_DESC)
	b.uint32(unix.NFTA_SET_DESC_SIZE, b.offset(len(m.Values)/size))
	b.endAttr(outer)
	notes := b.beginUserdata(unix.NFTA_SET_USERDATA)
	b.noteField(f)
	b.endUserdata(notes)
	b.listOf(unix.NFT_MSG_NEWSETELEM, ownSetName, b.newSets, op)
	for at := 0; at+size <= len(m.Values); at += size {
		element := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
		b.data(unix.NFTA_SET_ELEM_KEY, []byte(m.Values[at:at+size]), hostOrder(m.Field))
		b.endAttr(element)
	}
	return b.newSets
}
