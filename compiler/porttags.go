package compiler

// Tags of VLANs. No Pod's port passes a frame that bears one. But a bridge that filters
// VLANs takes them off on the way, and so does the node where the number is 0, which says
// a priority and no VLAN: neither a Pod nor the node notices that there was one. So what
// may come with a tag is judged by what is behind it.
//
// "ether type" is the tag's, "meta protocol" is that of what is behind the first tag.
var (
	taggedOrNot4   = isNumber(Protocol, etherIPv4)
	taggedOrNot6   = isNumber(Protocol, etherIPv6)
	taggedOrNotARP = isNumber(Protocol, etherARP)
	// behindPriority stands before the protocol, whatever it compares where that is no tag:
	// nft 1.0.6 breaks off as it lists the rule the other way round.
	behindPriority = maskedNumber(TagInside, 0x0fff, 0)
)

// fromStranger is for whatever is no port of a Pod: it may send anything but in a
// Pod's name. Behind two tags nobody looks, and nobody gets it without the second one,
// but for a priority: the node takes off any number of these.
func fromStranger() []Rule {
	return []Rule{
		leading(posing, dropMisplaced, in(podHardware, EtherSource)),
		leading(posing, dropMisplaced, taggedOrNot4, in(ipv4.set(podAddrsSet), IPSource)),
		leading(posing, dropMisplaced, taggedOrNot6, in(ipv6.set(podAddrsSet), IP6Source)),
		leading(posing, dropMisplaced, taggedOrNotARP, in(ipv4.set(podAddrsSet), ARPSourceIP)),
		leading(posing, dropMisplaced, taggedOrNot6, isNumber(L4Protocol, uint32(protoICMPv6)), isNumber(ICMPv6Type, ndTell), in(podTargetsSet, NeighbourTarget)),
		leading(posing, dropMisplaced, behindPriority, isNumber(Protocol, etherVLAN)),
		leading(posing, dropMisplaced, behindPriority, isNumber(Protocol, etherQinQ)),
		rule(Accept{}),
	}
}

// tagsToUnguarded keeps frames with tags from Pods without a guard that are isolated: the
// forward hook does not see them, and a Pod takes a priority off as the node does.
func tagsToUnguarded() []Rule {
	return []Rule{
		dropping(misdelivered, in(unguardedSet, PortOut), in(isolatedPorts, PortOut), oneOf(EtherProtocol, etherVLAN, etherQinQ)).because("a tag hides it from policies"),
	}
}
