package compiler

import (
	"fmt"
	"strings"
)

// EpochRule is a rule of a chain that names the epoch, as data. [EpochRule.String]
// and [ParseEpochRule] are the one place that knows how nft writes it, so that
// a new epoch can reach the kernel without nft as well.
type EpochRule struct {
	Kind EpochRuleKind
	// Mask and Value are of the conntrack mark, for all but Goto.
	Mask, Value uint32
	// Chain is where Goto goes.
	Chain string
}

// EpochRuleKind is what an [EpochRule] does.
type EpochRuleKind uint8

const (
	// AcceptJudged accepts connections whose mark under Mask is Value.
	AcceptJudged EpochRuleKind = iota
	// GotoUnjudged goes to Chain with all others.
	GotoUnjudged
	// MarkJudged keeps Mask of the connection's mark, adds Value, and accepts.
	MarkJudged
	// AcceptError is AcceptJudged for what is related to a connection.
	AcceptError
)

// "!= related": connections that a helper expects (FTP data and the like)
// inherit the mark of the one that announced them, and must be judged as what
// they are.
const (
	acceptErrorText  = "ct mark & 0x%08x == 0x%08x accept"
	acceptJudgedText = "ct state != related ct mark & 0x%08x == 0x%08x accept"
	gotoText         = "goto "
	markJudgedText   = "ct mark set ct mark & 0x%08x | 0x%08x accept"
	markNobodyText   = "ct mark set ct mark & 0x%08x accept"
)

// String is the rule as nft writes it.
func (r EpochRule) String() string {
	switch {
	case r.Kind == AcceptJudged:
		return fmt.Sprintf(acceptJudgedText, r.Mask, r.Value)
	case r.Kind == AcceptError:
		return fmt.Sprintf(acceptErrorText, r.Mask, r.Value)
	case r.Kind == GotoUnjudged:
		return gotoText + r.Chain
	case r.Value == 0:
		return fmt.Sprintf(markNobodyText, r.Mask)
	}
	return fmt.Sprintf(markJudgedText, r.Mask, r.Value)
}

// ParseEpochRule is the inverse of [EpochRule.String]. It reports false for any
// other rule.
func ParseEpochRule(text string) (EpochRule, bool) {
	r := EpochRule{Kind: GotoUnjudged}
	if chain, ok := strings.CutPrefix(text, gotoText); ok {
		r.Chain = chain
		return r, chain != "" && !strings.ContainsAny(chain, " \t\n")
	}
	for _, form := range []struct {
		kind EpochRuleKind
		text string
		into []any
	}{
		{AcceptJudged, acceptJudgedText, []any{&r.Mask, &r.Value}},
		{AcceptError, acceptErrorText, []any{&r.Mask, &r.Value}},
		{MarkJudged, markJudgedText, []any{&r.Mask, &r.Value}},
		{MarkJudged, markNobodyText, []any{&r.Mask}},
	} {
		r = EpochRule{Kind: form.kind}
		// Scanning is generous. What is written must come out again.
		if n, err := fmt.Sscanf(text, form.text, form.into...); err == nil && n == len(form.into) && r.String() == text {
			return r, true
		}
	}
	return EpochRule{}, false
}

// fastPath is the whole of a base chain, or of the one for ICMP errors. Rules that name
// the epoch stand apart from all others, so that a new epoch rewrites no more than them.
func (c *Config) fastPath(kind EpochRuleKind, epoch uint32, unjudged string) []line {
	slow := line{EpochRule{Kind: GotoUnjudged, Chain: unjudged}.String(), ""}
	if value := c.Mark.Encode(epoch); value != 0 {
		judged := EpochRule{Kind: kind, Mask: c.Mark.Mask, Value: value}
		return []line{{judged.String(), "judged under this epoch"}, slow}
	}
	// Without an epoch nothing counts as judged: every connection of others has
	// our bits at zero.
	return []line{slow}
}

// judged is the one place that marks a connection as allowed. nft computes no
// constants, so ~MASK is written out. An untracked packet has no mark to read, which
// ends the rule: it goes on where it would have gone on without, to the chain of its
// destination, and is accepted.
func (c *Config) judged(epoch uint32) []line {
	return []line{{EpochRule{Kind: MarkJudged, Mask: ^c.Mark.Mask, Value: c.Mark.Encode(epoch)}.String(), ""}}
}

// SetEpoch makes the ruleset count connections as judged only if they were so
// under this epoch, and returns the ops for the Commit of a plan. Nothing is
// done if it is so already. grace leaves connections alone that conntrack
// picks up in the middle, as on a node where nothing tracked them before. An
// epoch that [MarkLayout.Encode] gives no value, as 0, has every packet judged.
func (c *Compiler) SetEpoch(epoch uint32, grace bool) []Op {
	before := c.cfg.epochChains(c.epoch, c.grace, c.node.ipvs)
	c.epoch, c.grace = epoch, grace
	var out []Op
	for i, now := range c.cfg.epochChains(epoch, grace, c.node.ipvs) {
		out = append(out, rewrite(&before[i], &now)...)
	}
	return out
}
