package nftwire

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// join is a comparison of fields that stand one after the other in the packet, in the
// place of one of them. In the places of the others there is none.
type join struct {
	base, offset uint32
	value        []byte
}

func (j join) size() uint32 { return uint32(len(j.value)) }

// registerSize is as much as nft compares at once.
const registerSize = 16

// comparison is a term that compares a field of the payload with one value.
type comparison struct {
	at    int
	field *field
	value []byte
	// protocol: the field says what the next header is.
	protocol bool
}

// joinsOf finds what nft makes one comparison of: among matches that follow each other,
// fields without a gap between them, in whatever order. It goes where the first of them
// in the packet was, or where the rule asks what the next header is.
func joinsOf(terms []compiler.Term) map[int]join {
	var out map[int]join
	var run []comparison
	for i, t := range terms {
		c, match := comparisonOf(t)
		if !match {
			out = joinRun(out, run)
			run = run[:0]
			continue
		}
		if c.field != nil {
			c.at = i
			run = append(run, c)
		}
	}
	return joinRun(out, run)
}

// comparisonOf has no field for other matches. What is no match ends a run.
func comparisonOf(t compiler.Term) (c comparison, match bool) {
	switch t := t.(type) {
	case compiler.Is:
		if f := &fields[t.Field]; !t.Not && f.from == fromPayload {
			c.field, c.value = f, t.Value.Bytes()
			c.protocol = t.Field == compiler.IP6NextHeader || t.Field == compiler.EtherProtocol
		}
	case compiler.OneOf:
		if f := &fields[t.Field]; !t.Not && f.from == fromPayload && len(t.Values) == t.Field.Size() {
			c.field, c.value = f, []byte(t.Values)
		}
	}
	return c, compiler.IsMatch(t)
}

func joinRun(out map[int]join, run []comparison) map[int]join {
	if len(run) < 2 {
		return out
	}
	slices.SortStableFunc(run, func(a, b comparison) int {
		return cmp.Or(cmp.Compare(a.field.base, b.field.base), cmp.Compare(a.field.offset, b.field.offset))
	})
	for i := 0; i < len(run); {
		head, at, j := run[i], run[i].at, i+1
		whole := join{head.field.base, head.field.offset, head.value}
		for ; j < len(run) && whole.continues(run[j].field); j++ {
			whole.value = slices.Concat(whole.value, run[j].value)
			if run[j].protocol {
				at = run[j].at
			}
		}
		if j > i+1 {
			if out == nil {
				out = map[int]join{}
			}
			for _, c := range run[i:j] {
				out[c.at] = join{}
			}
			out[at] = whole
		}
		i = j
	}
	return out
}

// continues reports whether a field begins where the others end, and is compared with
// them: what the kernel compares fast stays as it is.
func (j join) continues(f *field) bool {
	return j.base == f.base && j.offset+j.size() == f.offset && j.size()+f.size <= registerSize &&
		(j.size()+f.size <= 4 || j.size() > 4 || f.size > 4 || f.base == unix.NFT_PAYLOAD_LL_HEADER)
}
