package nri

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMountedDirectory: of what can be mounted into a container, a runtime's
// restart leaves the directory alone usable, and read-only suffices. It is the
// reason for what deploy/nri.yaml mounts.
func TestMountedDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts directories in a mount namespace of its own: run it as root (CAP_SYS_ADMIN)")
	}
	host, container := t.TempDir(), t.TempDir()
	socket := filepath.Join(host, "nri.sock")
	// Who listens anew has ended before, and left its socket where it was.
	var now *net.UnixListener
	listen := func() error {
		if now != nil {
			now.Close()
		}
		if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
			return err
		}
		var err error
		if now, err = net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"}); err == nil {
			now.SetUnlinkOnClose(false)
		}
		return err
	}
	defer func() { now.Close() }()
	if err := listen(); err != nil {
		t.Fatal(err)
	}
	// By what is mounted: before the restart, and after it.
	results := map[string][2]error{}
	var writes error
	err := inMountNamespace(func() error {
		inDir, inFile := filepath.Join(container, "dir"), filepath.Join(container, "nri.sock")
		if err := bind(host, inDir, true); err != nil {
			return err
		}
		if err := bind(socket, inFile, false); err != nil {
			return err
		}
		writes = os.WriteFile(filepath.Join(inDir, "more"), nil, 0o600)
		paths := map[string]string{"directory": filepath.Join(inDir, "nri.sock"), "socket": inFile}
		for what, path := range paths {
			results[what] = [2]error{call(path)}
		}
		if err := listen(); err != nil {
			return err
		}
		for what, path := range paths {
			results[what] = [2]error{results[what][0], call(path)}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if writes == nil {
		t.Error("the mounted directory can be written to")
	}
	for _, what := range []string{"directory", "socket"} {
		before, after := results[what][0], results[what][1]
		if before != nil {
			t.Errorf("%s: %v", what, before)
		}
		if survives := after == nil; survives != (what == "directory") {
			t.Errorf("%s: after the runtime's restart: %v", what, after)
		}
	}
}

func call(path string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	return conn.Close()
}

// bind shows a directory, or a file, read-only at another path.
func bind(from, to string, dir bool) error {
	var err error
	if dir {
		err = os.Mkdir(to, 0o755)
	} else {
		err = os.WriteFile(to, nil, 0o600)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", from, err)
	}
	return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// inMountNamespace runs f with mounts that vanish with its thread.
func inMountNamespace(f func() error) error {
	result := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		goruntime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			result <- fmt.Errorf("make a mount namespace: %w", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			result <- fmt.Errorf("keep mounts to ourselves: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}
