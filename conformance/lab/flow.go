package lab

import (
	"fmt"
	"net/netip"
	"strconv"
)

// Flow is what Probe sends: from an address of a Pod, a node or the outside to
// another of these, or to a Service. Addresses that nobody has are taken for
// outside ones.
type Flow struct {
	Src, Dst netip.Addr
	Protocol uint8
	// Port is the destination port of TCP, UDP and SCTP.
	Port uint16
}

func (f Flow) String() string {
	switch f.Protocol {
	case TCP:
		return f.portString("TCP")
	case UDP:
		return f.portString("UDP")
	case SCTP:
		return f.portString("SCTP")
	case ICMP:
		return fmt.Sprintf("%s -> %s ICMP", f.Src, f.Dst)
	case ICMPv6:
		return fmt.Sprintf("%s -> %s ICMPv6", f.Src, f.Dst)
	}
	return fmt.Sprintf("%s -> %s protocol %d", f.Src, f.Dst, f.Protocol)
}

func (f Flow) portString(protocol string) string {
	return fmt.Sprintf("%s -> %s %s", f.Src, netip.AddrPortFrom(f.Dst, f.Port), protocol)
}

// Outcome is what became of a flow.
type Outcome uint8

const (
	// Silent: nothing came back.
	Silent Outcome = iota
	// Refused: a TCP reset or an ICMP error came back.
	Refused
	// Reached: the other end got it and its answer came back.
	Reached
	// Unsendable: the flow could not be tried; Result.Err says why.
	Unsendable
)

func (o Outcome) String() string {
	switch o {
	case Silent:
		return "silent"
	case Refused:
		return "refused"
	case Reached:
		return "reached"
	case Unsendable:
		return "unsendable"
	}
	return "outcome " + strconv.Itoa(int(o))
}

// Result is the outcome of one flow.
type Result struct {
	Outcome Outcome
	// Err is why a flow was refused or could not be sent.
	Err error
}
