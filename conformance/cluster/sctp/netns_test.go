package sctp

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// netns is a network namespace without a name: it lives by a thread of the test,
// and ends with it, whatever becomes of the test.
type netns struct {
	thread int
	do     chan func()
}

func newNetns(t *testing.T) *netns {
	t.Helper()
	n := &netns{do: make(chan func())}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread must not serve anybody else
		n.thread = syscall.Gettid()
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		begun <- err
		for f := range n.do {
			f()
		}
	}()
	if err := <-begun; err != nil {
		t.Fatalf("a network namespace needs root: %v", err)
	}
	t.Cleanup(func() { close(n.do) })
	n.run(t, "ip", "link", "set", "lo", "up")
	return n
}

// start starts a program in the namespace: children belong to their thread's.
func (n *netns) start(cmd *exec.Cmd) (err error) {
	done := make(chan struct{})
	n.do <- func() { err = cmd.Start(); close(done) }
	<-done
	return err
}

func (n *netns) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := n.try("", args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (n *netns) try(input string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	var out strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	if err := n.start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// network is a client and a server behind a router.
//
//	client 10.9.1.2 ── router ── 10.9.2.2, 10.9.2.3 server
//
// and the same with fd09:1::2, fd09:2::2 and fd09:2::3.
type network struct{ client, router, server *netns }

func newNetwork(t *testing.T) *network {
	t.Helper()
	w := &network{newNetns(t), newNetns(t), newNetns(t)}
	for subnet, end := range []*netns{w.client, w.server} {
		link := fmt.Sprintf("net%d", subnet+1)
		w.router.run(t, "ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(end.thread))
		w.router.run(t, "ip", "link", "set", link, "up")
		end.run(t, "ip", "link", "set", "eth0", "up")
		for format, length := range map[string]int{"10.9.%d.%d": 24, "fd09:%d::%d": 64} {
			add := func(n *netns, link string, host int) {
				address := fmt.Sprintf(format+"/%d", subnet+1, host, length)
				args := []string{"ip", "address", "add", address, "dev", link}
				if length == 64 {
					args = append(args, "nodad")
				}
				n.run(t, args...)
			}
			add(w.router, link, 1)
			add(end, "eth0", 2)
			add(end, "eth0", 3)
			end.run(t, "ip", "route", "add", "default", "via", fmt.Sprintf(format, subnet+1, 1))
		}
	}
	w.router.run(t, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	return w
}

// program starts this test's binary in another role; see TestMain. It ends with
// the test at the latest.
func (n *netns) program(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}
