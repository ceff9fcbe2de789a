package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// servers are the echo servers of the lab. Each answers whatever it gets with
// the same, except for hellos of streams, which it hands over.
type servers struct {
	poll *poller

	mu        sync.Mutex
	listeners map[endpoint]*listener
	hubs      map[hubKey]*hub
	streams   map[uint64]*Stream
}

// endpoint is what a server answers on. Addresses are unique in the lab, so
// they stand for their namespace.
type endpoint struct {
	netip.AddrPort
	protocol uint8
}

// listener is a TCP or UDP server in use by as many as count.
type listener struct {
	fd    int
	users int
}

func startServers() (*servers, error) {
	p, err := newPoller()
	if err != nil {
		return nil, fmt.Errorf("start servers: %w", err)
	}
	return &servers{
		poll:      p,
		listeners: map[endpoint]*listener{},
		hubs:      map[hubKey]*hub{},
		streams:   map[uint64]*Stream{},
	}, nil
}

// serveSpec starts what manifests promise: container ports and the target
// ports of Services.
func (l *Lab) serveSpec() error {
	for _, p := range l.spec.Pods {
		if p.Late {
			continue
		}
		if err := l.servePod(p); err != nil {
			return fmt.Errorf("Pod %s: %w", p.Name, err)
		}
	}
	for _, s := range l.spec.Services {
		for _, port := range s.Ports {
			for _, b := range port.Backends {
				if err := l.serve(endpoint{b.AddrPort, port.Protocol}); err != nil {
					return fmt.Errorf("Service %s: %w", s.Name, err)
				}
			}
		}
	}
	return nil
}

func (l *Lab) servePod(p Pod) error {
	addrs := p.Addrs
	if p.HostNetwork {
		addrs = l.nodeAddrs(p.Node)
	}
	for _, a := range addrs {
		for _, port := range p.Ports {
			if err := l.serve(endpoint{netip.AddrPortFrom(a, port.Number), port.Protocol}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Lab) nodeAddrs(name string) []netip.Addr {
	for _, n := range l.spec.Nodes {
		if n.Name == name {
			return n.Addrs
		}
	}
	return nil
}

// Serve answers on an address and port of the lab until it is closed.
func (l *Lab) Serve(protocol uint8, a netip.AddrPort) error {
	return l.serve(endpoint{a, protocol})
}

// serve starts an echo server, or counts one more user of it.
func (l *Lab) serve(e endpoint) error {
	ns := l.Host(e.Addr())
	if ns == nil {
		return fmt.Errorf("serve %s: nobody in the lab has this address", e)
	}
	switch e.protocol {
	case TCP, UDP:
		return l.servers.listen(ns, e)
	}
	h, err := l.servers.hub(ns, e.protocol, family(e.Addr()))
	if err != nil {
		return err
	}
	h.serve(e.AddrPort, 1)
	return nil
}

// unserve takes one user off a server.
func (l *Lab) unserve(e endpoint) {
	s := l.servers
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hubs[hubKey{l.Host(e.Addr()), e.protocol, family(e.Addr())}]; h != nil {
		h.serve(e.AddrPort, -1)
		return
	}
	li := s.listeners[e]
	if li == nil {
		return
	}
	if li.users--; li.users == 0 {
		delete(s.listeners, e)
		s.poll.close(li.fd)
	}
}

func (s *servers) listen(ns *Namespace, e endpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if li := s.listeners[e]; li != nil {
		li.users++
		return nil
	}
	fd := -1
	err := ns.Do(func() error {
		var err error
		if e.protocol == UDP {
			fd, err = openSocket(unix.SOCK_DGRAM, 0, e.AddrPort, bigBuffer)
			return err
		}
		fd, err = openSocket(unix.SOCK_STREAM, 0, e.AddrPort, setInt(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		if err != nil {
			return err
		}
		if err := unix.Listen(fd, 65535); err != nil {
			unix.Close(fd)
			return fmt.Errorf("listen: %w", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("serve %s in %s: %w", e, ns.Name, err)
	}
	h := func(uint32) { s.echoUDP(fd) }
	if e.protocol == TCP {
		h = func(uint32) { s.accept(fd) }
	}
	if err := s.poll.add(fd, unix.EPOLLIN, h); err != nil {
		return fmt.Errorf("serve %s in %s: %w", e, ns.Name, err)
	}
	s.listeners[e] = &listener{fd: fd, users: 1}
	return nil
}

func (s *servers) serves(e endpoint) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listeners[e] != nil
}

func (e endpoint) String() string {
	return Flow{Protocol: e.protocol, Dst: e.Addr(), Port: e.Port()}.destination()
}

// accept takes all connections that wait.
func (s *servers) accept(fd int) {
	for {
		conn, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		// If it cannot be watched it is closed, and the client sees a reset.
		_ = s.poll.add(conn, unix.EPOLLIN, func(uint32) { s.echoTCP(conn) })
	}
}

// echoTCP answers what is there to read.
func (s *servers) echoTCP(conn int) {
	var b [4096]byte
	n, err := unix.Read(conn, b[:])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if err != nil || n == 0 {
		s.poll.close(conn)
		return
	}
	if st := s.streamOf(b[:n]); st != nil {
		if s.poll.release(conn) {
			st.adopt(conn, slices.Clone(b[len(hello)+8:n]))
		}
		return
	}
	if bytes.HasPrefix(b[:n], []byte("GET ")) {
		answerHTTP(conn)
		return
	}
	// Answers are far smaller than the buffer; a client that sends and never
	// reads loses some. EPIPE: what comes after an HTTP request is read only.
	if _, err := unix.Write(conn, b[:n]); err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EPIPE) {
		s.poll.close(conn)
	}
}

// answerHTTP tells those who look around a published lab with curl who they
// reached. The connection stays until the client ends it: closing while the rest
// of the request is on its way would reset it, and the answer could be lost.
func answerHTTP(conn int) {
	sa, err := unix.Getsockname(conn)
	if err != nil {
		return
	}
	// Whether it arrives is what the client finds out.
	_, _ = unix.Write(conn, []byte("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nthis is "+addrPort(sa).String()+"\n"))
	_ = unix.Shutdown(conn, unix.SHUT_WR)
}

// echoUDP answers all datagrams that wait.
func (s *servers) echoUDP(fd int) {
	var b [2048]byte
	for {
		n, from, err := unix.Recvfrom(fd, b[:], 0)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			// An ICMP error about an earlier answer; the next read goes on.
			if errors.Is(err, unix.EBADF) {
				return
			}
			continue
		}
		if st := s.streamOf(b[:n]); st != nil {
			st.push(fd, from)
			continue
		}
		if s.serves(endpoint{addrPort(from), UDP}) {
			// A forged datagram from one server to another: answering it
			// would go on for ever.
			continue
		}
		// Whether it arrives is what the client finds out.
		_ = unix.Sendto(fd, b[:n], 0, from)
	}
}
