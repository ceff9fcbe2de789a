package enforcer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// refusal is the kernel's word that a batch failed, with nothing of it done.
type refusal struct {
	errno unix.Errno
	// offset is where in the batch the trouble is.
	offset int
	// text is what the kernel has to say besides.
	text string
}

func (r *refusal) Error() string {
	if r.text != "" {
		return r.errno.Error() + ": " + r.text
	}
	return r.errno.Error()
}

func (r *refusal) Unwrap() error { return r.errno }

// errNotSent: the kernel did not see the batch, so it may be brought another
// way.
var errNotSent = errors.New("not sent")

// batchSocket carries batches. It stays in the namespace it was opened in.
type batchSocket struct {
	fd  int
	buf []byte
}

func openBatchSocket(ns Netns) (*batchSocket, error) {
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

// execute sends a batch and reads what became of it. The kernel does all of the
// work while it takes the batch, so the answers are there already: one for each
// message that failed, and one for the last.
func (s *batchSocket) execute(data []byte, last uint32) error {
	err := unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	if err != nil {
		return fmt.Errorf("send netlink batch: %w", err)
	}
	var failed *refusal
	done := false
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the outcome of a netlink batch: %w", err)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue
		}
		for seq, answer := range answers(s.buf[:n]) {
			switch {
			case answer.errno == 0:
				done = done || seq == last
			case failed == nil:
				answer.offset += int(seq)
				failed = &answer
			}
		}
	}
	switch {
	case failed != nil:
		return failed
	case !done:
		return errors.New("the kernel did not acknowledge a netlink batch")
	}
	return nil
}

// answers yields the acknowledgements in a datagram, by sequence number.
func answers(b []byte) func(yield func(uint32, refusal) bool) {
	return func(yield func(uint32, refusal) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return
			}
			kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
			seq, payload := binary.NativeEndian.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size]
			if kind == unix.NLMSG_ERROR && len(payload) >= unix.SizeofNlMsgerr && !yield(seq, answerOf(flags, payload)) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// answerOf reads one: the error's number, the header of the message that it
// answers, and attributes.
func answerOf(flags uint16, payload []byte) refusal {
	out := refusal{errno: unix.Errno(-int32(binary.NativeEndian.Uint32(payload)))}
	if flags&unix.NLM_F_ACK_TLVS == 0 || flags&unix.NLM_F_CAPPED == 0 {
		return out
	}
	for a := range attrs(payload[unix.SizeofNlMsgerr:]) {
		switch {
		case a.kind == unix.NLMSGERR_ATTR_MSG:
			out.text = string(bytes.TrimRight(a.value, "\x00"))
		case a.kind == unix.NLMSGERR_ATTR_OFFS && len(a.value) == 4:
			out.offset = int(binary.NativeEndian.Uint32(a.value))
		}
	}
	return out
}
