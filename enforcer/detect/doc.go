// Package detect finds what other programs set up on a node that stands in the way of
// policies, or may: their chains, flowtables, programs at interfaces, other policy engines,
// IPVS; and what the node itself is like. The agent looks through it from time to time, and
// sluice doctor once, so that both tell the same sentences. It reads, and changes nothing
// of anybody's; what it tries out, it tries in a network namespace of its own.
package detect
