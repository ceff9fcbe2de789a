package lab

import (
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
	return f.Src.String() + " -> " + f.destination()
}

// destination is "10.0.0.1:80 TCP", or the address alone where there are no
// ports.
func (f Flow) destination() string {
	switch f.Protocol {
	case TCP:
		return netip.AddrPortFrom(f.Dst, f.Port).String() + " TCP"
	case UDP:
		return netip.AddrPortFrom(f.Dst, f.Port).String() + " UDP"
	case SCTP:
		return netip.AddrPortFrom(f.Dst, f.Port).String() + " SCTP"
	case ICMP:
		return f.Dst.String() + " ICMP"
	case ICMPv6:
		return f.Dst.String() + " ICMPv6"
	}
	return f.Dst.String() + " protocol " + strconv.Itoa(int(f.Protocol))
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
