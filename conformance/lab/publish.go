package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// netnsDir is where ip netns looks for namespaces.
const netnsDir = "/run/netns"

// namePrefix begins all names that labs publish: "sl-PID-START-NAME". Process
// and start time tell whose they are, because PIDs come back.
const namePrefix = "sl-"

// Publish gives every namespace of the lab a name for `ip netns exec`, and
// returns the names by Namespace.Name. Close takes them away; those that a
// killed process left are taken away by the next lab.
func (l *Lab) Publish() (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errStopped
	}
	if err := shareNetnsDir(); err != nil {
		return nil, fmt.Errorf("publish the lab: %w", err)
	}
	start, err := startTime(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("publish the lab: %w", err)
	}
	names := map[string]string{}
	for _, n := range l.namespaces() {
		name := fmt.Sprintf("%s%d-%s-%s", namePrefix, os.Getpid(), start, strings.ReplaceAll(n.Name, "/", "-"))
		path := filepath.Join(netnsDir, name)
		if err := publish(path, n); err != nil {
			return nil, fmt.Errorf("publish namespace %s: %w", n.Name, err)
		}
		l.published = append(l.published, path)
		names[n.Name] = name
	}
	return names, nil
}

// shareNetnsDir makes the directory what ip netns makes it when it is first
// used: a shared mount. It stays so, as it does after ip netns.
func shareNetnsDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// publish binds a namespace to a new file.
func publish(path string, n *Namespace) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	f.Close()
	if err := unix.Mount(n.Path(), path, "none", unix.MS_BIND, ""); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// withdraw undoes publish. Somebody else may have done so before.
func withdraw(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// reapStale withdraws what labs of processes published that are no more.
func reapStale() error {
	paths, err := filepath.Glob(filepath.Join(netnsDir, namePrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range paths {
		if stale(filepath.Base(path)) {
			errs = append(errs, withdraw(path))
		}
	}
	return errors.Join(errs...)
}

// stale reports whether a name is of a lab whose process has ended. Names that
// are not of our form are somebody else's.
func stale(name string) bool {
	parts := strings.SplitN(strings.TrimPrefix(name, namePrefix), "-", 3)
	if len(parts) != 3 {
		return false
	}
	pid, err := strconv.Atoi(parts[0])
	if err != nil || pid <= 0 {
		return false
	}
	if _, err := strconv.ParseUint(parts[1], 36, 64); err != nil {
		return false
	}
	start, err := startTime(pid)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return true
	}
	return err == nil && start != parts[1]
}

// startTime is when a process started, in the kernel's ticks, in letters and
// digits.
func startTime(pid int) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The second field is the program's name in parentheses, which may hold
	// anything; the time is the 22nd.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat: too short", pid)
	}
	ticks, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return "", fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return strconv.FormatUint(ticks, 36), nil
}
