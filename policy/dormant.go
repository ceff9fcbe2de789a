package policy

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dormant is a policy that selects nobody here: its namespace has no Pod on the
// node. On most nodes most policies are. It is kept as the API writes it, which
// takes a quarter of the parsed form.
type dormant struct {
	name string
	raw  []byte
}

// sleeps reports whether the policies of ns are kept dormant.
func (x *Index) sleeps(ns *namespace) bool { return x.opts.Node != "" && !ns.awake }

func (ns *namespace) dormant(name string) (at int, found bool) {
	return slices.BinarySearchFunc(ns.asleep, name, func(d dormant, name string) int { return strings.Compare(d.name, name) })
}

// putToSleep keeps a policy dormant. One that cannot be written wakes the others
// instead, and is false.
func (x *Index) putToSleep(ns *namespace, np *networkingv1.NetworkPolicy) bool {
	only := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: np.Namespace, Name: np.Name, Annotations: modeAnnotations(np)}, Spec: np.Spec}
	raw, err := only.Marshal()
	if err != nil {
		x.wake(ns)
		return false
	}
	at, found := ns.dormant(np.Name)
	if found {
		ns.asleep[at].raw = raw
		return true
	}
	ns.asleep = slices.Insert(ns.asleep, at, dormant{strings.Clone(np.Name), raw})
	x.counts.Policies++
	return true
}

// wake parses the policies of ns: it has a Pod on the node, or somebody asks
// about its Pods.
func (x *Index) wake(ns *namespace) {
	if ns.awake {
		return
	}
	ns.awake, x.audits.known = true, false
	for _, d := range ns.asleep {
		p := d.parse(ns.name)
		ns.policies = append(ns.policies, p)
		p.anchor = ns.policiesBy.add(p.selector, p)
	}
	ns.asleep = nil
}

func (d *dormant) parse(namespace string) *parsed {
	var np networkingv1.NetworkPolicy
	if err := np.Unmarshal(d.raw); err != nil {
		// What Marshal wrote, Unmarshal reads. If ever not, the policy must
		// not vanish: it isolates whom it may have selected.
		np = networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: d.name},
			Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}},
		}
	}
	p, _ := parsePolicy(&np) // what is wrong with it was said when it came
	return p
}
