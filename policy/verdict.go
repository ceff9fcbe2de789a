package policy

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

// Flow is the first packet of a connection, with real addresses: after DNAT
// and before SNAT.
type Flow struct {
	Src, Dst End
	Protocol Protocol
	// Port is the destination port; 0 for protocols without ports.
	Port uint16
}

// End is one end of a flow. [Index.EndOfAddr] and [Index.EndOfPod] make one.
type End struct {
	Addr netip.Addr
	// Pod is the Pod that owns Addr, or one of those that claim it; nil for any
	// other address. hostNetwork Pods own no address: they are their node.
	Pod *Pod
}

// Verdict answers a flow with its whole reasoning.
type Verdict struct {
	Flow            Flow
	Allowed         bool
	Egress, Ingress DirectionVerdict
}

// Reason says what decided a direction.
type Reason string

const (
	// ReasonNoPod: the end is no Pod of the cluster's Pod network, so nothing
	// selects it in this direction.
	ReasonNoPod Reason = "NoPod"
	// ReasonNotIsolated: no policy selects the Pod in this direction.
	ReasonNotIsolated Reason = "NotIsolated"
	// ReasonSelf: a Pod always reaches itself.
	ReasonSelf Reason = "Self"
	// ReasonOwnNode: traffic from the Pod's own node is always allowed in (and
	// to it out, if so configured).
	ReasonOwnNode Reason = "OwnNode"
	// ReasonRule: a rule allows the flow.
	ReasonRule Reason = "Rule"
	// ReasonTooManyClaims: so many Pods with different policies claim the end's
	// address that the kernel does not ask these.
	ReasonTooManyClaims Reason = "TooManyClaims"
	// ReasonNoRule: policies isolate the Pod and none of their rules allows
	// the flow. The implicit default deny.
	ReasonNoRule Reason = "NoRule"
)

// DirectionVerdict is the verdict at one end.
type DirectionVerdict struct {
	Direction Direction
	Allowed   bool
	Reason    Reason
	// Subject is the Pod whose policies decide, empty where the end is no Pod.
	Subject types.NamespacedName
	// Claims, where several Pods claim the end's address, is what the policies of
	// each say, the newest Pod first. All must allow; the other fields are those
	// of the one that decides.
	Claims []ClaimVerdict
	// Policies that isolate the Pod in this direction, sorted, each with all
	// of its rules. Filled by [Index.Explain] only.
	Policies []PolicyTrace
	// AllowedBy is the first rule that allows, with Reason ReasonRule.
	AllowedBy *RuleRef
	// Nearest is the rule that came closest, with ReasonNoRule, if there is
	// any rule. Filled by [Index.Explain] only.
	Nearest *RuleRef
}

// ClaimVerdict is the verdict at one end by the policies of one of the Pods that
// claim its address.
type ClaimVerdict struct {
	Pod types.NamespacedName
	DirectionVerdict
}

// PolicyTrace walks one policy.
type PolicyTrace struct {
	Policy types.NamespacedName
	// Problems are what is invalid in the policy, as "field: message".
	Problems []string
	// Audited: the policy is not enforced. Only [Index.ExplainAudited] asks such a one.
	Audited bool
	Rules   []RuleTrace
}

// RuleTrace walks one rule: it allows if some peer and some port match.
type RuleTrace struct {
	RuleRef
	// Peers and Ports are empty where the rule leaves them out and so matches
	// all of them: PeerMatched, PortMatched are true then.
	Peers, Ports             []PartTrace
	PeerMatched, PortMatched bool
	// Invalid is why the rule can allow nothing.
	Invalid string
}

// Matched reports whether the rule allows the flow.
func (t RuleTrace) Matched() bool { return t.PeerMatched && t.PortMatched && t.Invalid == "" }

// PartTrace is one entry of a rule's from, to or ports list.
type PartTrace struct {
	Index   int
	Matched bool
	// What shows the entry in short, e.g. "podSelector app=web in namespace
	// shop" or "TCP 80-90".
	What string
	// Why says in words what matched, or the first thing that did not, e.g.
	// "pod label app is api, not web" or "10.1.2.3 is in except 10.1.0.0/16".
	Why string
}
