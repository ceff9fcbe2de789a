package policy

import (
	"fmt"
	"net/netip"
)

// Limits on what one Pod object can make large. The API server bounds an object
// by 1.5 MB alone, and whoever may create Pods writes labels and ports. What is
// beyond a limit is not taken, and that is said; it makes the Pod reach less, and
// others reach less of it.
const (
	// MaxPodAddrs is more than any network gives to a Pod: the API has one of each
	// family.
	MaxPodAddrs = 16
	// MaxNamedPorts is how many named ports of a Pod count.
	MaxNamedPorts = 1000
	// MaxLabelBytes is what the API allows for all annotations of an object. A Pod
	// with more labels is not taken for any Pod: which policies select it cannot be
	// left out, so its addresses are nobody's, and what has nobody's address on a
	// Pod's interface is dropped.
	MaxLabelBytes = 256 << 10

	// maxFaults and maxQuoted bound what is said of one object.
	maxFaults = 8
	maxQuoted = 64
)

// LabelBytes is the size of labels, as MaxLabelBytes counts it.
func LabelBytes(labels map[string]string) int {
	n := 0
	for k, v := range labels {
		n += len(k) + len(v)
	}
	return n
}

// noAddr says why an address can be no Pod's and no node's, "" if it can. Packets
// from these are no one's, and a rule for them would be about something else.
func noAddr(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "unspecified"
	case a.IsLoopback():
		return "a loopback address"
	case a.IsMulticast():
		return "a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	}
	return ""
}

// quoted is a value of an object for a message.
func quoted(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%q… (%d bytes)", s[:maxQuoted], len(s))
	}
	return fmt.Sprintf("%q", s)
}
