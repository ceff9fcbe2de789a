package connectivity

import (
	"maps"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Difference is what passes otherwise in a new cluster than in an old one.
type Difference struct {
	// Ends are workloads that are one end before and after, and ranges.
	Ends []DiffEnd
	// Changes are what differs. No pair of ends is in two of them.
	Changes []Change
	// Policies are those that differ, whether or not that changes anything.
	Policies []PolicyChange
	// Added and Removed are the workloads that only one of the clusters has.
	Added, Removed []Name
}

// DiffEnd is an end as it is now, or as it was if it is gone.
type DiffEnd struct {
	End
	// Old and New are whether the end is in the old and in the new cluster.
	Old, New bool
}

// ChangeKind says how a connection changed.
type ChangeKind uint8

const (
	// NewlyAllowed: nothing passed before.
	NewlyAllowed ChangeKind = iota
	// NewlyDenied: nothing passes any more.
	NewlyDenied
	// Changed: something passed before and after, but not the same.
	Changed
)

func (k ChangeKind) String() string { return [...]string{"allowed", "denied", "changed"}[k] }

// MarshalText writes the kind as String does.
func (k ChangeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// ByAddress reports whether the same is answered on all ports as before, for other
// addresses.
func (c *Change) ByAddress() bool {
	return c.Kind == Changed && !slices.ContainsFunc(c.Stretches, func(s StretchChange) bool { return s.Old != s.New })
}

// Change is a difference between each of the sources and each of the
// destinations.
type Change struct {
	Kind ChangeKind
	// Sources and Destinations are ends, by number, ascending.
	Sources, Destinations []int
	// Old and New are all that passes, without reasons.
	Old, New []Stretch
	// Stretches are the ports on which it differs, sorted.
	Stretches []StretchChange
}

// StretchChange is a range of ports on which something else is answered, or the
// same for other addresses.
type StretchChange struct {
	Ports
	Old, New Answer
	// Opens: something passes that did not, be it for other addresses only.
	Opens  bool
	Causes []Cause
}

// Effect says how a policy causes a change.
type Effect uint8

const (
	// Allows: the rule allows now.
	Allows Effect = iota
	// NoLongerAllows: the rule allowed before.
	NoLongerAllows
	// Isolates: the policy is one of those that now isolate the Pods, which none
	// did before.
	Isolates
	// NoLongerIsolates: the policy isolated the Pods, and none does now.
	NoLongerIsolates
	// AddedWorkload and RemovedWorkload: an end is in one cluster only. No policy
	// is named.
	AddedWorkload
	RemovedWorkload
)

func (e Effect) String() string {
	return [...]string{"allows", "noLongerAllows", "isolates", "noLongerIsolates", "addedWorkload", "removedWorkload"}[e]
}

// MarshalText writes the effect as String does.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// Cause is a policy, or a rule of it, by which something changed.
type Cause struct {
	Effect Effect
	// Grant is the rule with its peer. With Isolates and NoLongerIsolates it is no
	// rule, but the policy as a whole in its direction: Rule is -1.
	Grant
	// PolicyChanged: the policy differs in the two clusters, in its rules or in the
	// mode that it says. Otherwise it is labels or ports that do.
	PolicyChanged bool
	// Mode is set where the policy is enforced in one cluster and audited in the other,
	// be it by a label of its Namespace.
	Mode ModeChange
}

// ModeChange says how the mode of a policy changed.
type ModeChange uint8

const (
	// SameMode: it did not.
	SameMode ModeChange = iota
	// NowEnforced: the policy was audited, and counts now.
	NowEnforced
	// NowAudited: the policy was enforced, and counts no more.
	NowAudited
)

func (m ModeChange) String() string { return [...]string{"", "nowEnforced", "nowAudited"}[m] }

func (c Cause) key() string {
	key := c.Effect.String() + " " + c.RuleRef.String() + " " + c.Path()
	if c.If != nil {
		key += " if " + c.If.String()
	}
	return key
}

// PolicyChange is a policy that differs.
type PolicyChange struct {
	Policy types.NamespacedName
	// Old and New are whether it is in the old and in the new cluster.
	Old, New bool
	// Effective: it is a cause of some change. A policy that is not changes
	// nothing by what it has become.
	Effective bool
}

// Diff compares two clusters. Workloads are the same if kind, namespace and name
// are. Addresses of Pods are not looked at: they differ from day to day. Ranges that
// only one of the clusters tells of are those of both: manifests name no nodes, and that
// changes nothing.
func Diff(before, after *Cluster) Difference {
	before, after = withoutAddrs(before), withoutAddrs(after)
	before.PodRanges, after.PodRanges = bothKnow(before.PodRanges, after.PodRanges)
	before.NodeRanges, after.NodeRanges = bothKnow(before.NodeRanges, after.NodeRanges)
	a, b := newWorld(before), newWorld(after)
	ranges := cut(slices.Concat(a.prefixes(), b.prefixes()))
	d := differ{
		old: newMatrix(a, ranges), now: newMatrix(b, ranges),
		same: map[[2]uint32]bool{}, ids: map[pairKey]uint32{}, changed: changedPolicies(a, b),
	}
	d.match()
	d.out.Policies = slices.Collect(maps.Values(d.changed.list))
	d.compare()
	for i := range d.out.Policies {
		p := &d.out.Policies[i]
		p.Effective = d.changed.effective[p.Policy]
	}
	slices.SortFunc(d.out.Policies, func(a, b PolicyChange) int { return policy.CompareNames(a.Policy, b.Policy) })
	return d.out
}

func withoutAddrs(c *Cluster) *Cluster {
	if c == nil {
		return &Cluster{}
	}
	out := *c
	out.Workloads = slices.Clone(c.Workloads)
	for i := range out.Workloads {
		out.Workloads[i].Addrs = nil
	}
	return &out
}

// bothKnow gives each side the other's ranges where it has none.
func bothKnow(a, b []netip.Prefix) (_, _ []netip.Prefix) {
	switch {
	case len(a) == 0:
		return b, b
	case len(b) == 0:
		return a, a
	}
	return a, b
}

// policyChanges are the policies that differ, and those that are a cause.
type policyChanges struct {
	list      map[types.NamespacedName]PolicyChange
	effective map[types.NamespacedName]bool
	modes     map[types.NamespacedName]ModeChange
}

func changedPolicies(a, b *world) policyChanges {
	out := policyChanges{map[types.NamespacedName]PolicyChange{}, map[types.NamespacedName]bool{}, map[types.NamespacedName]ModeChange{}}
	for name, before := range a.policies {
		after, both := b.policies[name]
		switch was, is := a.index.IsAudited(name), b.index.IsAudited(name); {
		case both && was && !is:
			out.modes[name] = NowEnforced
		case both && is && !was:
			out.modes[name] = NowAudited
		}
		if !both || !samePolicy(before, after) {
			out.list[name] = PolicyChange{Policy: name, Old: true, New: both}
		}
	}
	for name := range b.policies {
		if _, both := a.policies[name]; !both {
			out.list[name] = PolicyChange{Policy: name, New: true}
		}
	}
	return out
}

// samePolicy compares what the API server would make of them.
func samePolicy(a, b *networkingv1.NetworkPolicy) bool {
	mode, said := a.Annotations[policy.ModeKey]
	if other, too := b.Annotations[policy.ModeKey]; said != too || mode != other {
		return false
	}
	a, b = a.DeepCopy(), b.DeepCopy()
	policy.Default(a)
	policy.Default(b)
	return equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

// differ compares two matrices over one cut of the address space.
type differ struct {
	old, now *Matrix
	// ends are the numbers in the two matrices of each end, -1 where it is not.
	ends    [][2]int
	changed policyChanges
	// same is whether two numbers of what passes mean the same.
	same map[[2]uint32]bool
	// ids are numbers of changes, by all that they follow from; 0 is none.
	ids     map[pairKey]uint32
	changes table[Change]
	out     Difference
}

// match makes one end of what is one end in both matrices.
func (d *differ) match() {
	at := map[[2]int]int{}
	end := func(key [2]int) *End {
		i, known := at[key]
		if !known {
			i = len(d.ends)
			at[key] = i
			d.ends = append(d.ends, key)
			one := DiffEnd{Old: key[0] >= 0, New: key[1] >= 0}
			if one.New {
				one.End = d.now.ends[key[1]]
			} else {
				one.End = d.old.ends[key[0]]
			}
			one.Workloads, one.Ranges = nil, nil
			d.out.Ends = append(d.out.Ends, one)
		}
		return &d.out.Ends[i].End
	}
	old, now := d.old.byName(), d.now.byName()
	names := maps.Clone(old)
	maps.Copy(names, now)
	for _, n := range slices.SortedFunc(maps.Keys(names), Name.compare) {
		switch {
		case len(old[n]) == 0:
			d.out.Added = append(d.out.Added, n)
		case len(now[n]) == 0:
			d.out.Removed = append(d.out.Removed, n)
		}
		// One name may have Pods of several kinds, as in the midst of a rollout.
		for i := range max(len(old[n]), len(now[n])) {
			e := end([2]int{nth(old[n], i), nth(now[n], i)})
			e.Workloads = append(e.Workloads, n)
		}
	}
	for i, r := range d.old.space.ranges {
		key := [2]int{d.old.rangeEnd[d.old.space.classOf[i]], d.now.rangeEnd[d.now.space.classOf[i]]}
		if key[0] >= 0 || key[1] >= 0 {
			e := end(key)
			e.Ranges = append(e.Ranges, r)
		}
	}
	for i := range d.out.Ends {
		d.out.Ends[i].Ranges = join(d.out.Ends[i].Ranges)
	}
}

func nth(list []int, i int) int {
	if i < len(list) {
		return list[i]
	}
	return -1
}

func (m *Matrix) byName() map[Name][]int {
	out := map[Name][]int{}
	for e := range m.ends {
		for _, n := range m.ends[e].Workloads {
			out[n] = append(out[n], e)
		}
	}
	return out
}

func (d *differ) compare() {
	d.changes.put(nil, func() Change { return Change{} }) // number 0
	g := newGrid(len(d.ends), len(d.ends))
	for i := range d.ends {
		row := g.row(i)
		for j := range d.ends {
			row[j] = d.change(d.ends[i], d.ends[j])
		}
	}
	for _, r := range g.cover() {
		c := d.changes.list[r.value]
		c.Sources, c.Destinations = r.rows, r.cols
		d.out.Changes = append(d.out.Changes, c)
		for i := range c.Stretches {
			for _, cause := range c.Stretches[i].Causes {
				d.changed.effective[cause.Policy] = true
			}
		}
	}
}

// Describe names ends in few words, as [List.Describe] does.
func (d *Difference) Describe(ends []int) []string {
	all := make([]End, len(d.Ends))
	for i := range d.Ends {
		all[i] = d.Ends[i].End
	}
	return describe(all, ends)
}
