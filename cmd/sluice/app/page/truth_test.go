package page_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/sluice-net/sluice/cmd/sluice/app/page"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spectest"
)

// document is what the tests read of a page's data, as its program does.
type document struct {
	Ends []struct {
		Kind string
	}
	Rows, Columns []int
	Values        []struct{ State, Label string }
	Cells         []block
	Unasked       []block
}

type block struct {
	Value         int
	Rows, Columns []int
}

func (b block) each(visit func(row, column int)) {
	expand := func(runs []int) (out []int) {
		for i := 0; i < len(runs); i += 2 {
			for n := range runs[i+1] {
				out = append(out, runs[i]+n)
			}
		}
		return out
	}
	for _, r := range expand(b.Rows) {
		for _, c := range expand(b.Columns) {
			visit(r, c)
		}
	}
}

// states are the state and the ports of each cell that has one.
func (d *document) states(t *testing.T) map[[2]int]string {
	t.Helper()
	out := map[[2]int]string{}
	put := func(b block, text string) {
		b.each(func(r, c int) {
			if was, twice := out[[2]int{r, c}]; twice {
				t.Errorf("cell %d, %d is %s and %s", r, c, was, text)
			}
			out[[2]int{r, c}] = text
		})
	}
	for _, b := range d.Cells {
		put(b, d.Values[b.Value].State+" "+d.Values[b.Value].Label)
	}
	for _, b := range d.Unasked {
		put(b, "unasked")
	}
	return out
}

func randomCluster(t *testing.T, seed uint64) *connectivity.Cluster {
	t.Helper()
	c := spectest.Random(spectest.Seeded(seed), spectest.Options{Plain: true, Pods: 2 + int(seed%12)})
	out := &connectivity.Cluster{Namespaces: c.Namespaces, Policies: c.Policies}
	for _, p := range c.Pods {
		w, err := connectivity.FromAPI(p)
		if err != nil {
			t.Fatal(err)
		}
		w.Addrs = nil
		out.Workloads = append(out.Workloads, w)
	}
	return out
}

func decode(t *testing.T, html string) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(dataOf(t, html), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestEachCellIsWhatTheMatrixSays compares every pair of random clusters.
func TestEachCellIsWhatTheMatrixSays(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(60) {
		m := connectivity.New(randomCluster(t, seed))
		list := m.List(connectivity.ListOptions{Why: true})
		var out bytes.Buffer
		if err := page.List(&out, &list, page.Options{}); err != nil {
			t.Fatal(err)
		}
		d := decode(t, out.String())
		cells := d.states(t)
		for _, src := range d.Rows {
			for _, dst := range d.Columns {
				got := cells[[2]int{src, dst}]
				want := wanted(m, src, dst)
				seen[want]++
				if got == "" && want == "denied" || got == "unasked" && want == got {
					continue
				}
				state, label, _ := bytes.Cut([]byte(got), []byte(" "))
				if string(state) != want || string(label) != portsOf(m.Passes(src, dst)) {
					// One bare Pod and itself is no connection.
					if src == dst && got == "" {
						continue
					}
					t.Errorf("seed %d: %s → %s is %q, want %s %s", seed, &m.Ends()[src], &m.Ends()[dst], got, want, portsOf(m.Passes(src, dst)))
				}
			}
		}
	}
	for _, state := range []string{"all", "some", "depends", "denied", "unasked"} {
		if seen[state] == 0 {
			t.Errorf("no cell is %s", state)
		}
	}
}

// wanted is the state of a pair, port by port.
func wanted(m *connectivity.Matrix, src, dst int) string {
	if m.Ends()[src].Kind != connectivity.Pods && m.Ends()[dst].Kind != connectivity.Pods {
		return "unasked"
	}
	passes := m.Passes(src, dst)
	some, every := false, len(passes) > 0 && portsOf(passes) == "all"
	for _, s := range passes {
		some = some || s.Answer == connectivity.Allowed
		every = every && s.Answer == connectivity.Allowed
	}
	switch {
	case len(passes) == 0:
		return "denied"
	case every:
		return "all"
	case some:
		return "some"
	}
	return "depends"
}

func portsOf(list []connectivity.Stretch) string {
	var ports []connectivity.Ports
	for _, s := range list {
		ports = append(ports, s.Ports)
	}
	return connectivity.Describe(ports)
}

// TestWhatWasNotAskedForIsNotDenied: a list of one end's connections says nothing of others.
func TestWhatWasNotAskedForIsNotDenied(t *testing.T) {
	m := connectivity.New(shop(""))
	isDB := func(e *connectivity.End) bool { return len(e.Workloads) > 0 && e.Workloads[0].Name == "db" }
	list := m.List(connectivity.ListOptions{To: isDB})
	o := page.Options{Asked: func(_, dst *connectivity.End) bool { return isDB(dst) }}
	var out bytes.Buffer
	if err := page.List(&out, &list, o); err != nil {
		t.Fatal(err)
	}
	d := decode(t, out.String())
	if len(d.Columns) != 1 || len(d.Rows) != len(m.Ends()) {
		t.Errorf("%d rows and %d columns, want %d and that of the database", len(d.Rows), len(d.Columns), len(m.Ends()))
	}
	o.Asked = func(src, dst *connectivity.End) bool { return isDB(src) != isDB(dst) }
	out.Reset()
	if err := page.List(&out, &list, o); err != nil {
		t.Fatal(err)
	}
	d = decode(t, out.String())
	unasked := 0
	for _, s := range d.states(t) {
		if s == "unasked" {
			unasked++
		}
	}
	n := len(m.Ends())
	if want := (n-1)*(n-1) + 1; unasked != want {
		t.Errorf("%d cells are said not to be asked for, want %d", unasked, want)
	}
}

func TestExposureOfWhatWasAskedFor(t *testing.T) {
	x := connectivity.NewExposure(shop(""))
	var out bytes.Buffer
	err := page.Exposure(&out, &x, page.Options{
		Directions: []policy.Direction{policy.Ingress},
		Asked:      func(src, _ *connectivity.End) bool { return src.Kind == connectivity.HostNetwork },
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := decode(t, out.String()); len(d.Rows) != 1 || len(d.Columns) != 4 || d.Ends[d.Rows[0]].Kind != "hostNetwork" {
		t.Errorf("rows %v and columns %v, want the host's and one direction's", d.Rows, d.Columns)
	}
}

// failing is a file on a full disk.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, bytes.ErrTooLarge }

func TestErrorOfWriterIsReturned(t *testing.T) {
	if err := page.List(failing{}, &connectivity.List{}, page.Options{}); err == nil {
		t.Error("no error")
	}
}
