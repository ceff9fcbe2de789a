package enforcer

import (
	"cmp"
	"context"
	"slices"

	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/source"
)

// Condition is something about the node that stands in the way of policies, or
// may. It is logged once when it comes and once when it goes. A [source.Trouble] is one
// that a source has to say.
type Condition struct {
	// What is one of [ConditionKinds].
	What string
	// Object is whom it concerns, such as "Pod shop/db", "interface veth1" or
	// "bridge cni0"; empty: the node as a whole.
	Object string
	// Message says what is the matter, Mend what to do about it.
	Message, Mend string
}

// ConditionKind is a kind of [Condition], and what follows from it.
type ConditionKind struct {
	What string
	// NotReady: while a condition of the kind stands, the node is not ready,
	// for some policy may not hold. All others are told in the details of readyz.
	NotReady bool
	// Help is what the kind means, for people.
	Help string
}

// ConditionKinds are all there are, sorted by name. The table in the README is
// held to it by a test.
var ConditionKinds = []ConditionKind{
	{"AddressConflict", false, "The objects of several live Pods claim an address of a local Pod: it is held to the policies of each."},
	{"Asleep", true, "The agent did not run for a while, and what changed meanwhile may not be in force."},
	{"BridgeSwitch", false, "Only the namespace's switch brings a bridge's packets past our hooks, for its own cannot be set."},
	{"BridgeUnfiltered", true, "Packets of a bridge of Pods do not come past our hooks: those between two Pods, or those in frames with a VLAN's tag."},
	{"DenialsUnread", false, "The kernel's log of denied packets cannot be read, so nobody is told what is denied."},
	{"DropPolicy", false, "A base chain of another program drops, unless its rules accept, what Pods send or get."},
	{"Flowtable", true, "A flowtable takes connections of Pods past our hooks, so that a change of policy does not cut them."},
	{"ForeignMarks", true, "Another program writes our bits of the conntrack mark: some packets may have passed unjudged, and all are judged until it stops."},
	{"GuardFailed", true, "The guard of a Pod's interface could not be written, so the Pod may pass for another."},
	{"IPVS", true, "IPVS sends packets to Pods in a way that cannot be judged."},
	{"InterfaceConflict", false, "A second interface claims a Pod's address. The Pod keeps it."},
	{"LegacyTables", false, "There are tables of legacy iptables, whose rules cannot be read."},
	{"NoLock", false, "The lock that keeps a second agent out cannot be had."},
	{"NodeLocalDNS", false, "NodeLocal DNSCache answers on the node and is not declared with --node-dns."},
	{"NodeUnknown", true, "No Node has the node name that the agent was given, so that no Pod counts as this node's."},
	{"OtherChains", false, "Base chains of another program see what Pods send or get, and may drop it."},
	{"PodUnplaced", false, "The interface of a Pod is not known that no policy isolates and no port of a bridge holds back."},
	{"PodUnresolved", true, "The interface of a Pod that policies isolate, or its port of a bridge, is not known, so what is allowed is lost."},
	{"PolicyEngine", false, "There are traces of a second policy engine."},
	{"PortGuardsFailed", true, "The guards of bridge ports are not what they should be."},
	{"RuntimeSilent", false, "The container runtime does not tell of sandboxes, though it should: first packets of Pods that start may be lost."},
	{"SearchFailed", false, "Looking for other programs failed in part: some may not be told of."},
	{"SecondAgent", true, "Another agent is at work in the same network namespace."},
	{"SecondInterface", false, "A Pod has another interface than the one of its addresses: policies are not enforced on it."},
	{"SourceEmpty", false, "The directory of manifests held none when the agent started: nothing is known to enforce, and rules of an earlier agent stay."},
	{"SourceFailed", true, "Some objects cannot be read, so a change of them is not enforced."},
	{"SourceRefused", true, "The API server does not let the agent list or watch a kind of objects: what it last said stays in force."},
	{"SourceSilent", true, "The API server is not heard, or not understood: what it last said stays in force."},
	{"SourceUnreadable", true, "The directory of manifests is gone, empty where it was not, or cannot be read: what it last said stays in force."},
	{"SourceUnwatched", false, "The system does not tell of changes of manifests: they are noticed by looking, seconds late."},
	{"SyncHangs", true, "A sync has been running for so long that something must be wrong, and what it should bring is not in force."},
	{"TableContested", true, "Another program keeps changing Sluice's nftables, which are open until each repair."},
	{"TableFailed", true, "The last change of our tables failed, so what the API says now is not all enforced."},
	{"TableNotRepaired", true, "Another program changed Sluice's nftables, and they cannot be repaired."},
	{"TrafficBypass", true, "A program (BPF at tc, XDP) or a filter takes packets of Pods past our hooks, or may."},
	{"TrafficProgram", false, "A program at an interface (BPF at tc, XDP) sees packets, and may drop them."},
	{"TrafficRedirect", false, "Frames of an interface take a detour through another, past hooks of family netdev."},
	{"TunnelOpen", false, "The far ends of a tunnel are not known beforehand, so whoever is no Pod of this node may send into it."},
}

// kindOf finds a kind. One that nobody declared counts as grave.
func kindOf(what string) ConditionKind {
	for _, k := range ConditionKinds {
		if k.What == what {
			return k
		}
	}
	return ConditionKind{What: what, NotReady: true}
}

// NotReady reports whether the node is not ready while the condition stands.
func (c Condition) NotReady() bool { return kindOf(c.What).NotReady }

// String is the condition in one line.
func (c Condition) String() string { return source.Trouble(c).Error() }

func compareConditions(a, b Condition) int {
	return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Message, b.Message))
}

// setConditions replaces what one part of the agent has to say, and logs what
// came and what went. A part is any name that no other part uses.
func (b *statusBoard) setConditions(ctx context.Context, part string, now []Condition) {
	now = slices.Clone(now)
	slices.SortFunc(now, compareConditions)
	b.mu.Lock()
	was := b.conditions[part]
	b.conditions[part] = now
	b.mu.Unlock()
	logConditions(ctx, was, now)
}

// logConditions logs what came and what went.
func logConditions(ctx context.Context, was, now []Condition) {
	logger := klog.FromContext(ctx)
	for _, c := range now {
		if !slices.ContainsFunc(was, c.sameAs) {
			logger.Info("Condition: "+c.String(), "what", c.What, "object", c.Object, "notReady", c.NotReady())
		}
	}
	for _, c := range was {
		if !slices.ContainsFunc(now, c.sameAs) {
			logger.Info("Condition is over: "+c.What, "what", c.What, "object", c.Object)
		}
	}
}

// sameAs leaves the message out: one with a number in it would be logged anew
// each time.
func (c Condition) sameAs(o Condition) bool { return c.What == o.What && c.Object == o.Object }

// allConditions are those of all parts, sorted. The caller holds the lock.
func (b *statusBoard) allConditions() []Condition {
	var out []Condition
	for _, list := range b.conditions {
		out = append(out, list...)
	}
	slices.SortFunc(out, compareConditions)
	return out
}
