package flows

import (
	"time"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// Kind is that of a flow's JSON form, MissedKind that of the line which says that flows
// are missing before it. The version is that of denials.
const (
	Kind       = "Flow"
	MissedKind = "FlowsMissed"
)

// Flow is a connection that passed, told of once in an interval. It does not change once
// it was handed over.
type Flow struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Time is when the node heard of it.
	Time time.Time `json:"time"`
	Node string    `json:"node,omitempty"`
	// Src opened it, Dst got it.
	Src denials.End `json:"src"`
	Dst denials.End `json:"dst"`
	// Protocol is TCP, UDP, SCTP, ICMP, ICMPv6 or a number.
	Protocol string `json:"protocol"`
	// Port is the destination's, 0 where the protocol has none.
	Port uint16 `json:"port,omitempty"`
	// Service is what the client asked for, where that is not Dst.
	Service *denials.Service `json:"service,omitempty"`
}

// Missed says that flows are missing before it in a stream.
type Missed struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Missed     uint64 `json:"missed"`
}
