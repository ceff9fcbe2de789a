package lab

import (
	"strconv"
)

// Topology is how a node connects its Pods. The lab has the shapes of the network
// plug-ins that people run, made by hand: what of them a policy engine can meet, with
// the names, routes, rules and settings that they give.
type Topology uint8

const (
	// Bridge: the node's ends of the Pods' veths are ports of the bridge cni0,
	// Pods of one node reach each other at layer 2.
	Bridge Topology = iota
	// PTP: each Pod has a veth to the node, which routes between them.
	PTP
	// AWSVPC is the AWS VPC CNI: routed veths, a gateway that nobody has and a
	// permanent neighbour for it, and policy routing: every second Pod's address
	// belongs to a second network card, in by it and, by a rule, out by it.
	AWSVPC
	// AWSBranch has, besides, Pods with security groups of their own, in strict mode: a
	// branch interface for each, and a table that rules choose by the interface a
	// packet comes from. No other table knows the Pod's address, so what the node and
	// its other Pods send to it, and it to them, goes by way of the network.
	AWSBranch
	// AzureTransparent: routed veths, a gateway that nobody has.
	AzureTransparent
	// AzureBridge: the Pods' bridge has the node's network card as a port, Pods send
	// to the network's own gateway past the node's routing, and what comes for them
	// has the node's hardware address, which is rewritten.
	AzureBridge
	// Calico: routed veths that all have one hardware address, proxy ARP, and
	// blackholes for what nobody has of the node's blocks of addresses.
	Calico
	// GKE is PTP with a strict reverse path filter.
	GKE
	// Multus is Bridge, with a second interface in each Pod: a port of another bridge, a
	// routed veth, or a macvlan of the node's card.
	Multus
	// VXLAN is Bridge, with a tunnel between the nodes as flannel makes it.
	VXLAN
)

// Topologies are all that the lab can build. Everyday are those that all tests run in:
// what a shape of a plug-in adds to one of these, the tests try in few flows.
var (
	Topologies = []Topology{Bridge, PTP, AWSVPC, AWSBranch, AzureTransparent, AzureBridge, Calico, GKE, Multus, VXLAN}
	Everyday   = []Topology{Bridge, PTP}
)

// shape is what sets a topology apart.
type shape struct {
	name string
	// veth is what the node's ends are called, before a number.
	veth string
	// bridge carries the Pods; empty: each has a link of its own.
	bridge string
	// uplinked: the node's card is a port of that bridge.
	uplinked bool
	// gateway is who answers for the Pods' next hop.
	gateway gateway
	// reversePath is the node's rp_filter: 1 is strict, 2 loose.
	reversePath string
	// node and pod make what else there is on a node, and of a Pod whose veth has the
	// given index on the node; nil: nothing.
	node func(k *podLinks) error
	pod  func(k *podLinks, p *PodNamespace, near int) error
}

type gateway uint8

const (
	// byNode: it is an address of the node's.
	byNode gateway = iota
	// byEntry: it is nobody's, and the Pod has a permanent neighbour entry for it.
	byEntry
	// byProxy: it is nobody's, and the node answers for all addresses.
	byProxy
	// byNetwork: it is outside of the node.
	byNetwork
)

// shapes are by topology. They are made by a function, for what they name leads back
// to them.
func (t Topology) shape() shape {
	switch t {
	case PTP:
		return shape{name: "ptp", veth: "veth"}
	case AWSVPC:
		return shape{name: "aws-vpc", veth: "eni", gateway: byEntry, reversePath: "1", node: (*podLinks).addCard, pod: (*podLinks).addRules}
	case AWSBranch:
		return shape{name: "aws-branch", veth: "eni", gateway: byEntry, reversePath: "1", node: (*podLinks).addTrunk, pod: (*podLinks).addBranch}
	case AzureTransparent:
		return shape{name: "azure-transparent", veth: "azv", gateway: byEntry, reversePath: "2", pod: (*podLinks).addEntries}
	case AzureBridge:
		return shape{name: "azure-bridge", veth: "azv", bridge: "azure0", uplinked: true, gateway: byNetwork, node: (*podLinks).rewriteMACs, pod: (*podLinks).addNodeRoutes}
	case Calico:
		return shape{name: "calico", veth: "cali", gateway: byProxy, reversePath: "1", node: (*podLinks).addBlackholes, pod: (*podLinks).addProxy}
	case GKE:
		return shape{name: "gke", veth: "gke", reversePath: "1"}
	case Multus:
		return shape{name: "multus", veth: "veth", bridge: bridgeName, node: (*podLinks).addSecondBridge, pod: (*podLinks).addSecond}
	case VXLAN:
		return shape{name: "vxlan", veth: "veth", bridge: bridgeName, node: (*podLinks).addOverlay}
	case Bridge:
		return shape{name: "bridge", veth: "veth", bridge: bridgeName}
	}
	return shape{name: "topology " + strconv.Itoa(int(t))}
}

func (t Topology) String() string { return t.shape().name }

// Bridged reports whether Pods of a node reach each other at layer 2.
func (t Topology) Bridged() bool { return t.shape().bridge != "" }

// prefixed: the Pods of a node may share a prefix on their bridge.
func (t Topology) prefixed() bool { return t.Bridged() && !t.shape().uplinked }
