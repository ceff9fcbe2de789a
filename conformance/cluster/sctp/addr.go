package sctp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// SCTPAddr is one end of an association. It has at most one address; none is any.
type SCTPAddr struct {
	IPAddrs []net.IPAddr
	Port    int
}

// Network is "sctp".
func (a *SCTPAddr) Network() string { return "sctp" }

func (a *SCTPAddr) String() string {
	host := ""
	if len(a.IPAddrs) > 0 {
		host = a.IPAddrs[0].String()
	}
	return net.JoinHostPort(host, strconv.Itoa(a.Port))
}

var errMultihoming = errors.New("an association has one address at each end")

// ResolveSCTPAddr understands host:port, and [host]:port for IPv6. The network
// is sctp, or sctp4 or sctp6 for one family only.
func ResolveSCTPAddr(network, address string) (*SCTPAddr, error) {
	if strings.Contains(address, "/") {
		return nil, &net.AddrError{Err: errMultihoming.Error(), Addr: address}
	}
	suffix, err := familyOf(network)
	if err != nil {
		return nil, err
	}
	found, err := net.ResolveTCPAddr("tcp"+suffix, address)
	if err != nil {
		return nil, err
	}
	a := &SCTPAddr{Port: found.Port}
	if found.IP != nil {
		a.IPAddrs = []net.IPAddr{{IP: found.IP, Zone: found.Zone}}
	}
	return a, nil
}

// familyOf is "4", "6", or nothing for both.
func familyOf(network string) (string, error) {
	switch network {
	case "", "sctp":
		return "", nil
	case "sctp4":
		return "4", nil
	case "sctp6":
		return "6", nil
	}
	return "", net.UnknownNetworkError(network)
}

// ip is the address, which is not valid if it is any.
func (a *SCTPAddr) ip() (netip.Addr, error) {
	if a == nil || len(a.IPAddrs) == 0 {
		return netip.Addr{}, nil
	}
	if len(a.IPAddrs) > 1 {
		return netip.Addr{}, errMultihoming
	}
	ip, ok := addrOf(&a.IPAddrs[0])
	if !ok {
		return netip.Addr{}, fmt.Errorf("%v is no address", a.IPAddrs[0])
	}
	if ip.IsUnspecified() {
		return netip.Addr{}, nil
	}
	return ip, nil
}

func (a *SCTPAddr) port() (uint16, error) {
	switch {
	case a == nil:
		return 0, nil
	case a.Port < 0 || a.Port > 65535:
		return 0, fmt.Errorf("%d is no port", a.Port)
	}
	return uint16(a.Port), nil
}

func addrOf(a *net.IPAddr) (netip.Addr, bool) {
	ip, ok := netip.AddrFromSlice(a.IP)
	return ip.Unmap().WithZone(a.Zone), ok
}

func ipAddr(ip netip.Addr) net.IPAddr {
	return net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}
}

func sctpAddr(ip netip.Addr, port uint16) *SCTPAddr {
	return &SCTPAddr{IPAddrs: []net.IPAddr{ipAddr(ip)}, Port: int(port)}
}
