//go:build linux && !nolab

package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// The tests of this file send real packets. They need root and nft, and fail
// without.

const kernelFlows = `{"src":"shop/api","dst":"shop/db","port":5432,"expected":true}
{"src":"shop/frontend","dst":"shop/db","port":"postgres","expected":false}
{"src":"shop/frontend","dst":"shop/api","port":8080,"expected":true}
{"src":"shop/frontend","dst":"shop/api","port":8081,"expected":false}
{"src":"guests/stranger","dst":"shop/frontend","port":80,"expected":true}
{"src":"guests/stranger","dst":"shop/frontend","proto":"ICMP","expected":false}
{"src":"guests/stranger","dst":"kube-system/dns","proto":"ICMP","expected":true}
{"src":"guests/stranger","dst":"shop/api","port":8080,"expected":false}
{"src":"shop/frontend","dst":"kube-system/dns","proto":"UDP","port":"dns","expected":true}
{"src":"shop/frontend","dst":"kube-system/dns","proto":"UDP","port":54,"expected":false}
{"src":"shop/frontend","dst":"kube-system/dns","proto":"SCTP","port":53,"expected":false}
{"src":"guests/stranger","dst":"kube-system/dns","proto":"SCTP","port":53,"expected":true}
{"src":"guests/stranger","dst":"kube-system/dns","proto":47,"expected":true}
{"src":"shop/api","dst":"203.0.113.80","port":443,"expected":true}
{"src":"shop/api","dst":"10.9.9.9","port":443,"expected":false}
{"src":"203.0.113.80","dst":"shop/frontend","port":80,"expected":true}
{"src":"203.0.113.80","dst":"shop/db","port":5432,"expected":false}
{"src":"192.168.77.2","dst":"shop/db","port":5432,"expected":true}
{"src":"192.168.77.1","dst":"shop/db","port":5432,"expected":false}
{"src":"shop/db","dst":"shop/db","port":5432,"expected":true}
`

const notForKernels = `{"src":"203.0.113.80","dst":"203.0.113.81","port":80}
{"src":"shop/api","dst":"224.0.0.251","proto":"UDP","port":5353}
{"src":"shop/api","dst":"127.0.0.1","port":80}
{"src":"shop/api","dst":"shop/db","proto":"ICMPv6"}
`

func TestVerifyInKernel(t *testing.T) {
	flows := write(t, "flows.jsonl", kernelFlows+notForKernels)
	for _, topology := range []string{"bridge", "ptp", "two-node"} {
		t.Run(topology, func(t *testing.T) {
			got := sluice(t, "", "verify", "-f", "shop", "--flows", flows, "--in-kernel", "--topology", topology, "-o", "json")
			if got.code != exitOK {
				t.Fatalf("exit code %d\n%s%s", got.code, got.err, got.out)
			}
			sent, unsent := 0, 0
			for line := range strings.Lines(got.out) {
				var a struct {
					Allowed bool   `json:"allowed"`
					Kernel  *bool  `json:"kernel"`
					Notice  string `json:"notice"`
				}
				if err := json.Unmarshal([]byte(line), &a); err != nil {
					t.Fatal(err)
				}
				switch {
				case a.Kernel == nil && strings.Contains(a.Notice, "kernel: "):
					unsent++
				case a.Kernel != nil && *a.Kernel == a.Allowed:
					sent++
				default:
					t.Errorf("paper and kernel differ, or no reason: %s", line)
				}
			}
			if want := strings.Count(kernelFlows, "\n"); sent != want {
				t.Errorf("%d flows were sent, want %d", sent, want)
			}
			if want := strings.Count(notForKernels, "\n"); unsent != want {
				t.Errorf("%d flows were not sent, want %d", unsent, want)
			}
		})
	}
}

// Both families, Pods without nodes and without status.hostIP, as users write
// them.
func TestVerifyInKernelDualStack(t *testing.T) {
	var m strings.Builder
	for i, name := range []string{"a", "b", "c"} {
		fmt.Fprintf(&m, `apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: %s}}
spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: %d}]}]}
status: {podIP: 10.0.0.%d, podIPs: [{ip: 10.0.0.%d}, {ip: "fd00::%d"}]}
---
`, name, name, 8080+i, i+1, i+1, i+1)
	}
	m.WriteString(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b}
spec:
  podSelector: {matchLabels: {app: b}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: a}}}, {ipBlock: {cidr: "2001:db8::/32", except: ["2001:db8:bad::/48"]}}]
    ports: [{port: http}]
`)
	flows := `{"src":"a","dst":"b","port":8081,"expected":true}
{"src":"fd00::1","dst":"fd00::2","port":"http","expected":true}
{"src":"c","dst":"b","port":8081,"expected":false}
{"src":"fd00::3","dst":"fd00::2","port":8081,"expected":false}
{"src":"fd00::3","dst":"fd00::1","proto":"ICMPv6","expected":true}
{"src":"2001:db8::9","dst":"fd00::2","port":8081,"expected":true}
{"src":"2001:db8:bad::9","dst":"fd00::2","port":8081,"expected":false}
`
	for _, topology := range []string{"bridge", "ptp", "two-node"} {
		t.Run(topology, func(t *testing.T) {
			got := sluice(t, flows, "verify", "-f", write(t, "m.yaml", m.String()), "--in-kernel", "--topology", topology)
			if got.code != exitOK || strings.Count(got.out, "as expected") != strings.Count(flows, "\n") {
				t.Errorf("exit code %d\n%s%s", got.code, got.err, got.out)
			}
		})
	}
}

// A kernel that does not do what the paper says is a mismatch.
func TestKernelMismatch(t *testing.T) {
	no := false
	a := answer{kernel: &no, Answer: question.Answer{Outcomes: []question.Outcome{{Verdict: policy.Verdict{Allowed: true}}}}}
	if got := a.mismatch(); got != "allowed on paper, denied in the kernel" {
		t.Errorf("got %q", got)
	}
}

func TestDemo(t *testing.T) {
	got := sluice(t, "", "demo")
	if got.code != exitOK {
		t.Fatalf("exit code %d\n%s%s", got.code, got.err, got.out)
	}
	for _, want := range []string{
		"No policy", "all as the policies say", "cut, the last byte came back", "alive on the same connection",
		"DENIED  guests/stranger → shop/db:5432/TCP", "shop/db-from-api", "implicit default deny",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the demonstration lacks %q:\n%s", want, got.out)
		}
	}
}

// With --keep the directory is the cluster.
func TestDemoKeep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errOut syncBuffer
	done := make(chan int)
	go func() {
		done <- Main(ctx, []string{"demo", "--keep"}, IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut})
	}()
	eventually(t, time.Minute, "the invitation", func() bool { return strings.Contains(out.String(), "sluice explain shop/frontend") })
	var dir, try string
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "sluice-demo-") && strings.HasPrefix(line, "/") {
			dir = line
		}
		if strings.Contains(line, "/dev/tcp/") {
			try = line
		}
	}
	connect := func() string {
		text, _ := exec.CommandContext(ctx, "bash", "-c", try).CombinedOutput()
		return strings.TrimSpace(string(text))
	}
	if got := connect(); !strings.HasSuffix(got, "denied") {
		t.Errorf("%s: %s", try, got)
	}
	for _, file := range []string{"30-default-deny.yaml", "31-dns.yaml", "32-frontend.yaml", "20-db-from-api.yaml"} {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 30*time.Second, "the edited manifests to be in force", func() bool { return strings.HasSuffix(connect(), "reached") })
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, errOut.String())
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind", dir)
	}
}

// The agent as it is installed: a process in a node's network namespace. Its
// rules outlive it, until cleanup.
func TestAgentAndCleanup(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sluice")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(file, []byte(twoPods), 0o600); err != nil {
		t.Fatal(err)
	}
	var loader manifest.Loader
	loader.Add(file, []byte(twoPods))
	set, _ := loader.Finish()
	spec, _, err := lab.SpecFromObjects(set.Pods, lab.Placement{Topology: lab.PTP})
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Build(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	node := l.Node(spec.Nodes[0].Name)
	onNode := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command(binary, args...)
		output := &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = output, output
		if err := node.Do(cmd.Start); err != nil {
			t.Fatal(err)
		}
		return cmd, output
	}
	flow := []lab.Flow{{Src: podIP(t, set, 0), Dst: podIP(t, set, 1), Protocol: lab.TCP, Port: 8080}}
	reaches := func() bool {
		got, err := l.Probe(t.Context(), flow)
		if err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	if !reaches() {
		t.Fatal("the lab is broken: nothing forbids the flow")
	}

	agent, logs := onNode("agent", "--manifests", dir, "--metrics-address", "", "--guard-opt-out")
	defer agent.Process.Kill()
	unguarded := strings.Replace(policyB(""), "{name: a}", "{name: a, annotations: {"+policy.GuardAnnotation+`: "off"}}`, 1)
	if err := os.WriteFile(file, []byte(unguarded), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the policy to be in force", func() bool { return !reaches() })
	nft := exec.Command("nft", "list", "table", "netdev", "sluice")
	var guards bytes.Buffer
	nft.Stdout = &guards
	if err := node.Do(nft.Run); err != nil || strings.Count(guards.String(), "hook ingress") != 1 {
		t.Errorf("%v, and guards other than the one of b:\n%s", err, &guards)
	}
	early, said := onNode("cleanup")
	if err := early.Wait(); early.ProcessState.ExitCode() != exitFailed || !strings.Contains(said.String(), fmt.Sprintf("process %d (uid 0)", agent.Process.Pid)) {
		t.Errorf("cleanup beside a running agent: %v\n%s", err, said)
	}
	if reaches() {
		t.Error("the rules of a running agent went")
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent ended with %v\n%s", err, logs)
	}
	if reaches() {
		t.Error("the rules went with the agent")
	}
	cleanup, said := onNode("cleanup")
	if err := cleanup.Wait(); err != nil {
		t.Errorf("cleanup: %v\n%s", err, said)
	}
	if !reaches() {
		t.Error("cleanup left rules behind")
	}
}

func podIP(t *testing.T, set manifest.Set, i int) netip.Addr {
	t.Helper()
	addr, err := netip.ParseAddr(set.Pods[i].Status.PodIP)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// eventually polls until something is so.
func eventually(t *testing.T, limit time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("waited %v for %s", limit, what)
}

// syncBuffer is a buffer that may be read while a command writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
