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

func (o *owners) len() int { return len(o.v4) + len(o.v6) }
