package policy

import (
	"net/netip"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
)

// Direction is the direction of traffic as the Pod that a policy selects sees
// it.
type Direction uint8

const (
	Ingress Direction = iota
	Egress
)

func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// Protocol is an IP protocol number
// (https://www.iana.org/assignments/protocol-numbers).
type Protocol uint8

const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	case ICMP:
		return "ICMP"
	case ICMPv6:
		return "ICMPv6"
	}
	return strconv.Itoa(int(p))
}

// HasPorts reports whether NetworkPolicy knows ports of p: TCP, UDP and SCTP.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// NamedPort is a container port that has a name.
type NamedPort struct {
	Name     string
	Protocol Protocol
	Number   uint16
}

// Pod is what policy needs to know of a Pod. [PodFromAPI] makes one. A Pod
// that was handed to an [Index] must not change afterwards.
type Pod struct {
	types.NamespacedName
	// UID is that of the Pod that runs: of a static Pod not its object's.
	UID types.UID
	// Node is spec.nodeName, empty before the Pod is scheduled.
	Node string
	// NodeAddrs are status.hostIPs: the node's own addresses, from which
	// ingress is always allowed.
	NodeAddrs []netip.Addr
	Labels    map[string]string
	// Addrs are status.podIPs in their order, without zones, 4-in-6 unmapped.
	Addrs []netip.Addr
	// Ports are the named ports of containers and of sidecars (init containers
	// with restartPolicy Always), in the order of the manifest.
	Ports []NamedPort
	// Created decides under whose name an address is shown that several Pods
	// claim: the newest one's. It is in Unix seconds, which is as precise as the
	// API.
	Created     int64
	HostNetwork bool
	// Finished: status.phase is Succeeded or Failed.
	Finished bool
	// Unguarded: annotation GuardAnnotation is "off".
	Unguarded bool
	// Terminating: it is being deleted. It keeps its policies and its place among
	// peers until it is finished.
	Terminating bool
	// Unread: its labels are too many to be taken, so which policies select it cannot
	// be said, and no address counts as its own.
	Unread bool
}

// GuardAnnotation on a Pod, with the value "off", asks for no guard on the
// Pod's interface: for Pods that route, bridge or answer for other addresses.
const GuardAnnotation = "sluice-net.github.io/guard"

// PortRange is an inclusive range of ports of one protocol. All ports of a
// protocol are 0 to 65535.
type PortRange struct {
	Protocol    Protocol
	First, Last uint16
}

// IPBlock is an ipBlock peer in canonical form: masked, Except sorted and
// inside CIDR.
type IPBlock struct {
	CIDR   netip.Prefix
	Except []netip.Prefix
}

// Contains reports whether a is in the block and in none of its exceptions.
func (b IPBlock) Contains(a netip.Addr) bool {
	if !b.CIDR.Contains(a) {
		return false
	}
	for _, e := range b.Except {
		if e.Contains(a) {
			return false
		}
	}
	return true
}

// RuleRef names a rule of a policy: the provenance of what is allowed.
type RuleRef struct {
	Policy    types.NamespacedName
	Direction Direction
	// Rule indexes spec.ingress or spec.egress, from 0.
	Rule int
}

func (r RuleRef) String() string {
	return r.Policy.String() + " " + r.Direction.String() + "[" + strconv.Itoa(r.Rule) + "]"
}
