package connectivity

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// rectangle is some rows and columns of which every cell has the same value.
type rectangle struct {
	rows, cols []int
	value      uint32
}

// grid is cells by row and column; 0 is an empty one.
type grid struct {
	rows, cols int
	cells      []uint32
}

func newGrid(rows, cols int) *grid {
	return &grid{rows: rows, cols: cols, cells: make([]uint32, rows*cols)}
}

func (g *grid) row(r int) []uint32 { return g.cells[r*g.cols : (r+1)*g.cols] }

func (g *grid) transposed() *grid {
	out := newGrid(g.cols, g.rows)
	for r := range g.rows {
		for c, v := range g.row(r) {
			out.cells[c*g.rows+r] = v
		}
	}
	return out
}

// cover puts every cell that is not empty into one rectangle. It merges equal
// rows, or equal columns if that takes fewer rectangles, and then what differs
// in one of both only. They are sorted by their rows, then by their columns.
func (g *grid) cover() []rectangle {
	byRow := g.coverRows()
	other := g.transposed().coverRows()
	if len(other) < len(byRow) {
		byRow = other
		for i := range byRow {
			byRow[i].rows, byRow[i].cols = byRow[i].cols, byRow[i].rows
		}
	}
	slices.SortFunc(byRow, func(a, b rectangle) int {
		return cmp.Or(slices.Compare(a.rows, b.rows), slices.Compare(a.cols, b.cols))
	})
	return byRow
}

func (g *grid) coverRows() []rectangle {
	var out []rectangle
	at := map[string]int{}
	for _, same := range g.equalRows() {
		cols := map[uint32][]int{}
		var values []uint32
		for c, v := range g.row(same[0]) {
			if v == 0 {
				continue
			}
			if cols[v] == nil {
				values = append(values, v)
			}
			cols[v] = append(cols[v], c)
		}
		for _, v := range values {
			key := binary.BigEndian.AppendUint32(nil, v)
			for _, c := range cols[v] {
				key = binary.AppendUvarint(key, uint64(c))
			}
			i, known := at[string(key)]
			if !known {
				i = len(out)
				at[string(key)] = i
				out = append(out, rectangle{cols: cols[v], value: v})
			}
			out[i].rows = append(out[i].rows, same...)
		}
	}
	for i := range out {
		slices.Sort(out[i].rows)
	}
	return out
}

// equalRows are the rows in classes, each in the order of the rows.
func (g *grid) equalRows() [][]int {
	var out [][]int
	byHash := map[uint64][]int{} // to classes
	for r := range g.rows {
		row := g.row(r)
		h := hashCells(row)
		found := false
		for _, class := range byHash[h] {
			if slices.Equal(g.row(out[class][0]), row) {
				out[class] = append(out[class], r)
				found = true
				break
			}
		}
		if !found {
			byHash[h] = append(byHash[h], len(out))
			out = append(out, []int{r})
		}
	}
	return out
}

// hashCells is FNV-1a over the cells (http://www.isthe.com/chongo/tech/comp/fnv/).
func hashCells(cells []uint32) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range cells {
		h = (h ^ uint64(v)) * 1099511628211
	}
	return h
}
