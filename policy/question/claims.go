package question

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// twoOfOne refuses to answer for two Pods of which one has given the address to
// the other: what is sent there comes from there.
func twoOfOne(src, dst types.NamespacedName, flow *policy.Flow) error {
	if flow.Src != flow.Dst || flow.Src.Pod == nil {
		return nil
	}
	old := src
	if flow.Src.Pod.NamespacedName == old {
		old = dst
	}
	return fmt.Errorf("%s, the address of Pod %s, is that of Pod %s by now: there is no flow between the two", flow.Src.Addr, old, flow.Src.Pod.NamespacedName)
}

// ownerNotice says when the address of a Pod that was named is another's by now.
func ownerNotice(named types.NamespacedName, end policy.End) string {
	if named.Name == "" || end.Pod == nil || end.Pod.NamespacedName == named {
		return ""
	}
	return fmt.Sprintf("%s, the address of Pod %s, belongs to the newer Pod %s: judged as that", end.Addr, named, end.Pod.NamespacedName)
}

// hostNotice says of a Pod of the host network what policies see of it.
func (w *World) hostNotice(name types.NamespacedName) string {
	if pod := w.pod(name); pod == nil || !pod.HostNetwork {
		return ""
	}
	return fmt.Sprintf("Pod %s uses the host network: to policies it is its node, which no podSelector matches", name)
}

// sharedNotices say which ends are addresses that several Pods claim.
func (w *World) sharedNotices(flow *policy.Flow) []string {
	var notices []string
	for _, end := range []policy.End{flow.Src, flow.Dst} {
		if claims := w.Index.Claims(end.Addr); len(claims) > 1 {
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
		return EndName(end)
	}
	return fmt.Sprintf("%s, which claims %s too,", d.Subject, end.Addr)
}
