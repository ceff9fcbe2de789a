package enforcer

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Netns runs functions on a thread inside a network namespace. All that the
// enforcer does to the kernel goes through one: nft is started from such a
// thread and inherits its namespace, sockets stay in the namespace they were
// opened in, and /proc/sys/net shows the namespace of the thread that opens it.
//
// nil stands for the namespace of the process.
type Netns interface {
	Do(f func() error) error
}

// NetnsPath is the namespace that a file stands for, such as one in
// /run/netns or a process's /proc/PID/ns/net.
type NetnsPath string

// Do runs f in the namespace. It returns f's error, or why the namespace could
// not be entered.
func (p NetnsPath) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so that no other
		// goroutine ever finds itself in the wrong namespace.
		runtime.LockOSThread()
		done <- p.enter(f)
	}()
	return <-done
}

func (p NetnsPath) enter(f func() error) error {
	file, err := os.Open(string(p))
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", string(p), err)
	}
	return f()
}

// ownNetns is the namespace that the process was started in.
type ownNetns struct{}

func (ownNetns) Do(f func() error) error { return f() }

func orOwn(ns Netns) Netns {
	if ns == nil {
		return ownNetns{}
	}
	return ns
}
