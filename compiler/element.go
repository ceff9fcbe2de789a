package compiler

import (
	"bytes"
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

// KeyText is a key of the set as nft writes it, empty for one of another size.
func (s *Set) KeyText(key Key) string { return string(s.appendKey(make([]byte, 0, 64), key)) }

func (s *Set) appendKey(out []byte, key Key) []byte {
	for i, part := range s.parts(key) {
		if i > 0 {
			out = append(out, " . "...)
		}
		out = part.appendText(out)
	}
	return out
}

// keyPart is a part of a key: a value of a type, or a range of them.
type keyPart struct {
	kind        DataType
	first, last string
}

// parts yields those of a key. A key of another size has none.
func (s *Set) parts(key Key) func(yield func(int, keyPart) bool) {
	return func(yield func(int, keyPart) bool) {
		first, last := string(key), string(key)
		if s.Interval {
			first, last = first[:len(key)/2], last[len(key)/2:]
		}
		if len(first) != s.Key.Size() || len(last) != len(first) {
			return
		}
		for i, kind := range s.Key[:s.Key.Len()] {
			n := kind.Size()
			if !yield(i, keyPart{kind, first[:n], last[:n]}) {
				return
			}
			first, last = first[n:], last[n:]
		}
	}
}

func (p keyPart) appendText(out []byte) []byte {
	switch {
	case p.first == p.last:
		return p.kind.appendText(out, valueOf(p.first))
	case p.kind == IPv4Addr || p.kind == IPv6Addr:
		from, _ := netip.AddrFromSlice([]byte(p.first))
		to, _ := netip.AddrFromSlice([]byte(p.last))
		return append(out, addrRange{from, to}.String()...)
	}
	return p.kind.appendText(append(p.kind.appendText(out, valueOf(p.first)), '-'), valueOf(p.last))
}

// keyTexts are the parts of a key as knftables has them.
func (s *Set) keyTexts(key Key) []string {
	var out []string
	for _, part := range s.parts(key) {
		out = append(out, string(part.appendText(nil)))
	}
	return out
}

// inTextOrder are the places of some keys in the order of their texts, which is the one
// for people. What first says comes before that.
func inTextOrder(n int, text func(out []byte, i int) []byte, first func(i, k int) int) []int {
	texts := make([]byte, 0, 24*n)
	ends := make([]int, n+1)
	places := make([]int, n)
	for i := range n {
		texts = text(texts, i)
		ends[i+1], places[i] = len(texts), i
	}
	slices.SortFunc(places, func(i, k int) int {
		return cmp.Or(first(i, k), bytes.Compare(texts[ends[i]:ends[i+1]], texts[ends[k]:ends[k+1]]))
	})
	return places
}

// byText are the elements in the order of their texts.
func (s *Set) byText() []Element {
	places := inTextOrder(len(s.Elements),
		func(out []byte, i int) []byte { return s.appendKey(out, s.Elements[i].Key) },
		func(int, int) int { return 0 })
	out := make([]Element, len(places))
	for at, i := range places {
		out[at] = s.Elements[i]
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
