//go:build kernels

package sockets

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

const port = 5000

var servers = map[string][]string{"near": {"10.1.0.20", "fd00:1::20"}, "far": {"10.2.0.20", "fd00:2::20"}}

func podOn(node, name string, addrs ...string) *corev1.Pod {
	p := enforced.Pod("shop", name, addrs...)
	p.Spec.NodeName = node
	return p
}

func shopPod(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// socket is an SCTP socket of the kernel's, in a Pod's namespace.
func socket(a netip.Addr) (int, error) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return -1, fmt.Errorf("make an SCTP socket: %w", err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// ready waits for a socket.
func ready(fd int, events int16, wait time.Duration) (bool, error) {
	deadline := time.Now().Add(wait)
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(p, int(max(0, time.Until(deadline)).Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, err
	}
}

// serve answers each association of a Pod's port with what it sent.
func serve(t *testing.T, c *enforced.Cluster, pod string, at netip.AddrPort) {
	t.Helper()
	var fd int
	err := c.Pod(shopPod(pod)).Do(func() error {
		var err error
		if fd, err = socket(at.Addr()); err != nil {
			return err
		}
		if err := unix.Bind(fd, sockaddr(at)); err != nil {
			return fmt.Errorf("bind %s: %w", at, err)
		}
		return unix.Listen(fd, 16)
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped; _ = unix.Close(fd) })
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if ok, err := ready(fd, unix.POLLIN, 100*time.Millisecond); err != nil || !ok {
				continue
			}
			conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err != nil {
				continue
			}
			go echo(conn)
		}
	}()
}

func echo(conn int) {
	defer func() { _ = unix.Close(conn) }()
	buf := make([]byte, 64)
	for {
		n, err := unix.Read(conn, buf)
		if err != nil || n == 0 {
			return
		}
		if _, err := unix.Write(conn, buf[:n]); err != nil {
			return
		}
	}
}

// association is one that a client opened.
type association int

// dial opens an association, and waits for an answer to a word.
func dial(c *enforced.Cluster, pod string, to netip.AddrPort, wait time.Duration) (association, error) {
	fd := -1
	err := c.Pod(shopPod(pod)).Do(func() error {
		var err error
		if fd, err = socket(to.Addr()); err != nil {
			return err
		}
		if err := unix.Connect(fd, sockaddr(to)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			return err
		}
		return nil
	})
	if err != nil {
		return -1, err
	}
	a := association(fd)
	if ok, err := ready(fd, unix.POLLOUT, wait); err != nil || !ok {
		a.close()
		return -1, errors.Join(err, os.ErrDeadlineExceeded)
	}
	if code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		a.close()
		return -1, errors.Join(err, unix.Errno(code))
	}
	if err := a.ask("hello", wait); err != nil {
		a.close()
		return -1, err
	}
	return a, nil
}

func (a association) ask(word string, wait time.Duration) error {
	if _, err := unix.Write(int(a), []byte(word)); err != nil {
		return err
	}
	ok, err := ready(int(a), unix.POLLIN, wait)
	if err != nil || !ok {
		return errors.Join(err, os.ErrDeadlineExceeded)
	}
	buf := make([]byte, 64)
	n, err := unix.Read(int(a), buf)
	if err == nil && string(buf[:n]) != word {
		err = fmt.Errorf("asked %q, answered %q", word, buf[:n])
	}
	return err
}

func (a association) close() { _ = unix.Close(int(a)) }

func allowClient() *networkingv1.NetworkPolicy {
	return enforced.DenyIngress("shop", "server", networkingv1.NetworkPolicyIngressRule{
		From:  []networkingv1.NetworkPolicyPeer{enforced.PeerApp("client")},
		Ports: []networkingv1.NetworkPolicyPort{enforced.Port(corev1.ProtocolSCTP, port)},
	})
}

// Sockets of SCTP as applications have them: who may connect does, to the Pod and through
// DNAT, who may not gets no answer, and an association is cut when its policy goes.
func TestSCTPSockets(t *testing.T) {
	for _, topology := range []lab.Topology{lab.Bridge, lab.PTP} {
		t.Run(topology.String(), func(t *testing.T) {
			o := enforced.Options{
				Placement: lab.Placement{Topology: topology}, Objects: []any{enforced.Namespace("shop"), allowClient()},
				Pods: []*corev1.Pod{podOn("a", "client", "10.1.0.10", "fd00:1::10"), podOn("a", "stranger", "10.1.0.11", "fd00:1::11")},
			}
			for name, node := range map[string]string{"near": "a", "far": "b"} {
				p := podOn(node, name, servers[name]...)
				p.Labels["app"] = "server"
				o.Pods = append(o.Pods, p)
			}
			c := enforced.Start(t, o)
			for name, list := range servers {
				for i, a := range list {
					serve(t, c, name, netip.AddrPortFrom(netip.MustParseAddr(a), port))
					serve(t, c, name, netip.AddrPortFrom(netip.MustParseAddr(a), port+1))
					translate(t, c, serviceOf(name, i), netip.AddrPortFrom(netip.MustParseAddr(a), port))
				}
			}
			var open []association
			for name, list := range servers {
				for i, a := range list {
					pod := netip.AddrPortFrom(netip.MustParseAddr(a), port)
					for _, to := range []netip.AddrPort{pod, serviceOf(name, i)} {
						kept, err := dial(c, "client", to, 20*time.Second)
						if err != nil {
							t.Errorf("client to %s: %v", to, err)
							continue
						}
						open = append(open, kept)
						if a, err := dial(c, "stranger", to, 2*time.Second); err == nil {
							a.close()
							t.Errorf("stranger reached %s", to)
						}
					}
					if a, err := dial(c, "client", netip.AddrPortFrom(pod.Addr(), port+1), 2*time.Second); err == nil {
						a.close()
						t.Errorf("client reached port %d of %s", port+1, pod.Addr())
					}
				}
			}
			c.Set(enforced.DenyIngress("shop", "server"))
			for _, a := range open {
				if err := a.ask("still there", 2*time.Second); err == nil {
					t.Error("an association outlived its policy")
				}
				a.close()
			}
		})
	}
}

// serviceOf is the address and port by which a server's clients reach it through DNAT.
func serviceOf(server string, family int) netip.AddrPort {
	last := map[string]string{"near": "1", "far": "2"}[server]
	return netip.AddrPortFrom(netip.MustParseAddr([]string{"10.96.0." + last, "fd00:96::" + last}[family]), 80)
}

// translate has node a lead a Service's address to a server.
func translate(t *testing.T, c *enforced.Cluster, from, to netip.AddrPort) {
	t.Helper()
	ip := "ip"
	if from.Addr().Is6() {
		ip = "ip6"
	}
	script := fmt.Sprintf("table %[1]s proxy { chain pre { type nat hook prerouting priority dstnat; }; }\nadd rule %[1]s proxy pre %[1]s daddr %[2]s sctp dport %[3]d dnat to %[4]s\n",
		ip, from.Addr(), from.Port(), to)
	err := c.Node("a").Do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("nft: %w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
