package connectivity_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spectest"
)

// edited is a later state of a cluster: another one's policies among its own,
// Pods that come, go and change their labels.
func edited(r *rand.Rand, c *spectest.Cluster, other *spectest.Cluster) *spectest.Cluster {
	out := *c
	out.Policies = nil
	for _, np := range c.Policies {
		switch r.IntN(4) {
		case 0: // goes
		case 1: // becomes another one
			np = np.DeepCopy()
			np.Spec = other.Policies[r.IntN(len(other.Policies))].Spec
			out.Policies = append(out.Policies, np)
		default:
			out.Policies = append(out.Policies, np)
		}
	}
	if r.IntN(2) == 0 {
		np := other.Policies[0].DeepCopy()
		np.Name = "new"
		out.Policies = append(out.Policies, np)
	}
	out.Pods = nil
	for _, p := range c.Pods {
		switch p = p.DeepCopy(); r.IntN(8) {
		case 0:
		case 1:
			p.Labels = other.Pods[0].Labels
			out.Pods = append(out.Pods, p)
		default:
			out.Pods = append(out.Pods, p)
		}
	}
	return &out
}

// A difference is that of the two lists.
func TestDiffIsTheDifferenceOfLists(t *testing.T) {
	changes := map[connectivity.ChangeKind]int{}
	for seed := range *clustersFlag {
		r := spectest.Seeded(seed ^ 4<<40)
		c := random(seed)
		before, after := clusterOf(t, c, false), clusterOf(t, edited(r, c, random(seed+5000)), false)
		d := connectivity.Diff(before, after)
		for _, change := range d.Changes {
			changes[change.Kind]++
		}
		v := versus{d: d, old: connectivity.New(before), now: connectivity.New(after)}
		v.find(t)
		for i := range d.Ends {
			for j := range d.Ends {
				for _, e := range sampled(r) {
					v.compare(t, seed, i, j, e)
				}
			}
		}
	}
	t.Logf("changes: %v", changes)
	if len(changes) != 3 {
		t.Error("some kind of change never came up")
	}
}

// versus compares a difference with the two matrices.
type versus struct {
	d        connectivity.Difference
	old, now *connectivity.Matrix
	at       map[[2]int]*connectivity.Change
	// ends are the numbers in both of the ends of the difference.
	ends [][2]int
}

func (v *versus) find(t *testing.T) {
	t.Helper()
	v.at = map[[2]int]*connectivity.Change{}
	for i := range v.d.Ends {
		v.ends = append(v.ends, [2]int{same(t, v.old, &v.d.Ends[i]), same(t, v.now, &v.d.Ends[i])})
	}
	for i := range v.d.Changes {
		c := &v.d.Changes[i]
		for _, src := range c.Sources {
			for _, dst := range c.Destinations {
				if v.at[[2]int{src, dst}] != nil {
					t.Fatalf("%s → %s changes twice", &v.d.Ends[src].End, &v.d.Ends[dst].End)
				}
				v.at[[2]int{src, dst}] = c
			}
		}
	}
}

// same finds the end of a difference in a matrix, -1 if it is not there. Every
// workload and range of it must be of one end there.
func same(t *testing.T, m *connectivity.Matrix, e *connectivity.DiffEnd) int {
	t.Helper()
	found := -1
	note := func(i int) {
		if found >= 0 && found != i {
			t.Fatalf("%s is two ends: %s and %s", &e.End, &m.Ends()[found], &m.Ends()[i])
		}
		found = i
	}
	for i := range m.Ends() {
		o := &m.Ends()[i]
		for _, w := range e.Workloads {
			if slices.Contains(o.Workloads, w) {
				note(i)
			}
		}
		for _, r := range e.Ranges {
			if slices.ContainsFunc(o.Ranges, func(s connectivity.AddrRange) bool {
				return s.First.Compare(r.First) <= 0 && r.Last.Compare(s.Last) <= 0
			}) {
				note(i)
			}
		}
	}
	return found
}

func (v *versus) compare(t *testing.T, seed uint64, i, j int, e endpoint) {
	t.Helper()
	a, b := &v.d.Ends[i], &v.d.Ends[j]
	old, listed := answer(v.old, v.ends[i][0], v.ends[j][0], e)
	now, also := answer(v.now, v.ends[i][1], v.ends[j][1], e)
	if !listed && !also {
		if v.at[[2]int{i, j}] != nil {
			t.Fatalf("seed %d: a change between %s and %s, which no policy isolates", seed, &a.End, &b.End)
		}
		return
	}
	said := [2]connectivity.Answer{old, old}
	if c := v.at[[2]int{i, j}]; c != nil {
		for k := range c.Stretches {
			s := &c.Stretches[k]
			if where([]connectivity.Stretch{{Ports: s.Ports}}, e) != nil {
				said = [2]connectivity.Answer{s.Old, s.New}
				if len(s.Causes) == 0 {
					t.Fatalf("seed %d: %s → %s %s changes for no cause", seed, &a.End, &b.End, s.Ports)
				}
			}
		}
	}
	if said != [2]connectivity.Answer{old, now} {
		t.Fatalf("seed %d: %s → %s %v: was %s, is %s, and the difference says %v", seed, &a.End, &b.End, e, old, now, said)
	}
}

func answer(m *connectivity.Matrix, src, dst int, e endpoint) (_ connectivity.Answer, listed bool) {
	if src < 0 || dst < 0 {
		return connectivity.Denied, false
	}
	all, _, _ := m.Allows(src, dst, e.protocol, e.port)
	return all, !outside(m, src) || !outside(m, dst)
}

// If one policy differs, it is the only cause, and effective if there is any
// change.
func TestDiffNamesThePolicyThatDiffers(t *testing.T) {
	effective, idle := 0, 0
	for seed := range *clustersFlag {
		r := spectest.Seeded(seed ^ 5<<40)
		c := random(seed)
		after := *c
		at := r.IntN(len(c.Policies))
		after.Policies = slices.Clone(c.Policies)
		np := c.Policies[at].DeepCopy()
		np.Spec = random(seed + 7000).Policies[0].Spec
		after.Policies[at] = np
		d := connectivity.Diff(clusterOf(t, c, false), clusterOf(t, &after, false))
		if len(d.Policies) == 0 && len(d.Changes) == 0 {
			continue // the same by chance
		}
		if len(d.Policies) != 1 || d.Policies[0].Policy != named(np.Namespace, np.Name) || d.Policies[0].Effective != (len(d.Changes) > 0) {
			t.Fatalf("seed %d: %d changes, policies %+v", seed, len(d.Changes), d.Policies)
		}
		if d.Policies[0].Effective {
			effective++
		} else {
			idle++
		}
		for _, change := range d.Changes {
			for _, s := range change.Stretches {
				for _, cause := range s.Causes {
					isolation := cause.Effect == connectivity.Isolates || cause.Effect == connectivity.NoLongerIsolates
					if cause.Policy != d.Policies[0].Policy || !cause.PolicyChanged || !isolation && cause.Path() == "" {
						t.Fatalf("seed %d: %s differs, and the cause is %s %s %s", seed, d.Policies[0].Policy, cause.Effect, cause.Policy, cause.Path())
					}
				}
			}
		}
	}
	t.Logf("%d policies with effect, %d without", effective, idle)
	if effective == 0 || idle == 0 {
		t.Error("this tests nothing")
	}
}

func TestDiffOfTheSameIsEmpty(t *testing.T) {
	for seed := range *clustersFlag {
		c := random(seed)
		d := connectivity.Diff(clusterOf(t, c, true), clusterOf(t, c, false))
		if len(d.Changes)+len(d.Policies)+len(d.Added)+len(d.Removed) > 0 {
			t.Fatalf("seed %d: %s", seed, dump(d))
		}
	}
}

// What Default adds makes no other policy.
func TestDiffKnowsDefaults(t *testing.T) {
	for seed := range *clustersFlag {
		c := random(seed)
		after := *c
		after.Policies = nil
		for _, np := range c.Policies {
			np = np.DeepCopy()
			policy.Default(np)
			if np.Spec.Egress == nil {
				np.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{}
			}
			after.Policies = append(after.Policies, np)
		}
		if d := connectivity.Diff(clusterOf(t, c, false), clusterOf(t, &after, false)); len(d.Changes)+len(d.Policies) > 0 {
			t.Fatalf("seed %d: %s", seed, dump(d))
		}
	}
}
