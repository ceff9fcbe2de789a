package scale_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/policy"
)

var clusters = map[string]scale.Cluster{
	"large":      scale.Large(3_000),
	"small":      scale.Large(1),
	"dual stack": {Pods: 300, Namespaces: 20, Policies: 40, LocalPods: 30, DualStack: true},
	"burner":     scale.Burner(),
}

func TestClustersAreValidAndInUse(t *testing.T) {
	for name, c := range clusters {
		t.Run(name, func(t *testing.T) {
			x := policy.NewIndex(policy.Options{Node: scale.Node})
			if err := c.Fill(x); err != nil {
				t.Fatal(err)
			}
			subjects, isolated, named := 0, 0, 0
			for s := range x.Subjects() {
				subjects++
				if s.Ingress != nil || s.Egress != nil {
					isolated++
				}
				if s.Egress != nil {
					for i := range s.Egress.Rules {
						named += len(s.Egress.Rules[i].NamedPorts)
					}
				}
			}
			if subjects != c.LocalPods {
				t.Errorf("%d of %d local Pods are subjects", subjects, c.LocalPods)
			}
			if c.Pods > 1 && isolated*3 < subjects {
				t.Errorf("only %d of %d local Pods are isolated", isolated, subjects)
			}
			if c.Shape == scale.Mixed && c.Pods > 1 && named == 0 {
				t.Error("nobody has egress to ports by name")
			}
		})
	}
}

func TestObjectsAreThePods(t *testing.T) {
	for name, c := range clusters {
		for i := range c.Pods {
			got, err := policy.PodFromAPI(c.PodObject(i))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.Pod(i), got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Fatalf("%s: Pod %d (-direct +object):\n%s", name, i, diff)
			}
		}
	}
}

func TestPodsAreDistinctAndTheSameEachTime(t *testing.T) {
	for name, c := range clusters {
		names, addrs := map[any]bool{}, map[any]bool{}
		for i := range c.Pods + 10 {
			p := c.Pod(i)
			names[p.NamespacedName] = true
			addrs[p.Addrs[0]] = true
			if !reflect.DeepEqual(p, c.Pod(i)) {
				t.Fatalf("%s: Pod %d differs the second time", name, i)
			}
		}
		if len(names) != c.Pods+10 || len(addrs) != c.Pods+10 {
			t.Errorf("%s: %d names and %d addresses of %d Pods", name, len(names), len(addrs), c.Pods+10)
		}
	}
}

// TestBurner holds the published shape to its numbers.
func TestBurner(t *testing.T) {
	c := scale.Burner()
	perNamespace := map[string]int{}
	for i := range c.Pods {
		perNamespace[c.Pod(i).Namespace]++
	}
	for ns, n := range perNamespace {
		if n != 10 {
			t.Errorf("%s has %d Pods", ns, n)
		}
	}
	if len(perNamespace) != 240 || c.Policies != 240*20 {
		t.Errorf("%d namespaces with Pods, %d policies", len(perNamespace), c.Policies)
	}
	for i := range c.Policies {
		spec := c.Policy(i).Spec
		var peers, ports int
		for _, r := range spec.Ingress {
			peers, ports = peers+len(r.From), ports+len(r.Ports)
		}
		for _, r := range spec.Egress {
			peers, ports = peers+len(r.To), ports+len(r.Ports)
		}
		if peers != 15 || ports != 10 {
			t.Fatalf("policy %d has %d peers and %d ports", i, peers, ports)
		}
	}
}
