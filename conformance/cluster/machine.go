package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine is a running machine: process 1 of its own process, network, mount,
// host name and IPC namespaces. When that process is killed, the kernel kills
// everything inside and the namespaces go with it.
type Machine struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Started is when the process started, in the kernel's own ticks. It tells
	// our process from a later one with the same number.
	Started string `json:"started"`
}

// Spec is what a machine is to be; its process 1 reads it from its standard
// input, and waits for it: by then the network is there.
type Spec struct {
	Name string
	// Dir holds what the machine writes: etc, lib, log and opt are put over the
	// directories of these names.
	Dir      string
	Programs string
	// Sysctls are written, in the machine's network namespace. Pretended ones
	// only look as if: they belong to the whole computer.
	Sysctls, Pretended map[string]string
	Services           []Service
	// Flannel writes how Pods are attached; that is, it says what to write.
	Flannel bool
	// Proxy is an address inside, to which the listener that the machine
	// inherits hands its connections.
	Proxy string
}

// Service is a program that a machine runs.
type Service struct {
	Name string
	Args []string
	// Once: it ends by itself, and only then the next one starts.
	Once bool
	// Socket appears when the service is ready for the next one.
	Socket string
}

// boot starts a machine's process 1. What is sent through the writer later sets
// it to work; closing the writer without a word ends it.
func boot(name, dir string, inherit *os.File) (Machine, *os.File, error) {
	fail := func(err error) (Machine, *os.File, error) {
		return Machine{}, nil, fmt.Errorf("boot %s: %w", name, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return fail(err)
	}
	log, err := os.Create(filepath.Join(dir, "log", "machine.log"))
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer reader.Close()

	cmd := exec.Command(self, "machine")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/opt/sluice-cluster/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = reader, log, log
	if inherit != nil {
		cmd.ExtraFiles = []*os.File{inherit}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := cmd.Start(); err != nil {
		writer.Close()
		return fail(err)
	}
	started, err := startTime(cmd.Process.Pid)
	if err != nil {
		writer.Close()
		return fail(err)
	}
	// Reaps it if it ends while this command runs.
	go cmd.Wait() //nolint:errcheck // whether it is alive is asked elsewhere
	return Machine{Name: name, PID: cmd.Process.Pid, Started: started}, writer, nil
}

// start hands a machine its spec.
func (s *Spec) start(to *os.File) error {
	defer to.Close()
	if err := json.NewEncoder(to).Encode(s); err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	return nil
}

func (m *Machine) alive() bool {
	started, err := startTime(m.PID)
	return err == nil && started == m.Started
}

// kill ends a machine and waits until nothing of it is left.
func (m *Machine) kill() error {
	deadline := time.Now().Add(30 * time.Second)
	for m.alive() {
		if err := syscall.Kill(m.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill %s: %w", m.Name, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("kill %s: process %d does not go away", m.Name, m.PID)
		}
		time.Sleep(20 * time.Millisecond)
	}
	// By now everything inside is dead. The last trace goes when the computer's
	// process 1 looks after its children, which some take their time for.
	for deadline := time.Now().Add(5 * time.Second); exists(fmt.Sprintf("/proc/%d", m.PID)) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// command runs something inside a machine.
func (m *Machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(m.PID),
		"--mount", "--uts", "--ipc", "--net", "--pid", "--"}, args...)...)
	cmd.Env = append(os.Environ(), "PATH=/opt/sluice-cluster/bin:"+os.Getenv("PATH"))
	return cmd
}

// configure runs ip's commands, one on each line, in a machine's network
// namespace; the machine's files need not be there yet.
func (m *Machine) configure(commands string) error {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(m.PID), "--net", "--", "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("configure the network of %s: %w: %s", m.Name, err, out)
	}
	return nil
}

// startTime is field 22 of /proc/PID/stat. The name of the program, in
// parentheses before it, may contain anything.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	after := string(data[strings.LastIndexByte(string(data), ')')+1:])
	fields := strings.Fields(after)
	if len(fields) < 20 {
		return "", fmt.Errorf("read /proc/%d/stat: %w", pid, fs.ErrInvalid)
	}
	if fields[0] == "Z" {
		return "", fs.ErrNotExist
	}
	return fields[19], nil
}
