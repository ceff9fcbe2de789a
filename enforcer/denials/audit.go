package denials

import (
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/policy"
)

// WouldDeny tells of a flow that passed and that audited policies would deny in one
// direction, as if it were denied with the reason [Audit]. It counts for metrics of its
// own: nothing was denied.
func (r *Recorder) WouldDeny(at time.Time, flow policy.Flow, original netip.AddrPort, v *policy.DirectionVerdict) {
	d := &Denial{
		APIVersion: APIVersion, Kind: Kind, Time: at.UTC(), Node: r.cfg.Node,
		Direction: v.Direction.String(), Reason: Audit, Protocol: flow.Protocol.String(), Port: flow.Port,
		Packets: 1, src: flow.Src.Addr, dst: flow.Dst.Addr,
	}
	audited := *v
	audited.Policies = nil
	for _, p := range v.Policies {
		if p.Audited {
			audited.Policies = append(audited.Policies, p)
		}
	}
	d.because(&policy.Judgement{Flow: flow, DirectionVerdict: audited})
	d.Reason = Audit
	d.Message = cut("it passed, and would be denied if audited policies were enforced: " + d.Message)
	d.Src, d.Dst = EndOf(r.index, flow.Src), EndOf(r.index, flow.Dst)
	d.Service = r.ServiceOf(original, flow)
	r.metrics.count(d)
	r.store.Add(d)
}
