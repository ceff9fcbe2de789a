package report

import (
	"encoding/json"
	"io"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// Version is that of all documents.
const Version = "sluice-net.github.io/v1alpha1"

// TypeMeta says what a document is.
type TypeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// End is one end of connections: Pods that are all alike, or ranges of addresses.
type End struct {
	// Name is how the text calls it. It is unique among the ends of a document.
	Name string `json:"name"`
	// Kind is pods, hostNetwork, nodes, outside or stranger.
	Kind      connectivity.EndKind `json:"kind"`
	Namespace string               `json:"namespace,omitempty"`
	Labels    map[string]string    `json:"labels,omitempty"`
	Workloads []Workload           `json:"workloads,omitempty"`
	Addresses []string             `json:"addresses,omitempty"`
	// Ranges are CIDRs, or "FIRST-LAST".
	Ranges []string `json:"ranges,omitempty"`
	// IngressPolicies and EgressPolicies isolate the Pods; without any all passes.
	IngressPolicies []string `json:"ingressPolicies,omitempty"`
	EgressPolicies  []string `json:"egressPolicies,omitempty"`
}

// Workload names one.
type Workload struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Stretch is a range of ports on which one answer holds.
type Stretch struct {
	// Protocol is TCP, UDP, SCTP, or "other" for all protocols without ports.
	Protocol string `json:"protocol"`
	// FirstPort and LastPort are 0 and 65535 for all ports, and absent for other
	// protocols.
	FirstPort *uint16 `json:"firstPort,omitempty"`
	LastPort  *uint16 `json:"lastPort,omitempty"`
	// Answer is allowed or depends; what is denied is in no stretch.
	Answer connectivity.Answer `json:"answer"`
	IPv4   connectivity.Answer `json:"ipv4"`
	IPv6   connectivity.Answer `json:"ipv6"`
	// Egress and Ingress are why, where it was asked for.
	Egress  *Side `json:"egress,omitempty"`
	Ingress *Side `json:"ingress,omitempty"`
}

// Side is what the policies of one end say.
type Side struct {
	// Reason is NoPod, NotIsolated or Rule.
	Reason policy.Reason       `json:"reason"`
	Answer connectivity.Answer `json:"answer"`
	Rules  []Rule              `json:"rules,omitempty"`
}

// Rule is a peer of a rule, or a policy.
type Rule struct {
	// Policy is namespace/name; empty for what no policy says, as of a Pod's own node.
	Policy string `json:"policy,omitempty"`
	// Direction is ingress or egress.
	Direction string `json:"direction"`
	// Field is a path as "spec.ingress[0].from[1]", empty for a whole policy.
	Field string `json:"field,omitempty"`
	Place *Place `json:"place,omitempty"`
	// If is what it depends on.
	If string `json:"if,omitempty"`
}

func endsOf(all []connectivity.End) []End {
	n := newNames(all)
	out := make([]End, len(all))
	for i := range all {
		e := &all[i]
		one := End{
			Name: n.name(i), Kind: e.Kind, Namespace: e.Namespace, Labels: e.Labels, Ranges: rangeNames(e.Ranges),
			IngressPolicies: policyNames(e.Ingress), EgressPolicies: policyNames(e.Egress),
		}
		for _, w := range e.Workloads {
			one.Workloads = append(one.Workloads, Workload{w.Kind, w.Namespace, w.Name})
		}
		for _, a := range e.Addrs {
			one.Addresses = append(one.Addresses, a.String())
		}
		out[i] = one
	}
	return out
}

func policyNames(list []types.NamespacedName) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

func stretchesOf(list []connectivity.Stretch, reasons bool, places Places) []Stretch {
	out := make([]Stretch, len(list))
	for i := range list {
		s := &list[i]
		out[i] = Stretch{Answer: s.Answer, IPv4: s.IPv4, IPv6: s.IPv6}
		out[i].Protocol, out[i].FirstPort, out[i].LastPort = portsIn(s.Ports)
		if reasons && s.Egress.Reason != "" {
			out[i].Egress = sideOf(&s.Egress, places)
		}
		if reasons && s.Ingress.Reason != "" {
			out[i].Ingress = sideOf(&s.Ingress, places)
		}
	}
	return out
}

func portsIn(p connectivity.Ports) (protocol string, first, last *uint16) {
	if p.Protocol == connectivity.OtherProtocols {
		return "other", nil, nil
	}
	return p.Protocol.String(), &p.First, &p.Last
}

func sideOf(s *connectivity.Side, places Places) *Side {
	out := &Side{Reason: s.Reason, Answer: s.Answer}
	for i := range s.Grants {
		out.Rules = append(out.Rules, ruleOf(&s.Grants[i], places))
	}
	return out
}

func ruleOf(g *connectivity.Grant, places Places) Rule {
	r := Rule{Direction: g.Direction.String(), Field: g.Path()}
	if g.Policy.Name != "" {
		r.Policy = g.Policy.String()
	}
	if at := places.of(g); at.File != "" {
		r.Place = &at
	}
	if g.If != nil {
		r.If = g.If.String()
	}
	return r
}

func encode(w io.Writer, document any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(document)
}
