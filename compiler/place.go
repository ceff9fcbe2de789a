package compiler

// Packets that are not where their addresses belong are dropped. Dispatch goes
// by address, so an address must not be had for the asking.
//
// By interface and not by CIDR: it needs no knowledge of the network plug-in's
// blocks and gateways. A local address without a known place is in local and
// not in bind, and so is closed.

// source goes to a chain with what comes from where it belongs. Of a local Pod
// that takes one lookup; the others are for packets of others.
func (c *Config) source(judge string) []line {
	out := []line{
		{"iifname . FAMILY saddr @bind-V goto " + judge, "a local Pod's, from its place"},
		{"FAMILY saddr @local-V counter name " + misplacedCounter + " drop", "a local Pod's address from elsewhere"},
	}
	if !c.UnknownPods {
		out = append(out, line{"iifname @" + podInterfacesSet + " counter name " + unknownCounter + " drop", "from an unknown Pod, link-local"})
	}
	return append(out, line{"goto " + judge, ""})
}

// destination drops what goes to a Pod's interface and to no known Pod. Isolated
// Pods are known: what they allow never comes here.
func (c *Config) destination() []line {
	if c.UnknownPods {
		return nil
	}
	return []line{{"FAMILY daddr != @local-V oifname @" + podInterfacesSet + " counter name " + unknownCounter + " drop", "to an unknown Pod, multicast, broadcast, link-local"}}
}

// selfLine lets a Pod reach itself, directly or through a Service. It is asked
// where a packet would be denied, for most are not.
const (
	selfLine    = "FAMILY saddr . FAMILY daddr @self-V goto " + judgedChain
	selfComment = "a Pod reaches itself"
)

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
