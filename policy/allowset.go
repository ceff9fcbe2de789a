package policy

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Subject is a local Pod that enforcement knows: it runs, is not on the host
// network and owns at least one address.
type Subject struct {
	Pod types.NamespacedName
	UID types.UID
	// Addrs are the addresses that the Pod owns, sorted.
	Addrs []netip.Addr
	// Ingress and Egress are nil where the Pod is not isolated. Pods with the
	// same policies and the same resolution of named ports share them.
	Ingress, Egress *AllowSet
	// Shared are those of Addrs that other Pods claim, too, sorted. Of the local
	// ones among these, only this Pod has the address in Addrs.
	Shared []SharedAddr
	// Unguarded: the Pod asks for no guard, and so do all that share an address
	// with it.
	Unguarded bool
}

// SharedAddr is an address that several live Pods claim. Its sets are what the
// policies of each allow, whoever has it; nil where none of them is isolated.
type SharedAddr struct {
	Addr            netip.Addr
	Ingress, Egress *AllowSet
}

// Sets are what holds for one of the Pod's addresses.
func (s *Subject) Sets(a netip.Addr) (ingress, egress *AllowSet) {
	for i := range s.Shared {
		if s.Shared[i].Addr == a {
			return s.Shared[i].Ingress, s.Shared[i].Egress
		}
	}
	return s.Ingress, s.Egress
}

// Shares reports whether other Pods claim the address, too.
func (s *Subject) Shares(a netip.Addr) bool {
	return slices.ContainsFunc(s.Shared, func(o SharedAddr) bool { return o.Addr == a })
}

// AllowSet is all that the policies of a Pod allow together in one direction.
// It is immutable.
type AllowSet struct {
	// Key is a content address: sets with equal keys allow the same, as long
	// as the groups they name have the same members.
	Key       string
	Direction Direction
	// Policies that isolate the Pod in this direction, sorted.
	Policies []types.NamespacedName
	// All, where there are any, are sets of which each must allow what this one
	// allows: those of the Pods that share an address. Rules is empty then. They
	// have no All themselves.
	All []*AllowSet
	// Rules are sorted by policy, then in the order of the manifest. A rule
	// that allows nothing (because it is invalid, or its named ports resolve
	// to none) has no peers or no ports and AllPeers, AllPorts unset.
	Rules []AllowRule
}

// Parts are the sets that must all allow: All, or the set itself.
func (s *AllowSet) Parts() []*AllowSet {
	if len(s.All) > 0 {
		return s.All
	}
	return []*AllowSet{s}
}

// AllowRule allows its peers on its ports.
type AllowRule struct {
	RuleRef
	// AllPeers: any address of both families. Groups and Blocks are empty then.
	AllPeers bool
	// Groups are the peers given by selectors, Blocks those given as ipBlock.
	// They are in the order of the manifest; PeerIndex fields give their
	// places.
	Groups []GroupPeer
	Blocks []BlockPeer
	// AllPorts: every port of every protocol, ICMP and the rest too. Ports and
	// NamedPorts are empty then.
	AllPorts bool
	// Ports are numeric, with the named ports of an ingress rule resolved on
	// the subject.
	Ports []PortRange
	// NamedPorts are those of an egress rule: each destination Pod resolves them
	// with its own numbers ([Member.Ports]), and what is no Pod never matches.
	NamedPorts []NamedPortRef
	// NamedGroups are the groups on whose members NamedPorts are looked up:
	// those of Groups, and for each of Blocks the Pods in it; or the group of
	// all Pods where AllPeers is set. Empty when there are no NamedPorts.
	NamedGroups []GroupKey
}

// NamedPortRef is a port given by name, to be resolved on a Pod.
type NamedPortRef struct {
	Protocol Protocol
	Name     string
}

// GroupKey is the canonical form of a peer's selectors: two peers with the
// same meaning and scope have the same key. It is readable.
type GroupKey string

// Everybody reports whether the group is all Pods of its namespaces.
func (k GroupKey) Everybody() bool { return strings.HasSuffix(string(k), "/"+everything.text) }

// GroupPeer is a peer given by selectors.
type GroupPeer struct {
	PeerIndex int
	Group     GroupKey
}

// BlockPeer is a peer given as ipBlock.
type BlockPeer struct {
	PeerIndex int
	Block     IPBlock
}

// Member is one address in a group. A dual-stack Pod is two members.
type Member struct {
	Addr netip.Addr
	// Ports are the Pod's named ports, in the order of the manifest; shared,
	// never to be changed.
	Ports []NamedPort
}

// Changes is what may have changed since [Index.Changes] was last called.
// Everything in it is sorted.
type Changes struct {
	Subjects []SubjectChange
	// Groups lists the groups in use by an allow set of a subject whose
	// members changed. A group that came into use since the last call is not
	// listed: ask [Index.Members].
	Groups []GroupChange
}

// SubjectChange is a Pod that became, changed as, or ceased to be a subject.
type SubjectChange struct {
	Pod types.NamespacedName
	// Now is nil when the Pod is no subject any more.
	Now *Subject
}

// GroupChange is the net change of a group's members. A member whose named
// ports changed is in both lists, with the old ports in Removed.
type GroupChange struct {
	Group          GroupKey
	Added, Removed []Member
}

// Empty reports whether nothing changed.
func (c Changes) Empty() bool { return len(c.Subjects) == 0 && len(c.Groups) == 0 }
