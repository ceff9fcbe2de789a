// Command guest is the first process of a machine that runs the tests of one package: it
// makes the machine what tests need, runs them, and sends what they say over the second
// serial line. Then it switches the machine off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// job is what is to be done, as the runner writes it.
type job struct {
	// Modules are to be loaded first.
	Modules []string
	// Dir is where the tests run, Command what they are.
	Dir     string
	Command []string
}

const (
	jobFile = "/job.json"
	// resultLine is the second serial line. The first is the kernel's.
	resultLine = "/dev/ttyS1"
)

func main() {
	var out io.Writer = os.Stdout
	err := mount()
	if err == nil {
		var line *os.File
		if line, err = open(); err == nil {
			out = line
			err = work(line)
		}
	}
	say(out, err)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// say is the last line: that the machine came to its end, and how.
func say(out io.Writer, err error) {
	end := struct{ Action, Output string }{Action: "machine"}
	if err != nil {
		end.Output = err.Error()
	}
	_ = json.NewEncoder(out).Encode(end)
}

// mount makes what programs expect to find.
func mount() error {
	for _, m := range []struct{ kind, at, options string }{
		{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"devtmpfs", "/dev", ""}, {"tmpfs", "/run", "mode=755"}, {"tmpfs", "/tmp", "mode=1777"},
		{"devpts", "/dev/pts", ""}, {"tmpfs", "/dev/shm", ""}, {"cgroup2", "/sys/fs/cgroup", ""}, {"bpf", "/sys/fs/bpf", ""},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.at, err)
		}
	}
	// Network namespaces are told to other mounts by what is shared.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the root: %w", err)
	}
	return os.MkdirAll("/var/tmp", 0o755)
}

// open opens the line and has it carry bytes as they are.
func open() (*os.File, error) {
	line, err := os.OpenFile(resultLine, os.O_WRONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(int(line.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("ask how %s is set: %w", resultLine, err)
	}
	t.Oflag, t.Lflag, t.Iflag = 0, 0, 0
	if err := unix.IoctlSetTermios(int(line.Fd()), unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("set %s: %w", resultLine, err)
	}
	return line, nil
}

// work does the job.
func work(out io.Writer) error {
	data, err := os.ReadFile(jobFile)
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	if err := os.Setenv("PATH", "/bin"); err != nil {
		return err
	}
	for _, command := range [][]string{append([]string{"modprobe", "-a"}, j.Modules...), {"ip", "link", "set", "lo", "up"}, {"sysctl", "-qw", "kernel.panic_on_oops=1"}} {
		if said, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, said)
		}
	}
	limit := unix.Rlimit{Cur: 1 << 19, Max: 1 << 19}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	cmd := exec.Command(j.Command[0], j.Command[1:]...)
	cmd.Dir = filepath.Clean(j.Dir)
	cmd.Env = []string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp", "GOTRACEBACK=all"}
	cmd.Stdout, cmd.Stderr = out, os.Stdout
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return nil // the tests said what failed
	}
	return err
}
