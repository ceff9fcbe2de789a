package compiler

// Packets that are not where their addresses belong are dropped. Dispatch goes
// by address, so an address must not be had for the asking.
//
// By interface and not by CIDR: it needs no knowledge of the network plug-in's
// blocks and gateways. A local address without a known place is in local and
// not in bind and source, and so is closed.

// source returns with what its sender may send, from where it belongs. Of a local Pod
// that takes one lookup; the others are for packets of others.
func (c *Config) source(n node) []line {
	return append([]line{{"iifname . FAMILY saddr vmap @source-V", "a local Pod's, from its place"}}, c.elsewhere(n)...)
}

// place returns with what comes from where it belongs, whatever it is. What IPVS sends on
// has no interface any more that it came by: it was asked at input.
func (c *Config) place(n node) []line {
	var out []line
	if n.ipvs {
		out = []line{{"iif 0 return", "sent on by IPVS"}}
	}
	return append(append(out, line{"iifname . FAMILY saddr @bind-V return", "a local Pod's, from its place"}), c.elsewhere(n)...)
}

// elsewhere is for what comes from no place of a local Pod.
func (c *Config) elsewhere(n node) []line {
	// A local Pod whose place is not known may still send what no policy asks
	// about, by whatever is no unknown Pod's.
	out := []line{{"FAMILY saddr @local-V FAMILY saddr != @unplaced-V counter name " + misplacedCounter + " drop", "a local Pod's address from elsewhere"}}
	if n.second {
		out = append(out, secondSource)
	}
	if !c.UnknownPods {
		out = append(out, fromPodInterface("counter name "+unknownCounter+" drop", "from an unknown Pod, link-local")...)
	}
	return out
}

// fromPodInterface makes a rule be about what comes from Pods, known or not.
func fromPodInterface(rule, comment string) []line {
	return []line{
		{"meta iifkind \"veth\" iifname != @" + otherInterfacesSet + " " + rule, comment},
		{"iifname @" + podInterfacesSet + " " + rule, comment},
	}
}

// destination drops what goes to a Pod's interface and to no known Pod. Isolated
// Pods are known: what they allow never comes here.
func (c *Config) destination() []line {
	if c.UnknownPods {
		return nil
	}
	return []line{{"FAMILY daddr != @local-V jump " + strangerToChain, "to no known Pod"}}
}

// toStranger is what goes to no known Pod: to an unknown one, multicast, broadcast or
// link-local if the interface carries Pods.
var toStranger = []line{
	{"meta oifkind \"veth\" oifname != @" + otherInterfacesSet + " counter name " + unknownCounter + " drop", ""},
	{"oifname @" + podInterfacesSet + " counter name " + unknownCounter + " drop", ""},
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
