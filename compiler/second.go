package compiler

// A Pod's second interface (Multus) is held to no policy, for the API does not know its
// addresses. But the node forwards what comes from there, too, and without a guard it
// could come in anybody's name: a Pod of another node, whom policies here let in, or an
// address of a block. What holds is that the node would send the answer back by the same
// interface. Addresses of this node's Pods are held to their places anyway.

// secondInterfacesSet are interfaces behind which there is nothing but that: veths, and
// bridges as the forward hook sees them.
const secondInterfacesSet = "second-interfaces"

// secondSource is a line of source and place. What stays within such a network is not
// ours, also where br_netfilter brings it to the forward hook.
var secondSource = line{
	"iifname @" + secondInterfacesSet + " oifname != @" + secondInterfacesSet + " fib saddr . iif oif missing counter name " + misplacedCounter + " drop",
	"by a Pod's second interface, in a name that is not from there",
}

// secondInterfaces brings the set up to date, and the rules, which are there where the set
// has something.
func (u *update) secondInterfaces(list []string) {
	want := names(list)
	u.fixed.only(secondInterfacesSet, want)
	c := u.c
	if c.second == (len(want) > 0) {
		return
	}
	was := c.cfg.placeChains(c.second)
	c.second = !c.second
	for i, now := range c.cfg.placeChains(c.second) {
		u.rewritten = append(u.rewritten, rewrite(&was[i], &now)...)
	}
}

// placeChains are those that ask where a packet comes from, with the rule about second
// interfaces or without.
func (c *Config) placeChains(second bool) []Chain {
	return []Chain{
		{Name: sourceChain, Rules: rules(c.source(second))},
		{Name: placeChain, Rules: rules(c.place(second))},
	}
}
