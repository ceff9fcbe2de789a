package nftwire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
)

// Socket carries batches and questions to the kernel's nf_tables. It stays in the
// network namespace of the thread that opened it, whatever thread uses it, and is for
// one goroutine at a time.
type Socket struct {
	fd  int
	buf []byte
	// lists counts those that were asked for: what is left of one that failed is no part
	// of the next.
	lists uint32
}

const (
	// answerSize holds what the kernel puts into one datagram of a dump.
	answerSize = 64 << 10
	// answerWithin is how many seconds the kernel has to go on with a dump.
	answerWithin = 60
)

// Ask asks something of the nf_tables of a namespace, by a socket of its own.
func Ask(ns netns.Namespace, question func(*Socket) error) error {
	socket, err := Open(ns)
	if err != nil {
		return err
	}
	defer socket.Close()
	return question(socket)
}

// Open opens a socket to the nf_tables of a namespace. The caller closes it.
func Open(ns netns.Namespace) (socket *Socket, err error) {
	err = ns.Do(func() error {
		socket, err = open()
		return err
	})
	return socket, err
}

// open opens a socket in the network namespace of the calling thread.
func open() (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	s := &Socket{fd: fd, buf: make([]byte, answerSize)}
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, option, 1); err != nil {
			s.Close()
			return nil, fmt.Errorf("set up netlink socket: %w", err)
		}
	}
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerWithin}); err != nil {
		s.Close()
		return nil, fmt.Errorf("set netlink timeout: %w", err)
	}
	// Where these are refused, large batches are, and then nft does the work.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, maxBatch)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, maxBatch)
	return s, nil
}

// Close gives the socket back.
func (s *Socket) Close() { _ = unix.Close(s.fd) }

// execute sends a batch and reads what became of it: the kernel answers for each
// message that failed, and for the last.
func (s *Socket) execute(data []byte, last uint32) error {
	var failed *Refusal
	done := false
	err := s.exchange(data, func(m answer) {
		if m.kind != unix.NLMSG_ERROR || len(m.payload) < unix.SizeofNlMsgerr {
			return
		}
		switch r := refusalOf(m.flags, m.payload); {
		case r.Errno == 0:
			done = done || m.seq == last
		case failed == nil:
			r.offset += int(m.seq)
			failed = &r
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

// answer is one message of the kernel's.
type answer struct {
	kind, flags uint16
	seq         uint32
	payload     []byte
}

// exchange sends messages and yields the answers. The kernel does all of the
// work while it takes them, so the answers are there at once.
func (s *Socket) exchange(data []byte, yield func(answer)) error {
	if err := s.send(data); err != nil {
		return err
	}
	for {
		n, err := s.receive(unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the outcome of a netlink batch: %w", err)
		}
		eachMessage(s.buf[:n], yield)
	}
}

func (s *Socket) send(data []byte) error {
	err := unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	if err != nil {
		return fmt.Errorf("send netlink message: %w", err)
	}
	return nil
}

// receive reads one datagram of the kernel's into the buffer.
func (s *Socket) receive(flags int) (int, error) {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf, flags)
		if err != nil {
			return 0, err
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
			return n, nil
		}
	}
}

// errInterrupted: what was listed changed meanwhile, so another try can see all of it.
var errInterrupted = errors.New("the list changed while it was read")

// list sends a request for a list and yields what there is. What it yielded is only part
// of the truth if it fails.
func (s *Socket) list(request []byte, yield func(payload []byte)) error {
	s.lists++
	binary.NativeEndian.PutUint32(request[8:], s.lists)
	if err := s.send(request); err != nil {
		return err
	}
	var failed error
	for done := false; !done; {
		n, err := s.receive(0)
		if err != nil {
			return fmt.Errorf("read a netlink list: %w", err)
		}
		eachMessage(s.buf[:n], func(m answer) {
			if m.seq != s.lists {
				return
			}
			if m.flags&unix.NLM_F_DUMP_INTR != 0 && failed == nil {
				failed = errInterrupted
			}
			switch m.kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done = true
				if errno := errnoOf(m.payload); errno != 0 && failed == nil {
					failed = errno
				}
			default:
				yield(m.payload)
			}
		})
	}
	return failed
}

// errnoOf reads the number that an error or the end of a list begins with.
func errnoOf(payload []byte) unix.Errno {
	if len(payload) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(payload)))
}

// eachMessage yields the messages of a datagram.
func eachMessage(b []byte, yield func(answer)) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		yield(answer{kind, flags, binary.NativeEndian.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size]})
		b = b[min((size+3)&^3, len(b)):]
	}
}
