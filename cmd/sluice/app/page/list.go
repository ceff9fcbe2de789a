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
	b.denials()
	return write(w, &b.document)
}

// denials says of each denied cell which of its ends denies it.
func (b *builder) denials() {
	if b.options.Denies == nil {
		return
	}
	n := len(b.Ends)
	passes := make([]bool, n*n)
	for _, list := range [][]block{b.Cells, b.Unasked} {
		for i := range list {
			list[i].each(func(row, column int) { passes[row*n+column] = true })
		}
	}
	by := make([]int8, n*n)
	for _, r := range b.Rows {
		for _, c := range b.Columns {
			by[r*n+c] = -1
			if !passes[r*n+c] {
				by[r*n+c] = denialOf(b.options.Denies(r, c))
			}
		}
	}
	for value := range 4 {
		blocks := cover(b.Rows, b.Columns, func(r, c int) bool { return int(by[r*n+c]) == value })
		for i := range blocks {
			blocks[i].Value = value
		}
		b.Denied = append(b.Denied, blocks...)
	}
}

func denialOf(egress, ingress bool) (out int8) {
	if egress {
		out++
	}
	if ingress {
		out += 2
	}
	return out
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
