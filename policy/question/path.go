package question

import "github.com/sluice-net/sluice/policy"

// Path is one way that a flow can take between a Pod or address of its source and
// one of its destination.
type Path struct {
	// Egress is what the node of the source judges for it, Ingress what that of the
	// destination judges. They are the same, unless a node on the way translates
	// addresses between them.
	Egress, Ingress policy.Flow
	// Hidden: the destination sees the address of the node Entry instead of the
	// client's. Entry is also the node that takes a connection from outside.
	Hidden bool
	Entry  string
	// NodeDNS: the agent of the client's node opens the destination to every Pod
	// with --node-dns, so that egress policies are not asked.
	NodeDNS bool
	// Notices are what a reader might not expect of this path.
	Notices []string
	// placed judges it, where an address that stands in would not do.
	placed *placed
}

// Flow is the one from the client to whoever gets it in the end.
func (p *Path) Flow() policy.Flow {
	return policy.Flow{Src: p.Egress.Src, Dst: p.Ingress.Dst, Protocol: p.Ingress.Protocol, Port: p.Ingress.Port}
}

// audited is the verdict as if the audited policies were enforced, nil where none
// selects an end.
func (p *Path) audited(index *policy.Index) *policy.Verdict {
	any := false
	v := p.verdict(index, func(x *policy.Index, f policy.Flow) policy.Verdict {
		audited, asked := x.ExplainAudited(f)
		if !asked {
			return x.Explain(f)
		}
		any = true
		return audited
	})
	if !any {
		return nil
	}
	return &v
}

// verdict judges each end by what it sees.
func (p *Path) verdict(index *policy.Index, judge func(*policy.Index, policy.Flow) policy.Verdict) policy.Verdict {
	if p.placed != nil {
		v := judge(p.placed.index, p.placed.flow(p.Egress))
		v.Flow = p.Flow()
		return v
	}
	v := judge(index, p.Egress)
	if p.Egress != p.Ingress {
		v.Ingress = judge(index, p.Ingress).Ingress
		v.Allowed = v.Egress.Allowed && v.Ingress.Allowed
		v.Flow = p.Flow()
	}
	if p.NodeDNS && !v.Egress.Allowed {
		v.Egress = policy.DirectionVerdict{Direction: policy.Egress, Allowed: true, Reason: ReasonNodeDNS}
		v.Allowed = v.Ingress.Allowed
	}
	return v
}
