package report_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/entries"
	"github.com/sluice-net/sluice/policy/connectivity/report"
)

// cells divides a row of a table as Markdown does: at bars that nothing escapes.
func cells(row string) []string {
	var out []string
	cell := ""
	for i, r := range row {
		if r == '|' && (i == 0 || row[i-1] != '\\') {
			out = append(out, strings.TrimSpace(cell))
			cell = ""
			continue
		}
		cell += string(r)
	}
	return out[1:]
}

// What an author can write freely (files' names, hosts, paths) stays text in its cell.
func TestMarkdownKeepsText(t *testing.T) {
	const file = "x|y*_<img src=x onerror=alert(1)>[l](javascript:x)`c`\n| a | b |"
	hostile := func(types.NamespacedName, ...any) report.Place { return report.Place{File: file, Line: 3} }
	d := report.NewDiff(connectivity.Diff(shop(), changed()), hostile, hostile)
	way := entries.Way{Entry: connectivity.Name{Kind: "Ingress", Namespace: "shop", Name: "web"}, At: []string{file}, Service: types.NamespacedName{Namespace: "shop", Name: "web"}, Port: file}
	d.Entries = report.EntryDiff{
		Changes: []entries.Change{{Entry: way.Entry, Service: way.Service, Port: file, New: &way, NewAnswer: connectivity.Allowed, OldAnswer: connectivity.Absent, To: connectivity.Ports{Protocol: 6, First: 80, Last: 80}}},
		New:     func(connectivity.Name) report.Place { return report.Place{File: file} },
	}
	m := connectivity.New(shop())
	list := report.NewList(m, hostile, connectivity.ListOptions{Why: true})
	way.Backends = []entries.Backend{{End: 0, Port: connectivity.Ports{Protocol: 6, First: 80, Last: 80}, Answer: connectivity.Allowed}}
	way.Speaker = entries.Speaker{Name: file}
	list.Entries = report.NewEntries([]entries.Way{way}, m.Ends(), nil)
	for name, got := range map[string]string{"diff": text(t, d.Markdown), "list": text(t, list.Markdown)} {
		columns, rows := 0, 0
		for line := range strings.Lines(got) {
			line = strings.TrimSuffix(line, "\n")
			if !strings.HasPrefix(line, "|") {
				columns = 0
				continue
			}
			row := cells(line)
			if columns == 0 {
				columns = len(row)
			}
			rows++
			if len(row) != columns {
				t.Errorf("%s: %d cells of %d: %s", name, len(row), columns, line)
			}
			// All of HTML that is ours is the break between two reasons.
			if plain := strings.ReplaceAll(line, "<br>", ""); strings.ContainsAny(plain, "<>") || strings.Contains(plain, " [l]") || strings.Contains(plain, "](") && !strings.Contains(plain, `\](`) {
				t.Errorf("%s: markup of an author: %s", name, line)
			}
		}
		if rows < 5 || !strings.Contains(got, `x\|y\*\_&lt;img`) {
			t.Errorf("%s: %d rows:\n%s", name, rows, got)
		}
	}
}

// mostOfComment is what a comment of a pull request may have, in characters.
// https://github.com/orgs/community/discussions/27190
const mostOfComment = 65_536

// However much changes, the comment has room for it, and counts what it leaves out.
func TestMarkdownCommentIsCounted(t *testing.T) {
	long := strings.Repeat("a", 60)
	before, after := &connectivity.Cluster{}, &connectivity.Cluster{}
	const n = 900
	for i := range n {
		w := workload("Deployment", "shop", fmt.Sprintf("%s-%d", long, i))
		w.Labels = map[string]string{"app": fmt.Sprint(i)}
		before.Workloads, after.Workloads = append(before.Workloads, w), append(after.Workloads, w)
		deny := ingress(fmt.Sprintf("%s-%d", long, i), fmt.Sprint(i))
		before.Policies = append(before.Policies, deny)
		allow := ingress(fmt.Sprintf("%s-%d", long, i), fmt.Sprint(i), from(tcp(int32(1000+i)), pods(fmt.Sprint((i+1)%n))))
		after.Policies = append(after.Policies, allow, ingress(fmt.Sprintf("%s-idle-%d", long, i), fmt.Sprint(i)))
	}
	d := report.NewDiff(connectivity.Diff(before, after), places, places)
	for i := range n {
		way := &entries.Way{At: []string{long + fmt.Sprint(i)}}
		d.Entries.Changes = append(d.Entries.Changes, entries.Change{Entry: connectivity.Name{Kind: "Ingress", Namespace: long, Name: fmt.Sprint(long, i)}, New: way, NewAnswer: connectivity.Allowed, OldAnswer: connectivity.Absent})
	}
	got := text(t, d.Markdown)
	if size := utf8.RuneCountInString(got); size > mostOfComment || size < mostOfComment/2 {
		t.Errorf("%d characters", size)
	}
	rows := 0
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| ---") && !strings.HasPrefix(line, "| From") && !strings.HasPrefix(line, "| Entry") {
			rows++
		}
	}
	want := fmt.Sprintf("%d changes more have no room here", len(d.Changes)+len(d.Entries.Changes)-rows)
	if !strings.Contains(got, want) {
		t.Errorf("%d rows of %d and %d changes; %q is missing: …%s", rows, len(d.Changes), len(d.Entries.Changes), want, got[max(0, len(got)-1500):])
	}
}
