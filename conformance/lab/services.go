package lab

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

// ServiceNAT is what translates the addresses of Services on each node.
type ServiceNAT uint8

const (
	// NATNFT is a table of nftables.
	NATNFT ServiceNAT = iota
	// NATIPTables is a set of chains in iptables' nat table.
	NATIPTables
)

// Service is a ClusterIP or NodePort Service. [ServiceFromObject] makes one.
type Service struct {
	Name       types.NamespacedName
	ClusterIPs []netip.Addr
	Ports      []ServicePort
	// Local is externalTrafficPolicy Local: a NodePort leads to Pods of its
	// own node only, and the client's address stays.
	Local bool
}

// ServicePort is a port of a Service with those who answer it.
type ServicePort struct {
	Protocol uint8
	Port     uint16
	// NodePort is 0 if there is none.
	NodePort uint16
	Backends []Backend
}

// Backend is one end of a Service.
type Backend struct {
	netip.AddrPort
	Node string
}
