package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

// mostParts is by how many isolated Pods a shared address is judged in one
// direction. With more nothing passes: it is a fault of the cluster that nobody
// can have meant, and the work for a packet stays bounded.
const mostParts = 8

// shareAddr gives the subject what holds for an address that others claim, too.
func (x *Index) shareAddr(s *heldSubject, a netip.Addr, c claims) {
	s.Shared = append(s.Shared, SharedAddr{
		Addr:    a,
		Ingress: s.keep(x.holdAll(c, Ingress)),
		Egress:  s.keep(x.holdAll(c, Egress)),
	})
	for e := range c.all {
		s.Unguarded = s.Unguarded && e.pod.Unguarded
	}
}

// holdAll returns what the sets of all these Pods allow, nil if none of them is
// isolated, and counts one more user.
func (x *Index) holdAll(c claims, d Direction) *heldSet {
	var parts []*heldSet
	isolated := 0
	for e := range c.all {
		h := x.hold(e, d)
		if h == nil {
			continue
		}
		if isolated++; slices.Contains(parts, h) {
			x.letGo(h)
			continue
		}
		parts = append(parts, h)
	}
	closed := isolated > mostParts
	switch {
	case isolated == 0:
		return nil
	case len(parts) == 1 && !closed:
		return parts[0]
	}
	slices.SortFunc(parts, func(a, b *heldSet) int { return strings.Compare(a.set.Key, b.set.Key) })
	key := keyOfAll(parts, d, closed)
	h := x.sets[key]
	if h != nil {
		for _, p := range parts {
			x.letGo(p)
		}
	} else {
		h = &heldSet{set: allOf(key, d, parts, closed), parts: parts}
		x.sets[key] = h
	}
	h.users++
	return h
}

func keyOfAll(parts []*heldSet, d Direction, closed bool) string {
	b := []byte(d.String() + " all of\n")
	if closed {
		b = append(b, "too many\n"...)
	}
	for _, p := range parts {
		b = append(append(b, p.set.Key...), '\n')
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// allOf allows what all parts allow, or nothing.
func allOf(key string, d Direction, parts []*heldSet, closed bool) *AllowSet {
	s := &AllowSet{Key: key, Direction: d}
	for _, p := range parts {
		s.Policies = append(s.Policies, p.set.Policies...)
		s.All = append(s.All, p.set)
	}
	slices.SortFunc(s.Policies, compareNames)
	s.Policies = slices.Compact(s.Policies)
	if closed {
		s.All = nil
	}
	return s
}
