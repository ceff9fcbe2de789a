package compiler

// SmallLimits has nearly every allow set with different ports compiled into the form
// that is for crowds of rules: into trees with up to as many leaves, each with so many
// ends.
func (c *Compiler) SmallLimits(classes, leaf, leaves int) {
	c.limits = usualLimits
	c.limits.classes, c.limits.leaf, c.limits.leaves = classes, leaf, leaves
	c.limits.spread, c.limits.slack = 0, 0
}

// SmallLeaves has nearly every allow set with different ports compiled into the form that
// is for many: leaves with so many spans, in branches of so many, and address ranges apart
// from groups where rules have more ends of ports than apart.
func (c *Compiler) SmallLeaves(compared, branch, apart int) {
	c.limits.compared, c.limits.branch, c.limits.apart = compared, branch, apart
}
