package app

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// flowBetween is the flow between two addresses. Where several Pods claim one,
// the Pods that are named say which is meant; an address alone is that of the
// named Pod at the other end, if that has it too.
func (c *cluster) flowBetween(srcPod types.NamespacedName, src netip.Addr, dstPod types.NamespacedName, dst netip.Addr) policy.Flow {
	if src == dst {
		if srcPod.Name == "" {
			srcPod = dstPod
		} else if dstPod.Name == "" {
			dstPod = srcPod
		}
	}
	end := func(name types.NamespacedName, a netip.Addr) policy.End {
		if pod, ok := c.index.Pod(name); ok {
			return c.index.EndOfPod(pod, a)
		}
		return c.index.EndOfAddr(a)
	}
	return policy.Flow{Src: end(srcPod, src), Dst: end(dstPod, dst)}
}

// twoOfOne refuses to answer for two Pods of which one has given the address to
// the other: what is sent there comes from there.
func twoOfOne(f flowRef, flow *policy.Flow) error {
	if !f.src.isPod() || !f.dst.isPod() || f.src.pod == f.dst.pod || flow.Src != flow.Dst || flow.Src.Pod == nil {
		return nil
	}
	old := f.src.pod
	if flow.Src.Pod.NamespacedName == old {
		old = f.dst.pod
	}
	return fmt.Errorf("%s, the address of Pod %s, is that of Pod %s by now: there is no flow between the two", flow.Src.Addr, old, flow.Src.Pod.NamespacedName)
}

// sharedNotices say which ends are addresses that several Pods claim.
func (c *cluster) sharedNotices(flow *policy.Flow) []string {
	var notices []string
	for _, end := range []policy.End{flow.Src, flow.Dst} {
		if claims := c.index.Claims(end.Addr); len(claims) > 1 {
			notices = append(notices, fmt.Sprintf("%s is shared: the objects of the Pods %s claim it, so the policies of each count, and only what each allows passes", end.Addr, claimList(claims)))
		}
	}
	if flow.Src.Addr == flow.Dst.Addr && flow.Src.Pod != flow.Dst.Pod && flow.Src.Pod != nil && flow.Dst.Pod != nil {
		notices = append(notices, fmt.Sprintf("no packet from Pod %s can reach Pod %s under one address: whoever has it reaches itself; this is what the policies say", flow.Src.Pod.NamespacedName, flow.Dst.Pod.NamespacedName))
	}
	return notices
}

// mostClaims is how many Pods of one address are named.
const mostClaims = 6

func claimList(claims []policy.Claim) string {
	text := ""
	for i, c := range claims {
		switch {
		case i == mostClaims:
			return text + fmt.Sprintf(" and %d more", len(claims)-i)
		case i > 0 && i == len(claims)-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += c.Pod.String()
	}
	return text
}

// decider is the Pod whose policies decided a direction, shown to a reader.
func decider(end policy.End, d policy.DirectionVerdict) string {
	if len(d.Claims) == 0 || end.Pod == nil || d.Subject == end.Pod.NamespacedName {
		return endName(end)
	}
	return fmt.Sprintf("%s, which claims %s too,", d.Subject, end.Addr)
}
