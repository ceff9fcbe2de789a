package compiler

import "github.com/sluice-net/sluice/policy"

// narrowing says whether less may pass when an element comes into a set, or
// goes from it. Sets that follow groups allow: they narrow when something goes.
func narrowing(set string) (comes, goes bool) {
	if n, known := fixedNarrowing[set]; known {
		return n.comes, n.goes
	}
	return false, true
}

type narrow struct{ comes, goes bool }

var fixedNarrowing = func() map[string]narrow {
	out := map[string]narrow{
		// What comes from and goes to it is now held to known addresses.
		podInterfacesSet: {comes: true},
	}
	for _, f := range families {
		// A new address must come from its place; what is sent to one that is no
		// Pod's any more goes nowhere.
		out[f.set(localSet)] = narrow{comes: true, goes: true}
		out[f.set(bindSet)] = narrow{goes: true}
		out[f.set(selfSet)] = narrow{goes: true}
		out[f.set(nodeDNSSet)] = narrow{goes: true}
		// Concerns packets that no mark lets pass.
		out[f.set(isolatedSet)] = narrow{comes: true}
		for _, d := range []policy.Direction{policy.Ingress, policy.Egress} {
			out[deniedMap(d, f)] = narrow{}
			for _, w := range ways {
				// Who is in a dispatch map is isolated.
				out[dispatchMap(d, w, f)] = narrow{comes: true}
			}
		}
	}
	return out
}()
