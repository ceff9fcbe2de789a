package probe

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	headerLength             = 8
)

// ping needs CAP_NET_RAW, which containers have unless it is taken from them.
func ping(r Request) Response {
	addr, err := netip.ParseAddr(r.Address)
	if err != nil {
		return done(err)
	}
	network, request, reply := "ip4:icmp", byte(echoRequest4), byte(echoReply4)
	if addr.Is6() {
		network, request, reply = "ip6:ipv6-icmp", echoRequest6, echoReply6
	}
	conn, err := net.DialIP(network, nil, &net.IPAddr{IP: addr.AsSlice()})
	if err != nil {
		return done(err)
	}
	defer conn.Close()
	message := make([]byte, headerLength+r.Size)
	message[0] = request
	binary.BigEndian.PutUint32(message[4:], rand.Uint32()) // identifier and sequence
	if addr.Is4() {
		binary.BigEndian.PutUint16(message[2:], checksum(message)) // the kernel does it for ICMPv6
	}
	if err := conn.SetDeadline(time.Now().Add(r.Timeout)); err != nil {
		return done(err)
	}
	if _, err := conn.Write(message); err != nil {
		return done(err)
	}
	answer := make([]byte, 1<<16)
	for {
		// Unlike Read, ReadFrom takes the IPv4 header off.
		n, _, err := conn.ReadFrom(answer)
		if err != nil {
			return done(err)
		}
		if n < headerLength || answer[0] != reply || [4]byte(answer[4:]) != [4]byte(message[4:]) {
			continue
		}
		if n != len(message) {
			return done(errors.New("the answer has another length"))
		}
		return Response{Outcome: OK}
	}
}

func checksum(message []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(message); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(message[i:]))
	}
	if len(message)%2 == 1 {
		sum += uint32(message[len(message)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
