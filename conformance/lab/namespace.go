package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of the lab.
//
// It has no name in the file system: nothing but a file descriptor of this
// process keeps it alive, so the kernel removes it, with everything in it, when
// the process ends, however it ends. [Lab.Publish] gives names to those who
// want `ip netns exec`.
type Namespace struct {
	// Name says what it stands for: "node/a", "shop/api", "outside".
	Name string

	// mu keeps the file open while a thread enters.
	mu   sync.RWMutex
	file *os.File
	// link speaks to the namespace's routing netlink.
	link *netlink.Handle
	// fresh are addresses that may not be usable yet.
	fresh []newAddr
}

func newNamespace(name string) (*Namespace, error) {
	n := &Namespace{Name: name}
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return needsRoot(err)
		}
		var err error
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create network namespace %s: %w", name, err)
	}
	n.link, err = netlink.NewHandleAt(netns.NsHandle(n.file.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		n.close()
		return nil, fmt.Errorf("open netlink in %s: %w", name, err)
	}
	return n, nil
}

// needsRoot says what is missing where the kernel only says no.
func needsRoot(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: the lab makes network namespaces and needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN)", err)
	}
	return err
}

// Do runs f on a thread that is in the namespace. Goroutines that f starts are
// not; sockets and processes that f opens or starts itself are, and stay there.
func (n *Namespace) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := n.enter(); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.Name, needsRoot(err))
		}
		return f()
	})
}

func (n *Namespace) enter() error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.file == nil {
		return errStopped
	}
	return unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET)
}

// onOwnThread runs f, which may change the thread's network namespace, and
// brings the thread back. A thread that cannot be brought back is never used
// again: the runtime ends it together with its goroutine.
func onOwnThread(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	ferr := f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return errors.Join(ferr, fmt.Errorf("leave network namespace: %w", err))
	}
	runtime.UnlockOSThread()
	return ferr
}

// Path is where the namespace can be opened as long as this process lives, for
// nsenter --net=PATH or a handle of another library.
func (n *Namespace) Path() string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.file == nil {
		return ""
	}
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(n.file.Fd()))
}

// Sysctl sets net.* parameters inside the namespace; key is written with
// slashes and without "net/": "ipv4/ip_forward".
func (n *Namespace) Sysctl(key, value string) error {
	return n.Do(func() error { return writeSysctl(key, value) })
}

// sysctl is one setting of a namespace. An optional one is a newer kernel's.
type sysctl struct {
	key, value string
	optional   bool
}

func (n *Namespace) sysctls(settings []sysctl) error {
	return n.Do(func() error {
		for _, s := range settings {
			err := writeSysctl(s.key, s.value)
			if s.optional && errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("configure %s: %w", n.Name, err)
			}
		}
		return nil
	})
}

// writeSysctl writes for the namespace of the calling thread: /proc/sys/net
// shows each thread its own.
func writeSysctl(key, value string) error {
	if strings.Contains(key, "..") {
		return fmt.Errorf("sysctl %q: not a key", key)
	}
	return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644)
}

func (n *Namespace) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.link != nil {
		n.link.Close()
		n.link = nil
	}
	if n.file != nil {
		n.file.Close()
		n.file = nil
	}
}
