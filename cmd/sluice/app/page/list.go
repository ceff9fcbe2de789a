package page

import (
	"io"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// List writes who can reach whom. Reasons are shown if the list has them: ask for it
// with Why. What no line of the list has is shown as denied, unless [Options.Asked] says
// that it was not asked for.
func List(w io.Writer, list *connectivity.List, o Options) error {
	b := newBuilder("list", "Who can reach whom", o)
	all := make([]*connectivity.End, len(list.Ends))
	for i := range list.Ends {
		all[i] = &list.Ends[i]
		b.Ends = append(b.Ends, b.end(all[i]))
	}
	b.ask(all)
	for _, l := range list.Lines {
		v := value{State: stateOf(l.Stretches), Label: portsText(l.Stretches), Parts: []part{{Stretches: b.stretches(l.Stretches)}}}
		b.Cells = append(b.Cells, b.block(v, l.Sources, l.Destinations))
	}
	return write(w, &b.document)
}

// block puts a value into cells.
func (b *builder) block(v value, rows, columns []int) block {
	b.Values = append(b.Values, v)
	return block{Value: len(b.Values) - 1, Rows: runs(rows), Columns: runs(columns)}
}

// ask makes rows and columns of the ends of which something was asked. Of two ends that
// are both no Pods nothing can be asked: no policy has a say.
func (b *builder) ask(all []*connectivity.End) {
	asked := func(src, dst int) bool {
		if !isPod(all[src]) && !isPod(all[dst]) {
			return false
		}
		return b.options.Asked == nil || b.options.Asked(all[src], all[dst])
	}
	columns := make([]bool, len(all))
	for src := range all {
		some := false
		for dst := range all {
			if asked(src, dst) {
				some, columns[dst] = true, true
			}
		}
		if some {
			b.Rows = append(b.Rows, src)
		}
	}
	for dst, some := range columns {
		if some {
			b.Columns = append(b.Columns, dst)
		}
	}
	b.Unasked = cover(b.Rows, b.Columns, func(src, dst int) bool { return !asked(src, dst) })
}
