package app

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// auditDocument is the verdict as if the audited policies were enforced.
type auditDocument struct {
	// WouldDeny: the flow passes now, and would not.
	WouldDeny bool              `json:"wouldDeny"`
	Allowed   bool              `json:"allowed"`
	Egress    directionDocument `json:"egress"`
	Ingress   directionDocument `json:"ingress"`
}

func (e explanation) auditDocument() *auditDocument {
	if e.audited == nil {
		return nil
	}
	return &auditDocument{
		WouldDeny: e.verdict.Allowed && !e.audited.Allowed,
		Allowed:   e.audited.Allowed,
		Egress:    e.directionDocument(e.audited.Egress),
		Ingress:   e.directionDocument(e.audited.Ingress),
	}
}

// audit writes what enforcing the audited policies would change, with the direction in
// which it would.
func (e explanation) audit(b *bytes.Buffer, p palette) {
	if e.audited == nil {
		return
	}
	names := strings.Join(auditedPolicies(e.audited), ", ")
	title := p.bold("If the audited policies were enforced")
	if e.audited.Allowed == e.verdict.Allowed {
		fmt.Fprintf(b, "\n%s: %s as well\n  audited: %s\n", title, p.verdict(e.audited.Allowed), names)
		return
	}
	fmt.Fprintf(b, "\n%s: %s\n  audited: %s\n", title, p.verdict(e.audited.Allowed), names)
	for _, d := range []struct{ now, then policy.DirectionVerdict }{
		{e.verdict.Egress, e.audited.Egress}, {e.verdict.Ingress, e.audited.Ingress},
	} {
		if d.now.Allowed != d.then.Allowed {
			e.direction(b, p, d.then)
		}
	}
}

// auditedPolicies are those that select an end, in the order in which they are asked.
func auditedPolicies(v *policy.Verdict) []string {
	var out []string
	add := func(d policy.DirectionVerdict) {
		for _, t := range d.Policies {
			if t.Audited {
				out = append(out, t.Policy.String()+" "+d.Direction.String())
			}
		}
	}
	for _, d := range []policy.DirectionVerdict{v.Egress, v.Ingress} {
		if len(d.Claims) == 0 {
			add(d)
		}
		for _, c := range d.Claims {
			add(c.DirectionVerdict)
		}
	}
	return out
}
