package connectivity

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
)

// anyValue stands for a name or a label's value that no selector names: it is
// none that the API server would take.
const anyValue = "*"

// stranger is a Pod that nobody has made. Such Pods are made up by what the
// peers of policies demand, so that policies say of them what they would say of
// the first Pod that meets the demands.
type stranger struct {
	kind PeerKind
	// namespace is a new one where fresh is set, with these labels.
	namespace       string
	fresh           bool
	namespaceLabels map[string]string
	labels          map[string]string
	// of are the groups for which it was made: it must be in one of them.
	of []policy.GroupKey
	// at is the number of its kind, and then that of its end.
	at int
}

// addStrangers makes Pods up: one of a new namespace, one of each namespace,
// and one for each peer with selectors that is anywhere in an allow set.
func (w *world) addStrangers() []*stranger {
	known := map[string]map[string]string{}
	all := map[string]bool{}
	for _, ns := range w.cluster.Namespaces {
		if ns != nil {
			known[ns.Name], all[ns.Name] = ns.Labels, true
		}
	}
	for i := range w.kinds {
		all[w.kinds[i].namespace] = true
	}
	out := []*stranger{{kind: EveryNamespace, namespace: anyValue, fresh: true, namespaceLabels: map[string]string{}}}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, &stranger{kind: Namespace, namespace: name})
	}
	out = append(out, w.demanded(known, all)...)
	for _, s := range out {
		if s.fresh {
			labels := map[string]string{corev1.LabelMetadataName: s.namespace}
			maps.Copy(labels, s.namespaceLabels)
			w.index.SetNamespace(s.namespace, labels)
		}
		s.at = len(w.kinds)
		w.add(kind{namespace: s.namespace, labels: s.labels, stranger: s})
	}
	return out
}

// demanded are those that peers with selectors demand, each once, those with the
// fewest labels first.
func (w *world) demanded(known map[string]map[string]string, all map[string]bool) []*stranger {
	found := map[string]*stranger{}
	seen := map[policy.GroupKey]bool{}
	for _, d := range directions {
		w.sets(d, func(set *policy.AllowSet) {
			for i := range set.Rules {
				r := &set.Rules[i]
				for _, g := range r.Groups {
					if seen[g.Group] {
						continue
					}
					seen[g.Group] = true
					for _, s := range w.demandedBy(r.RuleRef, g.PeerIndex, known, all) {
						key := s.namespace + "\x00" + labelText(s.labels)
						if found[key] == nil {
							found[key] = s
						}
						found[key].of = append(found[key].of, g.Group)
					}
				}
			}
		})
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *stranger) int {
		return cmp.Or(cmp.Compare(len(a.labels), len(b.labels)), strings.Compare(a.namespace, b.namespace), strings.Compare(labelText(a.labels), labelText(b.labels)))
	})
}

// demandedBy is Pods that meet a peer's selectors: none if none can, several if
// several namespaces are named. The index has the last word on whether they do.
func (w *world) demandedBy(ref policy.RuleRef, index int, known map[string]map[string]string, all map[string]bool) []*stranger {
	peer := w.peer(ref, index)
	if peer == nil {
		return nil
	}
	labels, ok := example(demandsOf(peer.PodSelector))
	if !ok {
		return nil
	}
	if peer.NamespaceSelector == nil {
		return []*stranger{{kind: SelectedPods, namespace: ref.Policy.Namespace, labels: labels}}
	}
	demands := demandsOf(peer.NamespaceSelector)
	names := demands[corev1.LabelMetadataName]
	delete(demands, corev1.LabelMetadataName)
	spaceLabels, ok := example(demands)
	if !ok || names != nil && names.absent {
		return nil // every namespace has its name as a label
	}
	if names == nil || !names.named {
		name := anyValue
		if len(spaceLabels) > 0 {
			name += "{" + labelText(spaceLabels) + "}"
		}
		return []*stranger{{kind: SelectedPods, namespace: name, fresh: true, namespaceLabels: spaceLabels, labels: labels}}
	}
	var out []*stranger
	for _, name := range names.possible() {
		s := &stranger{kind: SelectedPods, namespace: name, labels: labels}
		if _, is := known[name]; !is {
			if all[name] {
				continue // Pods are there whose namespace is not known: it must stay so
			}
			s.fresh, s.namespaceLabels = true, spaceLabels
		}
		out = append(out, s)
	}
	return out
}

// peer is the entry of from or to in the policy's object.
func (w *world) peer(ref policy.RuleRef, index int) *peerSelectors {
	np := w.policies[ref.Policy]
	if np == nil {
		return nil
	}
	if ref.Direction == policy.Ingress && ref.Rule < len(np.Spec.Ingress) && index < len(np.Spec.Ingress[ref.Rule].From) {
		p := &np.Spec.Ingress[ref.Rule].From[index]
		return &peerSelectors{p.PodSelector, p.NamespaceSelector}
	}
	if ref.Direction == policy.Egress && ref.Rule < len(np.Spec.Egress) && index < len(np.Spec.Egress[ref.Rule].To) {
		p := &np.Spec.Egress[ref.Rule].To[index]
		return &peerSelectors{p.PodSelector, p.NamespaceSelector}
	}
	return nil
}

type peerSelectors struct{ PodSelector, NamespaceSelector *metav1.LabelSelector }

// demandsOf is what a selector wants, by key; nil wants nothing.
func demandsOf(s *metav1.LabelSelector) map[string]*demand {
	demands := map[string]*demand{}
	if s == nil {
		return demands
	}
	of := func(key string) *demand {
		if demands[key] == nil {
			demands[key] = &demand{}
		}
		return demands[key]
	}
	for k, v := range s.MatchLabels {
		of(k).in([]string{v})
	}
	for i := range s.MatchExpressions {
		e := &s.MatchExpressions[i]
		switch d := of(e.Key); e.Operator {
		case metav1.LabelSelectorOpIn:
			d.in(e.Values)
		case metav1.LabelSelectorOpNotIn:
			d.not = append(d.not, e.Values...)
		case metav1.LabelSelectorOpExists:
			d.present = true
		case metav1.LabelSelectorOpDoesNotExist:
			d.absent = true
		}
	}
	return demands
}

// example is labels that meet demands, and no others: false if there are none.
// Of several values it takes the first.
func example(demands map[string]*demand) (map[string]string, bool) {
	out := map[string]string{}
	for key, d := range demands {
		switch {
		case d.absent && d.present:
			return nil, false
		case !d.present:
			continue
		}
		possible := d.possible()
		if len(possible) == 0 {
			return nil, false
		}
		out[key] = possible[0]
	}
	return out, true
}

// demand is what a selector wants of one key.
type demand struct {
	// values are those that it may have, if any were named; not are others.
	values          []string
	named           bool
	not             []string
	present, absent bool
}

func (d *demand) in(values []string) {
	if d.named {
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !slices.Contains(d.values, v) })
	}
	d.values, d.named, d.present = values, true, true
}

// possible are the values that it may have, sorted.
func (d *demand) possible() []string {
	if !d.named {
		return []string{anyValue}
	}
	sorted := slices.Sorted(slices.Values(d.values))
	return slices.DeleteFunc(slices.Compact(sorted), func(v string) bool { return slices.Contains(d.not, v) })
}
