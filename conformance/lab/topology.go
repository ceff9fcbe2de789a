package lab

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// Protocols that the lab treats in a way of their own.
const (
	ICMP   uint8 = unix.IPPROTO_ICMP
	TCP    uint8 = unix.IPPROTO_TCP
	UDP    uint8 = unix.IPPROTO_UDP
	ICMPv6 uint8 = unix.IPPROTO_ICMPV6
	SCTP   uint8 = unix.IPPROTO_SCTP
)

// Spec says what to build. [SpecFromObjects] derives one from manifests.
type Spec struct {
	Topology Topology
	Nodes    []Node
	Pods     []Pod
	// External are addresses outside of the cluster. Probe adds what is
	// missing by itself.
	External []netip.Addr
	Services []Service
	// ServiceNAT says what translates Service addresses.
	ServiceNAT ServiceNAT
}

// Node is a node of the lab: a namespace with an uplink named eth0.
type Node struct {
	Name string
	// Addrs are the node's addresses on its uplink.
	Addrs []netip.Addr
}

// Pod is a Pod of the lab: a namespace with an interface named eth0, or, with
// HostNetwork, its node's.
type Pod struct {
	Name types.NamespacedName
	// Node names one of Spec.Nodes.
	Node        string
	Addrs       []netip.Addr
	Ports       []Port
	HostNetwork bool
	// Late: its addresses are its own from the beginning, and nothing else of it is
	// there until [Lab.StartPod].
	Late bool
}

// Port is served by an echo server from the beginning. Probe serves what else
// it asks for while it runs.
type Port struct {
	Protocol uint8
	Number   uint16
}

// Validate reports what cannot be built.
func (s *Spec) Validate() error {
	nodes := map[string]bool{}
	owner := map[netip.Addr]string{}
	claim := func(who string, addrs []netip.Addr) error {
		for _, a := range addrs {
			if err := usable(a); err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
			if o, taken := owner[a]; taken {
				return fmt.Errorf("%s: address %s belongs to %s already", who, a, o)
			}
			owner[a] = who
		}
		return nil
	}
	for _, n := range s.Nodes {
		if nodes[n.Name] {
			return fmt.Errorf("node %s: given twice", n.Name)
		}
		nodes[n.Name] = true
		if err := claim("node "+n.Name, n.Addrs); err != nil {
			return err
		}
	}
	for _, p := range s.Pods {
		if !nodes[p.Node] {
			return fmt.Errorf("Pod %s: no such node %q", p.Name, p.Node)
		}
		if p.HostNetwork {
			continue
		}
		if len(p.Addrs) == 0 {
			return fmt.Errorf("Pod %s: no address", p.Name)
		}
		if err := claim("Pod "+p.Name.String(), p.Addrs); err != nil {
			return err
		}
	}
	return claim("outside", s.External)
}

// usable says why an address cannot be any host's.
func usable(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return fmt.Errorf("no valid address")
	case a.Zone() != "" || a.Is4In6():
		return fmt.Errorf("address %s: not in plain form", a)
	case a.IsLoopback(), a.IsMulticast(), a.IsUnspecified(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("address %s: no host outside of itself can have it", a)
	case a.IsLinkLocalUnicast() && a.Is6():
		return fmt.Errorf("address %s: link-local addresses are not routed", a)
	}
	return nil
}
