package compiler

import (
	"encoding/binary"
	"net/netip"
	"unique"

	"github.com/sluice-net/sluice/policy"
)

// peerClass is the peers of some rules together.
type peerClass struct {
	peers
	// key is that of the peers, id another number for each that was ever made.
	key unique.Handle[string]
	id  uint64
}

// terms is how many peers there are to name.
func (p *peers) terms() int { return len(p.groups) + len(p.ranges) }

// peerMemo remembers what rules came to when they were compiled last, for whoever has one
// rule more or less has nearly all of them again. It only spares work: whatever comes out
// is the same without it, and it may forget at any time.
type peerMemo struct {
	made uint64
	// single are the peers of one rule, by what it says of them, unions those of several,
	// by the numbers of their parts.
	single, unions recent[*peerClass]
	// singlePorts and portUnions are the same of ports.
	singlePorts, portUnions recent[*portClass]
	// chains are names, by the numbers of classes that the chain leads to and what else
	// makes it.
	chains recent[string]
	key    []byte
}

func newPeerMemo() *peerMemo { return &peerMemo{} }

// recent remembers what was asked for lately: between remembered and twice as many.
type recent[V any] struct {
	young, old map[string]V
}

// remembered is more than the largest allow set has.
const remembered = 1 << 16

func (r *recent[V]) get(key []byte) (value V, known bool) {
	if value, known = r.young[string(key)]; known {
		return value, true
	}
	if value, known = r.old[string(key)]; known {
		r.put(key, value)
	}
	return value, known
}

func (r *recent[V]) put(key []byte, value V) {
	if len(r.young) >= remembered {
		r.old, r.young = r.young, nil
	}
	if r.young == nil {
		r.young = map[string]V{}
	}
	r.young[string(key)] = value
}

// part says which peers of a rule are meant.
type part byte

const (
	allPeers part = iota
	// onlyRanges leaves out groups, exceptRanges the address ranges.
	onlyRanges
	exceptRanges
)

// union is all of some peers together.
func (m *peerMemo) union(parts []*peerClass) *peerClass {
	if len(parts) == 1 {
		return parts[0]
	}
	m.key = m.key[:0]
	for _, p := range parts {
		m.key = binary.LittleEndian.AppendUint64(m.key, p.id)
	}
	if known, ok := m.unions.get(m.key); ok {
		return known
	}
	all := make([]peers, len(parts))
	for i, p := range parts {
		all[i] = p.peers
	}
	out := m.class(uniteAll(all))
	m.unions.put(m.key, out)
	return out
}

// of is the peers of one rule, or some of them: whoever lets every address pass has no
// ranges.
func (m *peerMemo) of(r *policy.AllowRule, f family, of part) *peerClass {
	m.key = append(m.key[:0], byte(f), byte(of))
	if r.AllPeers {
		m.key = append(m.key, '*')
	}
	for i := range r.Groups {
		m.key = append(binary.LittleEndian.AppendUint32(append(m.key, 'g'), uint32(len(r.Groups[i].Group))), r.Groups[i].Group...)
	}
	for i := range r.Blocks {
		m.key = appendBlock(m.key, &r.Blocks[i].Block)
	}
	if known, ok := m.single.get(m.key); ok {
		return known
	}
	p := unitePeers([]policy.AllowRule{*r}, f, func(*policy.AllowRule) bool { return true })
	switch of {
	case onlyRanges:
		p.any, p.groups = false, nil
	case exceptRanges:
		p.ranges = nil
	}
	out := m.class(p)
	m.single.put(m.key, out)
	return out
}

func (m *peerMemo) class(p peers) *peerClass {
	m.made++
	return &peerClass{peers: p, key: unique.Make(p.key()), id: m.made}
}

func appendBlock(out []byte, b *policy.IPBlock) []byte {
	out = appendPrefix(append(out, 'b'), b.CIDR)
	for _, e := range b.Except {
		out = appendPrefix(append(out, 'e'), e)
	}
	return out
}

func appendPrefix(out []byte, p netip.Prefix) []byte {
	a := p.Addr().As16()
	return append(append(out, byte(p.Addr().BitLen()), byte(p.Bits())), a[:]...)
}

// ports are all of some ports together.
func (m *peerMemo) ports(parts []*portClass) *portClass {
	if len(parts) == 1 {
		return parts[0]
	}
	m.key = m.key[:0]
	var all []portSpan
	for _, p := range parts {
		m.key = binary.LittleEndian.AppendUint64(m.key, p.id)
	}
	if known, ok := m.portUnions.get(m.key); ok {
		return known
	}
	for _, p := range parts {
		all = append(all, p.spans...)
	}
	out := m.portClass(all)
	m.portUnions.put(m.key, out)
	return out
}

// portsOf is those of one rule.
func (m *peerMemo) portsOf(r *policy.AllowRule) *portClass {
	m.key = m.key[:0]
	for _, p := range r.Ports {
		m.key = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(append(m.key, byte(p.Protocol)), p.First), p.Last)
	}
	if known, ok := m.singlePorts.get(m.key); ok {
		return known
	}
	var spans []portSpan
	for _, p := range r.Ports {
		if p.First <= p.Last {
			spans = append(spans, portSpan{protocol: p.Protocol, first: p.First, last: p.Last})
		}
	}
	out := m.portClass(spans)
	m.singlePorts.put(m.key, out)
	return out
}

func (m *peerMemo) portClass(spans []portSpan) *portClass {
	m.made++
	out := &portClass{spans: uniteSpans(spans), id: m.made}
	out.key = spansKey(out.spans)
	return out
}
