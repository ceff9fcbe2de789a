package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// ForgetConnections empties the nodes' connection tracking. Two nodes judge a
// flow each for itself: what one lets out, and the other does not let in, is a
// connection to the first, and what comes back its reply. With protocols that
// have ports no other flow can be meant by that; with the others (GRE, ESP, …)
// a flow and its reverse are one, so they are to be probed one after the other,
// with this in between.
func (l *Lab) ForgetConnections() error {
	for name, node := range l.nodes {
		err := node.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
		if err != nil {
			return fmt.Errorf("forget the connections of node %s: %w", name, err)
		}
	}
	return nil
}

// SharesConnection reports whether a flow and its reverse are one connection to
// the kernel.
func (f Flow) SharesConnection() bool {
	switch f.Protocol {
	case TCP, UDP, SCTP:
		return false
	}
	return !f.isPing()
}
