package connectivity_test

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/spectest"
)

// Whoever an opening is for gets through the side that it is about, on the
// ports that it says and on no others.
func TestOpeningsAreOpen(t *testing.T) {
	kinds := map[connectivity.PeerKind]int{}
	for seed := range *clustersFlag {
		c := random(seed)
		r := spectest.Seeded(seed ^ 6<<40)
		x := connectivity.NewExposure(clusterOf(t, c, false))
		door := door{x: indexOf(t, c, nil), c: c}
		eachOpenness(&x, func(e *connectivity.End, d policy.Direction, o *connectivity.Openness) {
			for i := range o.Openings {
				opening := &o.Openings[i]
				kinds[opening.Kind]++
				ask, leave := door.visit(e, d, visitorOf(opening))
				for _, p := range sampled(r) {
					got, byRule := ask(p)
					answer := connectivity.Denied
					if s := where(opening.Stretches, p); s != nil {
						answer = s.Answer
					}
					if answer == connectivity.Allowed && !got || answer == connectivity.Denied && got {
						t.Fatalf("seed %d: %s %s: %v is said to be %s, and Evaluate says %v (%v)\n%s\n%s", seed, e, d, p, answer, got, byRule, dump(opening), c.YAML())
					}
				}
				leave()
			}
		})
	}
	t.Logf("openings: %v", kinds)
	if len(kinds) != 4 {
		t.Error("some kind of opening never came up")
	}
}

// Whoever gets in by a selector, some opening says that on this port one can.
func TestNoOpeningIsMissing(t *testing.T) {
	found := 0
	for seed := range *clustersFlag {
		c := random(seed)
		r := spectest.Seeded(seed ^ 7<<40)
		x := connectivity.NewExposure(clusterOf(t, c, false))
		door := door{x: indexOf(t, c, nil), c: c}
		eachOpenness(&x, func(e *connectivity.End, d policy.Direction, o *connectivity.Openness) {
			if !o.Isolated() {
				return
			}
			for range 5 {
				v := someVisitor(r, c)
				ask, leave := door.visit(e, d, v)
				for _, p := range sampled(r) {
					got, by := ask(p)
					if !got {
						continue
					}
					found++
					if !slices.ContainsFunc(o.Openings, func(o connectivity.Opening) bool { return where(o.Stretches, p) != nil }) {
						t.Fatalf("seed %d: %s %s: %+v passes on %v by %v, and no opening says so:\n%s\n%s", seed, e, d, v, p, by, dump(o.Openings), c.YAML())
					}
				}
				leave()
			}
		})
	}
	if found == 0 {
		t.Error("this tests nothing")
	}
}

var policyTypes = map[policy.Direction]networkingv1.PolicyType{
	policy.Ingress: networkingv1.PolicyTypeIngress, policy.Egress: networkingv1.PolicyTypeEgress,
}

// What no policy isolates is what the naive evaluator calls so.
func TestExposureKnowsWhatIsIsolated(t *testing.T) {
	isolated := map[bool]int{}
	for seed := range *clustersFlag {
		c := random(seed)
		x := connectivity.NewExposure(clusterOf(t, c, false))
		seen := 0
		eachOpenness(&x, func(e *connectivity.End, d policy.Direction, o *connectivity.Openness) {
			for _, w := range e.Workloads {
				seen++
				at := slices.IndexFunc(c.Pods, func(p *corev1.Pod) bool { return p.Namespace == w.Namespace && p.Name == w.Name })
				want := !c.Pods[at].Spec.HostNetwork && c.Isolated(c.Pods[at], policyTypes[d])
				isolated[want]++
				if o.Isolated() != want {
					t.Fatalf("seed %d: %s is isolated for %s: %v, not %v", seed, w, d, o.Isolated(), want)
				}
			}
		})
		if seen != 2*len(c.Pods) {
			t.Fatalf("seed %d: %d directions of %d Pods", seed, seen, len(c.Pods))
		}
	}
	if len(isolated) != 2 {
		t.Error("this tests nothing")
	}
}

func eachOpenness(x *connectivity.Exposure, f func(*connectivity.End, policy.Direction, *connectivity.Openness)) {
	for i := range x.Groups {
		g := &x.Groups[i]
		for _, e := range g.Ends {
			f(&x.Ends[e], policy.Ingress, &g.Ingress)
			f(&x.Ends[e], policy.Egress, &g.Egress)
		}
	}
}

// visitor is somebody who is not in the cluster: an address, or a Pod.
type visitor struct {
	addr            netip.Addr
	namespace       string
	namespaceLabels map[string]string // of a new namespace
	labels          map[string]string
}

func visitorOf(o *connectivity.Opening) visitor {
	switch o.Kind {
	case connectivity.OutsideRanges:
		return visitor{addr: o.Ranges[len(o.Ranges)-1].Last}
	case connectivity.EveryNamespace:
		return visitor{namespace: "*"}
	case connectivity.SelectedPods:
		if o.Namespace == "" {
			return visitor{namespace: "*", namespaceLabels: o.NamespaceLabels, labels: o.Labels}
		}
	}
	return visitor{namespace: o.Namespace, namespaceLabels: o.NamespaceLabels, labels: o.Labels}
}

// someVisitor is a Pod of any labels in a namespace of the cluster or in a new
// one.
func someVisitor(r *rand.Rand, c *spectest.Cluster) visitor {
	other := spectest.Random(r, spectest.Options{Plain: true, Pods: 1, Namespaces: 1, Policies: 1})
	v := visitor{labels: other.Pods[0].Labels, namespace: "new", namespaceLabels: map[string]string{}}
	if len(other.Namespaces) > 0 {
		v.namespaceLabels = other.Namespaces[0].Labels
		delete(v.namespaceLabels, corev1.LabelMetadataName)
	}
	if len(c.Namespaces) > 0 && r.IntN(2) == 0 {
		// A namespace always has its name as a label.
		ns := c.Namespaces[r.IntN(len(c.Namespaces))]
		if ns.Labels[corev1.LabelMetadataName] != "" {
			v.namespace, v.namespaceLabels = ns.Name, nil
		}
	}
	return v
}

// door asks an index about visitors, one at a time.
type door struct {
	x *policy.Index
	c *spectest.Cluster
}

// visit places an end and a visitor in the index. Asked is what the end's own
// policies say; leave takes both away again.
func (o *door) visit(e *connectivity.End, d policy.Direction, v visitor) (ask func(endpoint) (bool, *policy.RuleRef), leave func()) {
	known := slices.ContainsFunc(o.c.Namespaces, func(ns *corev1.Namespace) bool { return ns.Name == v.namespace })
	fresh := !v.addr.IsValid() && !known && (v.namespaceLabels != nil || v.namespace == "*")
	if fresh {
		labels := map[string]string{corev1.LabelMetadataName: v.namespace}
		maps.Copy(labels, v.namespaceLabels)
		o.x.SetNamespace(v.namespace, labels)
	}
	home, guest := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if v.addr.IsValid() {
		if guest = v.addr; !guest.Is4() {
			home = netip.MustParseAddr("2001:db8:ffff::1")
		}
	} else {
		o.x.SetPod(&policy.Pod{NamespacedName: named(v.namespace, "guest"), Labels: v.labels, Addrs: []netip.Addr{guest}})
	}
	o.x.SetPod(&policy.Pod{NamespacedName: named(e.Namespace, "home"), Labels: e.Labels, Ports: e.Ports, Addrs: []netip.Addr{home}})
	leave = func() {
		o.x.DeletePod(named(e.Namespace, "home"))
		o.x.DeletePod(named(v.namespace, "guest"))
		if fresh {
			o.x.DeleteNamespace(v.namespace)
		}
	}
	return func(p endpoint) (bool, *policy.RuleRef) {
		f := policy.Flow{Src: policy.End{Addr: guest}, Dst: policy.End{Addr: home}, Protocol: p.protocol, Port: p.port}
		if d == policy.Egress {
			f.Src, f.Dst = f.Dst, f.Src
		}
		verdict := o.x.Evaluate(f)
		if d == policy.Egress {
			return verdict.Egress.Allowed, verdict.Egress.AllowedBy
		}
		return verdict.Ingress.Allowed, verdict.Ingress.AllowedBy
	}, leave
}
