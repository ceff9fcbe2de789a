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

// Flowtable is one of some program.
type Flowtable struct {
	Family      byte
	Table, Name string
	// Devices are the interfaces whose packets it takes.
	Devices []string
	// Uses is how many rules give it connections.
	Uses uint32
}

// maxFlowtableDevices bounds what is kept of one.
const maxFlowtableDevices = 1000

// Flowtables are all that there are, whoever made them. It stops at a number.
func (s *Socket) Flowtables(atMost int, each func(Flowtable)) error {
	var found []Flowtable
	q := &Batch{}
	q.question(unix.NFT_MSG_GETFLOWTABLE, unix.NLM_F_DUMP)
	err := s.whole(q, func() { found = nil }, func(family byte, a map[uint16][]byte) {
		if len(found) >= atMost {
			return
		}
		f := Flowtable{Family: family, Table: zeroEnded(a[nftaFlowtableTable]), Name: zeroEnded(a[nftaFlowtableName]), Uses: number(a[nftaFlowtableUse])}
		for device := range attrs(nested(a[nftaFlowtableHook], nftaHookDevices)) {
			if len(f.Devices) < maxFlowtableDevices {
				f.Devices = append(f.Devices, zeroEnded(device.value))
			}
		}
		found = append(found, f)
	})
	if err != nil {
		return fmt.Errorf("list flowtables: %w", err)
	}
	for _, f := range found {
		each(f)
	}
	return nil
}

// Of linux/netfilter/nf_tables.h: NFTA_FLOWTABLE_TABLE and what follows, and
// NFTA_FLOWTABLE_HOOK_DEVS.
const (
	nftaFlowtableTable = 1
	nftaFlowtableName  = 2
	nftaFlowtableHook  = 3
	nftaFlowtableUse   = 4
	nftaHookDevices    = 3
)

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
