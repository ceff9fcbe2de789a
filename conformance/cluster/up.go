package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// patience is for a busy computer: on an idle one all is there in ten seconds.
const patience = 5 * time.Minute

// up makes sure that a cluster with these options is up. One that is up already
// stays; one that came up only in part, or lost a machine, is made anew.
func up(ctx context.Context, o Options, b *builder, out io.Writer) error {
	programs, err := b.build(o.programs())
	if err != nil {
		return err
	}
	if err := b.buildImages(programs); err != nil {
		return err
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()

	began := time.Now()
	old, err := load()
	if err != nil {
		return err
	}
	if old != nil && old.whole() {
		if old.Options != o {
			return fmt.Errorf("a cluster is up already, as %s with %d nodes: make cluster-down first", &old.Options, old.Options.Nodes)
		}
		if old.Programs != programs {
			fmt.Fprintln(out, "the cluster that is up was started from other versions; make cluster-down first if it matters")
		}
		return old.greet(out, 0)
	}
	if old != nil {
		fmt.Fprintln(out, "a cluster is there in part: removing it")
		if err := old.remove(); err != nil {
			return err
		}
	}
	dir, err := stateDir()
	if err != nil {
		return err
	}
	c := &Cluster{Options: o, Programs: programs, dir: dir}
	if err := c.make(ctx); err != nil {
		return fmt.Errorf("%w\nwhat its programs said is in %s; make cluster-down removes what there is", err, filepath.Join(dir, "*", "log"))
	}
	return c.greet(out, time.Since(began))
}

func (c *Cluster) whole() bool {
	if !c.Complete {
		return false
	}
	for _, m := range c.Machines {
		if !m.alive() {
			return false
		}
	}
	return true
}

func (c *Cluster) make(ctx context.Context) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	if err := c.save(); err != nil {
		return err
	}
	// The listener is opened here, in the computer's own network namespace, and
	// served by the control plane, whose addresses exist only inside: so kubectl
	// works from anywhere on this computer, and nowhere else.
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		return err
	}
	defer listener.Close()
	inherited, err := listener.File()
	if err != nil {
		return err
	}
	defer inherited.Close()
	specs, err := c.prepare("https://" + listener.Addr().String())
	if err != nil {
		return err
	}
	if err := c.bootAll(specs, inherited); err != nil {
		return err
	}
	if err := c.waitForAPI(ctx); err != nil {
		return err
	}
	if err := c.waitForNodes(ctx); err != nil {
		return err
	}
	c.Complete = true
	return c.save()
}

// prepare writes every machine's files. The control plane is the first one.
func (c *Cluster) prepare(server string) ([]Spec, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	admin, err := ca.user("admin", "system:masters")
	if err != nil {
		return nil, err
	}
	if err := (files{"kubeconfig": ca.kubeconfig(server, admin)}).write(c.dir); err != nil {
		return nil, err
	}
	contents, err := c.controlPlaneFiles(ca)
	if err != nil {
		return nil, err
	}
	specs := []Spec{{
		Name:     controlPlaneName,
		Sysctls:  map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"},
		Services: c.controlPlaneServices(),
		Proxy:    c.Options.apiServer().String(),
	}}
	if err := contents.write(c.machineDir(controlPlaneName)); err != nil {
		return nil, err
	}
	for number := 1; number <= c.Options.Nodes; number++ {
		name := nodeName(number)
		contents, err := c.nodeFiles(ca, number)
		if err != nil {
			return nil, err
		}
		if err := contents.write(c.machineDir(name)); err != nil {
			return nil, err
		}
		if err := makeCgroups(c.cgroup(), name); err != nil {
			return nil, err
		}
		specs = append(specs, Spec{
			Name: name, Sysctls: c.nodeSysctls(), Pretended: pretendedSysctls, Services: c.nodeServices(number),
			Flannel: c.Options.flannel(),
		})
	}
	for i := range specs {
		specs[i].Dir, specs[i].Programs = c.machineDir(specs[i].Name), c.Programs
	}
	return specs, nil
}

// bootAll boots the machines, connects them, and sets them to work.
func (c *Cluster) bootAll(specs []Spec, inherited *os.File) error {
	starts := make([]*os.File, len(specs))
	defer func() {
		for _, start := range starts {
			if start != nil {
				start.Close()
			}
		}
	}()
	for i := range specs {
		machine, start, err := boot(specs[i].Name, specs[i].Dir, inherited)
		if err != nil {
			return err
		}
		inherited, starts[i] = nil, start
		c.Machines = append(c.Machines, machine)
		if err := c.save(); err != nil {
			return err
		}
	}
	if err := c.connect(&c.Machines[0], c.Machines[1:]); err != nil {
		return err
	}
	for i := range specs {
		if err := specs[i].start(starts[i]); err != nil {
			return err
		}
		starts[i] = nil
	}
	return nil
}

func (c *Cluster) waitForAPI(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	objects := c.nodeObjects()
	if c.Options.flannel() {
		objects = append(objects, flannelObjects()...)
	}
	first, err := json.Marshal(object{"apiVersion": "v1", "kind": "List", "items": objects})
	if err != nil {
		return err
	}
	return c.poll(ctx, "the API server", func() error {
		// Creating the nodes is the first thing that has to work. Right after
		// the start it may not yet, though the server says that it is ready.
		if _, err := c.kubectl(ctx, nil, "get", "--raw=/readyz"); err != nil {
			return err
		}
		_, err := c.kubectl(ctx, first, "apply", "--filename=-")
		return err
	})
}

// waitForNodes waits for the nodes, and for what every Pod needs besides: the
// default service account.
func (c *Cluster) waitForNodes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.poll(ctx, "the default service account", func() error {
		_, err := c.kubectl(ctx, nil, "get", "serviceaccount", "default")
		return err
	}); err != nil {
		return err
	}
	_, err := c.kubectl(ctx, nil, "wait", "--for=condition=Ready", "node", "--all", fmt.Sprintf("--timeout=%s", patience))
	return err
}

// poll tries until it works, a machine has stopped, or the time is over.
func (c *Cluster) poll(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		for _, m := range c.Machines {
			if !m.alive() {
				return fmt.Errorf("wait for %s: %s stopped: %s", what, m.Name, lastLine(filepath.Join(c.machineDir(m.Name), "log", "machine.log")))
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// kubectl runs kubectl as the administrator and returns what it prints.
func (c *Cluster) kubectl(ctx context.Context, in []byte, args ...string) (string, error) {
	return kubectl(ctx, c.program("kubectl"), c.kubeconfig(), in, args...)
}

func kubectl(ctx context.Context, program, kubeconfig string, in []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, append([]string{"--kubeconfig=" + kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, exit.Stderr)
	}
	return string(out), err
}

func lastLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lines[len(lines)-1]
}

// greet says what there is now and what to do with it.
func (c *Cluster) greet(out io.Writer, took time.Duration) error {
	version := strings.SplitN(filepath.Base(c.Programs), "-", 2)[0]
	fmt.Fprintf(out, "Kubernetes %s, a control plane and %d nodes: CNI %s, kube-proxy %s, %s", version, c.Options.Nodes, c.Options.attachment(), c.Options.Proxy, c.Options.IP)
	if took > 0 {
		fmt.Fprintf(out, "; ready after %.0f s", took.Seconds())
	}
	fmt.Fprintf(out, `

  export KUBECONFIG=%s PATH="%s:$PATH"
  kubectl get nodes

No policy is enforced yet. Next:

  %s
`, c.kubeconfig(), c.Programs, nextCommand)
	return nil
}
