// Package suggested holds what "sluice suggest" makes of flows to the applications that
// the flows are of: their traffic is played in the lab, recorded by agents, made into
// policies, and played again under these.
package suggested
