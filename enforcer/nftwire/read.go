package nftwire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// Reader reads what our table of one family holds. It is no part of a normal sync.
type Reader struct {
	socket *Socket
	family byte
}

// Read is for our table of a family, by its number (NFPROTO_…).
func (s *Socket) Read(family byte) Reader { return Reader{s, family} }

// Found lists the table, whose elements can then be asked for as long as the
// socket is open. The zero value is that there is none.
func (r Reader) Found() (compiler.Found, error) {
	out := compiler.Found{Elements: r.Elements}
	chains, err := r.Chains()
	out.Chains = chains
	err = errors.Join(err,
		r.ours(unix.NFT_MSG_GETSET, "", func() { out.Sets = nil }, func(a map[uint16][]byte) error {
			flags := number(a[unix.NFTA_SET_FLAGS])
			s := compiler.Set{Name: zeroEnded(a[unix.NFTA_SET_NAME]), Interval: flags&unix.NFT_SET_INTERVAL != 0}
			if flags&(unix.NFT_SET_MAP|unix.NFT_SET_OBJECT) != 0 {
				s.Value = compiler.VerdictValue
			}
			// Sets in rules come and go with their rules.
			if flags&unix.NFT_SET_ANONYMOUS == 0 {
				out.Sets = append(out.Sets, s)
			}
			return nil
		}),
		r.ours(unix.NFT_MSG_GETOBJ, "", func() { out.Counters = nil }, func(a map[uint16][]byte) error {
			name := zeroEnded(a[unix.NFTA_OBJ_NAME])
			if number(a[unix.NFTA_OBJ_TYPE]) != unix.NFT_OBJECT_COUNTER {
				return fmt.Errorf("object %s is no counter", name)
			}
			out.Counters = append(out.Counters, name)
			return nil
		}),
		r.ours(unix.NFT_MSG_GETFLOWTABLE, "", func() {}, func(map[uint16][]byte) error {
			return errors.New("there is a flowtable")
		}),
	)
	if err != nil {
		return compiler.Found{}, fmt.Errorf("read our table: %w", err)
	}
	return out, nil
}

// Chains lists those of the table.
func (r Reader) Chains() (out []compiler.Chain, err error) {
	err = r.ours(unix.NFT_MSG_GETCHAIN, "", func() { out = nil }, func(a map[uint16][]byte) error {
		c := compiler.Chain{Name: zeroEnded(a[unix.NFTA_CHAIN_NAME])}
		if a[unix.NFTA_CHAIN_HOOK] != nil {
			c.Hook = &compiler.Hook{}
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

// Marks calls each for each rule of the table, of chains in any order, with the
// conntrack mark that it sets, if it does nothing else to it. Whatever else a rule holds
// is not read. What it was told before reset is not to be relied on.
func (r Reader) Marks(reset func(), each func(chain string, mark *compiler.MarkConnection)) error {
	err := r.ours(unix.NFT_MSG_GETRULE, "", reset, func(a map[uint16][]byte) error {
		each(zeroEnded(a[unix.NFTA_RULE_CHAIN]), markOf(a[unix.NFTA_RULE_EXPRESSIONS]))
		return nil
	})
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	return nil
}

// markOf finds "ct mark set ct mark & KEEP | SET" among a rule's expressions.
func markOf(expressions []byte) (out *compiler.MarkConnection) {
	var names []string
	var data [][]byte
	for e := range attrs(expressions) {
		a := attrMap(e.value)
		names = append(names, zeroEnded(a[unix.NFTA_EXPR_NAME]))
		data = append(data, a[unix.NFTA_EXPR_DATA])
	}
	for i := 1; i+1 < len(names); i++ {
		if names[i] != "bitwise" || !isMark(names[i-1], data[i-1], unix.NFTA_CT_DREG) || !isMark(names[i+1], data[i+1], unix.NFTA_CT_SREG) {
			continue
		}
		mask := nested(nested(data[i], unix.NFTA_BITWISE_MASK), unix.NFTA_DATA_VALUE)
		xor := nested(nested(data[i], unix.NFTA_BITWISE_XOR), unix.NFTA_DATA_VALUE)
		if len(mask) == 4 && len(xor) == 4 {
			out = &compiler.MarkConnection{Keep: binary.NativeEndian.Uint32(mask), Set: binary.NativeEndian.Uint32(xor)}
		}
	}
	return out
}

// isMark reports whether an expression loads the conntrack mark to a register, or
// sets it from one.
func isMark(name string, data []byte, register uint16) bool {
	a := attrMap(data)
	return name == "ct" && number(a[unix.NFTA_CT_KEY]) == unix.NFT_CT_MARK && a[register] != nil
}

// Counter reads how many packets one of the table's counters counted.
func (r Reader) Counter(name string) (uint64, error) {
	q := &Batch{family: r.family}
	q.named(unix.NFT_MSG_GETOBJ, 0, name, 0)
	q.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	var packets []byte
	err := r.socket.ask(q, unix.NFT_MSG_NEWOBJ, func(a map[uint16][]byte) {
		packets = nested(a[unix.NFTA_OBJ_DATA], unix.NFTA_COUNTER_PACKETS)
	})
	if err == nil && len(packets) != 8 {
		err = fmt.Errorf("%d bytes", len(packets))
	}
	if err != nil {
		return 0, fmt.Errorf("read counter %s: %w", name, err)
	}
	return binary.BigEndian.Uint64(packets), nil
}

// Generation is the number of nf_tables' current generation: each transaction makes one.
func (s *Socket) Generation() (uint32, error) {
	q := &Batch{}
	q.question(unix.NFT_MSG_GETGEN, 0)
	out, answered := uint32(0), false
	err := s.ask(q, unix.NFT_MSG_NEWGEN, func(a map[uint16][]byte) {
		out, answered = number(a[unix.NFTA_GEN_ID]), true
	})
	if err == nil && !answered {
		err = errors.New("no answer")
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the nftables generation: %w", err)
	}
	return out, nil
}

// ask sends a question of one message and yields the answers of a kind.
func (s *Socket) ask(q *Batch, kind uint16, yield func(map[uint16][]byte)) error {
	q.close()
	if q.err != nil {
		return q.err
	}
	var failed error
	err := s.exchange(q.bytes, func(m answer) {
		switch {
		case m.kind == unix.NLMSG_ERROR:
			if errno := errnoOf(m.payload); errno != 0 {
				failed = errno
			}
		case m.kind == unix.NFNL_SUBSYS_NFTABLES<<8|kind && len(m.payload) >= sizeofNfgenmsg:
			yield(attrMap(m.payload[sizeofNfgenmsg:]))
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// ours asks for all objects of a kind in our table, or for the elements of a set.
func (r Reader) ours(kind uint16, set string, reset func(), each func(map[uint16][]byte) error) error {
	var bad error
	q := &Batch{family: r.family}
	if set != "" || kind == unix.NFT_MSG_GETSET {
		q.begin(kind, unix.NLM_F_DUMP, "", 0)
	} else {
		q.question(kind, unix.NLM_F_DUMP)
	}
	if set != "" {
		q.text(unix.NFTA_SET_ELEM_LIST_SET, set)
	}
	err := r.socket.whole(q, func() { bad = nil; reset() }, func(family byte, a map[uint16][]byte) {
		if bad == nil && family == r.family && zeroEnded(a[unix.NFTA_TABLE_NAME]) == compiler.TableName {
			bad = each(a)
		}
	})
	// No table, no sets. A set that was listed and is gone is another matter:
	// to take it for empty would be to guess.
	if errors.Is(err, unix.ENOENT) && set == "" {
		return nil
	}
	return errors.Join(err, bad)
}

// question opens a request that is not about our table alone.
func (b *Batch) question(kind, flags uint16) {
	b.messages = append(b.messages, message{start: len(b.bytes), kind: kind})
	b.header(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, b.family, 0)
}

// listTries bounds how often a list that was interrupted is begun anew.
const listTries = 10

// whole lists what there is of a kind. In all kinds of messages the first attribute is
// the table's name. A list that is interrupted is begun anew, after reset.
func (s *Socket) whole(q *Batch, reset func(), each func(family byte, a map[uint16][]byte)) error {
	q.close()
	if q.err != nil {
		return q.err
	}
	var err error
	for range listTries {
		reset()
		err = s.list(q.bytes, func(payload []byte) {
			if len(payload) >= sizeofNfgenmsg {
				each(payload[0], attrMap(payload[sizeofNfgenmsg:]))
			}
		})
		if !errors.Is(err, errInterrupted) && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return err
}
