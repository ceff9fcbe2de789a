package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// link is the interface that a Pod has.
const link = "eth0"

// markPattern is that of marks, which look like nothing else. A test puts them into
// what it sends, and knows its frames by them.
var markPattern = regexp.MustCompile(`mark-[0-9]{8}`)

// Mark makes a mark of a number.
func Mark(n int) string { return fmt.Sprintf("mark-%08d", n) }

// hop asks the kernel for the neighbour as any packet does, by sending one.
func hop(address string) Response {
	ip := net.ParseIP(address)
	own, err := netlink.LinkByName(link)
	if err != nil {
		return done(fmt.Errorf("find %s: %w", link, err))
	}
	routes, err := netlink.RouteGet(ip)
	if err != nil {
		return done(fmt.Errorf("find the route to %s: %w", address, err))
	}
	if len(routes) != 1 || routes[0].LinkIndex != own.Attrs().Index {
		return done(fmt.Errorf("the way to %s is not through %s alone: %v", address, link, routes))
	}
	next := routes[0].Gw
	if next == nil {
		next = ip
	}
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := datagrams(net.JoinHostPort(address, "9"), [][]byte{[]byte("who are you")}); err != nil {
			return done(err)
		}
		neighbours, err := netlink.NeighList(own.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			return done(fmt.Errorf("list neighbours: %w", err))
		}
		for _, n := range neighbours {
			if n.IP.Equal(next) && len(n.HardwareAddr) > 0 {
				return Response{Outcome: OK, MAC: own.Attrs().HardwareAddr, Hop: n.HardwareAddr}
			}
		}
	}
	return done(fmt.Errorf("the neighbour %s does not say who it is: %w", next, os.ErrDeadlineExceeded))
}

// linkSocket sees all frames of the interface. It needs CAP_NET_RAW.
func linkSocket() (fd int, err error) {
	i, err := net.InterfaceByName(link)
	if err != nil {
		return 0, err
	}
	// The kernel wants it in network byte order.
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket for frames: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("bind to %s: %w", link, err)
	}
	return fd, nil
}

func inject(frames [][]byte) error {
	fd, err := linkSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, frame := range frames {
		if _, err := unix.Write(fd, frame); err != nil {
			return fmt.Errorf("send a frame: %w", err)
		}
	}
	return nil
}

// hear counts frames as they come to the interface, before the Pod's kernel looks at
// them.
func hear(stop <-chan struct{}) Response {
	fd, err := linkSocket()
	if err != nil {
		return done(err)
	}
	defer unix.Close(fd)
	// Every now and then it looks whether it is to stop.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		return done(err)
	}
	heard := map[string]int{}
	frame := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(fd, frame, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			select {
			case <-stop:
				return Response{Outcome: Finished, Heard: heard}
			default:
			}
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return done(fmt.Errorf("receive a frame: %w", err))
		default:
			if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype != unix.PACKET_OUTGOING {
				for _, mark := range markPattern.FindAll(frame[:n], -1) {
					heard[string(mark)]++
				}
			}
		}
	}
}

// datagrams does not mind that nobody is there.
func datagrams(address string, payloads [][]byte) error {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, p := range payloads {
		if _, err := conn.Write(p); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
	}
	return nil
}
