package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"golang.org/x/sys/unix"
)

// container is a process as a container runtime would start it for one of the
// manifests' containers: the image for its root, read-only, as is /proc/sys;
// no new privileges; of the capabilities those that it is given. It has the
// network namespace of a node of the lab for its host's.
type container struct {
	Root, Netns string
	// Caps are the bounding set, which is all that root gets.
	Caps []string
	User int
	// Manifests is a directory that it finds as /run, where it can only read.
	Manifests string
	Args, Env []string
	// WritableSys makes /proc/sys writable, as in a privileged container.
	WritableSys bool
}

// inContainer carries a container's description to the process that becomes it.
const inContainer = "SLUICE_TEST_CONTAINER"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(inContainer); ok {
		// Only returns if it fails.
		fmt.Fprintln(os.Stderr, "container:", become(text))
		os.Exit(125)
	}
	os.Exit(inScratch(m))
}

// command prepares the container's process.
func (c container) command(t testing.TB) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{inContainer + "=" + string(text)}
	return cmd
}

// become turns this process into the container's.
func become(text string) error {
	var c container
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	// Namespaces, root and capabilities are a thread's own; exec keeps those of
	// the thread that calls it.
	runtime.LockOSThread()
	ns, err := os.Open(c.Netns)
	if err != nil {
		return err
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	if err := c.mount(); err != nil {
		return err
	}
	if err := c.confine(); err != nil {
		return err
	}
	return unix.Exec(c.Args[0], c.Args, c.Env)
}

func (c container) mount() error {
	in := func(name string) string { return filepath.Join(c.Root, name) }
	const lock = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY
	type step struct {
		from, to, kind string
		flags          uintptr
	}
	steps := []step{
		{"", "/", "", unix.MS_PRIVATE | unix.MS_REC},
		{c.Root, c.Root, "", unix.MS_BIND},
		{"proc", in("proc"), "proc", 0},
		{"sysfs", in("sys"), "sysfs", unix.MS_RDONLY},
		{"tmpfs", in("dev"), "tmpfs", 0},
	}
	if !c.WritableSys {
		steps = append(steps, step{in("proc/sys"), in("proc/sys"), "", unix.MS_BIND}, step{"", in("proc/sys"), "", lock})
	}
	if c.Manifests != "" {
		steps = append(steps, step{c.Manifests, in("run"), "", unix.MS_BIND}, step{"", in("run"), "", lock})
	}
	for _, s := range append(steps, step{"", c.Root, "", lock}) {
		if err := unix.Mount(s.from, s.to, s.kind, s.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", s.to, err)
		}
	}
	if err := unix.Mknod(in("dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return fmt.Errorf("make /dev/null: %w", err)
	}
	if err := unix.Chroot(c.Root); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	return os.Chdir("/")
}

// confine gives up all that the container is not given.
func (c container) confine() error {
	keep := map[int]bool{}
	for _, name := range c.Caps {
		number, ok := capabilities[name]
		if !ok {
			return fmt.Errorf("unknown capability %s", name)
		}
		keep[number] = true
	}
	for n := 0; ; n++ {
		if keep[n] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); errors.Is(err, unix.EINVAL) {
			break // beyond the kernel's last
		} else if err != nil {
			return fmt.Errorf("drop capability %d: %w", n, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if c.User == 0 {
		return nil
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(c.User), uintptr(c.User), uintptr(c.User)); errno != 0 {
		return fmt.Errorf("change user: %w", errno)
	}
	return nil
}

// capabilities that a manifest might name, by number.
var capabilities = map[string]int{
	"DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "NET_ADMIN": unix.CAP_NET_ADMIN, "NET_RAW": unix.CAP_NET_RAW,
	"NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "SYS_ADMIN": unix.CAP_SYS_ADMIN,
	"SYS_MODULE": unix.CAP_SYS_MODULE, "SYS_PTRACE": unix.CAP_SYS_PTRACE, "BPF": unix.CAP_BPF,
}

// capsOf are the capabilities of a container of the manifests.
func capsOf(c corev1.Container) []string {
	var out []string
	for _, name := range c.SecurityContext.Capabilities.Add {
		out = append(out, strings.TrimPrefix(string(name), "CAP_"))
	}
	return out
}
