package compiler

// node is what rules say of the node itself: of its tunnels, and of what network plug-ins
// and kube-proxy bring with them. It changes seldom, and whole chains with it.
type node struct {
	tunnels tunnelLayout
	// detours: the node reaches some of its Pods by way of the network.
	detours bool
	// second: some Pods have second interfaces.
	second bool
	// ipvs: it has IPVS.
	ipvs bool
}

func (n node) equal(o node) bool {
	return n.tunnels.equal(o.tunnels) && n.detours == o.detours && n.second == o.second && n.ipvs == o.ipvs
}

// nodeChains are those that change with the node, sorted by name. The base chains of IPVS
// name the epoch: see [Config.epochChains].
func (c *Config) nodeChains(n node) []Chain {
	var out []Chain
	if n.detours {
		out = c.detourChains()
	}
	out = append(out,
		Chain{Name: judgeForwardChain, Rules: c.judgeForward(n)},
		Chain{Name: judgeInputChain, Rules: c.judgeInput(n)})
	if n.ipvs {
		out = append(out, c.ipvsChains(n.tunnels)...)
	}
	return append(out,
		Chain{Name: judgeReplyChain, Rules: c.judgeReply(n.detours)},
		Chain{Name: nodeErrorsChain, Rules: c.nodeErrors(n)},
		Chain{Name: placeChain, Rules: c.place(n)},
		Chain{Name: tunnelForwardChain, Rules: toChain(n.tunnels.all, tunnelDestinationChain)},
		Chain{Name: tunnelInputChain, Rules: toChain(n.tunnels.all, tunnelSourceChain)},
		Chain{Name: tunnelSourceChain, Rules: n.tunnels.tunnelSource()})
}

// node brings the sets and rules about the node up to date.
func (u *update) node(links Links) {
	for set, want := range u.c.cfg.tunnelPeers(links.Tunnels) {
		u.fixed.only(set, want)
	}
	second := names(links.SecondInterfaces)
	u.fixed.only(secondInterfacesSet, second)
	was := u.c.node
	now := node{
		tunnels: u.c.cfg.tunnelLayout(links.Tunnels), detours: links.Detours, second: len(second) > 0,
		// It stays one with IPVS: the rules are right without it as well.
		ipvs: was.ipvs || links.IPVS,
	}
	if now.equal(was) {
		return
	}
	u.c.node = now
	if now.ipvs && !was.ipvs {
		u.beginIPVS()
	}
	pair(u.c.cfg.nodeChains(was), u.c.cfg.nodeChains(now), func(c Chain) string { return c.Name }, u.nodeChain)
}

// nodeChain makes what a chain was what it is now.
func (u *update) nodeChain(was, now *Chain) {
	switch {
	case now == nil:
		u.died[was.Name] = &object{name: was.Name, chain: was}
	case was != nil:
		u.rewritten = append(u.rewritten, rewrite(was, now)...)
	case now.Hook != nil:
		u.hooked.Chains = append(u.hooked.Chains, *now)
	default:
		u.made.Chains = append(u.made.Chains, *now)
	}
}
