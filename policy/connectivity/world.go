package connectivity

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Cluster is what the questions are about. A namespace that is not in
// Namespaces is not known: no namespaceSelector matches it. Of two objects with
// one name the later counts, but for Workloads, which are all there.
type Cluster struct {
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
	Workloads  []Workload
	// PodRanges and NodeRanges are where the addresses of Pods and of nodes are
	// from, as far as it is known. With them less depends on addresses.
	PodRanges, NodeRanges []netip.Prefix
	// NodeEgress always allows a Pod to reach its own node, as
	// [policy.Options] has it.
	NodeEgress bool
}

// world is a cluster as an index of equal Pods. Each kind of Pod is in it once,
// under an address that is nobody's and never compared with a block.
type world struct {
	cluster  *Cluster
	index    *policy.Index
	policies map[types.NamespacedName]*networkingv1.NetworkPolicy
	kinds    []kind
	problems []error
}

// kind is Pods that are all alike, but for their addresses.
type kind struct {
	namespace   string
	labels      map[string]string
	ports       []policy.NamedPort
	hostNetwork bool
	workloads   []*Workload
	// stranger is set for Pods that nobody has made.
	stranger *stranger
	// ingress and egress are nil where no policy isolates.
	ingress, egress *policy.AllowSet
}

func newWorld(c *Cluster) *world {
	if c == nil {
		c = &Cluster{}
	}
	w := &world{
		cluster: c, index: policy.NewIndex(policy.Options{NodeEgress: c.NodeEgress}),
		policies: map[types.NamespacedName]*networkingv1.NetworkPolicy{},
	}
	for _, ns := range c.Namespaces {
		if ns != nil {
			w.index.SetNamespace(ns.Name, ns.Labels)
		}
	}
	for _, np := range c.Policies {
		if np == nil {
			continue
		}
		if err := w.index.SetPolicy(np); err != nil {
			w.problems = append(w.problems, err)
		}
		w.policies[types.NamespacedName{Namespace: np.Namespace, Name: np.Name}] = np
	}
	w.group()
	w.resolve()
	return w
}

// group finds the Pods that are alike, in the order of the workloads' names.
func (w *world) group() {
	type keyed struct {
		of  *Workload
		key string
	}
	var all []keyed
	for i := range w.cluster.Workloads {
		if of := &w.cluster.Workloads[i]; !of.Finished {
			all = append(all, keyed{of, of.key()})
		}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		return cmp.Or(a.of.title().compare(b.of.title()), strings.Compare(a.key, b.key), slices.CompareFunc(a.of.Addrs, b.of.Addrs, netip.Addr.Compare))
	})
	at := map[string]int{}
	for _, k := range all {
		i, known := at[k.key]
		if !known {
			i = len(w.kinds)
			at[k.key] = i
			w.add(kind{
				namespace: k.of.Namespace, labels: k.of.Labels, ports: sortedPorts(k.of.Ports), hostNetwork: k.of.HostNetwork,
			})
		}
		w.kinds[i].workloads = append(w.kinds[i].workloads, k.of)
	}
}

// add gives the kind a Pod in the index. Pods on the host network are not
// among those that policies know.
func (w *world) add(k kind) {
	i := len(w.kinds)
	w.kinds = append(w.kinds, k)
	if k.hostNetwork {
		return
	}
	w.index.SetPod(&policy.Pod{
		NamespacedName: types.NamespacedName{Namespace: k.namespace, Name: strconv.Itoa(i)},
		Labels:         k.labels, Ports: k.ports, Addrs: []netip.Addr{standIn(i)},
	})
}

// standIn is the address in the index of the Pod for a kind.
func standIn(i int) netip.Addr {
	var a [16]byte
	a[0] = 0xfd
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.AddrFrom16(a)
}

// standsFor is the kind whose Pod has the address.
func standsFor(a netip.Addr) int {
	bytes := a.As16()
	return int(binary.BigEndian.Uint32(bytes[12:]))
}

// resolve asks what isolates each kind and what is allowed. Kinds with the same
// rules share them.
func (w *world) resolve() {
	for s := range w.index.Subjects() {
		k := &w.kinds[standsFor(s.Addrs[0])]
		k.ingress, k.egress = s.Ingress, s.Egress
	}
}

// sets yields the allow sets of a direction that are some kind's.
func (w *world) sets(d policy.Direction, f func(*policy.AllowSet)) {
	seen := map[*policy.AllowSet]bool{}
	for i := range w.kinds {
		if s := w.kinds[i].set(d); s != nil && !seen[s] {
			seen[s] = true
			f(s)
		}
	}
}

func (k *kind) set(d policy.Direction) *policy.AllowSet {
	if d == policy.Ingress {
		return k.ingress
	}
	return k.egress
}

// blocks are the ipBlocks that may matter to somebody.
func (w *world) blocks() []policy.IPBlock {
	var out []policy.IPBlock
	for _, d := range directions {
		w.sets(d, func(s *policy.AllowSet) {
			for i := range s.Rules {
				for _, b := range s.Rules[i].Blocks {
					out = append(out, b.Block)
				}
			}
		})
	}
	return out
}

var directions = [2]policy.Direction{policy.Ingress, policy.Egress}

// prefixes are all at whose borders addresses may differ.
func (w *world) prefixes() []netip.Prefix {
	out := slices.Concat(w.cluster.PodRanges, w.cluster.NodeRanges)
	for _, b := range w.blocks() {
		out = append(append(out, b.CIDR), b.Except...)
	}
	return out
}

// members are the kinds that a group of the index has.
func (w *world) members(key policy.GroupKey) []int {
	var out []int
	for m := range w.index.Members(key) {
		out = append(out, standsFor(m.Addr))
	}
	return out
}
