// Package controlpath measures how long it takes from an event to the kernel,
// with the real agent on a node of a lab, in clusters of up to 150,000 Pods.
//
// Next to it, in the same rounds, it measures the floor: what nft itself needs
// for the same on a copy of the ruleset in a namespace of its own. It is a
// copy because the agent would notice a stranger's change and mend it.
package controlpath
