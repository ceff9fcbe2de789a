package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate returns what the API server would refuse in p, with the same field
// paths, and a [ModeKey] that there is not, in the order of the manifest. Each
// message says how to mend the field.
//
// It judges p as it is: call [Default] before. CIDRs are judged as in stored
// objects, see [ParseCIDR]; [LegacyCIDRs] names those that a new object may no
// longer have.
func Validate(p *networkingv1.NetworkPolicy) field.ErrorList {
	errs := validateMetadata(&p.ObjectMeta)
	errs = append(errs, validateMode(field.NewPath("metadata", "annotations"), p.Annotations)...)
	spec := field.NewPath("spec")
	errs = append(errs, validateSelector(&p.Spec.PodSelector, spec.Child("podSelector"))...)
	for i, rule := range p.Spec.Ingress {
		errs = append(errs, validateRule(rule.Ports, rule.From, spec.Child("ingress").Index(i), "from")...)
	}
	for i, rule := range p.Spec.Egress {
		errs = append(errs, validateRule(rule.Ports, rule.To, spec.Child("egress").Index(i), "to")...)
	}
	return append(errs, validatePolicyTypes(p.Spec.PolicyTypes, spec.Child("policyTypes"))...)
}

func validateMetadata(meta *metav1.ObjectMeta) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(meta, true, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	for _, err := range errs {
		if err.Field == "metadata.namespace" && err.Detail == "" {
			err.Detail = "name the namespace whose Pods the policy selects"
		}
	}
	// Labels and annotations come in the order of a map.
	slices.SortStableFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

func validateRule(ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer, rule *field.Path, peerList string) field.ErrorList {
	var errs field.ErrorList
	for i := range ports {
		errs = append(errs, validatePort(&ports[i], rule.Child("ports").Index(i))...)
	}
	for i := range peers {
		errs = append(errs, validatePeer(&peers[i], rule.Child(peerList).Index(i))...)
	}
	return errs
}

func validatePort(p *networkingv1.NetworkPolicyPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Protocol != nil {
		switch *p.Protocol {
		case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
		default:
			errs = append(errs, field.NotSupported(path.Child("protocol"), *p.Protocol,
				[]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
		}
	}
	endPort := path.Child("endPort")
	switch {
	case p.Port == nil:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(endPort, *p.EndPort, "needs a `port` for the range to start at: add it or remove endPort"))
		}
	case p.Port.Type == intstr.Int:
		errs = append(errs, validatePortNumber(path.Child("port"), p.Port.IntVal)...)
		if p.EndPort != nil {
			if *p.EndPort < p.Port.IntVal {
				errs = append(errs, field.Invalid(endPort, *p.EndPort, fmt.Sprintf("must not be below `port`, which is %d", p.Port.IntVal)))
			}
			errs = append(errs, validatePortNumber(endPort, *p.EndPort)...)
		}
	default:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(endPort, *p.EndPort, "works only with a number as `port`: remove endPort, or write the port's number"))
		}
		errs = append(errs, validatePortName(path.Child("port"), p.Port.StrVal)...)
	}
	return errs
}

func validatePortNumber(path *field.Path, number int32) field.ErrorList {
	if number >= 1 && number <= 65535 {
		return nil
	}
	hint := "must be from 1 to 65535"
	if number == 0 {
		hint += "; for all ports leave out port"
	}
	return field.ErrorList{field.Invalid(path, number, hint)}
}

func validatePortName(path *field.Path, name string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsValidPortName(name) {
		if isNumber(name) {
			msg = "is a name because of its quotes, and no container port may have such a name: for a number remove the quotes"
		}
		errs = append(errs, field.Invalid(path, name, msg))
	}
	return errs
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func validatePeer(p *networkingv1.NetworkPolicyPeer, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.PodSelector != nil {
		errs = append(errs, validateSelector(p.PodSelector, path.Child("podSelector"))...)
	}
	if p.NamespaceSelector != nil {
		errs = append(errs, validateSelector(p.NamespaceSelector, path.Child("namespaceSelector"))...)
	}
	if p.IPBlock != nil {
		errs = append(errs, validateIPBlock(p.IPBlock, path.Child("ipBlock"))...)
	}
	switch selectors := p.PodSelector != nil || p.NamespaceSelector != nil; {
	case !selectors && p.IPBlock == nil:
		errs = append(errs, field.Required(path, "must have a podSelector, namespaceSelector or ipBlock; for every peer leave out the whole list"))
	case selectors && p.IPBlock != nil:
		errs = append(errs, field.Forbidden(path, "must not have an ipBlock together with selectors: make them two entries of the list"))
	}
	return errs
}

func validateIPBlock(b *networkingv1.IPBlock, path *field.Path) field.ErrorList {
	if b.CIDR == "" {
		return field.ErrorList{field.Required(path.Child("cidr"), "must be a CIDR, e.g. 10.9.8.0/24 or 2001:db8::/64")}
	}
	block, err := ParseCIDR(b.CIDR)
	if err != nil {
		return field.ErrorList{invalidCIDR(path.Child("cidr"), b.CIDR, err)}
	}
	var errs field.ErrorList
	for i, s := range b.Except {
		at := path.Child("except").Index(i)
		except, err := ParseCIDR(s)
		switch {
		case err != nil:
			errs = append(errs, invalidCIDR(at, s, err))
		case !strictlyInside(except, block):
			errs = append(errs, field.Invalid(at, s, fmt.Sprintf("must be inside `cidr` (%s) and smaller than it", block)))
		}
	}
	return errs
}

// strictlyInside reports whether inner is a smaller part of outer.
func strictlyInside(inner, outer netip.Prefix) bool {
	return inner.Bits() > outer.Bits() && outer.Contains(inner.Addr())
}

// invalidCIDR leaves the value to field.Error, which prints it anyway.
func invalidCIDR(path *field.Path, s string, err error) *field.Error {
	detail := strings.TrimPrefix(err.Error(), fmt.Sprintf("parse CIDR %q: ", s))
	return field.Invalid(path, s, "must be a CIDR: "+detail)
}

func validateSelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	labels := path.Child("matchLabels")
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		errs = append(errs, validateLabelKey(labels, key)...)
		for _, msg := range validation.IsValidLabelValue(s.MatchLabels[key]) {
			errs = append(errs, field.Invalid(labels, s.MatchLabels[key], fmt.Sprintf("of key %q: %s", key, msg)))
		}
	}
	for i := range s.MatchExpressions {
		errs = append(errs, validateRequirement(&s.MatchExpressions[i], path.Child("matchExpressions").Index(i))...)
	}
	return errs
}

func validateRequirement(r *metav1.LabelSelectorRequirement, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch r.Operator {
	case metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(path.Child("values"),
				fmt.Sprintf("operator %s needs at least one value; to ask only for the key use Exists or DoesNotExist", r.Operator)))
		}
	case metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Forbidden(path.Child("values"),
				fmt.Sprintf("operator %s takes no values: remove them, or use In or NotIn", r.Operator)))
		}
	default:
		errs = append(errs, field.Invalid(path.Child("operator"), r.Operator, "must be In, NotIn, Exists or DoesNotExist"))
	}
	errs = append(errs, validateLabelKey(path.Child("key"), r.Key)...)
	for i, value := range r.Values {
		for _, msg := range validation.IsValidLabelValue(value) {
			errs = append(errs, field.Invalid(path.Child("values").Index(i), value, msg))
		}
	}
	return errs
}

func validateLabelKey(path *field.Path, key string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsQualifiedName(key) {
		errs = append(errs, field.Invalid(path, key, msg))
	}
	return errs
}

func validatePolicyTypes(types []networkingv1.PolicyType, path *field.Path) field.ErrorList {
	if len(types) > 2 {
		return field.ErrorList{field.Invalid(path, types, "must not have more than two entries: Ingress, Egress")}
	}
	var errs field.ErrorList
	for i, t := range types {
		if t != networkingv1.PolicyTypeIngress && t != networkingv1.PolicyTypeEgress {
			errs = append(errs, field.NotSupported(path.Index(i), t,
				[]networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress}))
		}
	}
	return errs
}

// LegacyCIDRs names the CIDRs of p that [ParseCIDR] accepts and a current API
// server no longer does in new objects. Each message says how the CIDR is
// read.
func LegacyCIDRs(p *networkingv1.NetworkPolicy) field.ErrorList {
	var found field.ErrorList
	peers := func(list []networkingv1.NetworkPolicyPeer, path *field.Path) {
		for i := range list {
			if block := list[i].IPBlock; block != nil {
				at := path.Index(i).Child("ipBlock")
				found = append(found, legacyCIDR(at.Child("cidr"), block.CIDR)...)
				for j, except := range block.Except {
					found = append(found, legacyCIDR(at.Child("except").Index(j), except)...)
				}
			}
		}
	}
	for i := range p.Spec.Ingress {
		peers(p.Spec.Ingress[i].From, field.NewPath("spec", "ingress").Index(i).Child("from"))
	}
	for i := range p.Spec.Egress {
		peers(p.Spec.Egress[i].To, field.NewPath("spec", "egress").Index(i).Child("to"))
	}
	return found
}

func legacyCIDR(path *field.Path, s string) field.ErrorList {
	prefix, err := ParseCIDR(s)
	if err != nil {
		return nil
	}
	if current, err := netip.ParsePrefix(s); err == nil && current == prefix {
		return nil
	}
	return field.ErrorList{field.Invalid(path, s, fmt.Sprintf("is an old form that is read as %s: write that, if it is what you mean", prefix))}
}
