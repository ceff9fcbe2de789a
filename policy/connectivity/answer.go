package connectivity

import (
	"net/netip"

	"github.com/sluice-net/sluice/policy"
)

// Answer is what can be said without knowing every address.
type Answer uint8

const (
	// Denied: not allowed, whatever the addresses are.
	Denied Answer = iota
	// Depends: allowed with some addresses and not with others.
	Depends
	// Allowed whatever the addresses are.
	Allowed
	// Absent: one of the ends has no address of the family.
	Absent
)

func (a Answer) String() string {
	switch a {
	case Depends:
		return "depends"
	case Allowed:
		return "allowed"
	case Absent:
		return "absent"
	}
	return "denied"
}

// MarshalText writes the answer as String does.
func (a Answer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// rank orders answers by how much passes.
func (a Answer) rank() int {
	if a == Absent {
		return 0
	}
	return int(a)
}

// families are the answers over IPv4 and over IPv6.
type families [2]Answer

// together is the answer where the family is not known: what differs between
// the families depends on which one it is.
func (f families) together() Answer {
	out := Absent
	for _, a := range f {
		switch {
		case a == Absent:
		case out == Absent:
			out = a
		case out != a:
			return Depends
		}
	}
	if out == Absent {
		return Denied
	}
	return out
}

// plain gives a family that is absent the answer of the other one, so that what
// differs in nothing else is alike.
func (f families) plain() families {
	switch {
	case f[0] == Absent:
		f[0] = f[1]
	case f[1] == Absent:
		f[1] = f[0]
	}
	return f
}

// more reports whether something passes that does not in o, over any family.
func (f families) more(o families) bool {
	return f[0].rank() > o[0].rank() || f[1].rank() > o[1].rank()
}

// state is what one end says, over each family.
type state struct {
	by families
	// only, where it is valid, is the one address that the other end must have.
	only [2]netip.Addr
}

// and is what both ends say together: s of the destination's address, o of the
// source's. Each end's addresses are free, but no two Pods have the same.
func (s *state) and(o *state) families {
	var out families
	for f := range out {
		a, b := s.by[f], o.by[f]
		switch {
		case a == Absent || b == Absent:
			out[f] = Absent
		case a == Denied || b == Denied:
		case a == Allowed && b == Allowed:
			out[f] = Allowed
		case a == Depends && b == Depends && s.only[f].IsValid() && s.only[f] == o.only[f]:
		default:
			out[f] = Depends
		}
	}
	return out
}

// Condition is what something depends on that is not known. If several parts
// are set, all must hold.
type Condition struct {
	// Block must hold the address of the other end of the Pod whose policy it is
	// in.
	Block *policy.IPBlock
	// OwnNode: the other end must be the node that the Pod is on.
	OwnNode bool
	// Port: the Pod, which nobody has made yet, must give the port that name.
	Port *policy.NamedPortRef
}

func (c Condition) String() string {
	text := ""
	if c.Block != nil {
		text = "the address is in " + c.Block.String()
	}
	if c.OwnNode {
		text = "it is the Pod's own node"
	}
	if c.Port != nil {
		if text != "" {
			text += " and "
		}
		text += "the Pod names the port " + c.Port.String()
	}
	return text
}
