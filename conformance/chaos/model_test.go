package chaos

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/policy/spectest"
)

// verdict is what must become of a packet.
type verdict uint8

const (
	// either: nothing is promised.
	either verdict = iota
	allowed
	forbidden
)

func (v verdict) String() string { return [...]string{"either", "allowed", "forbidden"}[v] }

// role is what an end is.
type role uint8

const (
	pod role = iota
	outside
	node
)

// end is somebody who sends and listens.
type end struct {
	name string
	role role
	// addrs are by family, IPv4 first.
	addrs [2]netip.Addr
}

// ports are those that every end listens at. Policies tell them apart.
var ports = [2]uint16{7001, 7002}

// model says what becomes of a packet of a class: from an end to another, of a
// family, to a port.
type model struct{ ends []end }

func (m *model) class(src, dst, family, port int) int {
	return ((src*len(m.ends)+dst)*2+family)*2 + port
}

func (m *model) of(class int) (src, dst, family, port int) {
	port, class = class&1, class>>1
	family, class = class&1, class>>1
	return class / len(m.ends), class % len(m.ends), family, port
}

func (m *model) classes() int { return len(m.ends) * len(m.ends) * 4 }

func (m *model) name(class int) string {
	src, dst, family, port := m.of(class)
	return fmt.Sprintf("%s → %s:%d over IPv%d", m.ends[src].name, m.ends[dst].name, ports[port], 4+2*family)
}

// verdict asks the naive evaluator, and knows besides what no policy says: that
// a Pod of which there is no object may nothing, and that the node reaches its
// Pods.
func (m *model) verdict(c *spectest.Cluster, class int) verdict {
	src, dst, family, port := m.of(class)
	return m.judge(c, src, dst, family, ports[port])
}

// inverted is the verdict on a class's answers if conntrack takes them for the
// first packets of a connection.
func (m *model) inverted(c *spectest.Cluster, class int) verdict {
	src, dst, family, _ := m.of(class)
	return m.judge(c, dst, src, family, firstLongPort)
}

func (m *model) judge(c *spectest.Cluster, s, d, family int, port uint16) verdict {
	src, dst := m.ends[s], m.ends[d]
	flow := spectest.Flow{Src: src.addrs[family], Dst: dst.addrs[family], Protocol: unix.IPPROTO_UDP, Port: port}
	known := func(e end) bool { return e.role != pod || len(c.Claimants(e.addrs[family])) > 0 }
	switch {
	case s == d, src.role != pod && dst.role != pod:
		return either
	case src.role == node && !known(dst):
		// A port without a Pod may be closed to the node as well.
		return either
	case src.role == node:
		return allowed
	case !known(src), !known(dst):
		return forbidden
	}
	if egress, ingress := c.Allowed(flow); egress && ingress {
		return allowed
	}
	return forbidden
}

// table has the verdicts of all classes.
func (m *model) table(c *spectest.Cluster) []verdict {
	out := make([]verdict, m.classes())
	for class := range out {
		out[class] = m.verdict(c, class)
	}
	return out
}
