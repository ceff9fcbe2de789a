package compiler

// fastPath is the whole of a base chain. Rules that name the epoch stand apart
// from all others, so that a new epoch rewrites no more than them.
//
// "!= related": connections that a helper expects (FTP data and the like)
// inherit the mark of the one that announced them, and must be judged as what
// they are.
func (c *Config) fastPath(epoch uint32, unjudged string) []line {
	slow := line{"goto " + unjudged, ""}
	if value := c.Mark.Encode(epoch); value != 0 {
		return []line{
			{"ct state != related ct mark & " + hexMark(c.Mark.Mask) + " == " + hexMark(value) + " accept", "judged under this epoch"},
			slow,
		}
	}
	// Without an epoch nothing counts as judged: every connection of others has
	// our bits at zero.
	return []line{slow}
}

// judged is the one place that marks a connection as allowed. nft computes no
// constants, so ~MASK is written out.
func (c *Config) judged(epoch uint32) []line {
	clear := "ct mark set ct mark & " + hexMark(^c.Mark.Mask)
	if value := c.Mark.Encode(epoch); value != 0 {
		return []line{{clear + " | " + hexMark(value) + " accept", ""}}
	}
	return []line{{clear + " accept", ""}}
}

// SetEpoch makes the ruleset count connections as judged only if they were so
// under this epoch, and returns the ops for the Commit of a plan. Nothing is
// done if it is so already. grace leaves connections alone that conntrack
// picks up in the middle, as on a node where nothing tracked them before. An
// epoch that [MarkLayout.Encode] gives no value, as 0, has every packet judged.
func (c *Compiler) SetEpoch(epoch uint32, grace bool) []Op {
	before := c.cfg.fixedChains(c.epoch, c.grace)
	c.epoch, c.grace = epoch, grace
	var out []Op
	for i, now := range c.cfg.fixedChains(epoch, grace) {
		out = append(out, rewrite(&before[i], &now)...)
	}
	return out
}
