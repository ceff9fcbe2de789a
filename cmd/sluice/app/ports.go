package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/question"
)

// portWord is ports as --port names them.
type portWord struct {
	protocol    policy.Protocol
	first, last uint16
	// name is set for a named port, whose numbers the Pods tell.
	name string
}

// parsePorts reads PORT[-PORT][/PROTO], NAME[/PROTO] and PROTO alone.
func parsePorts(s string) (portWord, error) {
	number, proto, _ := strings.Cut(s, "/")
	bad := func() (portWord, error) {
		return portWord{}, fmt.Errorf("--port: %q is no port: want such as 443, 8000-8100, 53/UDP or a name", s)
	}
	if p, err := question.ParseProtocol(s); err == nil && s != "" && strings.Trim(s, "0123456789") != "" {
		if !p.HasPorts() {
			return portWord{protocol: connectivity.OtherProtocols}, nil
		}
		return portWord{protocol: p, last: 65535}, nil
	}
	p, err := question.ParseProtocol(proto)
	if err != nil || !p.HasPorts() || number == "" {
		return bad()
	}
	if strings.Trim(number, "0123456789-") != "" {
		return portWord{protocol: p, name: number}, nil
	}
	from, to, isRange := strings.Cut(number, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || first == 0 || last < first {
		return bad()
	}
	return portWord{protocol: p, first: uint16(first), last: uint16(last)}, nil
}

// narrow adds the ports to those that a list is about. A name is each destination's own
// matter, but some end must have it.
func (p portWord) narrow(o *connectivity.ListOptions, ends []connectivity.End) error {
	if p.name == "" {
		o.Ports = append(o.Ports, connectivity.Ports{Protocol: p.protocol, First: p.first, Last: p.last})
		return nil
	}
	var names []string
	for i := range ends {
		for _, n := range ends[i].Ports {
			names = append(names, n.Name)
			if n.Name == p.name && n.Protocol == p.protocol {
				o.Named = append(o.Named, policy.NamedPortRef{Protocol: n.Protocol, Name: n.Name})
				return nil
			}
		}
	}
	slices.Sort(names)
	return fmt.Errorf("--port: no workload has a port named %q with protocol %s%s", p.name, p.protocol, question.DidYouMean(p.name, slices.Compact(names)))
}
