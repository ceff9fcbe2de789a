// Package netns runs a function inside a network namespace.
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace runs functions on a thread inside a network namespace. All that the
// enforcer does to the kernel goes through one: nft is started from such a
// thread and inherits its namespace, sockets stay in the namespace they were
// opened in, and /proc/sys/net shows the namespace of the thread that opens it.
//
// nil stands for the namespace of the process.
type Namespace interface {
	Do(f func() error) error
}

// Path is the namespace that a file stands for, such as one in
// /run/netns or a process's /proc/PID/ns/net.
type Path string

// Do runs f in the namespace. It returns f's error, or why the namespace could
// not be entered.
func (p Path) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so that no other
		// goroutine ever finds itself in the wrong namespace.
		runtime.LockOSThread()
		done <- p.enter(f)
	}()
	return <-done
}

func (p Path) enter(f func() error) error {
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

// Own is the namespace that the process was started in.
type Own struct{}

// Do runs f, in the thread that it is called from.
func (Own) Do(f func() error) error { return f() }

// OrOwn is ns, or the process's own namespace for nil.
func OrOwn(ns Namespace) Namespace {
	if ns == nil {
		return Own{}
	}
	return ns
}
