package compiler

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
)

// KeyType is the types of a set's key in order, up to four; the rest is [NoType].
type KeyType [4]DataType

func keyType(parts ...DataType) (out KeyType) {
	copy(out[:], parts)
	return out
}

// Len is how many parts a key has.
func (k KeyType) Len() int {
	n := 0
	for n < len(k) && k[n] != NoType {
		n++
	}
	return n
}

// Size is how many bytes a [Key] has that is no range.
func (k KeyType) Size() int {
	n := 0
	for _, part := range k[:k.Len()] {
		n += part.Size()
	}
	return n
}

// String is the type as nft writes it.
func (k KeyType) String() string {
	names := make([]string, k.Len())
	for i := range names {
		names[i] = k[i].String()
	}
	return strings.Join(names, " . ")
}

// fields is the key as rules write it, for sets whose type has no name.
func (k KeyType) fields() string {
	names := make([]string, k.Len())
	for i := range names {
		switch k[i] {
		case Integer:
			names[i] = NeighbourTarget.String()
		case IfIndex:
			names[i] = "meta " + PortIn.String()
		default:
			names[i] = k[i].String()
		}
	}
	return strings.Join(names, " . ")
}

// Key is the key of an element: its parts in network order, one after the other. In a
// set with intervals the first key of the range comes first, and then the last.
type Key string

func addrKey(a netip.Addr) Key {
	v := AddrValue(a)
	return Key(v.Bytes())
}

func indexKey(port int) Key { return Key(binary.BigEndian.AppendUint32(nil, uint32(port))) }

// interfaceKey is the name filled up with zeroes.
func interfaceKey(name string) Key {
	v := InterfaceIn.Text(name)
	return Key(v.Bytes())
}

// appendPort is a part of type [InetService].
func appendPort(out []byte, port uint16) []byte { return binary.BigEndian.AppendUint16(out, port) }

// ValueType is what the elements of a map have.
type ValueType uint8

const (
	// NoValue is of a set.
	NoValue ValueType = iota
	VerdictValue
	CounterValue
)

// String is the type as nft writes it.
func (t ValueType) String() string { return [...]string{"", "verdict", "counter"}[t] }

// MapValue is what an element of a map has; the zero value is that of a set's.
type MapValue struct {
	// Do is what kind of value it is.
	Do MapAction
	// Name is of the chain or the counter.
	Name string
}

// MapAction is a kind of value.
type MapAction uint8

const (
	Nothing MapAction = iota
	DoReturn
	DoJump
	DoGoto
	DoCount
	// DoOther is a verdict that no map of ours has, as others may have put it there.
	DoOther
)

func (v MapValue) appendText(out []byte) []byte {
	switch v.Do {
	case DoReturn:
		return append(out, "return"...)
	case DoJump:
		return append(append(out, "jump "...), v.Name...)
	case DoGoto:
		return append(append(out, "goto "...), v.Name...)
	}
	return append(out, v.Name...)
}

// Element is an element of a set, with its value if the set is a map.
type Element struct {
	Key   Key
	Value MapValue
}

// KeyText is a key of the set as nft writes it.
func (s *Set) KeyText(key Key) string { return string(s.appendKey(nil, key)) }

func (s *Set) appendKey(out []byte, key Key) []byte {
	for i, part := range s.keyParts(key) {
		if i > 0 {
			out = append(out, " . "...)
		}
		out = append(out, part...)
	}
	return out
}

// keyParts are the texts of a key's parts. A key of another size has none.
func (s *Set) keyParts(key Key) []string {
	first, last := string(key), string(key)
	if s.Interval {
		first, last = first[:len(key)/2], last[len(key)/2:]
	}
	if len(first) != s.Key.Size() || len(last) != len(first) {
		return nil
	}
	out := make([]string, s.Key.Len())
	for i := range out {
		n := s.Key[i].Size()
		out[i] = partText(s.Key[i], []byte(first[:n]), []byte(last[:n]))
		first, last = first[n:], last[n:]
	}
	return out
}

// partText is a value, or a range of values.
func partText(kind DataType, first, last []byte) string {
	if string(first) == string(last) {
		return string(kind.appendText(nil, first))
	}
	if kind == IPv4Addr || kind == IPv6Addr {
		from, _ := netip.AddrFromSlice(first)
		to, _ := netip.AddrFromSlice(last)
		return addrRange{from, to}.String()
	}
	return string(kind.appendText(append(kind.appendText(nil, first), '-'), last))
}

// byText are the elements in the order of their texts, for whoever reads them.
func (s *Set) byText() []Element {
	type written struct {
		text string
		Element
	}
	list := make([]written, len(s.Elements))
	for i, e := range s.Elements {
		list[i] = written{s.KeyText(e.Key), e}
	}
	slices.SortFunc(list, func(a, b written) int { return cmp.Compare(a.text, b.text) })
	out := make([]Element, len(list))
	for i := range list {
		out[i] = list[i].Element
	}
	return out
}

func sortElements(list []Element) []Element {
	slices.SortFunc(list, func(a, b Element) int { return cmp.Compare(a.Key, b.Key) })
	return list
}

// key is a stretch of ports, as sets without intervals have it if it is one port.
func (s portSpan) key(interval bool) Key {
	protocol := byte(s.protocol)
	out := append(appendPort(make([]byte, 0, 6), s.first), protocol)
	if interval {
		out = append(appendPort(out, s.last), protocol)
	}
	return Key(out)
}

func (r addrRange) key() Key { return addrKey(r.first) + addrKey(r.last) }
