package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// prepare says why a flow cannot be tried, and puts addresses that nobody has
// into the outside.
func (l *Lab) prepare(f Flow) error {
	for _, a := range []netip.Addr{f.Src, f.Dst} {
		if err := usable(a); err != nil {
			return err
		}
	}
	if f.Src.Is4() != f.Dst.Is4() {
		return fmt.Errorf("%s and %s are not of one address family", f.Src, f.Dst)
	}
	if err := f.valid(); err != nil {
		return err
	}
	if l.virtual(f.Src) {
		return fmt.Errorf("%s is a Service's address: nothing is sent from it", f.Src)
	}
	if err := l.addExternal(f.Src); err != nil {
		return err
	}
	if l.virtual(f.Dst) {
		return nil
	}
	return l.addExternal(f.Dst)
}

// valid says why a flow cannot be sent by anybody.
func (f Flow) valid() error {
	switch {
	case f.Protocol == TCP || f.Protocol == UDP || f.Protocol == SCTP:
		if f.Port == 0 {
			return fmt.Errorf("no port")
		}
		return nil
	case f.isPing():
		return nil
	}
	return carries(f.Protocol, family(f.Dst))
}

// isPing reports whether the kernel answers the flow by itself.
func (f Flow) isPing() bool {
	return f.Protocol == ICMP && f.Dst.Is4() || f.Protocol == ICMPv6 && f.Dst.Is6()
}

// virtual reports whether an address is a Service's.
func (l *Lab) virtual(a netip.Addr) bool {
	for _, s := range l.spec.Services {
		for _, ip := range s.ClusterIPs {
			if ip == a {
				return true
			}
		}
	}
	return false
}

// service reports whether a flow goes to a Service, whose backends answer.
func (l *Lab) service(f Flow) bool {
	if l.virtual(f.Dst) {
		return true
	}
	for _, s := range l.spec.Services {
		for _, p := range s.Ports {
			if p.NodePort != 0 && p.NodePort == f.Port && p.Protocol == f.Protocol && l.isNodeAddr(f.Dst) {
				return true
			}
		}
	}
	return false
}

func (l *Lab) isNodeAddr(a netip.Addr) bool {
	for _, n := range l.spec.Nodes {
		for _, b := range n.Addrs {
			if a == b {
				return true
			}
		}
	}
	return false
}

// failed is the outcome of a flow whose first packet went wrong in the
// sender's own kernel.
func failed(err error) Result {
	for _, refusal := range []error{
		unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPERM, unix.EACCES,
	} {
		if errors.Is(err, refusal) {
			return Result{Outcome: Refused, Err: err}
		}
	}
	return Result{Outcome: Unsendable, Err: err}
}

// ports hands out source ports, so that no two flows of a lab are the same
// connection to conntrack.
type ports struct {
	mu      sync.Mutex
	last    map[endpoint]uint16
	counter uint64
}

// Source ports are below and above what Kubernetes uses for NodePorts.
const firstPort, lastPort = 33000, 65000

// next is a source port that this address has not used for long.
func (p *ports) next(a netip.Addr, protocol uint8) netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[endpoint]uint16{}
	}
	key := endpoint{netip.AddrPortFrom(a, 0), protocol}
	port := p.last[key] + 1
	if port < firstPort || port > lastPort {
		port = firstPort
	}
	p.last[key] = port
	return netip.AddrPortFrom(a, port)
}

// number is a number that no other attempt has. It fits the 32 bits of an
// SCTP tag and is never 0.
func (p *ports) number() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counter++
	return p.counter
}
