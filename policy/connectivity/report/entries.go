package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/entries"
)

// EntryPlaces says where an entry stands; nil knows no place.
type EntryPlaces func(entry connectivity.Name) Place

// Entries are the ways in from outside, as they are written.
type Entries struct {
	Ways  []entries.Way
	Place EntryPlaces
	names *names
}

// NewEntries prepares the ways that a matrix with these ends judged.
func NewEntries(ways []entries.Way, ends []connectivity.End, place EntryPlaces) *Entries {
	return &Entries{Ways: ways, Place: place, names: newNames(ends)}
}

// About keeps the ways that are of interest: those to ends of to or for which an end of
// from speaks, nil for all, and to ports of these that are asked for, nil for all. What leads
// nowhere is of interest where nobody asks for certain ends or ports.
func (e *Entries) About(to, from func(*connectivity.End) bool, ports func(*connectivity.End, connectivity.Ports) bool) *Entries {
	if e == nil || to == nil && ports == nil {
		return e
	}
	out := *e
	out.Ways = nil
	for _, w := range e.Ways {
		speaks := from != nil && slices.ContainsFunc(w.Speakers, func(n int) bool { return from(&e.names.ends[n]) })
		w.Backends = slices.DeleteFunc(slices.Clone(w.Backends), func(b entries.Backend) bool {
			end := &e.names.ends[b.End]
			return ports != nil && !ports(end, b.Port) || to != nil && !to(end) && !speaks
		})
		if len(w.Backends) > 0 {
			out.Ways = append(out.Ways, w)
		}
	}
	return &out
}

// entryRow is a way to one backend, in words.
type entryRow struct {
	way *entries.Way
	// backend is nil where the way leads nowhere.
	backend *entries.Backend
	// entry is "Ingress shop/web", at its hosts and paths, to "Service shop/web:80", and
	// target "shop/web TCP 8080".
	entry, at, to, target string
	// workloads are those of target; isolated, if a policy isolates their ingress.
	workloads string
	isolated  bool
	answer    connectivity.Answer
	// why says from whom, or on what it depends.
	why string
}

// rows are nil-safe: there may be no entries at all.
func (e *Entries) rows() []entryRow {
	if e == nil {
		return nil
	}
	var out []entryRow
	for i := range e.Ways {
		w := &e.Ways[i]
		row := entryRow{way: w, entry: entryName(w.Entry), at: atText(w), to: serviceText(w)}
		if w.Fault != "" {
			row.why = "leads nowhere: " + w.Fault
			out = append(out, row)
			continue
		}
		for j := range w.Backends {
			b := &w.Backends[j]
			row.backend, row.answer = b, b.Answer
			row.workloads, row.isolated = e.names.name(b.End), len(e.names.ends[b.End].Ingress) > 0
			row.target = row.workloads + " " + connectivity.Describe([]connectivity.Ports{b.Port})
			row.why = e.verdict(w, b)
			out = append(out, row)
		}
	}
	return out
}

func entryName(n connectivity.Name) string { return n.Kind + " " + n.Namespace + "/" + n.Name }

// fewAt is how many hosts and paths a line names.
const fewAt = 3

func atText(w *entries.Way) string {
	text := strings.Join(w.At[:min(fewAt, len(w.At))], ", ")
	if more := len(w.At) - fewAt + w.More; len(w.At) > fewAt {
		text += fmt.Sprintf(" and %d more", more)
	}
	if w.Entry.Kind != "Ingress" && len(w.Listeners) > 0 {
		text = strings.TrimSpace(text + " (" + strings.Join(w.Listeners[:min(fewAt, len(w.Listeners))], ", ") + ")")
	}
	return text
}

func serviceText(w *entries.Way) string {
	if w.Service.Name == "" {
		return ""
	}
	return "Service " + w.Service.String() + ":" + w.Port
}

// verdict says whether policies let in whoever speaks for an entry.
func (e *Entries) verdict(w *entries.Way, b *entries.Backend) string {
	outside := "; outside addresses, past it: " + b.Outside.String()
	switch {
	case len(w.Speakers) > 0:
		text := fmt.Sprintf("%s from %s, %s", b.Answer, e.names.short(w.Speakers), w.Speaker.Name)
		if b.Answer == connectivity.Depends {
			text += ifText(b.If)
		}
		return text + outside
	case w.Speaker.Cloud:
		return fmt.Sprintf("%s from outside, where the load balancer is of %s", b.Answer, w.Speaker.Name)
	}
	switch b.Answer {
	case connectivity.Allowed:
		return "allowed to " + w.Speaker.Name + ", wherever it is: policies let everybody in" + outside
	case connectivity.Denied:
		return "denied to " + w.Speaker.Name + ", wherever it is but on the Pods' own node: policies let nobody in on that port" + outside
	}
	var who []string
	for i := range b.Admitted {
		if text := e.names.peerText(&b.Admitted[i]); !slices.Contains(who, text) {
			who = append(who, text)
		}
	}
	return fmt.Sprintf("depends on who is %s, of which no Pod is in the input; policies let in %s%s", w.Speaker.Name, strings.Join(who, ", "), outside)
}

func ifText(list []connectivity.Condition) string {
	var out []string
	for _, c := range list {
		if text := c.String(); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	if len(out) == 0 {
		return ", on which of them it is"
	}
	return ", if " + strings.Join(out, " or ")
}

const entriesTitle = "Entries from outside"

// text writes a paragraph; nothing where there are no entries.
func (e *Entries) text(out io.Writer) {
	rows := e.rows()
	if len(rows) == 0 {
		return
	}
	fmt.Fprintln(out, entriesTitle)
	last := ""
	for i := range rows {
		r := &rows[i]
		head := r.entry
		for _, part := range []string{r.at, r.to} {
			if part == "" {
				continue
			}
			if part == r.to {
				head += " →"
			}
			head += " " + part
		}
		if at := e.place(r.way); at != "" {
			head += " (" + at + ")"
		}
		if head != last {
			fmt.Fprintf(out, "  %s\n", head)
			last = head
		}
		if r.target != "" {
			fmt.Fprintf(out, "    → %s\n", r.target)
		}
		fmt.Fprintf(out, "      %s\n", r.why)
	}
	fmt.Fprintln(out)
}

func (e *Entries) place(w *entries.Way) string {
	if e.Place == nil {
		return ""
	}
	return e.Place(w.Entry).String()
}

// markdown writes a table of its own.
func (e *Entries) markdown(out io.Writer) {
	rows := e.rows()
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s:\n\n| Entry | At | Leads to | Answer |\n| --- | --- | --- | --- |\n", entriesTitle)
	for i := range rows {
		r := &rows[i]
		to := strings.TrimPrefix(r.to+" → "+r.target, " → ")
		fmt.Fprintf(out, "| %s | %s | %s | %s |\n", cell(r.entry), cell(r.at), cell(strings.TrimSuffix(to, " → ")), cell(r.why))
	}
}

// csv writes the ways that let something in as rows.
func (e *Entries) csv(write func(r *entryRow, ports string) error) error {
	rows := e.rows()
	for i := range rows {
		r := &rows[i]
		if r.answer == connectivity.Denied {
			continue
		}
		ports := connectivity.Describe([]connectivity.Ports{r.backend.Port})
		if r.answer == connectivity.Depends {
			ports += " (depends)"
		}
		if err := write(r, ports); err != nil {
			return err
		}
	}
	return nil
}

// draw adds the ways that let something in.
func (e *Entries) draw(d *drawing) {
	rows := e.rows()
	for i := range rows {
		r := &rows[i]
		if r.answer == connectivity.Denied {
			continue
		}
		from := []string{d.node("", r.entry)}
		d.connect(from, d.use(e.names, []int{r.backend.End}), connectivity.Describe([]connectivity.Ports{r.backend.Port}), r.answer == connectivity.Depends)
	}
}

// Entry is a way in from outside, for programs.
type Entry struct {
	// Kind is Ingress, or that of a route, or Gateway where no route stands behind it.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Place     *Place `json:"place,omitempty"`
	// Gateways are those that a route stands behind, Listeners their protocols and ports.
	Gateways  []string `json:"gateways,omitempty"`
	Listeners []string `json:"listeners,omitempty"`
	// At are hosts and paths; moreAt counts those that are left out.
	At     []string `json:"at,omitempty"`
	MoreAt int      `json:"moreAt,omitempty"`
	// Service and port are what it leads to, by the field.
	Service string `json:"service,omitempty"`
	Port    string `json:"port,omitempty"`
	Field   string `json:"field,omitempty"`
	// Speaker says who connects to what is behind it, and speakers name its workloads in
	// the input.
	Speaker  string     `json:"speaker"`
	Speakers []Workload `json:"speakers"`
	// Fault says why it leads nowhere.
	Fault    string         `json:"fault,omitempty"`
	Backends []EntryBackend `json:"backends"`
}

// EntryBackend is a port of workloads behind an entry.
type EntryBackend struct {
	Workloads []Workload `json:"workloads"`
	Protocol  string     `json:"protocol"`
	Port      uint16     `json:"port"`
	// Answer is whether the speaker may connect, why says it in words.
	Answer connectivity.Answer `json:"answer"`
	Why    string              `json:"why"`
	// Outside is whether addresses outside may connect without the entry.
	Outside connectivity.Answer `json:"outside"`
	// Admitted are those whom policies let in on the port, where the answer depends on
	// who the speaker is.
	Admitted []string `json:"admitted,omitempty"`
}

// documents are the ways for programs, never null.
func (e *Entries) documents() []Entry {
	out := []Entry{}
	if e == nil {
		return out
	}
	for i := range e.Ways {
		w := &e.Ways[i]
		one := Entry{
			Kind: w.Entry.Kind, Namespace: w.Entry.Namespace, Name: w.Entry.Name, Gateways: policyNames(w.Gateways), Listeners: w.Listeners,
			At: w.At, MoreAt: w.More, Port: w.Port, Field: w.Field, Speaker: w.Speaker.Name, Fault: w.Fault, Backends: []EntryBackend{}, Speakers: []Workload{},
		}
		if w.Service.Name != "" {
			one.Service = w.Service.String()
		}
		if e.Place != nil {
			if at := e.Place(w.Entry); at.File != "" {
				one.Place = &at
			}
		}
		for _, s := range w.Speakers {
			one.Speakers = append(one.Speakers, workloadsOf(e.names.ends[s].Workloads)...)
		}
		for j := range w.Backends {
			b := &w.Backends[j]
			backend := EntryBackend{
				Workloads: workloadsOf(b.Workloads), Protocol: b.Port.Protocol.String(), Port: b.Port.First,
				Answer: b.Answer, Why: e.verdict(w, b), Outside: b.Outside,
			}
			for k := range b.Admitted {
				backend.Admitted = append(backend.Admitted, e.names.peerText(&b.Admitted[k]))
			}
			one.Backends = append(one.Backends, backend)
		}
		out = append(out, one)
	}
	return out
}
