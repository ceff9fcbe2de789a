package report

import (
	"io"
	"slices"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// ExposureDocument is the exposure for programs.
type ExposureDocument struct {
	TypeMeta
	Ends   []End     `json:"ends"`
	Groups []Exposed `json:"groups"`
	// Entries are the ways in from outside, by an Ingress, a Gateway or a route.
	Entries []Entry `json:"entries"`
	// Namespaces are those that were read, absent if all were: to which others something is
	// open is not said by name then.
	Namespaces []string `json:"namespaces,omitempty"`
}

// Exposed is ends that are open to the same peers by the same rules.
type Exposed struct {
	// Ends are indices of ends.
	Ends    []int     `json:"ends"`
	Ingress *Openness `json:"ingress,omitempty"`
	Egress  *Openness `json:"egress,omitempty"`
}

// Openness is to whom Pods are open in one direction.
type Openness struct {
	// Isolated: some policy isolates the Pods. Otherwise all passes, and openings is
	// empty.
	Isolated bool      `json:"isolated"`
	Policies []string  `json:"policies"`
	Openings []Opening `json:"openings"`
}

// Opening is a peer that policies let through.
type Opening struct {
	// Kind is outside, everyNamespace, namespace or pods.
	Kind connectivity.PeerKind `json:"kind"`
	// Peer says it in words.
	Peer     string   `json:"peer"`
	Internet bool     `json:"internet,omitempty"`
	Ranges   []string `json:"ranges,omitempty"`
	// Except are namespaces that get less than everyNamespace says.
	Except          []string          `json:"except,omitempty"`
	Namespace       string            `json:"namespace,omitempty"`
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	// Labels are those that a Pod must have; "*" is any value.
	Labels    map[string]string `json:"labels,omitempty"`
	Ports     string            `json:"ports"`
	Stretches []Stretch         `json:"stretches"`
}

// Document is the exposure for programs. Its ends are those of Pods.
func (x *Exposure) Document() ExposureDocument {
	d := ExposureDocument{TypeMeta: TypeMeta{Version, "Exposure"}, Ends: []End{}, Groups: []Exposed{}, Entries: x.Entries.documents(), Namespaces: x.Namespaces}
	at, n := map[int]int{}, newNames(x.Ends)
	for e, one := range endsOf(x.Ends) {
		if k := one.Kind; k == connectivity.Pods || k == connectivity.HostNetwork {
			at[e] = len(d.Ends)
			d.Ends = append(d.Ends, one)
		}
	}
	for i := range x.Groups {
		g := Exposed{Ends: []int{}}
		for _, e := range x.Groups[i].Ends {
			if x.Only == nil || x.Only(&x.Ends[e]) {
				g.Ends = append(g.Ends, at[e])
			}
		}
		if len(g.Ends) == 0 {
			continue
		}
		if x.Directions == nil || slices.Contains(x.Directions, policy.Ingress) {
			g.Ingress = x.opennessOf(n, &x.Groups[i].Ingress)
		}
		if x.Directions == nil || slices.Contains(x.Directions, policy.Egress) {
			g.Egress = x.opennessOf(n, &x.Groups[i].Egress)
		}
		d.Groups = append(d.Groups, g)
	}
	return d
}

func (x *Exposure) opennessOf(n *names, o *connectivity.Openness) *Openness {
	out := &Openness{Isolated: o.Isolated(), Policies: append([]string{}, policyNames(o.Policies)...), Openings: []Opening{}}
	for i := range o.Openings {
		p := &o.Openings[i]
		out.Openings = append(out.Openings, Opening{
			Kind: p.Kind, Peer: n.peerText(p), Internet: p.Internet, Ranges: rangeNames(p.Ranges), Except: p.Except,
			Namespace: p.Namespace, NamespaceLabels: p.NamespaceLabels, Labels: p.Labels,
			Ports: answered(p.Stretches), Stretches: stretchesOf(p.Stretches, true, x.Places),
		})
	}
	return out
}

// JSON writes the document.
func (x *Exposure) JSON(w io.Writer) error { return encode(w, x.Document()) }

// YAML writes the document.
func (x *Exposure) YAML(w io.Writer) error { return encodeYAML(w, x.Document()) }
