package entries

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// Change is a way in, to one port of workloads, that is not what it was.
type Change struct {
	Kind      connectivity.ChangeKind
	Entry     connectivity.Name
	Service   types.NamespacedName
	Port      string
	Workloads []connectivity.Name
	To        connectivity.Ports
	// Old and New are the way before and after, nil where it was not there; OldAnswer and
	// NewAnswer whether whoever speaks for it may connect, Absent where it was not there.
	Old, New             *Way
	OldAnswer, NewAnswer connectivity.Answer
}

// flat is what tells one way to one workload from others.
type flat struct {
	entry   connectivity.Name
	service types.NamespacedName
	port    string
	to      connectivity.Ports
	name    connectivity.Name
}

type state struct {
	way    *Way
	answer connectivity.Answer
}

// Diff compares the ways in of two sets. What was denied before and after is no change.
func Diff(before, after []Way) []Change {
	was, is := flatten(before), flatten(after)
	var keys []flat
	for k := range was {
		keys = append(keys, k)
	}
	for k := range is {
		if _, known := was[k]; !known {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compareFlat)
	var out []Change
	for _, k := range keys {
		c := Change{Entry: k.entry, Service: k.service, Port: k.port, To: k.to, OldAnswer: connectivity.Absent, NewAnswer: connectivity.Absent}
		if s, there := was[k]; there {
			c.Old, c.OldAnswer = s.way, s.answer
		}
		if s, there := is[k]; there {
			c.New, c.NewAnswer = s.way, s.answer
		}
		if !c.differs() {
			continue
		}
		last := len(out) - 1
		if last >= 0 && out[last].alike(&c) {
			out[last].Workloads = append(out[last].Workloads, k.name)
			continue
		}
		c.Workloads = []connectivity.Name{k.name}
		out = append(out, c)
	}
	return out
}

func flatten(ways []Way) map[flat]state {
	out := map[flat]state{}
	for i := range ways {
		w := &ways[i]
		for j := range w.Backends {
			b := &w.Backends[j]
			for _, name := range b.Workloads {
				key := flat{w.Entry, w.Service, w.Port, b.Port, name}
				// Pods of one workload that are not alike, as in a rollout, count as the most
				// open of them.
				if s, known := out[key]; !known || passing(b.Answer) > passing(s.answer) {
					out[key] = state{w, b.Answer}
				}
			}
		}
	}
	return out
}

func compareFlat(a, b flat) int {
	return cmp.Or(
		strings.Compare(a.entry.Namespace, b.entry.Namespace), strings.Compare(a.entry.Kind, b.entry.Kind), strings.Compare(a.entry.Name, b.entry.Name),
		strings.Compare(a.service.Namespace, b.service.Namespace), strings.Compare(a.service.Name, b.service.Name), strings.Compare(a.port, b.port),
		cmp.Compare(a.to.Protocol, b.to.Protocol), cmp.Compare(a.to.First, b.to.First),
		strings.Compare(a.name.Namespace, b.name.Namespace), strings.Compare(a.name.Kind, b.name.Kind), strings.Compare(a.name.Name, b.name.Name),
	)
}

// passing orders answers by how much passes.
func passing(a connectivity.Answer) int {
	if a == connectivity.Absent {
		return 0
	}
	return int(a)
}

// differs fills in the kind of a change, and is false if it is none.
func (c *Change) differs() bool {
	before, after := passing(c.OldAnswer), passing(c.NewAnswer)
	switch {
	case before == 0 && after == 0:
		return false
	case before == 0:
		c.Kind = connectivity.NewlyAllowed
	case after == 0:
		c.Kind = connectivity.NewlyDenied
	default:
		c.Kind = connectivity.Changed
		return before != after || c.Moved()
	}
	return true
}

// Moved reports whether other hosts and paths lead there than before.
func (c *Change) Moved() bool {
	return c.Old != nil && c.New != nil && (!slices.Equal(c.Old.At, c.New.At) || c.Old.More != c.New.More)
}

// Opens reports whether more comes in than before, or by another address.
func (c *Change) Opens() bool {
	if passing(c.NewAnswer) > passing(c.OldAnswer) {
		return true
	}
	return c.Moved() && passing(c.NewAnswer) > 0 &&
		(c.New.More > c.Old.More || slices.ContainsFunc(c.New.At, func(at string) bool { return !slices.Contains(c.Old.At, at) }))
}

func (c *Change) alike(o *Change) bool {
	return c.Entry == o.Entry && c.Service == o.Service && c.Port == o.Port && c.To == o.To && c.Kind == o.Kind &&
		c.OldAnswer == o.OldAnswer && c.NewAnswer == o.NewAnswer
}
