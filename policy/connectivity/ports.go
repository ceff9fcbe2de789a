package connectivity

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// OtherProtocols stands for all protocols without ports, as ICMP: a rule
// allows them all, by naming no ports, or none. 255 is no protocol
// (https://www.iana.org/assignments/protocol-numbers).
const OtherProtocols policy.Protocol = 255

// Ports is an inclusive range of ports of one protocol. All ports of a protocol
// are 0 to 65535; those of OtherProtocols are 0 to 0.
type Ports struct {
	Protocol    policy.Protocol
	First, Last uint16
}

// Everything is all ports of all protocols.
func Everything() []Ports {
	return []Ports{
		{policy.TCP, 0, 65535}, {policy.UDP, 0, 65535}, {policy.SCTP, 0, 65535}, {Protocol: OtherProtocols},
	}
}

// String is the range as a person writes it, e.g. "TCP 80-90", or "TCP" for
// all ports of it.
func (p Ports) String() string {
	switch {
	case p.Protocol == OtherProtocols:
		return "other protocols"
	case p.First == 0 && p.Last == 65535:
		return p.Protocol.String()
	}
	return p.Protocol.String() + " " + p.numbers()
}

func (p Ports) numbers() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return strconv.Itoa(int(p.First)) + "-" + strconv.Itoa(int(p.Last))
}

// Describe is a list of ports as a person writes it, e.g. "TCP 80,443; UDP 53",
// or "all" for everything. The list is sorted, as the package gives it.
func Describe(list []Ports) string {
	merged := merge(list)
	if slices.Equal(merged, Everything()) {
		return "all"
	}
	var out strings.Builder
	for i, p := range merged {
		switch {
		case i > 0 && merged[i-1].Protocol == p.Protocol:
			out.WriteString("," + p.numbers())
		case i > 0:
			out.WriteString("; " + p.String())
		default:
			out.WriteString(p.String())
		}
	}
	return out.String()
}

// merge sorts ranges and joins those that touch.
func merge(list []Ports) []Ports {
	spans := make([]span, len(list))
	for i, p := range list {
		spans[i] = p.span()
	}
	spans = mergeSpans(spans)
	out := make([]Ports, len(spans))
	for i, s := range spans {
		out[i] = s.ports()
	}
	return out
}

// span is a range of ports as two numbers, the second exclusive. Protocols lie
// apart, so that no span touches one of another protocol.
type span struct{ from, to uint32 }

const protocolShift = 20

var protocols = [4]policy.Protocol{policy.TCP, policy.UDP, policy.SCTP, OtherProtocols}

func placeOf(p policy.Protocol) uint32 {
	for i, o := range protocols[:3] {
		if p == o {
			return uint32(i)
		}
	}
	return 3
}

func (p Ports) span() span {
	base := placeOf(p.Protocol) << protocolShift
	return span{base + uint32(p.First), base + uint32(p.Last) + 1}
}

func (s span) ports() Ports {
	const within = 1<<protocolShift - 1
	return Ports{Protocol: protocols[s.from>>protocolShift], First: uint16(s.from & within), Last: uint16((s.to - 1) & within)}
}

// everySpan is Everything.
func everySpan() []span {
	var out []span
	for _, p := range Everything() {
		out = append(out, p.span())
	}
	return out
}

// mergeSpans sorts them in place and joins those that touch.
func mergeSpans(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return int(a.from) - int(b.from) })
	out := list[:0]
	for _, s := range list {
		if last := len(out) - 1; last >= 0 && s.from <= out[last].to {
			out[last].to = max(out[last].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// pointOf is the place of one port; of a protocol without ports there is one.
func pointOf(p policy.Protocol, port uint16) uint32 {
	at := placeOf(p)
	if at == 3 {
		port = 0
	}
	return at<<protocolShift + uint32(port)
}
