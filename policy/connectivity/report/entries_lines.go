package report

// EntryLine is a way in from outside, or a change of one, in words.
type EntryLine struct {
	Entry, At, Service string
	// Target are the workloads and the port that it leads to, empty where it leads nowhere.
	Target string
	// State is an answer, "leads nowhere", or of a difference allowed, changed or denied.
	State string
	// Why says from whom, on what it depends, or what caused the change.
	Why, Place string
}

// Lines are the ways, one for each backend.
func (e *Entries) Lines() []EntryLine {
	var out []EntryLine
	rows := e.rows()
	for i := range rows {
		r := &rows[i]
		line := EntryLine{Entry: r.entry, At: r.at, Service: r.to, Target: r.target, State: "leads nowhere", Why: r.why, Place: e.place(r.way)}
		if r.backend != nil {
			line.State = r.answer.String()
		} else {
			line.Why = r.way.Fault
		}
		out = append(out, line)
	}
	return out
}

// Lines are the changes, those that let something in first.
func (d *EntryDiff) Lines() []EntryLine {
	var out []EntryLine
	rows := d.rows()
	for i := range rows {
		r := &rows[i]
		line := EntryLine{
			Entry: entryName(r.change.Entry), Service: "Service " + r.change.Service.String() + ":" + r.change.Port,
			Target: nameList(r.change.Workloads) + " " + r.what, State: r.change.Kind.String(), Why: r.why,
		}
		if r.at.File != "" {
			line.Place = r.at.String()
		}
		out = append(out, line)
	}
	return out
}
