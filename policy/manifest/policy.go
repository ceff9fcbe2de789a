package manifest

import (
	stdjson "encoding/json"
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"

	"github.com/sluice-net/sluice/policy"
)

// addPolicy adds a NetworkPolicy. A faulty one lost keys that stood twice.
func (l *Loader) addPolicy(at place, text []byte, faulty bool) {
	p := &networkingv1.NetworkPolicy{}
	result := l.decode(at, text, "NetworkPolicy", p)
	id := identity{"NetworkPolicy", l.namespaceOr(p.Namespace), p.Name}
	changed := result.lost || faulty
	for _, f := range result.unknown {
		if f.field == "status" {
			// Servers up to 1.27 wrote one.
			l.notice(at, id.String(), f.field, "NetworkPolicies have no status any more: it is ignored")
			continue
		}
		l.fail(at, id.String(), f.field, f.message)
		changed = changed || !strings.HasPrefix(f.field, "metadata.")
	}
	if changed {
		p = isolating(text)
	}
	l.finishPolicy(at, p)
}

func (l *Loader) finishPolicy(at place, p *networkingv1.NetworkPolicy) {
	p.TypeMeta = metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}
	p.Namespace = l.namespaceOr(p.Namespace)
	if p.Name == "" {
		l.missingName(at, "NetworkPolicy", p.GenerateName)
		l.unnamed++
		p.Name = fmt.Sprintf("unnamed-%d", l.unnamed)
	}
	policy.Default(p)
	id := identity{"NetworkPolicy", p.Namespace, p.Name}
	l.fieldErrors(at, id.String(), policy.Validate(p))
	for _, old := range policy.LegacyCIDRs(p) {
		l.notice(at, id.String(), old.Field, old.ErrorBody())
	}
	if l.register(at, id) {
		l.set.Policies = append(l.set.Policies, p)
	}
}

func (l *Loader) missingName(at place, kind, generateName string) {
	message := "is missing: give the object a name"
	if generateName != "" {
		message = "is missing: nobody generates one from generateName here, write the name"
	}
	l.fail(at, kind, "metadata.name", message)
}

// isolating is what remains of a policy that was not understood: it selects
// the Pods it selected, or those of the whole namespace if that is in doubt, in
// the directions it named, and allows nothing.
func isolating(text []byte) *networkingv1.NetworkPolicy {
	var parts struct {
		Metadata metav1.ObjectMeta             `json:"metadata"`
		Spec     map[string]stdjson.RawMessage `json:"spec"`
	}
	// The parts that are of the right type are filled in even so.
	_ = json.UnmarshalCaseSensitivePreserveInts(text, &parts)
	p := &networkingv1.NetworkPolicy{ObjectMeta: parts.Metadata}
	if selector, ok := parts.Spec["podSelector"]; ok {
		strict, err := json.UnmarshalStrict(selector, &p.Spec.PodSelector)
		if err != nil || len(strict) > 0 {
			p.Spec.PodSelector = metav1.LabelSelector{}
		}
	}
	p.Spec.PolicyTypes = directions(parts.Spec)
	return p
}

// directions are those that a spec names. A field that is none may have been
// meant to be policyTypes.
func directions(spec map[string]stdjson.RawMessage) []networkingv1.PolicyType {
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	for key := range spec {
		switch key {
		case "podSelector", "policyTypes", "ingress", "egress":
		default:
			return both
		}
	}
	var types []networkingv1.PolicyType
	if given, ok := spec["policyTypes"]; ok && stdjson.Unmarshal(given, &types) != nil || spec == nil {
		return both
	}
	if len(types) > 0 {
		return types
	}
	var rules []stdjson.RawMessage
	if egress, ok := spec["egress"]; ok && (stdjson.Unmarshal(egress, &rules) != nil || len(rules) > 0) {
		return both
	}
	return both[:1]
}
