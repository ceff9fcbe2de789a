package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// mostParts is how many different allow sets a shared address is judged by in one
// direction. With more nothing passes: it is a fault of the cluster that nobody
// can have meant, and the work for a packet stays bounded.
const mostParts = 8

// part is one of the allow sets of a shared address, that of the Pods of a kind.
type part struct {
	key string
	of  *selection
	// ports are those of the Pods.
	ports []NamedPort
}

// parts are the different allow sets of the Pods that claim an address, sorted by
// key. There are none if none of the Pods is isolated.
func (x *Index) parts(c *contest, d Direction) []part {
	var out []part
	for i := range c.kinds {
		k := &c.kinds[i]
		if s := x.chosen(k.class); len(s.policies[d]) > 0 {
			out = append(out, part{s.keyOf(d, k.ports), s, k.ports})
		}
	}
	slices.SortFunc(out, func(a, b part) int { return strings.Compare(a.key, b.key) })
	return slices.CompactFunc(out, func(a, b part) bool { return a.key == b.key })
}

// shareAddrs gives the subject what holds for those of its addresses that others
// claim, too. Mostly the same Pods claim all of them.
func (x *Index) shareAddrs(s *heldSubject) {
	var last *contest
	var shared SharedAddr
	for _, a := range s.Addrs {
		c := x.contests[a]
		if c == nil {
			continue
		}
		if last == nil || !last.alike(c) {
			shared.Ingress, shared.Egress = s.keep(x.holdAll(c, Ingress)), s.keep(x.holdAll(c, Egress))
			for i := range c.kinds {
				s.Unguarded = s.Unguarded && c.kinds[i].unguarded
			}
			last = c
		}
		shared.Addr = a
		s.Shared = append(s.Shared, shared)
	}
}

// holdAll returns what the sets of all these Pods allow, nil if none of them is
// isolated, and counts one more user.
func (x *Index) holdAll(c *contest, d Direction) *heldSet {
	parts := x.parts(c, d)
	switch len(parts) {
	case 0:
		return nil
	case 1:
		return x.holdPart(&parts[0], d)
	}
	key := keyOfAll(parts, d)
	h := x.sets[key]
	if h == nil {
		h = x.allOf(key, d, parts)
		x.sets[key] = h
	}
	h.users++
	return h
}

func keyOfAll(parts []part, d Direction) string {
	b := []byte(d.String() + " all of\n")
	for i := range parts {
		b = append(append(b, parts[i].key...), '\n')
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// allOf allows what all parts allow, or nothing where there are too many.
func (x *Index) allOf(key string, d Direction, parts []part) *heldSet {
	h := &heldSet{set: &AllowSet{Key: key, Direction: d}}
	for i := range parts {
		for _, p := range parts[i].of.policies[d] {
			h.set.Policies = append(h.set.Policies, p.NamespacedName)
		}
		if len(parts) <= mostParts {
			one := x.holdPart(&parts[i], d)
			h.parts = append(h.parts, one)
			h.set.All = append(h.set.All, one.set)
		}
	}
	slices.SortFunc(h.set.Policies, CompareNames)
	h.set.Policies = slices.Compact(h.set.Policies)
	return h
}
