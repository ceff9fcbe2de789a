package compiler

// SmallLimits has nearly every allow set with different ports compiled into the form
// that is for crowds of rules: into trees with up to as many leaves, each with so many
// ends.
func (c *Compiler) SmallLimits(classes, leaf, leaves int) {
	c.limits = limits{classes: classes, leaf: leaf, leaves: leaves}
}
