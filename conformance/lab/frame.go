package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Inject puts an Ethernet frame on an interface of the namespace as its owner
// could who has CAP_NET_RAW: past its own IP stack, onto the wire.
func (n *Namespace) Inject(link string, frames ...[]byte) error {
	fd, err := n.packetSocket(link, 0)
	if err != nil {
		return fmt.Errorf("inject on %s of %s: %w", link, n.Name, err)
	}
	defer unix.Close(fd)
	for i, f := range frames {
		if _, err := unix.Write(fd, f); err != nil {
			return fmt.Errorf("inject frame %d on %s of %s: %w", i, link, n.Name, err)
		}
	}
	return nil
}

// packetSocket opens a packet socket on an interface that receives a protocol,
// nothing if that is 0.
func (n *Namespace) packetSocket(link string, protocol uint16) (int, error) {
	fd := -1
	err := n.Do(func() error {
		i, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		// Protocol 0 until it is bound: nothing of other interfaces comes in.
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return needsRoot(err)
		}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: i.Index}))
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	return fd, err
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// Capture collects the frames that come in on an interface, before the
// namespace's own IP stack sees them.
type Capture struct {
	file   *os.File
	match  func(frame []byte) bool
	frames chan []byte
}

// Capture starts to collect frames that match, all if match is nil. It listens
// when it returns. Frames have their VLAN tags; checksums that the sender's
// kernel left to its hardware are not filled in.
func (n *Namespace) Capture(link string, match func(frame []byte) bool) (*Capture, error) {
	fd, err := n.packetSocket(link, unix.ETH_P_ALL)
	if err != nil {
		return nil, fmt.Errorf("capture on %s of %s: %w", link, n.Name, err)
	}
	c := &Capture{file: os.NewFile(uintptr(fd), "capture"), match: match, frames: make(chan []byte, 1024)}
	go c.run()
	return c, nil
}

// run reads until the socket is closed.
func (c *Capture) run() {
	defer close(c.frames)
	raw, err := c.file.SyscallConn()
	if err != nil {
		return
	}
	for {
		var frame []byte
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			frame, readErr = receiveFrame(int(fd))
			return !errors.Is(readErr, unix.EAGAIN)
		})
		if err != nil {
			return
		}
		if readErr != nil || frame == nil || c.match != nil && !c.match(frame) {
			continue
		}
		select {
		case c.frames <- frame:
		default:
			// Nobody wants more than a thousand frames of one capture.
		}
	}
}

// receiveFrame reads a frame and puts back the VLAN tag that the kernel took
// off. Frames that the namespace sent itself are nil.
func receiveFrame(fd int) ([]byte, error) {
	b, oob := make([]byte, 65536), make([]byte, 128)
	n, oobn, _, from, err := unix.Recvmsg(fd, b, oob, 0)
	if err != nil {
		return nil, err
	}
	if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
		return nil, nil
	}
	frame := append([]byte(nil), b[:n]...)
	if tag := vlanTag(oob[:oobn]); tag != nil && n >= 12 {
		frame = append(append(append([]byte(nil), b[:12]...), tag...), b[12:n]...)
	}
	return frame, nil
}

// vlanTag is the tag that the kernel took off, from struct tpacket_auxdata in
// the control messages.
func vlanTag(oob []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data[0:])
		if status&unix.TP_STATUS_VLAN_VALID == 0 {
			return nil
		}
		tci, tpid := binary.NativeEndian.Uint16(m.Data[16:]), uint16(unix.ETH_P_8021Q)
		if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = binary.NativeEndian.Uint16(m.Data[18:])
		}
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, tpid), tci)
	}
	return nil
}

// First waits for a frame and returns it, nil if none came within the time.
func (c *Capture) First(ctx context.Context, within time.Duration) []byte {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case f := <-c.frames:
		return f
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}

// Stop ends the capture and returns the frames that nobody took.
func (c *Capture) Stop() [][]byte {
	c.file.Close()
	var all [][]byte
	for f := range c.frames {
		all = append(all, f)
	}
	return all
}
