package page

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// document is what the page's program reads. Whatever is said of many cells stands in
// it once, and cells name it by its number.
type document struct {
	// Kind is list, diff or exposure.
	Kind    string   `json:"kind"`
	Title   string   `json:"title"`
	Command string   `json:"command,omitempty"`
	Explain string   `json:"explain,omitempty"`
	Version string   `json:"version,omitempty"`
	Notices []string `json:"notices,omitempty"`
	Ends    []end    `json:"ends"`
	// Rows and Columns are ends, by number.
	Rows     []int       `json:"rows"`
	Columns  []int       `json:"columns"`
	Policies []policyRef `json:"policies"`
	Rules    []rule      `json:"rules"`
	Values   []value     `json:"values"`
	Cells    []block     `json:"cells"`
	// Unasked are cells of which nothing is said, because nobody asked.
	Unasked []block `json:"unasked,omitempty"`
	// Denied says of denied cells which end lets nothing pass: value is 0 for none alone,
	// 1 for the source, 2 for the destination, 3 for both.
	Denied []block `json:"denied,omitempty"`
	// Entries are the ways in from outside, or how they changed.
	Entries []Entry `json:"entries,omitempty"`
	// Changed are policies that differ, of a difference.
	Changed []changedPolicy `json:"changed,omitempty"`
}

// Entry is a way in from outside by an Ingress, a Gateway or a route, in words.
type Entry struct {
	Entry   string `json:"entry"`
	At      string `json:"at,omitempty"`
	Service string `json:"service,omitempty"`
	// Target are the workloads and the port that it leads to, empty where it leads nowhere.
	Target string `json:"target,omitempty"`
	// State is an answer, "leads nowhere", or of a difference allowed, changed or denied.
	State string `json:"state"`
	Why   string `json:"why"`
	Place string `json:"place,omitempty"`
}

// end is a row or a column.
type end struct {
	// Kind is that of connectivity.EndKind, or "peer" for a column of exposure.
	Kind      string            `json:"kind"`
	Namespace string            `json:"namespace,omitempty"`
	Name      string            `json:"name"`
	Workloads []string          `json:"workloads,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Ports     []string          `json:"ports,omitempty"`
	Addresses []string          `json:"addresses,omitempty"`
	// Ask is how explain is asked about the end, empty where it cannot be.
	Ask string `json:"ask,omitempty"`
	// Ingress and Egress are the policies that isolate, by number.
	Ingress []int `json:"ingress,omitempty"`
	Egress  []int `json:"egress,omitempty"`
	// Presence is "new" or "gone" for an end that only one side of a difference has.
	Presence string `json:"presence,omitempty"`
}

type policyRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Place     string `json:"place,omitempty"`
}

// rule is a peer of a rule, or what allows without one.
type rule struct {
	// Policy is the policy's number, -1 for what no policy says.
	Policy int    `json:"policy"`
	Path   string `json:"path,omitempty"`
	Place  string `json:"place,omitempty"`
	// If is what it depends on.
	If string `json:"if,omitempty"`
}

// value is all that a cell says.
type value struct {
	// State colours the cell: all, some, depends; added, removed, changed.
	State string `json:"state"`
	Label string `json:"label"`
	Parts []part `json:"parts"`
}

// part is a connection, a change of one, or a peer that something is open to.
type part struct {
	Title string `json:"title,omitempty"`
	// Old and New are all that passes before and after, of a difference.
	Old       string    `json:"old,omitempty"`
	New       string    `json:"new,omitempty"`
	Stretches []stretch `json:"stretches,omitempty"`
}

// stretch is a range of ports.
type stretch struct {
	Ports  string `json:"ports"`
	Answer string `json:"answer"`
	// Old is the answer before, of a difference.
	Old string `json:"old,omitempty"`
	// IPv4 and IPv6 stand where the families differ.
	IPv4    string  `json:"ipv4,omitempty"`
	IPv6    string  `json:"ipv6,omitempty"`
	Egress  *side   `json:"egress,omitempty"`
	Ingress *side   `json:"ingress,omitempty"`
	Causes  []cause `json:"causes,omitempty"`
}

type side struct {
	// Reason is policy.Reason's.
	Reason string `json:"reason"`
	Answer string `json:"answer"`
	Rules  []int  `json:"rules,omitempty"`
}

type cause struct {
	Effect string `json:"effect"`
	// Rule is -1 where no policy is the cause.
	Rule          int  `json:"rule"`
	PolicyChanged bool `json:"policyChanged,omitempty"`
}

type changedPolicy struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Change is added, removed or changed.
	Change    string `json:"change"`
	Effective bool   `json:"effective"`
}

// block is the cells of some rows and columns, as runs: first, length, first, length.
type block struct {
	Value   int   `json:"value"`
	Rows    []int `json:"rows"`
	Columns []int `json:"columns"`
}

// each visits the cells.
func (b *block) each(visit func(row, column int)) {
	for i := 0; i < len(b.Rows); i += 2 {
		for r := b.Rows[i]; r < b.Rows[i]+b.Rows[i+1]; r++ {
			for j := 0; j < len(b.Columns); j += 2 {
				for c := b.Columns[j]; c < b.Columns[j]+b.Columns[j+1]; c++ {
					visit(r, c)
				}
			}
		}
	}
}

// builder gives numbers to what documents say often.
type builder struct {
	document
	options  Options
	policies map[policyKey]int
	rules    map[ruleKey]int
}

// policyKey and ruleKey tell the old side of a difference from the new one: the places
// are others.
type policyKey struct {
	types.NamespacedName
	old bool
}

type ruleKey struct {
	policy int
	path   string
	cond   string
}

func newBuilder(kind, title string, o Options) *builder {
	return &builder{
		document: document{
			Kind: kind, Title: title, Command: o.Command, Explain: o.Explain, Version: o.Version, Notices: o.Notices, Entries: o.Entries,
			Ends: []end{}, Rows: []int{}, Columns: []int{}, Policies: []policyRef{}, Rules: []rule{}, Values: []value{}, Cells: []block{},
		},
		options: o, policies: map[policyKey]int{}, rules: map[ruleKey]int{},
	}
}

func (b *builder) policy(name types.NamespacedName, old bool) int {
	key := policyKey{name, old && b.options.OldPlace != nil}
	i, known := b.policies[key]
	if !known {
		i = len(b.Policies)
		b.policies[key] = i
		b.Policies = append(b.Policies, policyRef{Namespace: name.Namespace, Name: name.Name, Place: b.place(name, old)})
	}
	return i
}

func (b *builder) policyList(names []types.NamespacedName) []int {
	var out []int
	for _, n := range names {
		out = append(out, b.policy(n, false))
	}
	return out
}

func (b *builder) place(name types.NamespacedName, old bool, path ...any) string {
	at := b.options.Place
	if old && b.options.OldPlace != nil {
		at = b.options.OldPlace
	}
	if at == nil {
		return ""
	}
	return at(name, path...)
}

// rule is the number of a grant.
func (b *builder) rule(g connectivity.Grant, old bool) int {
	r := rule{Policy: -1, Path: g.Path()}
	if g.Policy.Name != "" {
		r.Policy = b.policy(g.Policy, old)
		if r.Path == "" {
			r.Path = directionPath(g.Direction)
		}
	}
	if g.If != nil {
		r.If = g.If.String()
	}
	key := ruleKey{r.Policy, r.Path, r.If}
	i, known := b.rules[key]
	if !known {
		if r.Policy >= 0 {
			r.Place = b.place(g.Policy, old, fields(&g)...)
		}
		i = len(b.Rules)
		b.rules[key] = i
		b.Rules = append(b.Rules, r)
	}
	return i
}

// directionPath is where a policy says what it says as a whole of a direction.
func directionPath(d policy.Direction) string { return "spec." + d.String() }

// fields are the path of a grant, key by key.
func fields(g *connectivity.Grant) []any {
	if g.Rule < 0 {
		return nil
	}
	peers := "from"
	if g.Direction == policy.Egress {
		peers = "to"
	}
	path := []any{"spec", g.Direction.String(), g.Rule}
	if g.Peer >= 0 {
		path = append(path, peers, g.Peer)
	}
	return path
}

// runs writes ascending numbers as first and length.
func runs(list []int) []int {
	out := []int{}
	for i, n := range list {
		if i > 0 && list[i-1]+1 == n {
			out[len(out)-1]++
			continue
		}
		out = append(out, n, 1)
	}
	return out
}

// cover appends blocks for the pairs of rows and columns of which mark gives true, one
// for all rows that are alike.
func cover(rows, columns []int, mark func(row, column int) bool) []block {
	var out []block
	alike := map[string]int{}
	for _, r := range rows {
		var marked []int
		for _, c := range columns {
			if mark(r, c) {
				marked = append(marked, c)
			}
		}
		if len(marked) == 0 {
			continue
		}
		list := runs(marked)
		key := text(list)
		i, known := alike[key]
		if !known {
			i = len(out)
			alike[key] = i
			out = append(out, block{Value: -1, Columns: list})
		}
		out[i].Rows = append(out[i].Rows, r)
	}
	for i := range out {
		out[i].Rows = runs(out[i].Rows)
	}
	return slices.Clip(out)
}
