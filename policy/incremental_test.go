package policy_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

var addrs = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func apply(x *policy.Index, e spectest.Event) {
	switch {
	case e.Pod != nil && e.Delete:
		x.DeletePod(e.Name())
	case e.Pod != nil:
		p, _ := policy.PodFromAPI(e.Pod)
		x.SetPod(p)
	case e.Namespace != nil && e.Delete:
		x.DeleteNamespace(e.Name().Name)
	case e.Namespace != nil:
		x.SetNamespace(e.Namespace.Name, e.Namespace.Labels)
	case e.Policy != nil && e.Delete:
		x.DeletePolicy(e.Name())
	case e.Policy != nil:
		_ = x.SetPolicy(e.Policy) // invalid ones are part of the game
	}
}

// picture is what a compiler knows: subjects and the members of their groups.
type picture struct {
	Subjects map[types.NamespacedName]policy.Subject
	Members  map[policy.GroupKey][]string
}

func newPicture() *picture {
	return &picture{
		Subjects: map[types.NamespacedName]policy.Subject{},
		Members:  map[policy.GroupKey][]string{},
	}
}

func groupsIn(s *policy.Subject) []policy.GroupKey {
	var out []policy.GroupKey
	sets := []*policy.AllowSet{s.Ingress, s.Egress}
	for _, a := range s.Shared {
		sets = append(sets, a.Ingress, a.Egress)
	}
	for _, set := range sets {
		if set == nil {
			continue
		}
		for _, part := range set.Parts() {
			for _, r := range part.Rules {
				for _, g := range r.Groups {
					out = append(out, g.Group)
				}
				out = append(out, r.NamedGroups...)
			}
		}
	}
	return out
}

func memberText(m policy.Member) string { return fmt.Sprint(m.Addr, m.Ports) }

func list(x *policy.Index, key policy.GroupKey) []string {
	out := []string{}
	for m := range x.Members(key) {
		out = append(out, memberText(m))
	}
	slices.Sort(out)
	return out
}

// draw looks at the index from scratch.
func draw(x *policy.Index) *picture {
	p := newPicture()
	for s := range x.Subjects() {
		p.Subjects[s.Pod] = *s
		for _, g := range groupsIn(s) {
			p.Members[g] = list(x, g)
		}
	}
	return p
}

// update uses nothing but the changes, as the compiler does.
func (p *picture) update(t *testing.T, x *policy.Index, ch policy.Changes) {
	t.Helper()
	for _, s := range ch.Subjects {
		before, known := p.Subjects[s.Pod]
		if s.Now == nil {
			if !known {
				t.Errorf("%s ceased to be a subject, and was none", s.Pod)
			}
			delete(p.Subjects, s.Pod)
			continue
		}
		if known && gocmp.Equal(before, *s.Now, addrs) {
			t.Errorf("%s is listed as changed, and did not", s.Pod)
		}
		p.Subjects[s.Pod] = *s.Now
	}
	used := map[policy.GroupKey]bool{}
	for _, s := range p.Subjects {
		for _, g := range groupsIn(&s) {
			used[g] = true
		}
	}
	for _, c := range ch.Groups {
		members, known := p.Members[c.Group]
		if !known || !used[c.Group] {
			t.Errorf("group %s changed, which is not in use before and after", c.Group)
		}
		for _, m := range c.Removed {
			i := slices.Index(members, memberText(m))
			if i < 0 {
				t.Errorf("group %s lost %v, which was not in it", c.Group, m)
				continue
			}
			members = slices.Delete(members, i, i+1)
		}
		for _, m := range c.Added {
			if slices.Contains(members, memberText(m)) {
				t.Errorf("group %s won %v, which was in it", c.Group, m)
			}
			members = append(members, memberText(m))
		}
		slices.Sort(members)
		p.Members[c.Group] = members
	}
	for g := range p.Members {
		if !used[g] {
			delete(p.Members, g)
		}
	}
	for g := range used {
		if _, known := p.Members[g]; !known {
			p.Members[g] = list(x, g)
		}
	}
	sorted := slices.IsSortedFunc(ch.Subjects, func(a, b policy.SubjectChange) int {
		return cmp.Or(strings.Compare(a.Pod.Namespace, b.Pod.Namespace), strings.Compare(a.Pod.Name, b.Pod.Name))
	}) && slices.IsSortedFunc(ch.Groups, func(a, b policy.GroupChange) int {
		return strings.Compare(string(a.Group), string(b.Group))
	})
	if !sorted {
		t.Errorf("changes are not sorted")
	}
}

func diff(a, b *picture) string {
	return gocmp.Diff(a, b, addrs, cmpopts.EquateEmpty())
}

// TestIncrementalEqualsFromScratch replays histories: who follows Changes sees
// what an index sees that was only ever given the final objects.
func TestIncrementalEqualsFromScratch(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := spectest.Random(r, spectest.Options{Modes: r.IntN(3) == 0})
		o := policy.Options{}
		if seed%3 > 0 && len(c.Pods) > 0 {
			o.Node = c.Pods[r.IntN(len(c.Pods))].Spec.NodeName
		}
		events := c.Events(r)
		switch seed % 4 {
		case 1:
			events = spectest.Duplicated(r, events)
		case 2:
			events = spectest.Reversed(spectest.Squashed(events))
		}
		x, seen := policy.NewIndex(o), newPicture()
		asks := r.IntN(8)
		for i, e := range events {
			apply(x, e)
			if asks > 0 && r.IntN(asks) == 0 {
				seen.update(t, x, x.Changes())
				if d := diff(seen, draw(x)); d != "" {
					t.Fatalf("seed %d after event %d (%s): Changes against Subjects:\n%s", seed, i, e, d)
				}
			} else if r.IntN(4) == 0 {
				draw(x) // asking must not swallow changes
			}
		}
		seen.update(t, x, x.Changes())
		if again := x.Changes(); !again.Empty() {
			t.Errorf("seed %d: changes without events: %+v", seed, again)
		}
		scratch := policy.NewIndex(o)
		for _, e := range spectest.Replay(events).Final() {
			apply(scratch, e)
		}
		if d := diff(seen, draw(scratch)); d != "" {
			t.Fatalf("seed %d: from scratch (+) against incremental (-):\n%s", seed, d)
		}
		for _, e := range spectest.Replay(events).Final() {
			apply(x, e)
		}
		if resync := x.Changes(); !resync.Empty() {
			t.Errorf("seed %d: changes after a resync: %+v", seed, resync)
		}
		x2 := emptied(x, spectest.Replay(events).Final())
		if left := x.Leftovers(); left != "" {
			t.Errorf("seed %d: left in the emptied index: %s", seed, left)
		}
		if len(x2.Subjects) != len(seen.Subjects) {
			t.Errorf("seed %d: emptying reported %d subjects of %d", seed, len(x2.Subjects), len(seen.Subjects))
		}
	}
}

// emptied deletes every object.
func emptied(x *policy.Index, final []spectest.Event) policy.Changes {
	for _, e := range final {
		e.Delete = true
		apply(x, e)
	}
	ch := x.Changes()
	x.Changes()
	return ch
}
