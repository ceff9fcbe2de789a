package policy

import "net/netip"

// owners are Pods by the address that they own. Four bytes for a key instead of
// an address's twenty-four are worth it with one key for each Pod.
type owners struct {
	v4 map[[4]byte]*entry
	v6 map[[16]byte]*entry
}

func newOwners() owners {
	return owners{v4: map[[4]byte]*entry{}, v6: map[[16]byte]*entry{}}
}

// of is the owner of an address in canonical form, nil if there is none.
func (o *owners) of(a netip.Addr) *entry {
	switch {
	case a.Is4():
		return o.v4[a.As4()]
	case a.Is6():
		return o.v6[a.As16()]
	}
	return nil
}

func (o *owners) set(a netip.Addr, e *entry) {
	if a.Is4() {
		o.v4[a.As4()] = e
	} else {
		o.v6[a.As16()] = e
	}
}

func (o *owners) remove(a netip.Addr) {
	if a.Is4() {
		delete(o.v4, a.As4())
	} else {
		delete(o.v6, a.As16())
	}
}

// addrs are all that have an owner, in any order.
func (o *owners) addrs() []netip.Addr {
	out := make([]netip.Addr, 0, o.len())
	for a := range o.v4 {
		out = append(out, netip.AddrFrom4(a))
	}
	for a := range o.v6 {
		out = append(out, netip.AddrFrom16(a))
	}
	return out
}

func (o *owners) len() int { return len(o.v4) + len(o.v6) }
