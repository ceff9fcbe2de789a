package beyond

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeAgent is the agent's process on a node, for tests of an agent in trouble. On the
// local cluster a node has a process namespace of its own, so that nothing of the
// computer's is ever meant.
type nodeAgent struct {
	*world
	node, hostname string
}

// nodeAgent is the agent of one of cluster.nodes, or nil where no command runs on nodes.
func (w *world) nodeAgent(node int) *nodeAgent {
	w.t.Helper()
	if *machine == "" {
		return nil
	}
	return &nodeAgent{w, cluster.nodes[node], cluster.hostnames[node]}
}

// run runs a program on the node.
func (a *nodeAgent) run(in string, args ...string) (string, error) {
	command := append(strings.Fields(*machine), a.node)
	command = append(command, args...)
	// Also at a test's end, when its own context has ended.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s on %s: %w: %s", strings.Join(args, " "), a.node, err, problem.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// findAgent prints the processes that are called as the agent's program is. A process may
// end while it is looked at.
const findAgent = `for p in /proc/[0-9]*; do read -r name 2>/dev/null <"$p/comm" || continue; [ "$name" != sluice ] || echo "${p#/proc/}"; done`

var errNoAgent = errors.New("no agent runs")

// pid is the agent's process, in the node's own numbers.
func (a *nodeAgent) pid() (int, error) {
	out, err := a.run("", "sh", "-c", findAgent)
	if err != nil {
		return 0, err
	}
	pids := strings.Fields(out)
	switch len(pids) {
	case 0:
		return 0, errNoAgent
	case 1:
		return strconv.Atoi(pids[0])
	}
	return 0, fmt.Errorf("agents run as %v", pids)
}

// mustPID waits for an agent that is not one of before.
func (a *nodeAgent) mustPID(before int) (pid int) {
	a.t.Helper()
	a.await("an agent on "+a.node, func() (err error) {
		if pid, err = a.pid(); err == nil && pid == before {
			err = fmt.Errorf("it is still %d", before)
		}
		return err
	})
	return pid
}

// signal sends a signal to a process that pid has named.
func (a *nodeAgent) signal(signal string, pid int) error {
	_, err := a.run("", "kill", "-"+signal, strconv.Itoa(pid))
	return err
}

// stop has the agent's process do nothing until the test ends, or resume is called.
func (a *nodeAgent) stop() (resume func()) {
	a.t.Helper()
	pid := a.mustPID(0)
	a.must("stop the agent", a.signal("STOP", pid))
	resumed := false
	resume = func() {
		a.t.Helper()
		if !resumed {
			resumed = true
			if err := a.signal("CONT", pid); err != nil {
				a.t.Errorf("have the agent go on: %v", err)
			}
		}
	}
	a.t.Cleanup(resume)
	return resume
}

// deafTable drops what goes to and comes from the Service of the API server, by which the
// agent reaches it and nobody else on a node does: the kubelet and kube-proxy know its own
// address. In silence, as a network does that lost it.
const deafTable = `
table inet beyond_deaf {
	chain output { type filter hook output priority 0; ct original %[1]s daddr %[2]s counter drop; }
	chain input { type filter hook input priority 0; ct original %[1]s daddr %[2]s counter drop; }
}
`

// deafen has the agent hear nothing of the API until the test ends, or hear is called.
func (a *nodeAgent) deafen() (hear func()) {
	a.t.Helper()
	api, err := cluster.client.CoreV1().Services(metav1.NamespaceDefault).Get(a.ctx, "kubernetes", metav1.GetOptions{})
	a.must("find the API server", err)
	protocol := "ip"
	if netip.MustParseAddr(api.Spec.ClusterIP).Is6() {
		protocol = "ip6"
	}
	_, err = a.run(fmt.Sprintf(deafTable, protocol, api.Spec.ClusterIP), "nft", "-f", "-")
	a.must("make the agent deaf", err)
	heard := false
	hear = func() {
		a.t.Helper()
		if heard {
			return
		}
		heard = true
		if err := a.hear(); err != nil {
			a.t.Errorf("let the agent hear: %v", err)
		}
	}
	a.t.Cleanup(hear)
	return hear
}

// hear undoes deafen, and wants the agent to have been deaf.
func (a *nodeAgent) hear() error {
	rules, err := a.run("", "nft", "list", "table", "inet", "beyond_deaf")
	if err != nil {
		return err
	}
	if strings.Count(rules, "packets 0 bytes 0") == strings.Count(rules, "counter packets") {
		err = fmt.Errorf("the agent and the API server had nothing to say to each other:\n%s", rules)
	}
	_, deleted := a.run("", "nft", "delete", "table", "inet", "beyond_deaf")
	return errors.Join(err, deleted)
}

// away keeps the agents' DaemonSet off the node until the test ends, or back is called.
func (a *nodeAgent) away() (back func()) {
	a.t.Helper()
	// OnDelete: the other nodes' agents are left alone.
	restore := a.agents().change(fmt.Sprintf(
		`{"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}, "template": {"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": %q, "operator": "NotIn", "values": [%q]}]}]}}}}}}}`,
		corev1.LabelHostname, a.hostname))
	a.await("the end of the agent on "+a.node, func() error {
		switch _, err := a.pid(); {
		case errors.Is(err, errNoAgent):
			return nil
		case err != nil:
			return err
		}
		return errors.New("it runs")
	})
	return restore
}

// inTurns does something again and again until end is called, which says how often.
func inTurns(t *testing.T, turn func() error) (end func() int) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan struct{})
	turns := 0
	var problem error
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if problem = turn(); problem != nil {
				return
			}
			turns++
		}
	}()
	done := false
	end = func() int {
		t.Helper()
		if !done {
			done = true
			close(stop)
			<-ended
			if problem != nil {
				t.Errorf("after %d turns: %v", turns, problem)
			}
		}
		return turns
	}
	t.Cleanup(func() { end() })
	return end
}
