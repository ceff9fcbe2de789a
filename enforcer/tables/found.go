package tables

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
)

// Predecessor is what an earlier agent left in the kernel.
type Predecessor struct {
	// table: our main table exists.
	Main bool
	// Mask and Mark are what its rules write to conntrack marks. They are 0 where
	// somebody took the rule away that does.
	Mask, Mark uint32
	// Grace: its rules let connections go on that conntrack picked up in the middle.
	Grace bool
	// guardTable: the guards' table exists.
	Guards bool
}

// ReadPredecessor looks for our tables. What cannot be read is an error, for it would
// otherwise pass for what is not there.
func ReadPredecessor(ns netns.Namespace) (out Predecessor, err error) {
	err = nftwire.Ask(ns, func(socket *nftwire.Socket) error {
		families, err := socket.Tables()
		if err != nil {
			return err
		}
		for _, family := range families {
			out.Main = out.Main || family == unix.NFPROTO_INET
			out.Guards = out.Guards || family != unix.NFPROTO_INET
		}
		if !out.Main {
			return nil
		}
		return out.read(socket.Read(unix.NFPROTO_INET))
	})
	if err != nil {
		return Predecessor{}, err
	}
	return out, nil
}

// read reads the chains that say something: what else is in the table may be anything.
func (p *Predecessor) read(table nftwire.Reader) error {
	chains, err := table.Chains()
	if err != nil {
		return err
	}
	lenient := slices.ContainsFunc(chains, func(c compiler.Chain) bool { return c.Name == compiler.MidstreamChain })
	return table.Marks(func() { p.Mask, p.Mark, p.Grace = 0, 0, lenient }, func(chain string, mark *compiler.MarkConnection) {
		switch {
		case chain == compiler.MidstreamChain:
			p.Grace = false
		case chain == compiler.JudgedChain && mark != nil:
			p.Mask, p.Mark = ^mark.Keep, mark.Set
		}
	})
}

// Find lists the families that have a table of ours.
func Find(ns netns.Namespace) (found []byte, err error) {
	err = nftwire.Ask(ns, func(socket *nftwire.Socket) error {
		found, err = socket.Tables()
		return err
	})
	return found, err
}

// Remove deletes tables in one transaction. With a mask one rule that
// names it stays in the main table, in a chain that no packet comes through: if
// the marks cannot be cleared, whoever tries again still knows which bits to.
func Remove(ns netns.Namespace, families []byte, mask uint32) error {
	var note *compiler.ChainRule
	if slices.Contains(families, unix.NFPROTO_INET) && mask != 0 {
		note = compiler.MarkNote(mask)
	}
	return nftwire.Ask(ns, func(socket *nftwire.Socket) error { return socket.RemoveTables(families, note) })
}

// ReadCounters reads the packets of some of our main table's counters.
func ReadCounters(ns netns.Namespace, names ...string) (map[string]uint64, error) {
	out := map[string]uint64{}
	err := nftwire.Ask(ns, func(socket *nftwire.Socket) error {
		table := socket.Read(unix.NFPROTO_INET)
		for _, name := range names {
			packets, err := table.Counter(name)
			if err != nil {
				return err
			}
			out[name] = packets
		}
		return nil
	})
	return out, err
}

// ReadCounter reads the packets of one of them.
func ReadCounter(ns netns.Namespace, name string) (packets uint64, err error) {
	found, err := ReadCounters(ns, name)
	return found[name], err
}

// MainIsThere reports whether our main table exists.
func MainIsThere(ns netns.Namespace) (bool, error) {
	found, err := Find(ns)
	return slices.Contains(found, unix.NFPROTO_INET), err
}
