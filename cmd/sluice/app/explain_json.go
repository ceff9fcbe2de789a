package app

import (
	"maps"
	"slices"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/question"
)

// The JSON form of an explanation. Fields are added, never renamed, as long as
// the version stands.
const explanationVersion = "sluice-net.github.io/v1alpha1"

type explanationDocument struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Flow       flowDocument      `json:"flow"`
	Allowed    bool              `json:"allowed"`
	Egress     directionDocument `json:"egress"`
	Ingress    directionDocument `json:"ingress"`
	// Audit is the verdict if the audited policies were enforced; it is left out where
	// none selects an end.
	Audit   *auditDocument `json:"audit,omitempty"`
	Notices []string       `json:"notices,omitempty"`
	// Depends is on what the answer hangs, where an address is not known. Then
	// allowed is false, and the rest is that for one possible address.
	Depends []string `json:"dependsOn,omitempty"`
	// Nearly are policies that would allow a denied flow, or isolate a Pod that none
	// isolates, and only just do not select it.
	Nearly []nearlyDocument `json:"nearly,omitempty"`
}

type nearlyDocument struct {
	Policy    string `json:"policy"`
	Direction string `json:"direction"`
	Allows    bool   `json:"allows"`
	Why       string `json:"why"`
}

type flowDocument struct {
	Src      endDocument `json:"src"`
	Dst      endDocument `json:"dst"`
	Protocol string      `json:"protocol"`
	Port     uint16      `json:"port,omitempty"`
}

type endDocument struct {
	// Address is empty where it is not known.
	Address string `json:"address"`
	// Range is for what the address stands.
	Range  string            `json:"range,omitempty"`
	Pod    string            `json:"pod,omitempty"`
	Node   string            `json:"node,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

type directionDocument struct {
	Allowed bool          `json:"allowed"`
	Reason  policy.Reason `json:"reason"`
	// Message says the reason in a sentence.
	Message   string           `json:"message"`
	AllowedBy *ruleRef         `json:"allowedBy,omitempty"`
	Nearest   *ruleRef         `json:"nearest,omitempty"`
	Policies  []policyDocument `json:"policies,omitempty"`
	// Claims, where several Pods claim the end's address, is what the policies of
	// each say. All must allow; the rest is that of the one that decides.
	Claims []claimDocument `json:"claims,omitempty"`
}

type claimDocument struct {
	Pod string `json:"pod"`
	directionDocument
}

type ruleRef struct {
	Policy    string `json:"policy"`
	Direction string `json:"direction"`
	Rule      int    `json:"rule"`
}

type policyDocument struct {
	Policy string `json:"policy"`
	// Audited policies are in an audit's directions only.
	Audited  bool           `json:"audited,omitempty"`
	Problems []string       `json:"problems,omitempty"`
	Rules    []ruleDocument `json:"rules"`
}

type ruleDocument struct {
	Rule        int            `json:"rule"`
	Matched     bool           `json:"matched"`
	PeerMatched bool           `json:"peerMatched"`
	PortMatched bool           `json:"portMatched"`
	Invalid     string         `json:"invalid,omitempty"`
	Peers       []partDocument `json:"peers,omitempty"`
	Ports       []partDocument `json:"ports,omitempty"`
}

type partDocument struct {
	Index   int    `json:"index"`
	Matched bool   `json:"matched"`
	What    string `json:"what"`
	Why     string `json:"why,omitempty"`
}

func (e explanation) document() explanationDocument {
	return explanationDocument{
		APIVersion: explanationVersion,
		Kind:       "Explanation",
		Flow: flowDocument{
			Src: e.endOf(e.flow.Src), Dst: e.endOf(e.flow.Dst),
			Protocol: e.flow.Protocol.String(), Port: e.flow.Port,
		},
		Allowed: e.verdict.Allowed && len(e.depends) == 0,
		Egress:  e.directionDocument(e.verdict.Egress),
		Ingress: e.directionDocument(e.verdict.Ingress),
		Audit:   e.auditDocument(),
		Notices: e.notices,
		Depends: e.depends,
		Nearly:  nearlyOf(e.nearly),
	}
}

func nearlyOf(list []question.Nearly) (out []nearlyDocument) {
	for _, n := range list {
		out = append(out, nearlyDocument{n.Policy.String(), n.Direction.String(), n.Allows, n.Why})
	}
	return out
}

func (e explanation) endOf(end policy.End) endDocument {
	d := endDocument{Address: end.Addr.String(), Range: e.stands[end.Addr]}
	if question.StandIn(end.Addr) {
		d.Address = ""
	}
	if end.Pod != nil {
		d.Pod, d.Node, d.Labels = end.Pod.NamespacedName.String(), end.Pod.Node, end.Pod.Labels
	}
	return d
}

func (e explanation) directionDocument(d policy.DirectionVerdict) directionDocument {
	doc := directionDocument{
		Allowed: d.Allowed, Reason: d.Reason, Message: question.FullReason(e.flow, d),
		AllowedBy: refOf(d.AllowedBy), Nearest: refOf(d.Nearest),
	}
	for _, trace := range d.Policies {
		p := policyDocument{Policy: trace.Policy.String(), Audited: trace.Audited, Problems: trace.Problems, Rules: []ruleDocument{}}
		for _, r := range trace.Rules {
			p.Rules = append(p.Rules, ruleDocument{
				Rule: r.Rule, Matched: r.Matched(), PeerMatched: r.PeerMatched, PortMatched: r.PortMatched,
				Invalid: r.Invalid, Peers: partsOf(r.Peers), Ports: partsOf(r.Ports),
			})
		}
		doc.Policies = append(doc.Policies, p)
	}
	for _, c := range d.Claims {
		doc.Claims = append(doc.Claims, claimDocument{c.Pod.String(), e.directionDocument(c.DirectionVerdict)})
	}
	return doc
}

func refOf(r *policy.RuleRef) *ruleRef {
	if r == nil {
		return nil
	}
	return &ruleRef{Policy: r.Policy.String(), Direction: r.Direction.String(), Rule: r.Rule}
}

func partsOf(parts []policy.PartTrace) []partDocument {
	docs := make([]partDocument, len(parts))
	for i, p := range parts {
		docs[i] = partDocument{Index: p.Index, Matched: p.Matched, What: p.What, Why: p.Why}
	}
	return docs
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
