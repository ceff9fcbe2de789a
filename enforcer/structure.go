package enforcer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// object adds, deletes or flushes what has a name.
func (b *nlBatch) object(op int, do compiler.Op) error {
	switch o := do.Object.(type) {
	case *knftables.Table:
		b.named(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "", op)
		b.uint32(unix.NFTA_TABLE_FLAGS, 0)
	case *knftables.Chain:
		return b.chain(op, do.Verb, o)
	case *knftables.Counter:
		b.counter(op, do.Verb, o.Name)
	case *knftables.Set:
		if do.Verb == compiler.Delete {
			b.deleteSet(op, o.Name)
			return nil
		}
		return b.addSet(op, o.Name, o.Type, o.Flags)
	case *knftables.Map:
		if do.Verb == compiler.Delete {
			b.deleteSet(op, o.Name)
			return nil
		}
		return b.addSet(op, o.Name, o.Type, o.Flags)
	default:
		return errNotForLane
	}
	return nil
}

// named opens a message about a named object: what is added, deleted or asked
// for by name has it as second attribute, but chains.
func (b *nlBatch) named(kind, flags uint16, name string, op int) {
	b.close()
	b.begin(kind, flags, "", op)
	switch kind {
	case unix.NFT_MSG_NEWTABLE:
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		b.text(unix.NFTA_CHAIN_NAME, name)
	default:
		b.text(unix.NFTA_SET_NAME, name)
	}
}

func (b *nlBatch) chain(op int, verb compiler.Verb, c *knftables.Chain) error {
	switch verb {
	case compiler.Flush:
		b.flush(c.Name, op)
	case compiler.Delete:
		b.named(unix.NFT_MSG_DELCHAIN, 0, c.Name, op)
	default:
		b.named(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, c.Name, op)
		if c.Type != nil {
			return b.hook(c)
		}
	}
	return nil
}

// isPlain: no base chain.
func isPlain(c *knftables.Chain) bool {
	return c.Type == nil && c.Hook == nil && c.Priority == nil && c.Policy == nil && c.Device == nil
}

// isGuard: a base chain on a device, with all that belongs to one.
func isGuard(c *knftables.Chain) bool {
	return c.Type != nil && *c.Type == knftables.FilterType && c.Hook != nil && c.Priority != nil && c.Policy != nil && c.Device != nil && *c.Device != ""
}

func (b *nlBatch) hook(c *knftables.Chain) error {
	priority, err := strconv.ParseInt(string(*c.Priority), 10, 32)
	hooks := map[knftables.BaseChainHook]uint32{knftables.IngressHook: 0, knftables.EgressHook: 1}
	policies := map[knftables.BaseChainPolicy]uint32{knftables.DropPolicy: 0, knftables.AcceptPolicy: 1}
	hook, known := hooks[*c.Hook]
	policy, alsoKnown := policies[*c.Policy]
	if err != nil || !known || !alsoKnown || strings.ContainsAny(*c.Device, "*\\\"\x00") {
		return errNotForLane
	}
	b.text(unix.NFTA_CHAIN_TYPE, string(*c.Type))
	b.uint32(unix.NFTA_CHAIN_POLICY, policy)
	outer := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_CHAIN_HOOK)
	b.uint32(unix.NFTA_HOOK_HOOKNUM, hook)
	b.uint32(unix.NFTA_HOOK_PRIORITY, uint32(int32(priority)))
	b.text(unix.NFTA_HOOK_DEV, *c.Device)
	b.endAttr(outer)
	return nil
}

func (b *nlBatch) counter(op int, verb compiler.Verb, name string) {
	if verb == compiler.Delete {
		b.named(unix.NFT_MSG_DELOBJ, 0, name, op)
		b.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		return
	}
	b.named(unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE, name, op)
	b.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	data := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_OBJ_DATA)
	for _, kind := range []uint16{unix.NFTA_COUNTER_BYTES, unix.NFTA_COUNTER_PACKETS} {
		one := b.beginAttr(kind)
		b.bytes = binary.BigEndian.AppendUint64(b.bytes, 0)
		b.endAttr(one)
	}
	b.endAttr(data)
}

func (b *nlBatch) deleteSet(op int, name string) {
	b.named(unix.NFT_MSG_DELSET, 0, name, op)
	b.sets[name] = nil
}

// verdictType is the number of the type of verdicts.
const verdictType = 0xffffff00

// addSet makes a set of addresses, or of a concatenation with ports, or a map
// from the latter to verdicts.
func (b *nlBatch) addSet(op int, name, kind string, flags []knftables.SetFlag) error {
	l := layoutOf(kind, nil)
	interval := slices.Equal(flags, []knftables.SetFlag{knftables.IntervalFlag})
	if l == nil || l.value == counterValue || len(flags) > 0 && !interval || slices.ContainsFunc(l.parts, func(p part) bool { return p >= interfacePart }) {
		return fmt.Errorf("set %s: %w", name, errNotForLane)
	}
	if len(l.parts) == 1 && (l.value != noValue || l.parts[0] != ipv4Part && l.parts[0] != ipv6Part) {
		return fmt.Errorf("set %s: %w", name, errNotForLane)
	}
	l.interval, l.open = interval, true
	b.named(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, name, op)
	var bits, number uint32
	if interval {
		bits |= unix.NFT_SET_INTERVAL
		if len(l.parts) > 1 {
			bits |= setConcat
		}
	}
	if l.value == verdictValue {
		bits |= unix.NFT_SET_MAP
	}
	for _, p := range l.parts {
		number = number<<partBits | p.number()
	}
	b.uint32(unix.NFTA_SET_FLAGS, bits)
	b.uint32(unix.NFTA_SET_KEY_TYPE, number)
	b.uint32(unix.NFTA_SET_KEY_LEN, l.keySize())
	if l.value == verdictValue {
		b.uint32(unix.NFTA_SET_DATA_TYPE, verdictType)
		b.uint32(unix.NFTA_SET_DATA_LEN, 0)
	}
	b.newSets++
	b.uint32(unix.NFTA_SET_ID, b.newSets)
	if interval && len(l.parts) > 1 {
		b.fieldLengths(l)
	}
	b.userdata(unix.NFTA_SET_USERDATA, l.userdata())
	b.sets[name] = l
	return nil
}

// fieldLengths tells the kernel where ranges of a concatenation have their ends.
func (b *nlBatch) fieldLengths(l *layout) {
	outer := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_SET_DESC)
	list := b.beginAttr(unix.NLA_F_NESTED | setDescConcat)
	for _, p := range l.parts {
		one := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
		b.uint32(setFieldLen, uint32(p.size()))
		b.endAttr(one)
	}
	b.endAttr(list)
	b.endAttr(outer)
}

// These are missing in package unix.
const (
	setDescConcat = 2
	setFieldLen   = 1
)

// What nft notes beside a set, to list it as it was written: types with lengths,
// numbers of the host.
const (
	noteKeyOrder    = 0
	noteValueOrder  = 1
	noteKeyOf       = 3
	noteInterval    = 6
	orderNone       = 0
	orderNetwork    = 2
	expressionOf    = 0
	expressionData  = 1
	concatOf        = 13
	noteElementOpen = 1
)

func note(kind byte, value uint32) []byte {
	return binary.NativeEndian.AppendUint32([]byte{kind, 4}, value)
}

// notes has a length of one byte: what is too long for that is too long for
// [nlBatch.userdata] as well, which refuses it.
func notes(kind byte, inner ...[]byte) []byte {
	all := slices.Concat(inner...)
	return append([]byte{kind, byte(len(all))}, all...)
}

func (l *layout) userdata() []byte {
	if len(l.parts) == 1 {
		return note(noteKeyOrder, orderNetwork)
	}
	out := note(noteKeyOrder, orderNone)
	if l.value == verdictValue {
		out = append(out, note(noteValueOrder, 0)...)
	}
	out = append(out, notes(noteKeyOf, note(expressionOf, concatOf), []byte{expressionData, 0})...)
	if l.value == verdictValue {
		out = append(out, note(noteInterval, 0)...)
	}
	return out
}

func (b *nlBatch) userdata(kind uint16, data []byte) {
	start := b.beginAttr(kind)
	if len(data) >= maxUserdata {
		b.fail(start, fmt.Errorf("%w: %d bytes of notes, fewer than %d", errTooLong, len(data), maxUserdata))
	}
	b.bytes = append(b.bytes, data...)
	b.endAttr(start)
}

// rangeOf adds a range of addresses: an element where it begins, and one where
// it has ended. Before the first range of a set that leaves something out
// before it, nft puts an end that has no beginning.
func (b *nlBatch) rangeOf(l *layout, key []string) error {
	if len(key) != 1 {
		return errNotForLane
	}
	first, last, ok := addressesOf(key[0])
	if !ok || first.Is4() != (l.parts[0] == ipv4Part) {
		return fmt.Errorf("range %q: %w", key, errNotForLane)
	}
	if !l.begun && first.Prev().IsValid() {
		b.bound(make([]byte, l.parts[0].size()), true, false)
	}
	after := last.Next()
	b.bound(first.AsSlice(), false, !after.IsValid())
	if after.IsValid() {
		b.bound(after.AsSlice(), true, false)
	}
	return nil
}

func (b *nlBatch) bound(key []byte, end, open bool) {
	element := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
	if end {
		b.uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	b.rawKey(key)
	if open {
		b.userdata(unix.NFTA_SET_ELEM_USERDATA, note(noteElementOpen, 1))
	}
	b.endAttr(element)
}

func (b *nlBatch) rawKey(key []byte) {
	outer := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_SET_ELEM_KEY)
	inner := b.beginAttr(unix.NFTA_DATA_VALUE)
	b.bytes = append(b.bytes, key...)
	b.endAttr(inner)
	b.endAttr(outer)
}

// addressesOf reads an address, a prefix, or two addresses with a dash.
func addressesOf(text string) (first, last netip.Addr, ok bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		p = p.Masked()
		end := p.Addr().AsSlice()
		for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
			end[bit/8] |= 1 << (7 - bit%8)
		}
		last, ok = netip.AddrFromSlice(end)
		return p.Addr(), last, ok
	}
	from, to, dashed := strings.Cut(text, "-")
	if !dashed {
		to = from
	}
	first, err := netip.ParseAddr(from)
	if err != nil || first.Zone() != "" {
		return first, last, false
	}
	last, err = netip.ParseAddr(to)
	return first, last, err == nil && last.Zone() == "" && first.Is4() == last.Is4() && !last.Less(first)
}

// ends splits a key whose port may be a range of ports.
func (l *layout) ends(key []string) (first, last []string) {
	at := slices.Index(l.parts, portPart)
	if at < 0 || at >= len(key) {
		return key, key
	}
	from, to, dashed := strings.Cut(key[at], "-")
	if !dashed {
		return key, key
	}
	first, last = slices.Clone(key), slices.Clone(key)
	first[at], last[at] = from, to
	return first, last
}
