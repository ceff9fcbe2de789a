package links

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// Report is what of the Pods' places is not as it should be.
type Report struct {
	// Unresolved says of which addresses the place is not fully known, and why.
	Unresolved map[netip.Addr]string
	// Conflicts are addresses that another interface claims, too: which ones.
	Conflicts map[netip.Addr]string
	// Unplaced are the Pods behind Unresolved that should have a place.
	Unplaced []Unplaced
	// Disputed are the Pods behind Conflicts.
	Disputed map[types.NamespacedName]map[netip.Addr]string
}

// Unplaced is a Pod of which some address has no place, or not all of one.
type Unplaced struct {
	Pod types.NamespacedName
	// Why says for each such address what is in the way.
	Why map[netip.Addr]string
	// HeldBack: the Pod is behind a bridge, nobody knows at which port, and a port
	// that is bound to no Pod passes nothing.
	HeldBack bool
}

// Report says how things stand since the last Resolve.
func (l *Links) Report() Report {
	out := Report{Unresolved: l.unresolved(), Conflicts: maps.Clone(l.conflicts), Disputed: map[types.NamespacedName]map[netip.Addr]string{}}
	strays := l.strays()
	for name, p := range l.pods {
		if p.ended && !strays {
			continue // there is no interface that could be its
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(p.why)), func(a netip.Addr) bool { _, presumed := l.presumed[a]; return !presumed }) {
			continue // what is only presumed to be its is not missing
		}
		out.Unplaced = append(out.Unplaced, Unplaced{Pod: name, Why: maps.Clone(p.why), HeldBack: p.heldBack()})
	}
	for addr, others := range l.conflicts {
		name := l.byAddr[addr]
		if out.Disputed[name] == nil {
			out.Disputed[name] = map[netip.Addr]string{}
		}
		out.Disputed[name][addr] = others
	}
	return out
}

// strays reports whether there are veths that may be a Pod's and are nobody's.
func (l *Links) strays() bool {
	bridges, sandboxes := l.podBridges(l.known()), l.sandboxes()
	for index, i := range l.ifaces {
		if _, owned := l.owner[index]; owned || !i.LeadsOut() || sandboxes[i.NSID] || l.isOther(i) || l.isUplink(i) {
			continue
		}
		if bridge, isPort := bridges[i.Master]; i.Master == 0 || isPort && bridge.pods {
			return true
		}
	}
	return false
}

func (p *podLinks) heldBack() bool {
	for a := range p.why {
		if b, ok := p.binds[a]; ok && b.veth == 0 {
			return true
		}
	}
	return false
}

// unresolved says of which addresses the place is not fully known, and why.
func (l *Links) unresolved() map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, p := range l.pods {
		for a, why := range p.why {
			out[a] = why
		}
	}
	return out
}
