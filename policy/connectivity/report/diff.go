package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// Diff is a difference as it is written.
type Diff struct {
	connectivity.Difference
	// Old and New say where policies stand in the two clusters.
	Old, New Places
	// Entries are how the ways in from outside changed.
	Entries EntryDiff
	names   *names
}

// NewDiff prepares a difference for writing.
func NewDiff(d connectivity.Difference, before, after Places) *Diff {
	ends := make([]connectivity.End, len(d.Ends))
	for i := range d.Ends {
		ends[i] = d.Ends[i].End
	}
	return &Diff{Difference: d, Old: before, New: after, names: newNames(ends)}
}

// Opens reports whether anything passes that did not before.
func (d *Diff) Opens() bool {
	return d.Entries.opens() || slices.ContainsFunc(d.Changes, func(c connectivity.Change) bool {
		return slices.ContainsFunc(c.Stretches, func(s connectivity.StretchChange) bool { return s.Opens })
	})
}

// Same reports whether nothing differs in who can reach whom.
func (d *Diff) Same() bool { return len(d.Changes)+len(d.Entries.Changes) == 0 }

// moved reports whether all of a change is that a workload came or went.
func moved(c *connectivity.Change) bool {
	for i := range c.Stretches {
		for _, cause := range c.Stretches[i].Causes {
			if cause.Effect != connectivity.AddedWorkload && cause.Effect != connectivity.RemovedWorkload {
				return false
			}
		}
	}
	return true
}

// group is changes under one title.
type group struct {
	id, title string
	changes   []*connectivity.Change
}

// groups are the changes as a reader looks for them: what is open now first.
func (d *Diff) groups() []group {
	out := []group{
		{id: "newly-allowed", title: "Newly allowed"}, {id: "changed-ports", title: "Allowed on other ports"},
		{id: "changed-addresses", title: "Allowed for other addresses"},
		{id: "newly-denied", title: "Newly denied"}, {id: "workload-added", title: "Of new workloads"}, {id: "workload-removed", title: "Of workloads that are gone"},
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		at := map[connectivity.ChangeKind]int{connectivity.NewlyAllowed: 0, connectivity.Changed: 1, connectivity.NewlyDenied: 3}[c.Kind]
		switch {
		case moved(c) && c.Kind == connectivity.NewlyDenied:
			at = 5
		case moved(c):
			at = 4
		case c.ByAddress():
			at = 2
		}
		out[at].changes = append(out[at].changes, c)
	}
	return slices.DeleteFunc(out, func(g group) bool { return len(g.changes) == 0 })
}

// ports says what changed: "TCP 80", or "TCP 80, was TCP 81". For other addresses, it may
// be said alike before and after.
func ports(c *connectivity.Change) string {
	switch c.Kind {
	case connectivity.NewlyAllowed:
		return answered(c.New)
	case connectivity.NewlyDenied:
		return answered(c.Old)
	}
	now, was := answered(c.New), answered(c.Old)
	if now == was {
		return now
	}
	return now + ", was " + was
}

// causes are those of a change, each once, with the ports if they are not all of it.
func (d *Diff) causes(c *connectivity.Change) []string {
	var out []string
	at := map[string][]connectivity.Ports{}
	var all []connectivity.Ports
	for i := range c.Stretches {
		s := &c.Stretches[i]
		all = append(all, s.Ports)
		for j := range s.Causes {
			text := d.causeText(&s.Causes[j])
			if text == "" {
				continue
			}
			if at[text] == nil {
				out = append(out, text)
			}
			at[text] = append(at[text], s.Ports)
		}
	}
	for i, text := range out {
		if some := connectivity.Describe(at[text]); some != connectivity.Describe(all) {
			out[i] = some + ": " + text
		}
	}
	return out
}

// placeOf is where a cause stands: in the new cluster, or in the old one where it is
// about what was.
func (d *Diff) placeOf(c *connectivity.Cause) Place {
	if c.Effect == connectivity.NoLongerAllows || c.Effect == connectivity.NoLongerIsolates {
		return d.Old.of(&c.Grant)
	}
	return d.New.of(&c.Grant)
}

func (d *Diff) causeText(c *connectivity.Cause) string {
	text := strings.TrimSuffix("policy "+c.Policy.String()+" "+c.Path(), " ")
	if c.Policy.Name == "" {
		text = "the Pod's own node"
	}
	if at := d.placeOf(c).String(); at != "" {
		text += " (" + at + ")"
	}
	switch c.Effect {
	case connectivity.Allows:
		text += " allows it"
	case connectivity.NoLongerAllows:
		text += " allowed it"
	case connectivity.Isolates:
		text += fmt.Sprintf(" isolates the %s", c.Direction)
	case connectivity.NoLongerIsolates:
		text += fmt.Sprintf(" isolated the %s", c.Direction)
	default:
		return ""
	}
	if c.If != nil {
		text += ", if " + c.If.String()
	}
	return text + differs(c)
}

// differs says what of a cause differs, if it is not what the policy allows.
func differs(c *connectivity.Cause) string {
	by := ""
	if !c.PolicyChanged {
		by = " by its Namespace's label"
	}
	switch {
	case c.Policy.Name == "":
		return ""
	case c.Mode == connectivity.NowEnforced:
		return "; the policy was audited and is enforced now" + by
	case c.Mode == connectivity.NowAudited:
		return "; the policy was enforced and is audited now" + by
	case !c.PolicyChanged:
		return "; the policy is the same, labels or ports are not"
	}
	return ""
}

// idle are policies that changed and change nothing.
func (d *Diff) idle() []connectivity.PolicyChange {
	return slices.DeleteFunc(slices.Clone(d.Policies), func(p connectivity.PolicyChange) bool { return p.Effective })
}

func (d *Diff) policyPlace(p *connectivity.PolicyChange) Place {
	at := d.New
	if !p.New {
		at = d.Old
	}
	if at == nil {
		return Place{}
	}
	return at(p.Policy)
}

func policyChange(p *connectivity.PolicyChange) string {
	switch {
	case !p.Old:
		return "added"
	case !p.New:
		return "removed"
	}
	return "changed"
}

// Summary counts in a line.
func (d *Diff) Summary() string {
	if d.Same() {
		text := "No difference in who can reach whom"
		if n := len(d.Policies); n > 0 {
			text += fmt.Sprintf(", though %s changed", countedOf(n, "policy", "policies"))
		}
		return text + "."
	}
	var parts []string
	for _, g := range d.groups() {
		n := 0
		for _, c := range g.changes {
			n += len(c.Sources) * len(c.Destinations)
		}
		parts = append(parts, fmt.Sprintf("%s: %s", strings.ToLower(g.title[:1])+g.title[1:], counted(n, "connection")))
	}
	if n := len(d.Entries.Changes); n > 0 {
		parts = append(parts, "entries from outside: "+counted(n, "change"))
	}
	return strings.Join(parts, "; ") + "."
}

func countedOf(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// Text writes what changed, with the causes.
func (d *Diff) Text(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, g := range d.groups() {
		fmt.Fprintln(out, g.title)
		width := 0
		var heads []string
		for _, c := range g.changes {
			from, to := d.names.short(c.Sources), d.names.short(c.Destinations)
			head := from + " → " + to
			if utf8.RuneCountInString(head) > widest-20 {
				head = wrapped(from) + "\n  → " + wrapped(to)
			}
			heads = append(heads, head)
			if last := utf8.RuneCountInString(head[strings.LastIndexByte(head, '\n')+1:]); last <= widest-20 {
				width = max(width, last)
			}
		}
		for i, c := range g.changes {
			last := utf8.RuneCountInString(heads[i][strings.LastIndexByte(heads[i], '\n')+1:])
			fmt.Fprintf(out, "  %s%s  %s\n", strings.ReplaceAll(heads[i], "\n", "\n  "), strings.Repeat(" ", max(0, width-last)), ports(c))
			for _, cause := range d.causes(c) {
				fmt.Fprintf(out, "      %s\n", cause)
			}
		}
		fmt.Fprintln(out)
	}
	d.Entries.text(out)
	if idle := d.idle(); len(idle) > 0 {
		fmt.Fprintln(out, "Policies that changed and change nothing")
		for i := range idle {
			fmt.Fprintf(out, "  %s, %s%s\n", idle[i].Policy, policyChange(&idle[i]), inBrackets(d.policyPlace(&idle[i])))
		}
		fmt.Fprintln(out)
	}
	for _, w := range []struct {
		title string
		list  []connectivity.Name
	}{{"Workloads added", d.Added}, {"Workloads removed", d.Removed}} {
		if len(w.list) > 0 {
			fmt.Fprintf(out, "%s: %s\n", w.title, nameList(w.list))
		}
	}
	fmt.Fprintln(out, d.Summary())
	return out.Flush()
}

func inBrackets(p Place) string {
	if p.File == "" {
		return ""
	}
	return " (" + p.String() + ")"
}

// mostNames is how many workloads a line names.
const mostNames = 12

func nameList(list []connectivity.Name) string {
	var out []string
	for _, n := range list[:min(len(list), mostNames)] {
		out = append(out, n.String())
	}
	text := strings.Join(out, ", ")
	if len(list) > mostNames {
		text += fmt.Sprintf(" and %d more", len(list)-mostNames)
	}
	return text
}
