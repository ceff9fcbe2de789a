package compiler

// A Pod's second interface (Multus) is held to no policy, for the API does not know its
// addresses. But the node forwards what comes from there, too, and without a guard it
// could come in anybody's name: a Pod of another node, whom policies here let in, or an
// address of a block. What holds is that the node would send the answer back by the same
// interface. Addresses of this node's Pods are held to their places anyway.

// secondInterfacesSet are interfaces behind which there is nothing but that: veths, and
// bridges as the forward hook sees them.
const secondInterfacesSet = "second-interfaces"

// secondSource is asked at the hooks forward and input, and nowhere else: only there does
// the kernel know the way back. So it is in no chain to which the hook output leads. What
// stays within such a network is not ours, also where br_netfilter brings it to the
// forward hook.
func (n node) secondSource() []Rule {
	if !n.second {
		return nil
	}
	return []Rule{
		leading(misplacedCounter, dropMisplaced, in(secondInterfacesSet, InterfaceIn), notIn(secondInterfacesSet, InterfaceOut), isNumber(WayBack, wayMissing)).
			because("by a Pod's second interface, in a name that is not from there"),
	}
}
