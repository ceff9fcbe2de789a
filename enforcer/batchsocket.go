package enforcer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// errNotSent: the kernel did not see the batch, so it may be brought another
// way.
var errNotSent = errors.New("not sent")

// batchSocket carries batches, and questions about sets. It stays in the namespace it was opened in.
type batchSocket struct {
	fd  int
	buf []byte
}

func openBatchSocket(ns netns.Namespace) (*batchSocket, error) {
	s := &batchSocket{fd: -1, buf: make([]byte, 16<<10)}
	err := ns.Do(func() error {
		var err error
		s.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, option, 1); err != nil {
			s.close()
			return nil, fmt.Errorf("set up netlink socket: %w", err)
		}
	}
	// Where these are refused, large batches are, and then nft does the work.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, maxBatch)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, maxBatch)
	return s, nil
}

func (s *batchSocket) close() { _ = unix.Close(s.fd) }

// execute sends a batch and reads what became of it: the kernel answers for each
// message that failed, and for the last.
func (s *batchSocket) execute(data []byte, last uint32) error {
	var failed *refusal
	done := false
	err := s.exchange(data, func(kind, flags uint16, seq uint32, payload []byte) {
		if kind != unix.NLMSG_ERROR || len(payload) < unix.SizeofNlMsgerr {
			return
		}
		switch answer := answerOf(flags, payload); {
		case answer.errno == 0:
			done = done || seq == last
		case failed == nil:
			answer.offset += int(seq)
			failed = &answer
		}
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case !done:
		return errors.New("the kernel did not acknowledge a netlink batch")
	}
	return nil
}

// describe asks for the layout of a set. There is none, and no error, if it is
// of no use to the lane or not there.
func (s *batchSocket) describe(family byte, set string) (*layout, error) {
	q := &nlBatch{family: family}
	q.begin(unix.NFT_MSG_GETSET, 0, set, 0)
	q.text(unix.NFTA_SET_NAME, set)
	q.close()
	var out *layout
	answered := false
	err := s.exchange(q.bytes, func(kind, _ uint16, _ uint32, payload []byte) {
		answered = true
		if kind == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSET && len(payload) > nl.SizeofNfgenmsg {
			out = describedLayout(payload[nl.SizeofNfgenmsg:])
		}
	})
	if err == nil && !answered {
		err = errors.New("the kernel did not describe a set")
	}
	return out, err
}

// exchange sends messages and yields the answers. The kernel does all of the
// work while it takes them, so the answers are there at once.
func (s *batchSocket) exchange(data []byte, yield func(kind, flags uint16, seq uint32, payload []byte)) error {
	err := unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	if err != nil {
		return fmt.Errorf("send netlink batch: %w", err)
	}
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the outcome of a netlink batch: %w", err)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
			eachMessage(s.buf[:n], yield)
		}
	}
}

// eachMessage yields the messages of a datagram.
func eachMessage(b []byte, yield func(kind, flags uint16, seq uint32, payload []byte)) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		yield(kind, flags, binary.NativeEndian.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

// answerOf reads one: the error's number, the header of the message that it
// answers, and attributes.
func answerOf(flags uint16, payload []byte) refusal {
	out := refusal{errno: unix.Errno(-int32(binary.NativeEndian.Uint32(payload)))}
	if flags&unix.NLM_F_ACK_TLVS == 0 || flags&unix.NLM_F_CAPPED == 0 {
		return out
	}
	for a := range nlsocket.Attrs(payload[unix.SizeofNlMsgerr:]) {
		switch {
		case a.Kind == unix.NLMSGERR_ATTR_MSG:
			out.text = string(bytes.TrimRight(a.Value, "\x00"))
		case a.Kind == unix.NLMSGERR_ATTR_OFFS && len(a.Value) == 4:
			out.offset = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return out
}
