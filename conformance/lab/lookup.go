package lab

import (
	"net"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

// Node is the namespace of a node, nil if there is none of that name.
func (l *Lab) Node(name string) *Namespace { return l.nodes[name] }

// Pod is the namespace of a Pod, its node's for hostNetwork, nil if it has
// none, yet.
func (l *Lab) Pod(name types.NamespacedName) *PodNamespace {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pods[name]
}

// Outside is where external addresses live.
func (l *Lab) Outside() *Namespace { return l.outside }

// Fabric is the router between the nodes and the outside.
func (l *Lab) Fabric() *Namespace { return l.fabric }

// Host is the namespace that has an address, nil if none does.
func (l *Lab) Host(a netip.Addr) *Namespace {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hosts[a]
}

// Spec is what the lab was built from.
func (l *Lab) Spec() Spec { return l.spec }

// UplinkMACs are the hardware addresses of a node's uplink: of the fabric's end
// and of the node's own. The empty name is the outside's.
func (l *Lab) UplinkMACs(node string) (fabric, own net.HardwareAddr) {
	if node == "" {
		return outsideMACs()
	}
	for i, n := range l.layout.nodes {
		if n.Name == node {
			return nodeMACs(i)
		}
	}
	return nil, nil
}

func outsideMACs() (fabric, own net.HardwareAddr) { return mac(0xff, 0, 1), mac(0xff, 0, 2) }

func nodeMACs(index int) (fabric, own net.HardwareAddr) {
	return mac(0xfe, index, 1), mac(0xfe, index, 2)
}
