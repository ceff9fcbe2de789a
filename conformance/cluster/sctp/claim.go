package sctp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
)

// A claim is a name that only one program in a network namespace can have. It is
// an abstract Unix socket: those belong to the network namespace as ports do, and
// end with their program.
type claim struct{ *net.UnixConn }

// Ephemeral ports are those of the kernel's default range.
const (
	firstEphemeral = 32768
	lastEphemeral  = 60999
)

// claimPort takes a port, for all addresses of both families, or a free one if it
// is 0.
func claimPort(port uint16) (claim, uint16, error) {
	if port != 0 {
		c, err := claimName(portName(port))
		return c, port, err
	}
	const ports = lastEphemeral - firstEphemeral + 1
	for i, start := 0, rand.IntN(ports); i < ports; i++ {
		port = uint16(firstEphemeral + (start+i)%ports)
		c, err := claimName(portName(port))
		if !errors.Is(err, syscall.EADDRINUSE) {
			return c, port, err
		}
	}
	return claim{}, 0, syscall.EADDRNOTAVAIL
}

// portClaimed says if any program in the network namespace has the port.
func portClaimed(port uint16) bool {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: portName(port), Net: "unixgram"})
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// claimRefusals takes the duty to refuse what is for no port that is claimed. All
// programs see such a packet, and one of them answers.
func claimRefusals() (claim, error) { return claimName("@sctp/refusals") }

func claimName(name string) (claim, error) {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if errors.Is(err, syscall.EADDRINUSE) {
		err = syscall.EADDRINUSE // without the socket's name, which users do not know
	}
	return claim{c}, err
}

func portName(port uint16) string { return fmt.Sprintf("@sctp/port/%d", port) }
