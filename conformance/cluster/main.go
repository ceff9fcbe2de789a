// Command sluice-cluster makes a Kubernetes cluster on one Linux computer,
// without Docker or a registry, and runs the upstream NetworkPolicy tests
// against it or any other cluster. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
)

const usage = `usage: sluice-cluster COMMAND

  up [-nodes N] [-cni bridge|ptp|flannel] [-proxy nftables|iptables] [-ip ipv4|ipv6|dual]
     [-flannel vxlan|host-gw]
  build                     what up with these flags, and conformance, would build
  down
  status
  load FILE…                put images, in OCI or Docker archives, on every node
  kubectl ARGUMENT…         as the cluster's administrator
  exec MACHINE COMMAND…     on node1, node2, … or control-plane
  conformance               run the upstream Netpol suite; see -help
  table DIRECTORY           results of several runs side by side, in Markdown
`

func main() {
	err := interruptible(os.Args[1:], os.Stdout)
	var other exitStatus
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.As(err, &other):
		os.Exit(int(other))
	default:
		fmt.Fprintln(os.Stderr, "sluice-cluster:", err)
		os.Exit(1)
	}
}

func interruptible(args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, out)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(out, usage)
		return flag.ErrHelp
	}
	command, args := args[0], args[1:]
	b := &builder{out: out}
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	switch command {
	case "up":
		o, err := parseOptions(flags, b, args)
		if err != nil {
			return err
		}
		return up(ctx, o, b, out)
	case "build":
		o, err := parseOptions(flags, b, args)
		if err != nil {
			return err
		}
		_, err = b.build(slices.Concat(o.programs(), suitePrograms))
		return err
	case "down":
		return down(out)
	case "status":
		return status(ctx, out)
	case "load":
		return loadImages(args, out)
	case "kubectl":
		c, err := running()
		if err != nil {
			return err
		}
		return interactive(exec.CommandContext(ctx, c.program("kubectl"), append([]string{"--kubeconfig=" + c.kubeconfig()}, args...)...))
	case "exec":
		return onMachine(args)
	case "conformance":
		var s suite
		s.addFlags(flags)
		flags.StringVar(&b.source, "source", "conformance/cluster", "`directory` of this program's module")
		if err := flags.Parse(args); err != nil {
			return err
		}
		s.about.settle()
		return s.run(ctx, b, out)
	case "table":
		if len(args) != 1 {
			return errors.New("table wants the directory that holds the results")
		}
		return tableOf(args[0], out)
	case "machine":
		return runMachine(os.Stdin, os.Stdout)
	}
	return fmt.Errorf("%q is no command\n%s", command, usage)
}

// parseOptions reads which cluster is meant, and where its programs' sources are.
func parseOptions(flags *flag.FlagSet, b *builder, args []string) (o Options, err error) {
	o.addFlags(flags)
	flags.StringVar(&b.source, "source", "conformance/cluster", "`directory` of this program's module")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.settle()
	return o, o.validate()
}

// loadImages imports archives into every node's containerd.
func loadImages(paths []string, out io.Writer) error {
	c, err := running()
	if err != nil {
		return err
	}
	for _, path := range paths {
		for _, m := range c.Machines {
			if m.Name == controlPlaneName {
				continue
			}
			archive, err := os.Open(path)
			if err != nil {
				return err
			}
			cmd := m.command("ctr", "--namespace=k8s.io", "images", "import", "-")
			cmd.Stdin = archive
			output, err := cmd.CombinedOutput()
			archive.Close()
			if err != nil {
				return fmt.Errorf("load %s on %s: %w: %s", path, m.Name, err, output)
			}
		}
		fmt.Fprintf(out, "loaded %s\n", path)
	}
	return nil
}

func onMachine(args []string) error {
	if len(args) < 2 {
		return errors.New("exec wants a machine and a command")
	}
	c, err := running()
	if err != nil {
		return err
	}
	for _, m := range c.Machines {
		if m.Name == args[0] {
			return interactive(m.command(args[1:]...))
		}
	}
	return fmt.Errorf("there is no machine %s", args[0])
}

// exitStatus is of a command that has said itself what is wrong.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func interactive(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exitStatus(exit.ExitCode())
	}
	return err
}
