package compiler

// place drops packets that are not where their addresses belong. Dispatch goes
// by address, so an address must not be had for the asking.
//
// By interface and not by CIDR: it needs no knowledge of the network plug-in's
// blocks and gateways. A local address without a known place is in local and
// not in bind, and so is closed.
func (c *Config) place() []line {
	out := []line{
		{"FAMILY saddr @local-V iifname . FAMILY saddr != @bind-V counter name " + misplacedCounter + " drop", "a local Pod's address from elsewhere"},
	}
	if c.UnknownPods {
		return out
	}
	// Addresses first: most packets are done with after one lookup, and those of
	// the other family after none.
	return append(out,
		line{"FAMILY daddr != @local-V oifname @" + podInterfacesSet + " counter name " + unknownCounter + " drop", "to an unknown Pod, multicast, broadcast, link-local"},
		line{"FAMILY saddr != @local-V iifname @" + podInterfacesSet + " counter name " + unknownCounter + " drop", "from an unknown Pod, link-local"},
	)
}

// placeInput is the half of place that looks at the source: the node knows its
// own addresses.
func (c *Config) placeInput() []line {
	out := c.place()[:1]
	if c.UnknownPods {
		return out
	}
	return append(out, line{"FAMILY saddr != @local-V iifname @" + podInterfacesSet + " counter name " + unknownCounter + " drop", "from an unknown Pod, link-local"})
}

// nodeDNS opens port 53 of the addresses where NodeLocal DNSCache answers.
func (c *Config) nodeDNS(f family) []Element {
	var out []Element
	for _, a := range c.NodeDNS {
		if a = a.Unmap(); familyOf(a) == f {
			out = append(out, Element{Key: a.String() + " . tcp . 53"}, Element{Key: a.String() + " . udp . 53"})
		}
	}
	return sortElements(out)
}
