package probe

import (
	"bufio"
	"errors"
	"fmt"
	"net"
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
		conn, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		go answerPackets(conn)
		return nil
	}
	return errors.New("unknown network " + network)
}

func accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
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
		// An answer that cannot be sent is one that the client does not get.
		_, _ = conn.WriteTo(fmt.Appendf(nil, "%s %s", from, buffer[:n]), from)
	}
}
