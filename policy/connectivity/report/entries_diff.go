package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/entries"
	"github.com/sluice-net/sluice/policy/findings"
)

// EntryDiff is how the ways in from outside changed, as it is written.
type EntryDiff struct {
	Changes  []entries.Change
	Old, New EntryPlaces
}

// entryChange is a change in words.
type entryChange struct {
	id, who, what, why string
	at                 Place
	change             *entries.Change
}

var entryTitles = map[string]string{
	"entry-allowed": "Newly let in by an entry", "entry-changed": "Let in by an entry otherwise", "entry-denied": "No longer let in by an entry",
}

func (d *EntryDiff) rows() []entryChange {
	var out []entryChange
	for i := range d.Changes {
		c := &d.Changes[i]
		row := entryChange{change: c, who: entryName(c.Entry) + " → Service " + c.Service.String() + ":" + c.Port + " → " + nameList(c.Workloads)}
		row.what = connectivity.Describe([]connectivity.Ports{c.To})
		way, places := c.New, d.New
		if way == nil {
			way, places = c.Old, d.Old
		}
		if places != nil {
			row.at = places(c.Entry)
		}
		at := atText(way)
		switch c.Kind {
		case connectivity.NewlyAllowed:
			row.id, row.why = "entry-allowed", "policies denied it"
			if c.Old == nil {
				row.why = "the entry did not lead there"
			}
			if c.NewAnswer == connectivity.Depends {
				row.what += " (depends)"
			}
		case connectivity.NewlyDenied:
			row.id, row.why = "entry-denied", "policies deny it"
			if c.New == nil {
				row.why = "the entry does not lead there any more"
			}
		default:
			row.id, row.why = "entry-changed", fmt.Sprintf("was %s, is %s", c.OldAnswer, c.NewAnswer)
			if c.OldAnswer == c.NewAnswer {
				row.why = "was from " + atText(c.Old)
			}
		}
		if at != "" {
			row.what += " from " + at
		}
		out = append(out, row)
	}
	slices.SortStableFunc(out, func(a, b entryChange) int { return entryRank(a.id) - entryRank(b.id) })
	return out
}

func entryRank(id string) int {
	return slices.Index([]string{"entry-allowed", "entry-changed", "entry-denied"}, id)
}

// opens reports whether an entry lets in what it did not.
func (d *EntryDiff) opens() bool {
	return slices.ContainsFunc(d.Changes, func(c entries.Change) bool { return c.Opens() })
}

// text writes a paragraph for each kind of change.
func (d *EntryDiff) text(out io.Writer) {
	title := ""
	rows := d.rows()
	for i := range rows {
		r := &rows[i]
		if t := entryTitles[r.id]; t != title {
			if title != "" {
				fmt.Fprintln(out)
			}
			title = t
			fmt.Fprintln(out, t)
		}
		fmt.Fprintf(out, "  %s  %s\n      %s%s\n", r.who, r.what, r.why, inBrackets(r.at))
	}
	if len(rows) > 0 {
		fmt.Fprintln(out)
	}
}

// markdown writes a table of as many rows as there is room for, and counts the others.
func (d *EntryDiff) markdown(out *strings.Builder) (left int) {
	head := "\n#### " + entriesTitle + "\n\n| Entry | Ports | Change | Because |\n| --- | --- | --- | --- |\n"
	rows := d.rows()
	for i := range rows {
		r := &rows[i]
		row := fmt.Sprintf("| %s | %s | %s | %s |\n", cell(r.who), cell(r.what), strings.ToLower(entryTitles[r.id]), cell(r.why+inBrackets(r.at)))
		if out.Len()+len(head)+len(row) > longestComment {
			left++
			continue
		}
		out.WriteString(head + row)
		head = ""
	}
	return left
}

// findings are the changes as machines read them, at the lines of the new side.
func (d *EntryDiff) findings() []findings.Finding {
	var out []findings.Finding
	rows := d.rows()
	for i := range rows {
		r := &rows[i]
		f := findings.Finding{
			ID: r.id, Level: findings.Warning, Object: entryName(r.change.Entry), Message: r.who + ": " + r.what, Mend: r.why, Key: r.who,
		}
		if r.change.New != nil {
			f.Field, f.File, f.Line = r.change.New.Field, r.at.File, r.at.Line
		}
		out = append(out, f)
	}
	return out
}

// EntryChange is a change of a way in, for programs.
type EntryChange struct {
	// Kind is allowed, denied or changed.
	Kind      connectivity.ChangeKind `json:"kind"`
	Entry     EntryRef                `json:"entry"`
	Service   string                  `json:"service"`
	Port      string                  `json:"port"`
	Workloads []Workload              `json:"workloads"`
	// Protocol and TargetPort are those of the workloads.
	Protocol   string `json:"protocol"`
	TargetPort uint16 `json:"targetPort"`
	// Old and New are absent where the entry does not lead there.
	Old   connectivity.Answer `json:"old"`
	New   connectivity.Answer `json:"new"`
	OldAt []string            `json:"oldAt,omitempty"`
	NewAt []string            `json:"newAt,omitempty"`
	Why   string              `json:"why"`
	Place *Place              `json:"place,omitempty"`
}

// EntryRef names an entry.
type EntryRef struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

func (d *EntryDiff) documents() []EntryChange {
	out := []EntryChange{}
	rows := d.rows()
	for i := range rows {
		r := &rows[i]
		c := r.change
		one := EntryChange{
			Kind: c.Kind, Entry: EntryRef(c.Entry), Service: c.Service.String(), Port: c.Port, Workloads: workloadsOf(c.Workloads),
			Protocol: c.To.Protocol.String(), TargetPort: c.To.First, Old: c.OldAnswer, New: c.NewAnswer, Why: r.why,
		}
		if c.Old != nil {
			one.OldAt = c.Old.At
		}
		if c.New != nil {
			one.NewAt = c.New.At
		}
		if r.at.File != "" {
			one.Place = &r.at
		}
		out = append(out, one)
	}
	return out
}
