package compiler

import "github.com/sluice-net/sluice/policy"

// narrow says whether less may pass when an element comes into a set, goes from it,
// or changes its value.
type narrow struct{ comes, goes, changes bool }

// narrowing of sets that follow groups: these allow, so they narrow when something
// goes.
func narrowing(set string) narrow {
	if n, known := fixedNarrowing[set]; known {
		return n
	}
	return narrow{goes: true}
}

var fixedNarrowing = func() map[string]narrow {
	out := map[string]narrow{
		// What comes from and goes to it is now held to known addresses.
		podInterfacesSet:   {comes: true},
		otherInterfacesSet: {goes: true},
		// What comes by it must be from there, but for what goes to one of these.
		secondInterfacesSet: {comes: true, goes: true},
	}
	for _, f := range families {
		// A new address must come from its place; what is sent to one that is no
		// Pod's any more goes nowhere.
		out[f.set(localSet)] = narrow{comes: true, goes: true}
		out[f.set(bindSet)] = narrow{goes: true}
		out[f.set(unplacedSet)] = narrow{goes: true}
		// Pods may not send to a far end, and only it may send to the node.
		out[f.set(tunnelPeersSet)] = narrow{comes: true, goes: true}
		out[f.set(selfSet)] = narrow{goes: true}
		out[f.set(senderMap)] = narrow{comes: true, changes: true}
		out[f.set(nodeDNSSet)] = narrow{goes: true}
		// Concerns packets that no mark lets pass.
		out[f.set(isolatedSet)] = narrow{comes: true}
		for _, d := range []policy.Direction{policy.Ingress, policy.Egress} {
			out[deniedMap(d, f)] = narrow{}
			for _, w := range ways {
				// Who is in a dispatch map is isolated. In that by source are all, from
				// where they belong: whoever is not may send nothing.
				out[dispatchMap(d, w, f)] = narrow{comes: !bySource(d, w), goes: bySource(d, w), changes: true}
			}
		}
	}
	return out
}()
