package compiler

import (
	"net/netip"
)

// TableName is the name of our tables: that of the inet family, which judges, and
// those of the guards, in the bridge family and in the netdev family.
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
	// PodTunnels lets Pods and whoever else reach the tunnels of the node, and Pods
	// those of other nodes, as far as policies go.
	PodTunnels bool
	// NodeDNS are addresses on the node where NodeLocal DNSCache answers: port
	// 53 of these is open to every Pod.
	NodeDNS []netip.Addr
	// Reject answers denied packets (TCP reset, ICMP administratively
	// prohibited) instead of dropping them in silence.
	Reject bool
	// GuardOptOut honours the wish of Pods for no guard
	// ([policy.GuardAnnotation]).
	GuardOptOut bool
	// LogGroup is the NFLOG group that denied packets go to, usually [DefaultLogGroup].
	LogGroup uint16
}

// Links is what the node knows of its Pods' interfaces.
type Links struct {
	// Binds says for each local Pod address where its packets come from.
	Binds map[netip.Addr]Bind
	// PodInterfaces are the bridges that carry Pods and nobody else, as the forward
	// hook sees them. Veths that are no ports carry Pods unless they are said to
	// be other.
	PodInterfaces []string
	// OtherInterfaces are veths that carry no Pods, or more than Pods.
	OtherInterfaces []string
	// SecondInterfaces are those by which Pods are reached that are known by others, and
	// nobody else, as the forward hook sees them.
	SecondInterfaces []string
	// Uplinks are veths that are ports of a bridge and lead out of the node, and
	// OpenPorts those of bridges without Pods, by number. Ports that are no veths
	// are uplinks.
	Uplinks, OpenPorts []int
	// Tunnels are what the node's tunnel devices take from the network.
	Tunnels []Tunnel
	// Detours: what the node itself sends to some of its Pods leaves the node first, and
	// comes back.
	Detours bool
	// IPVS: the node has it, so that packets to Services pass it between the hooks
	// input and output. What was so once stays so.
	IPVS bool
	// Kept are addresses that go to a Pod of another name, or came from one, and
	// are the same Pod's: it was not known which of several it is, and what was
	// allowed so far was allowed to each.
	Kept map[netip.Addr]bool
}

// Bind ties an address to its place.
type Bind struct {
	// Interface is the name that the forward hook sees: the veth of a routed
	// Pod, the bridge of a bridged one.
	Interface string
	// Veth is the node's end of the Pod's veth, empty where there is none or
	// it is unknown.
	Veth string
	// Port is the number of the veth as a port of a bridge, 0 for a routed Pod.
	Port int
	// MAC is the hardware address of the Pod's end, empty if unknown: then a port
	// passes nothing, and no guard is made of a routed veth.
	MAC string
	// LinkLocal are the IPv6 link-local addresses of the Pod's end.
	LinkLocal []netip.Addr
}
