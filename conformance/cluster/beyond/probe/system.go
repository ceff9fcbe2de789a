package probe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"
)

// quit is for containers whose processes share nothing with other containers:
// process 1 is then the container's own first.
func quit() error { return syscall.Kill(1, syscall.SIGTERM) }

// write writes a file where the one file that the pattern matches is.
func write(pattern, data string) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(paths) != 1 {
		return fmt.Errorf("%d files are called %s, and it should be one", len(paths), pattern)
	}
	return os.WriteFile(paths[0], []byte(data), 0o644)
}

// narrow gives one address a route of its own, as the present one but for the
// MTU, and takes that back.
func narrow(address string, mtu int, stop <-chan struct{}) error {
	ip := net.ParseIP(address)
	found, err := netlink.RouteGet(ip)
	if err != nil {
		return fmt.Errorf("find the route to %s: %w", address, err)
	}
	if len(found) != 1 {
		return fmt.Errorf("%d routes lead to %s, and it should be one", len(found), address)
	}
	bits := 128
	if ip.To4() != nil {
		bits = 32
	}
	host := &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)}
	link := found[0].LinkIndex
	before, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Dst: host, LinkIndex: link}, netlink.RT_FILTER_DST|netlink.RT_FILTER_OIF)
	if err != nil {
		return fmt.Errorf("list the routes to %s: %w", address, err)
	}
	narrow := netlink.Route{Dst: host, LinkIndex: link, Gw: found[0].Gw, MTU: mtu}
	if narrow.Gw != nil {
		// The other end of a tunnel is in no subnet.
		narrow.Flags = int(netlink.FLAG_ONLINK)
	}
	if len(before) > 0 {
		narrow = before[0]
		narrow.MTU = mtu
	}
	if err := netlink.RouteReplace(&narrow); err != nil {
		return fmt.Errorf("narrow the route to %s: %w", address, err)
	}
	<-stop
	if len(before) > 0 {
		return netlink.RouteReplace(&before[0])
	}
	return netlink.RouteDel(&narrow)
}

// pathMTU asks for what the kernel has learnt of the path to a connection's peer.
func pathMTU(conn net.Conn) (mtu int, err error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	level, option := syscall.IPPROTO_IPV6, syscall.IPV6_MTU
	if conn.RemoteAddr().(*net.TCPAddr).IP.To4() != nil {
		level, option = syscall.IPPROTO_IP, syscall.IP_MTU
	}
	var problem error
	err = raw.Control(func(fd uintptr) { mtu, problem = syscall.GetsockoptInt(int(fd), level, option) })
	return mtu, errors.Join(err, problem)
}
