package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/scale"
)

// node is a network namespace without a way out, but for one: a port of its
// loopback that leads to the API server and counts what passes.
type node struct {
	// jobs run on a thread that is in the namespace. The namespace has no name
	// and lives as long as that thread and what it started.
	jobs chan func()
	// port is where the API server answers.
	port string
	// received counts bytes from the API server: TLS records, without the
	// headers of TCP and IP.
	received atomic.Int64
}

func newNode(server string) (*node, error) {
	n := &node{jobs: make(chan func())}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		entered <- unix.Unshare(unix.CLONE_NEWNET)
		for job := range n.jobs {
			job()
		}
	}()
	if err := <-entered; err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	err := n.do(func() error {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		if _, n.port, err = net.SplitHostPort(listener.Addr().String()); err != nil {
			return err
		}
		go n.forward(listener, server)
		return nil
	})
	return n, err
}

func (n *node) do(f func() error) error {
	done := make(chan error)
	n.jobs <- func() { done <- f() }
	return <-done
}

func (n *node) forward(listener net.Listener, server string) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", server)
		if err != nil {
			_ = near.Close()
			continue
		}
		go func() {
			_, _ = io.Copy(far, near)
			_ = far.Close()
		}()
		go func() {
			_, _ = io.Copy(io.MultiWriter(near, counter{&n.received}), far)
			_ = near.Close()
		}()
	}
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// agent is the program under measurement.
type agent struct {
	node *node
	cmd  *exec.Cmd
	http http.Client
}

const metricsAddress = "127.0.0.1:9470"

func (n *node) startAgent(sluice, dir string) (*agent, error) {
	kubeconfig := filepath.Join(dir, "agent.kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: footprint
contexts: [{name: footprint, context: {cluster: footprint, user: admin}}]
clusters: [{name: footprint, cluster: {server: "https://127.0.0.1:%s", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: %s}}]
`, n.port, token)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "agent.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	a := &agent{node: n, cmd: exec.Command(sluice, "agent", "--kubeconfig="+kubeconfig, "--node-name="+scale.Node, "--metrics-address="+metricsAddress)}
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// A compressed answer would cost the agent a megabyte each time.
	a.http.Transport = &http.Transport{DisableCompression: true, DialContext: func(context.Context, string, string) (conn net.Conn, err error) {
		err = n.do(func() error {
			conn, err = net.Dial("tcp", metricsAddress)
			return err
		})
		return conn, err
	}}
	return a, n.do(a.cmd.Start)
}

func (a *agent) stop() {
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	_ = a.cmd.Wait()
}

// metric reads one without labels.
func (a *agent) metric(name string) (float64, error) {
	response, err := a.http.Get("http://" + metricsAddress + "/metrics")
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("the agent has no metric %s", name)
}

// enforcing waits until the agent has replaced the kernel's rules for the
// first time: it had read everything by then.
func (a *agent) enforcing(ctx context.Context) error {
	for ctx.Err() == nil {
		if n, err := a.metric("sluice_full_replacements_total"); err == nil && n > 0 {
			return nil
		}
		if err := syscall.Kill(a.cmd.Process.Pid, 0); err != nil {
			return errors.New("the agent has ended")
		}
		time.Sleep(200 * time.Millisecond)
	}
	return ctx.Err()
}

// memory reads what the kernel counts for the process alone: resident now, at
// at most, in bytes.
func (a *agent) memory() (resident, peak, program int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		return 0, 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		switch {
		case err != nil:
		case name == "VmRSS":
			resident = kB << 10
		case name == "VmHWM":
			peak = kB << 10
		case name == "RssFile":
			program = kB << 10
		}
	}
	if resident == 0 || peak == 0 {
		return 0, 0, 0, errors.New("the kernel says nothing of the agent's memory")
	}
	return resident, peak, program, nil
}
