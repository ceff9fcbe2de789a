package compiler

import (
	"net/netip"
	"slices"
)

// What is dropped for another reason than policies is told of as well, or nobody would
// know why nothing comes. Rules that find it count it in the counter of their table and
// go to the chain of the reason, which logs and drops.
//
// Two ends and a protocol are told of once in reportInterval, whatever the port and
// whatever the reason: what is out of place is so as a whole, and a flood of it must not
// drown what policies deny. Nor must one Pod's hide another's, so each interface has a
// rate, or each Pod where the packet is about a Pod.

// Chains of reasons, in both tables.
const (
	dropUnknownFrom = "drop-unknown-from"
	dropUnknownTo   = "drop-unknown-to"
	dropMisplaced   = "drop-misplaced"
	dropInvalidFrom = "drop-invalid-from"
	dropInvalidTo   = "drop-invalid-to"
	dropTunnel      = "drop-tunnel"
	dropGuarded     = "drop-guarded"
	cutFrom         = "cut-from"
	cutTo           = "cut-to"
)

// Logs of these reasons, as package denials knows them.
const (
	logUnknownFrom = "sluice:unknown-from"
	logUnknownTo   = "sluice:unknown-to"
	logMisplaced   = "sluice:misplaced"
	logInvalidFrom = "sluice:invalid-from"
	logInvalidTo   = "sluice:invalid-to"
	logCutFrom     = "sluice:midstream-from"
	logCutTo       = "sluice:midstream-to"
	logTunnel      = "sluice:tunnel"
	logGuard       = "sluice:guard"
)

const (
	reportedDropsSet  = "reported-drops" // address . address . protocol
	reportRatePortSet = "report-rate-interface"
)

// Multicast that goes nowhere is what every host sends all the time: it is counted, and
// not told of.
var (
	multicast4   = netip.MustParsePrefix("224.0.0.0/4")
	notMulticast = [...]Term{outside(IPDestination, multicast4), outside(IP6Destination, multicast6)}
)

// telling is a rule that logs a drop of one family, once in a while and at the rate of
// whatever key says.
func (c *Config) telling(f family, prefix string, key Field, rates string, first ...Term) Rule {
	ends := concat(f.source(), f.destination(), L4Protocol)
	return all(first,
		In{Key: ends, Not: true, Set: f.set(reportedDropsSet)},
		Remember{Key: concat(key), Set: rates, PerSecond: reportsAtOnce, Burst: reportsAtOnce},
		Remember{Key: ends, Set: f.set(reportedDropsSet)},
		c.log(prefix))
}

// dropChains are those of table inet sluice.
func (c *Config) dropChains() []Chain {
	byInterface := func(name, prefix string, at Field, first func(family) []Term) Chain {
		return Chain{Name: name, Rules: append(inBoth(func(f family) Rule {
			return c.telling(f, prefix, at, reportRatePortSet, first(f)...)
		}), rule(Drop{}))}
	}
	byPod := func(name, prefix string, at func(family) Field, verdicts ...Term) Chain {
		out := Chain{Name: name, Rules: inBoth(func(f family) Rule {
			return c.telling(f, prefix, at(f), f.set(reportRateSet))
		})}
		for _, v := range verdicts {
			out.Rules = append(out.Rules, rule(v))
		}
		return out
	}
	any := func(family) []Term { return nil }
	single := func(f family) []Term { return []Term{notMulticast[f]} }
	// Who is reset is of TCP. Whatever else might come is dropped.
	reset := []Term{Reject{Reset: true}, Drop{}}
	return []Chain{
		byInterface(dropUnknownFrom, logUnknownFrom, InterfaceIn, single),
		byInterface(dropUnknownTo, logUnknownTo, InterfaceOut, single),
		byInterface(dropMisplaced, logMisplaced, InterfaceIn, any),
		byInterface(dropTunnel, logTunnel, InterfaceIn, any),
		byPod(dropInvalidFrom, logInvalidFrom, family.source, Drop{}),
		byPod(dropInvalidTo, logInvalidTo, family.destination, Drop{}),
		byPod(cutFrom, logCutFrom, family.source, reset...),
		byPod(cutTo, logCutTo, family.destination, reset...),
	}
}

// dropSets are what these remember.
func dropSets() []Set {
	out := []Set{{Name: reportRatePortSet, Key: keyType(IfName), Timeout: reportInterval, Size: reportSize}}
	for _, f := range families {
		out = append(out, reportedDrops(f))
	}
	return out
}

func reportedDrops(f family) Set {
	addr := f.addrType()
	return Set{Name: f.set(reportedDropsSet), Key: keyType(addr, addr, InetProto), Timeout: reportInterval, Size: reportSize}
}

// portDropChains are those of table bridge sluice. What is no IP is counted and not told
// of: nobody could say whose it is.
func (c *Config) portDropChains() []Chain {
	chain := func(name, prefix string, port Field, first ...Term) Chain {
		return Chain{Name: name, Rules: append(inBoth(func(f family) Rule {
			return c.telling(f, prefix, port, reportRatePortSet, first...)
		}), rule(Drop{}))}
	}
	toOne := toGroup
	toOne.Not = true
	return []Chain{
		chain(dropUnknownFrom, logUnknownFrom, PortIn, toOne),
		chain(dropUnknownTo, logUnknownTo, PortOut, toOne),
		chain(dropMisplaced, logMisplaced, PortIn),
		chain(dropGuarded, logGuard, PortIn),
	}
}

// portDropSets are the same for table bridge sluice.
func portDropSets() []Set {
	out := []Set{{Name: reportRatePortSet, Key: keyType(IfIndex), Timeout: reportInterval, Size: reportSize}}
	for _, f := range families {
		out = append(out, reportedDrops(f))
	}
	return out
}

// guardReports is how many packets a second the guard of a routed veth tells of. Its table
// has no sets: they would have to be made again with each guard, by nft.
const guardReports = 5

// toldDrop is [countedDrop] with a log before it. ip says that the frame is IP, where the
// matches do not.
func (c *Config) toldDrop(ip bool, matches ...Term) []Rule {
	tell := slices.Clip(matches)
	if !ip {
		tell = append(tell, oneOf(EtherProtocol, etherIPv4, etherIPv6))
	}
	return []Rule{
		all(tell, Limit{PerSecond: guardReports, Burst: guardReports}, c.log(logGuard)),
		countedDrop(matches...),
	}
}
