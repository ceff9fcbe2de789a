package report

import (
	"io"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// DiffDocument is a difference for programs.
type DiffDocument struct {
	TypeMeta
	Ends     []DiffEnd      `json:"ends"`
	Changes  []Change       `json:"changes"`
	Policies []PolicyChange `json:"policies"`
	// Entries are changes of the ways in from outside.
	Entries []EntryChange `json:"entries"`
	// Added and Removed are the workloads that only one side has.
	Added   []Workload `json:"added"`
	Removed []Workload `json:"removed"`
}

// DiffEnd is an end, and on which sides it is.
type DiffEnd struct {
	End
	Old bool `json:"old"`
	New bool `json:"new"`
}

// Change is a difference between each of the sources and each of the destinations.
type Change struct {
	// Kind is allowed, denied or changed.
	Kind         connectivity.ChangeKind `json:"kind"`
	Sources      []int                   `json:"sources"`
	Destinations []int                   `json:"destinations"`
	// Old and New are all that passes, in words; empty for nothing.
	Old       string          `json:"old"`
	New       string          `json:"new"`
	Stretches []StretchChange `json:"stretches"`
}

// StretchChange is a range of ports with another answer than before.
type StretchChange struct {
	Protocol  string              `json:"protocol"`
	FirstPort *uint16             `json:"firstPort,omitempty"`
	LastPort  *uint16             `json:"lastPort,omitempty"`
	Old       connectivity.Answer `json:"old"`
	New       connectivity.Answer `json:"new"`
	// Opens: something passes that did not, be it for other addresses only.
	Opens  bool    `json:"opens"`
	Causes []Cause `json:"causes"`
}

// Cause is a policy, or a rule of it, by which something changed.
type Cause struct {
	// Effect is allows, noLongerAllows, isolates, noLongerIsolates, addedWorkload or
	// removedWorkload.
	Effect connectivity.Effect `json:"effect"`
	Rule
	// PolicyChanged: it is the policy that differs, and not labels or ports.
	PolicyChanged bool `json:"policyChanged"`
	// Mode is nowEnforced or nowAudited where the policy's mode changed, maybe by its
	// Namespace's label.
	Mode string `json:"mode,omitempty"`
}

// PolicyChange is a policy that differs.
type PolicyChange struct {
	Policy string `json:"policy"`
	// Change is added, removed or changed.
	Change string `json:"change"`
	// Effective: it is a cause of some change.
	Effective bool   `json:"effective"`
	Place     *Place `json:"place,omitempty"`
}

// Document is the difference for programs.
func (d *Diff) Document() DiffDocument {
	out := DiffDocument{
		TypeMeta: TypeMeta{Version, "ConnectionDiff"}, Ends: []DiffEnd{}, Changes: []Change{}, Policies: []PolicyChange{},
		Entries: d.Entries.documents(), Added: workloadsOf(d.Added), Removed: workloadsOf(d.Removed),
	}
	for i, e := range endsOf(d.names.ends) {
		out.Ends = append(out.Ends, DiffEnd{e, d.Ends[i].Old, d.Ends[i].New})
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		one := Change{Kind: c.Kind, Sources: c.Sources, Destinations: c.Destinations, Old: answered(c.Old), New: answered(c.New)}
		for j := range c.Stretches {
			s := &c.Stretches[j]
			change := StretchChange{Old: s.Old, New: s.New, Opens: s.Opens, Causes: []Cause{}}
			change.Protocol, change.FirstPort, change.LastPort = portsIn(s.Ports)
			for k := range s.Causes {
				cause := &s.Causes[k]
				at := d.New
				if cause.Effect == connectivity.NoLongerAllows || cause.Effect == connectivity.NoLongerIsolates {
					at = d.Old
				}
				change.Causes = append(change.Causes, Cause{cause.Effect, ruleOf(&cause.Grant, at), cause.PolicyChanged, cause.Mode.String()})
			}
			one.Stretches = append(one.Stretches, change)
		}
		out.Changes = append(out.Changes, one)
	}
	for i := range d.Policies {
		p := &d.Policies[i]
		one := PolicyChange{Policy: p.Policy.String(), Change: policyChange(p), Effective: p.Effective}
		if at := d.policyPlace(p); at.File != "" {
			one.Place = &at
		}
		out.Policies = append(out.Policies, one)
	}
	return out
}

func workloadsOf(list []connectivity.Name) []Workload {
	out := []Workload{}
	for _, n := range list {
		out = append(out, Workload(n))
	}
	return out
}

// JSON writes the document.
func (d *Diff) JSON(w io.Writer) error { return encode(w, d.Document()) }
