package nftwire

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// Families that have a table of ours. One of our name in another family is somebody
// else's.
var Families = []byte{unix.NFPROTO_INET, unix.NFPROTO_NETDEV, unix.NFPROTO_BRIDGE}

// Tables are the families of [Families] that have a table of ours, by their numbers. A
// family that the kernel does not know has none.
func (s *Socket) Tables() ([]byte, error) {
	var out []byte
	q := &Batch{}
	q.question(unix.NFT_MSG_GETTABLE, unix.NLM_F_DUMP)
	err := s.whole(q, func() { out = nil }, func(family byte, a map[uint16][]byte) {
		if zeroEnded(a[unix.NFTA_TABLE_NAME]) == compiler.TableName && slices.Contains(Families, family) {
			out = append(out, family)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return out, nil
}

// Flowtables are all that there are, whoever made them, by family, table and name. It
// stops at a number.
func (s *Socket) Flowtables(atMost int, each func(family byte, table, name string)) error {
	type flowtable struct {
		family      byte
		table, name string
	}
	var found []flowtable
	q := &Batch{}
	q.question(unix.NFT_MSG_GETFLOWTABLE, unix.NLM_F_DUMP)
	err := s.whole(q, func() { found = nil }, func(family byte, a map[uint16][]byte) {
		if len(found) < atMost {
			found = append(found, flowtable{family, zeroEnded(a[unix.NFTA_TABLE_NAME]), zeroEnded(a[nftaFlowtableName])})
		}
	})
	if err != nil {
		return fmt.Errorf("list flowtables: %w", err)
	}
	for _, f := range found {
		each(f.family, f.table, f.name)
	}
	return nil
}

// nftaFlowtableName is NFTA_FLOWTABLE_NAME of linux/netfilter/nf_tables.h.
const nftaFlowtableName = 2

// RemoveTables deletes our tables of some families in one transaction. With a note, the
// main table stays with this rule and its chain, which no packet comes through.
func (s *Socket) RemoveTables(families []byte, note *compiler.ChainRule) error {
	b := newBatch(unix.NFPROTO_INET)
	for _, f := range families {
		b.family = f
		b.named(unix.NFT_MSG_DELTABLE, 0, "", 0)
	}
	if note != nil {
		b.family = unix.NFPROTO_INET
		b.named(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "", 0)
		b.uint32(unix.NFTA_TABLE_FLAGS, 0)
		b.named(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, note.Chain, 0)
		b.rule(0, note)
	}
	if len(b.messages) == 0 {
		return nil
	}
	data, err := b.finish()
	if err == nil {
		err = s.execute(data, b.offset(b.messages[len(b.messages)-1].start))
	}
	if err != nil {
		return fmt.Errorf("remove tables: %w", err)
	}
	return nil
}
