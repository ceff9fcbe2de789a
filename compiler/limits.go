package compiler

import "github.com/sluice-net/sluice/policy"

// limits say up to where an allow set is cut into classes. Each stretch of ports has
// the peers of all rules that cover it: of n rules whose ports overlap in different
// ways, that is up to n classes of up to n peers each. Whoever may write a policy
// decides about n.
//
// They are part of what decides about the ruleset, so they are constants but in tests.
type limits struct {
	// classes is how many there may be.
	classes int
	// spread is how many times the size of the rules all classes together may have.
	spread int
	// slack is what they may have besides, so that small sets are always cut.
	slack int
	// leaf is how many ends of ranges a leaf of a [portTree] has at most, or twice as
	// many and so on where that made more leaves than some times leaves.
	leaf, leaves int
	// compared is how many spans are compared one after the other: more are cut into
	// leaves, see [portLeaf].
	compared int
	// branch is how many spans a leaf may have that is cut once more. The map of a Pod
	// with thousands of spans would be made anew for each that comes; maps of maps are
	// small, and reading two of them touches no more memory than a large one.
	branch int
	// apart is how many ends of ranges of ports the rules have at least whose address
	// ranges stand apart from their groups, see [apart].
	apart int
}

var usualLimits = limits{
	classes: 1 << 14, spread: 8, slack: 16 << 10, leaf: 16, leaves: 256,
	compared: fewSpans, branch: 128, apart: 4 * fewSpans,
}

// budget is what the classes of an allow set may take yet.
type budget struct {
	// terms is how many peers they may have, work how many may be looked at.
	terms, work int
}

func (l *limits) budget(rules []policy.AllowRule) budget {
	n := 0
	for i := range rules {
		n += sizeOf(&rules[i])
	}
	return budget{terms: l.spread*n + l.slack, work: 2*n + cutWork}
}

// cutWork is a few milliseconds' worth.
const cutWork = 1 << 17

// sizeOf is how much the rule has to say.
func sizeOf(r *policy.AllowRule) int {
	n := 1 + len(r.Ports) + len(r.Groups) + len(r.Blocks)
	for i := range r.Blocks {
		n += len(r.Blocks[i].Block.Except)
	}
	return n
}
