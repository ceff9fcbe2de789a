package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// programsInside is where a machine finds the cluster's programs.
const programsInside = "/opt/sluice-cluster/bin"

// runMachine is process 1 of a machine: it makes the place look like a computer
// of its own, and keeps its services running until it is killed.
func runMachine(in *os.File, log io.Writer) error {
	if os.Getpid() != 1 {
		return errors.New("this is for the machines themselves: see cluster up")
	}
	var spec Spec
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("whoever booted this machine gave up")
		}
		return err
	}
	if err := syscall.Sethostname([]byte(spec.Name)); err != nil {
		return err
	}
	if err := spec.mountAll(); err != nil {
		return err
	}
	if err := spec.setSysctls(); err != nil {
		return err
	}
	if spec.Proxy != "" {
		if err := proxy(os.NewFile(3, "listener"), spec.Proxy); err != nil {
			return err
		}
	}
	if spec.Flannel {
		go attachByFlannel(log)
	}
	s := supervisor{log: log, running: map[int]chan struct{}{}}
	return s.run(spec.Services)
}

func (s *Spec) mountAll() error {
	// Nothing that is mounted from here on shows outside.
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := s.mountSys(); err != nil {
		return err
	}
	// The programs are bound into what will be /opt, before that hides them.
	inside := func(path string) string { return filepath.Join(s.Dir, path) }
	for _, dir := range []string{"opt/sluice-cluster/bin", "opt/cni/bin", "lib", "log", "etc", "etc-work"} {
		if err := os.MkdirAll(inside(dir), 0o755); err != nil {
			return err
		}
	}
	if err := mount(s.Programs, inside("opt/sluice-cluster/bin"), "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	etc := fmt.Sprintf("lowerdir=/etc,upperdir=%s,workdir=%s", inside("etc"), inside("etc-work"))
	if err := mount("etc", "/etc", "overlay", 0, etc); err != nil {
		return err
	}
	for from, to := range map[string]string{"lib": "/var/lib", "log": "/var/log", "opt": "/opt"} {
		if err := mount(inside(from), to, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return err
		}
	}
	if err := mount("run", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	// The kubelet and Pods with mount propagation want shared mounts; these are
	// shared within the machine.
	return mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, "")
}

// mountSys shows the machine's own network devices in /sys, and the cgroups as
// they were.
func (s *Spec) mountSys() error {
	aside := filepath.Join(s.Dir, "cgroup")
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	if err := mount(cgroupRoot, aside, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return err
	}
	if err := mount("sysfs", "/sys", "sysfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return err
	}
	return mount(aside, cgroupRoot, "", syscall.MS_BIND|syscall.MS_REC, "")
}

func mount(from, to, kind string, flags uintptr, options string) error {
	if err := syscall.Mount(from, to, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s: %w", to, err)
	}
	return nil
}

func (s *Spec) setSysctls() error {
	for name, value := range s.Sysctls {
		if err := os.WriteFile(sysctl(name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("set sysctl: %w", err)
		}
	}
	for name, value := range s.Pretended {
		file := "/run/sysctl/" + name
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		err := mount(file, sysctl(name), "", syscall.MS_BIND, "")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func sysctl(name string) string {
	return "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
}

// proxy passes connections to a listener that was opened outside on to an
// address inside, which nothing outside can reach.
func proxy(file *os.File, to string) error {
	listener, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("listen for connections from outside: %w", err)
	}
	file.Close()
	go func() {
		for {
			outer, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(outer, to)
		}
	}()
	return nil
}

func forward(outer net.Conn, to string) {
	defer outer.Close()
	inner, err := net.DialTimeout("tcp", to, 10*time.Second)
	if err != nil {
		return
	}
	defer inner.Close()
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{outer, inner}, {inner, outer}} {
		both.Go(func() {
			// An error ends the direction as an end of file does.
			_, _ = io.Copy(pair[0], pair[1])
			if half, ok := pair[0].(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
}
