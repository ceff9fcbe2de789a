package sctp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"
)

// ends are the addresses of a packet as this machine sees them.
type ends struct{ local, remote netip.Addr }

// wire is a raw socket of one family that gets every SCTP packet from its peer,
// or from everybody if it has none.
type wire struct {
	conn *net.IPConn
	v6   bool
	// local and remote are those of a wire with a peer.
	ends
}

func (w *wire) close() { w.conn.Close() }

// dialWire opens a wire to a peer. The kernel finds the local address if it is
// not valid, and says if there is no route.
func dialWire(local, remote netip.Addr) (*wire, error) {
	var laddr *net.IPAddr
	if local.IsValid() {
		a := ipAddr(local)
		laddr = &a
	}
	raddr := ipAddr(remote)
	conn, err := net.DialIP(rawNetwork(remote), laddr, &raddr)
	if err != nil {
		return nil, explain(err)
	}
	found, ok := addrOf(conn.LocalAddr().(*net.IPAddr))
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%v is no address", conn.LocalAddr())
	}
	return &wire{conn, remote.Is6(), ends{found, remote}}, nil
}

// listenWire opens a wire to everybody, at one address or, if it is unspecified,
// at all of its family.
func listenWire(local netip.Addr) (*wire, error) {
	laddr := ipAddr(local)
	conn, err := net.ListenIP(rawNetwork(local), &laddr)
	if err != nil {
		return nil, explain(err)
	}
	w := &wire{conn: conn, v6: local.Is6()}
	if w.v6 {
		err = setOption(conn, syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return w, nil
}

func rawNetwork(ip netip.Addr) string {
	family := "ip4"
	if ip.Is6() {
		family = "ip6"
	}
	return fmt.Sprintf("%s:%d", family, syscall.IPPROTO_SCTP)
}

// explain says what a program lacks that may not open a raw socket.
func explain(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: SCTP over a raw socket needs CAP_NET_RAW", err)
	}
	return err
}

// read waits for a packet, and returns it without its IP header.
func (w *wire) read(buf []byte) ([]byte, ends, error) {
	control := make([]byte, 64)
	n, controls, _, from, err := w.conn.ReadMsgIP(buf, control)
	if err != nil {
		return nil, ends{}, err
	}
	b, at := buf[:n], w.ends
	if from != nil {
		if ip, ok := addrOf(from); ok {
			at.remote = ip
		}
	}
	if !w.v6 {
		// The kernel hands out the header of IPv4, and no other.
		const shortest = 20
		if len(b) < shortest || len(b) < int(b[0]&15)*4 {
			return nil, ends{}, errShort
		}
		at.local = netip.AddrFrom4([4]byte(b[16:20]))
		return b[int(b[0]&15)*4:], at, nil
	}
	if !w.remote.IsValid() {
		at.local = destination(control[:controls], at.remote.Zone())
	}
	return b, at, nil
}

// write sends a packet. On a wire without a peer it comes from the address that
// the peer knows, which need not be the one that the kernel would choose.
func (w *wire) write(b []byte, to ends) error {
	if w.remote.IsValid() {
		_, err := w.conn.Write(b)
		return err
	}
	addr := ipAddr(to.remote)
	_, _, err := w.conn.WriteMsgIP(b, source(to.local), &addr)
	return err
}

// source is the control message that sets a packet's source address.
func source(local netip.Addr) []byte {
	if local.Is4() {
		// struct in_pktinfo: interface, source, destination.
		info := append(make([]byte, 4), local.AsSlice()...)
		return controlMessage(syscall.IPPROTO_IP, syscall.IP_PKTINFO, append(info, 0, 0, 0, 0))
	}
	// struct in6_pktinfo: address, interface.
	return controlMessage(syscall.IPPROTO_IPV6, syscall.IPV6_PKTINFO, append(local.AsSlice(), 0, 0, 0, 0))
}

// destination is the address that the control messages say a packet came for.
func destination(control []byte, zone string) netip.Addr {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range messages {
		if m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_PKTINFO && len(m.Data) >= 16 {
			return netip.AddrFrom16([16]byte(m.Data)).WithZone(zone)
		}
	}
	return netip.Addr{}
}

func controlMessage(level, kind int32, data []byte) []byte {
	b := make([]byte, syscall.CmsgSpace(len(data)))
	length := syscall.CmsgLen(len(data))
	word := int(unsafe.Sizeof(uintptr(0)))
	if word == 8 {
		binary.NativeEndian.PutUint64(b, uint64(length))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(length))
	}
	binary.NativeEndian.PutUint32(b[word:], uint32(level))
	binary.NativeEndian.PutUint32(b[word+4:], uint32(kind))
	copy(b[syscall.CmsgLen(0):], data)
	return b
}

func setOption(conn *net.IPConn, level, name, value int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = syscall.SetsockoptInt(int(fd), level, name, value) }); err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", failure)
}
