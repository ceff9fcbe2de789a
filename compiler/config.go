package compiler

import (
	"net/netip"
)

// TableName is the name of our table in the inet family and of the guards'
// table in the netdev family.
const TableName = "sluice"

// Config is what the operator decides about the ruleset.
type Config struct {
	// Mark says which bits of the conntrack mark are ours.
	Mark MarkLayout
	// UnknownPods passes packets from and to addresses on Pod interfaces that
	// are no known Pod's. Dropped by default.
	UnknownPods bool
	// NodeEgress lets Pods reach their own node whatever their policies say,
	// as the letter of the Kubernetes documentation has it. By default such
	// traffic is subject to egress like any other.
	NodeEgress bool
	// NodeDNS are addresses on the node where NodeLocal DNSCache answers: port
	// 53 of these is open to every Pod.
	NodeDNS []netip.Addr
	// Reject answers denied packets (TCP reset, ICMP administratively
	// prohibited) instead of dropping them in silence.
	Reject bool
	// GuardOptOut honours the wish of Pods for no guard
	// ([policy.GuardAnnotation]).
	GuardOptOut bool
	// LogGroup is the NFLOG group that denied packets go to.
	LogGroup uint16
}

// Links is what the node knows of its Pods' interfaces.
type Links struct {
	// Binds says for each local Pod address where its packets come from.
	Binds map[netip.Addr]Bind
	// PodInterfaces are all interfaces that carry Pods, as the forward hook
	// sees them: a bridge, not its ports.
	PodInterfaces []string
}

// Bind ties an address to its place.
type Bind struct {
	// Interface is the name that the forward hook sees: the veth of a routed
	// Pod, the bridge of a bridged one.
	Interface string
	// Veth is the node's end of the Pod's veth, empty where there is none or
	// it is unknown. The guard sits there.
	Veth string
	// MAC is the hardware address of the Pod's end, empty if unknown; no guard
	// is made then.
	MAC string
	// LinkLocal are the IPv6 link-local addresses of the Pod's end.
	LinkLocal []netip.Addr
}
