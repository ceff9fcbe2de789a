package compiler

// What names the epoch stands apart from all other rules, so that a new epoch rewrites
// no more than it, and can reach the kernel without nft.

// fastPath is the whole of a base chain, or of the one for ICMP errors, whose packets are
// all "related" to a flow.
func (c *Config) fastPath(epoch uint32, errors bool, unjudged string) []Rule {
	slow := rule(Goto{unjudged})
	value := c.Mark.Encode(epoch)
	if value == 0 {
		// Without an epoch nothing counts as judged: every connection of others has
		// our bits at zero.
		return []Rule{slow}
	}
	judged := rule(maskedNumber(ConnMark, c.Mark.Mask, value), Accept{})
	if !errors {
		// Connections that a helper expects (FTP data and the like) inherit the mark of
		// the one that announced them, and must be judged as what they are.
		judged.Terms = append([]Term{isNot(ConnState, StateRelated)}, judged.Terms...)
	}
	return []Rule{judged.because("judged under this epoch"), slow}
}

// judged is the one place that marks a connection as allowed. nft computes no
// constants, so ~MASK is written out. An untracked packet has no mark to read, which
// ends the rule: it is accepted by the next one, for to return could be to go on to a deny
// chain.
func (c *Config) judged(epoch uint32) []Rule {
	return []Rule{rule(MarkConnection{Keep: ^c.Mark.Mask, Set: c.Mark.Encode(epoch)}, Accept{}), rule(Accept{}).because("untracked")}
}

// MarkNote is a rule that says which bits of the mark are ours, for whoever finds nothing
// else of us. It is as [Config.judged] begins.
func MarkNote(mask uint32) *ChainRule {
	return &ChainRule{JudgedChain, rule(MarkConnection{Keep: ^mask})}
}

// SetEpoch makes the ruleset count connections as judged only if they were so
// under this epoch, and returns the ops for the Commit of a plan. Nothing is
// done if it is so already. grace leaves connections alone that conntrack
// picks up in the middle, as on a node where nothing tracked them before. An
// epoch that [MarkLayout.Encode] gives no value, as 0, has every packet judged.
func (c *Compiler) SetEpoch(epoch uint32, grace bool) []Op {
	mark := c.cfg.Mark
	other, graceEnds := mark.Encode(epoch) != mark.Encode(c.epoch), grace != c.grace
	c.epoch, c.grace = epoch, grace
	var out []Op
	if other {
		for _, chain := range c.cfg.epochChains(epoch, c.node.ipvs) {
			out = append(out, chain.written()...)
		}
	}
	if graceEnds {
		chain := midstreamRules(grace)
		out = append(out, chain.written()...)
	}
	return out
}
