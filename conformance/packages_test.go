package conformance_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// packageRow is a line of the table in CONTRIBUTING.md.
type packageRow struct {
	in     string
	all    bool
	may    []string
	used   map[string]bool
	exists bool
}

// packageTable reads the table under "## Packages".
func packageTable(t *testing.T) []*packageRow {
	t.Helper()
	data, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(data), "\n## Packages\n")
	if !ok {
		t.Fatal("CONTRIBUTING.md has no section Packages")
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	var rows []*packageRow
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		row := &packageRow{in: strings.Trim(cells[1], " `"), used: map[string]bool{}}
		switch may := strings.TrimSpace(cells[3]); may {
		case "all":
			row.all = true
		case "nothing":
		default:
			for _, p := range strings.Split(may, ",") {
				row.may = append(row.may, strings.Trim(p, " `"))
			}
		}
		if strings.TrimSpace(cells[2]) == "" || strings.TrimSpace(cells[4]) == "" {
			t.Errorf("%s: what it holds or the reason is missing", row.in)
		}
		rows = append(rows, row)
	}
	if len(rows) < 10 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	return rows
}

// rowOf is the most special row that a package falls under, nil if there is none.
func rowOf(rows []*packageRow, pkg string) *packageRow {
	var best *packageRow
	for _, r := range rows {
		if below(pkg, r.in) && (best == nil || len(r.in) > len(best.in)) {
			best = r
		}
	}
	return best
}

// TestPackagesImportWhatTheTableSays holds CONTRIBUTING.md and the code to each other.
func TestPackagesImportWhatTheTableSays(t *testing.T) {
	rows := packageTable(t)
	for _, p := range list(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module)
		row := rowOf(rows, pkg)
		if row == nil {
			t.Errorf("%s has no row in CONTRIBUTING.md: say what it holds, what it may import and why", pkg)
			continue
		}
		row.exists = true
		for _, path := range p.Imports {
			i, ours := strings.CutPrefix(path, module)
			if !ours || i == row.in || below(i, row.in) && rowOf(rows, i) == row {
				continue
			}
			row.used[i] = true
			if !row.all && !slices.Contains(row.may, i) {
				t.Errorf("%s imports %s, which the table in CONTRIBUTING.md does not allow", pkg, i)
			}
		}
	}
	for _, r := range rows {
		if !r.exists {
			t.Errorf("CONTRIBUTING.md has a row for %s, which is no package", r.in)
		}
		for _, p := range r.may {
			if !r.used[p] {
				t.Errorf("CONTRIBUTING.md allows %s to import %s, which it does not", r.in, p)
			}
		}
	}
}

// TestNobodyButTestsImportsTestCode: what only helps tests is linked by nothing else.
func TestNobodyButTestsImportsTestCode(t *testing.T) {
	helpers := []string{module + "enforcer/netns/netnstest", module + "enforcer/detect/detecttest"}
	for _, p := range list(t) {
		for _, helper := range helpers {
			if !slices.Contains(helpers, p.ImportPath) && slices.Contains(p.Deps, helper) {
				t.Errorf("%s links %s", p.ImportPath, helper)
			}
		}
	}
}
