package probe

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
)

// listen answers each line with the client's address and the line.
func listen(network, address string) error {
	switch network {
	case "tcp":
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		go accept(l)
		return nil
	case "udp":
		return listenUDP(address)
	}
	return errors.New("unknown network " + network)
}

// listenUDP has a socket for each address, if none is named. A wildcard one
// would answer from whatever address the route back suggests, and a node has
// several.
func listenUDP(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	hosts := []string{host}
	if host == "" {
		if hosts, err = ownAddresses(); err != nil {
			return err
		}
	}
	for _, host := range hosts {
		conn, err := net.ListenPacket("udp", net.JoinHostPort(host, port))
		if err != nil {
			return err
		}
		go answerPackets(conn)
	}
	return nil
}

func ownAddresses() ([]string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var own []string
	for _, addr := range all {
		if prefix, ok := addr.(*net.IPNet); ok && !prefix.IP.IsLinkLocalUnicast() {
			own = append(own, prefix.IP.String())
		}
	}
	// The ptp plugin gives the node's end of every veth the same address.
	slices.Sort(own)
	return slices.Compact(own), nil
}

func accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		countHeard("tcp", conn.LocalAddr())
		go answerLines(conn)
	}
}

func answerLines(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(conn, "%s %s", conn.RemoteAddr(), line); err != nil {
			return
		}
	}
}

func answerPackets(conn net.PacketConn) {
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		countHeard("udp", conn.LocalAddr())
		// An answer that cannot be sent is one that the client does not get.
		_, _ = conn.WriteTo(fmt.Appendf(nil, "%s %s", from, buffer[:n]), from)
	}
}
