package enforcer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// readback reads what our table of one family holds. It is no part of a normal sync.
type readback struct {
	socket *nlsocket.Socket
	family byte
}

// read lists the table, whose elements can then be asked for as long as the
// socket is open. The zero value is that there is none.
func (r readback) read() (compiler.Found, error) {
	out := compiler.Found{Elements: r.elements}
	chains, err := r.chains()
	out.Chains = chains
	err = errors.Join(err,
		r.dump(unix.NFT_MSG_GETSET, "", func() { out.Sets = nil }, func(a map[uint16][]byte) error {
			flags := nlsocket.Number(a[unix.NFTA_SET_FLAGS])
			s := compiler.Set{Name: nlsocket.ZeroEnded(a[unix.NFTA_SET_NAME]), Interval: flags&unix.NFT_SET_INTERVAL != 0}
			if flags&(unix.NFT_SET_MAP|unix.NFT_SET_OBJECT) != 0 {
				s.Value = "verdict"
			}
			// Sets in rules come and go with their rules.
			if flags&unix.NFT_SET_ANONYMOUS == 0 {
				out.Sets = append(out.Sets, s)
			}
			return nil
		}),
		r.dump(unix.NFT_MSG_GETOBJ, "", func() { out.Counters = nil }, func(a map[uint16][]byte) error {
			name := nlsocket.ZeroEnded(a[unix.NFTA_OBJ_NAME])
			if nlsocket.Number(a[unix.NFTA_OBJ_TYPE]) != unix.NFT_OBJECT_COUNTER {
				return fmt.Errorf("object %s is no counter", name)
			}
			out.Counters = append(out.Counters, name)
			return nil
		}),
		r.dump(unix.NFT_MSG_GETFLOWTABLE, "", func() {}, func(map[uint16][]byte) error {
			return errors.New("there is a flowtable")
		}),
	)
	if err != nil {
		return compiler.Found{}, fmt.Errorf("read our table: %w", err)
	}
	return out, nil
}

// chains lists those of the table.
func (r readback) chains() (out []compiler.Chain, err error) {
	err = r.dump(unix.NFT_MSG_GETCHAIN, "", func() { out = nil }, func(a map[uint16][]byte) error {
		c := compiler.Chain{Name: nlsocket.ZeroEnded(a[unix.NFTA_CHAIN_NAME])}
		if a[unix.NFTA_CHAIN_HOOK] != nil {
			c.Hook = &compiler.Hook{}
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

// tables calls each for each table that bears our name.
func (r readback) tables(each func(family byte)) error {
	req := r.socket.Request(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_UNSPEC, Version: nl.NFNETLINK_V0})
	err := r.socket.Each(req, func(msg []byte) {
		if len(msg) >= nl.SizeofNfgenmsg && namesOurs(msg) {
			each(msg[0])
		}
	})
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	return nil
}

// rules calls each for each rule of the table, of chains in any order.
func (r readback) rules(reset func(), each func(chain string, expressions []byte)) error {
	err := r.dump(unix.NFT_MSG_GETRULE, "", reset, func(a map[uint16][]byte) error {
		each(nlsocket.ZeroEnded(a[unix.NFTA_RULE_CHAIN]), a[unix.NFTA_RULE_EXPRESSIONS])
		return nil
	})
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	return nil
}

// dump asks for all objects of a kind in our table, or for the elements of a
// set. An interrupted one is begun anew, after reset. In all kinds of messages
// the first attribute is the table's name.
func (r readback) dump(kind int, set string, reset func(), each func(map[uint16][]byte) error) error {
	var err error
	for range nlsocket.DumpTries {
		req := r.socket.Request(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: r.family, Version: nl.NFNETLINK_V0})
		if set != "" || kind == unix.NFT_MSG_GETSET {
			req.AddData(nl.NewRtAttr(unix.NFTA_SET_TABLE, nl.ZeroTerminated(compiler.TableName)))
		}
		if set != "" {
			req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_SET, nl.ZeroTerminated(set)))
		}
		reset()
		var bad error
		err = r.socket.Each(req, func(msg []byte) {
			if bad == nil && namesOurs(msg) && msg[0] == r.family {
				bad = each(nlsocket.AttrMap(msg[nl.SizeofNfgenmsg:]))
			}
		})
		// No table, no sets. A set that was listed and is gone is another matter:
		// to take it for empty would be to guess.
		if errors.Is(err, unix.ENOENT) && set == "" {
			return nil
		}
		if err == nil || !nlsocket.Interrupted(err) {
			return errors.Join(err, bad)
		}
	}
	return err
}

// elements reads those of one set, in the compiler's terms. What these cannot
// say is an error.
func (r readback) elements(s *compiler.Set) ([]compiler.Element, error) {
	layout := layoutOf(s.Type, nil)
	if s.Value != "" {
		layout = layoutOf(s.Type+" : "+s.Value, nil)
	}
	if layout == nil {
		return nil, fmt.Errorf("read set %s: unknown type %q", s.Name, s.Type)
	}
	e := elementReader{layout: layout, bounds: s.Interval && len(layout.parts) == 1}
	err := r.dump(unix.NFT_MSG_GETSETELEM, s.Name, func() { e.out, e.ends = nil, nil }, func(a map[uint16][]byte) error {
		for item := range nlsocket.Attrs(a[unix.NFTA_SET_ELEM_LIST_ELEMENTS]) {
			if err := e.take(item.Value); err != nil {
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

// elementReader puts the elements of a set into words.
type elementReader struct {
	layout *layout
	out    []compiler.Element
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
	for a := range nlsocket.Attrs(b) {
		switch a.Kind {
		case unix.NFTA_SET_ELEM_KEY:
			key = nlsocket.Nested(a.Value, unix.NFTA_DATA_VALUE)
		case nftaSetElemKeyEnd:
			keyEnd = nlsocket.Nested(a.Value, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_DATA:
			data = nlsocket.Nested(a.Value, unix.NFTA_DATA_VERDICT)
		case unix.NFTA_SET_ELEM_OBJREF:
			object = a.Value
		case unix.NFTA_SET_ELEM_FLAGS:
			flags = nlsocket.Number(a.Value)
		case unix.NFTA_SET_ELEM_USERDATA:
			// A comment changes nothing.
		default:
			return fmt.Errorf("an element has attribute %d", a.Kind)
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
	text, err := r.layout.text(key, keyEnd)
	if err != nil {
		return err
	}
	e := compiler.Element{Key: text}
	switch {
	case data != nil:
		e.Value = verdictText(data)
	case object != nil:
		e.Value = nlsocket.ZeroEnded(object)
	}
	r.out = append(r.out, e)
	return nil
}

// nftaSetElemKeyEnd is missing in package unix.
const nftaSetElemKeyEnd = 10

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
	add := func(last netip.Addr) {
		r.out = append(r.out, compiler.Element{Key: compiler.RangeText(first, last)})
		first = netip.Addr{}
	}
	for _, b := range r.ends {
		switch {
		case b.end && first.IsValid():
			add(b.addr.Prev())
		case !b.end && first.IsValid():
			return fmt.Errorf("a range begins at %s within another", b.addr)
		case !b.end:
			first = b.addr
		}
	}
	if first.IsValid() {
		raw := first.AsSlice()
		for i := range raw {
			raw[i] = 0xff
		}
		last, _ := netip.AddrFromSlice(raw)
		add(last)
	}
	return nil
}

// text is a key, or a range of keys, as the compiler writes it.
func (l *layout) text(key, keyEnd []byte) (string, error) {
	texts := make([]string, 0, 4)
	for _, p := range l.parts {
		n := p.size()
		whole := n
		if len(l.parts) > 1 {
			whole = (n + 3) &^ 3
		}
		if len(key) < whole || len(keyEnd) > 0 && len(keyEnd) < whole {
			return "", errors.New("a key is too short")
		}
		text := p.text(key[:n])
		key = key[whole:]
		if len(keyEnd) > 0 {
			if end := p.text(keyEnd[:n]); end != text {
				text += "-" + end
			}
			keyEnd = keyEnd[whole:]
		}
		texts = append(texts, text)
	}
	if len(key) > 0 {
		return "", errors.New("a key is too long")
	}
	return strings.Join(texts, " . "), nil
}

func (p part) size() int {
	return [...]int{ipv4Part: 4, ipv6Part: 16, protocolPart: 1, portPart: 2, interfacePart: unix.IFNAMSIZ, indexPart: 4, etherPart: 6, targetPart: 16}[p]
}

func (p part) text(b []byte) string {
	switch p {
	case protocolPart:
		for name, n := range protocolNumbers {
			if n == b[0] {
				return name
			}
		}
		return strconv.Itoa(int(b[0]))
	case portPart:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case interfacePart:
		return `"` + nlsocket.ZeroEnded(b) + `"`
	case indexPart:
		// A number of the host.
		return strconv.FormatUint(uint64(binary.NativeEndian.Uint32(b)), 10)
	case etherPart:
		return net.HardwareAddr(b).String()
	case targetPart:
		return fmt.Sprintf("0x%x", b)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr.String()
}

func verdictText(b []byte) string {
	a := nlsocket.AttrMap(b)
	chain := nlsocket.ZeroEnded(a[unix.NFTA_VERDICT_CHAIN])
	switch code := int32(nlsocket.Number(a[unix.NFTA_VERDICT_CODE])); code {
	case unix.NFT_JUMP:
		return "jump " + chain
	case unix.NFT_GOTO:
		return "goto " + chain
	case unix.NFT_RETURN:
		return "return"
	default:
		return "verdict " + strconv.Itoa(int(code))
	}
}
