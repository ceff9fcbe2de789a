// Package scale makes clusters of any size for tests and benchmarks: Pods,
// namespaces and policies as pure functions of their number, so that the same
// cluster comes out everywhere, and no cluster need be held in memory.
//
//	c := scale.Large(150_000)
//	x := policy.NewIndex(policy.Options{Node: scale.Node})
//	c.Fill(x)
package scale
