package policy

import (
	"fmt"
	"net/netip"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ModeKey, as an annotation of a NetworkPolicy, says whether the policy is enforced or
// audited; as a label of a Namespace, what its policies are that do not say so
// themselves. An audited policy counts for no verdict: what it would deny can be asked
// ([Index.ExplainAudited]), and is told of, and passes.
const ModeKey = "sluice-net.github.io/mode"

// Values of [ModeKey]. Any other is an error, and the policy is enforced: a slip of the
// pen must not open anything.
const (
	ModeEnforce = "enforce"
	ModeAudit   = "audit"
)

// mode is what a policy says of itself.
type mode uint8

const (
	modeOfNamespace mode = iota
	modeEnforce
	modeAudit
)

// parseMode is mode of an object's annotations or labels; what cannot be understood
// is enforced.
func parseMode(of map[string]string) (mode, error) {
	switch v, given := of[ModeKey]; {
	case !given:
		return modeOfNamespace, nil
	case v == ModeEnforce:
		return modeEnforce, nil
	case v == ModeAudit:
		return modeAudit, nil
	default:
		return modeEnforce, fmt.Errorf("must be %s or %s; policies are enforced meanwhile", ModeEnforce, ModeAudit)
	}
}

// validateMode says what is wrong with the mode of an object, at path.
func validateMode(path *field.Path, of map[string]string) field.ErrorList {
	if _, err := parseMode(of); err != nil {
		return field.ErrorList{field.Invalid(path.Key(ModeKey), of[ModeKey], err.Error())}
	}
	return nil
}

// ValidateNamespace says what is wrong with those labels of a Namespace that mean
// something to us.
func ValidateNamespace(labels map[string]string) field.ErrorList {
	return validateMode(field.NewPath("metadata", "labels"), labels)
}

// Audited reports whether a policy counts for no verdict, in a Namespace with these
// labels.
func Audited(np *networkingv1.NetworkPolicy, namespace map[string]string) bool {
	own, _ := parseMode(np.Annotations)
	if own == modeOfNamespace {
		own, _ = parseMode(namespace)
	}
	return own == modeAudit
}

// modeAnnotations are the annotations of which a policy's verdicts depend.
func modeAnnotations(np *networkingv1.NetworkPolicy) map[string]string {
	if v, given := np.Annotations[ModeKey]; given {
		return map[string]string{ModeKey: strings.Clone(v)}
	}
	return nil
}

// audits reports whether the namespace's policies are audited that say nothing else.
func (ns *namespace) audits() bool {
	v, given := ns.labels.value(ModeKey)
	return ns.known && given && v == ModeAudit
}

// audited reports whether the policy counts for no verdict.
func (p *parsed) audited(ns *namespace) bool {
	return p.mode == modeAudit || p.mode == modeOfNamespace && ns.audits()
}

// changeMode has the policies of a namespace judged anew after its labels changed.
func (x *Index) changeMode(ns *namespace, audited bool) {
	if ns.audits() == audited {
		return
	}
	x.audits.known = false
	for _, p := range ns.policies {
		if p.mode == modeOfNamespace {
			x.reselect(ns, p.selector)
		}
	}
}

// Audits reports whether there may be audited policies that select local Pods. It looks
// at the policies of their namespaces, once until one of these changes.
func (x *Index) Audits() bool {
	if x.audits.known {
		return x.audits.any
	}
	x.audits.known, x.audits.any = true, false
	for _, ns := range x.namespaces {
		for _, p := range ns.policies {
			x.audits.any = x.audits.any || p.audited(ns)
		}
	}
	return x.audits.any
}

// Audited lists the audited policies that select a Pod and would isolate it in a
// direction, sorted.
func (x *Index) Audited(pod types.NamespacedName, d Direction) []types.NamespacedName {
	e := x.entry(pod)
	if e == nil || !e.pod.claims() {
		return nil
	}
	var out []types.NamespacedName
	for _, p := range x.chosen(e.class).audited[d] {
		out = append(out, p.NamespacedName)
	}
	return out
}

// ExplainAudited is [Index.Explain] as if the audited policies were enforced. It is
// false, and no verdict, where no audited policy selects an end of the flow.
//
// The few objects that count for the flow are put into an index of their own, as
// [Index.ExplainAsOf] does, so that there is one way to judge.
func (x *Index) ExplainAudited(f Flow) (Verdict, bool) {
	var src, dst claims
	f.Src, src = x.end(f.Src)
	f.Dst, dst = x.end(f.Dst)
	if !x.anyAudited(src, Egress) && !x.anyAudited(dst, Ingress) {
		return Verdict{}, false
	}
	v := view{now: x, then: NewIndex(Options{NodeEgress: x.opts.NodeEgress}), enforced: true}
	for _, a := range []netip.Addr{plainAddr(f.Src.Addr), plainAddr(f.Dst.Addr)} {
		v.claim(a, true)
	}
	out := v.then.Explain(f)
	for _, d := range []*DirectionVerdict{&out.Egress, &out.Ingress} {
		x.markAudited(d)
		for i := range d.Claims {
			x.markAudited(&d.Claims[i].DirectionVerdict)
		}
	}
	return out, true
}

func (x *Index) anyAudited(subjects claims, d Direction) bool {
	for e := range subjects.all {
		if len(x.chosen(e.class).audited[d]) > 0 {
			return true
		}
	}
	return false
}

// IsAudited reports whether a policy is audited, by itself or by its Namespace.
func (x *Index) IsAudited(name types.NamespacedName) bool {
	ns := x.namespaces[name.Namespace]
	if ns == nil {
		return false
	}
	p, _ := ns.policy(name.Name)
	return p != nil && p.audited(ns)
}

// markAudited says of the policies of a verdict which are audited.
func (x *Index) markAudited(v *DirectionVerdict) {
	for i := range v.Policies {
		t := &v.Policies[i]
		t.Audited = x.IsAudited(t.Policy)
	}
}
