package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

// node is a node with two clients and a web server behind a bridge whose
// packets do not go through netfilter by themselves, and manifests that let
// one of the clients in.
type node struct {
	*lab.Lab
	ns        *lab.Namespace
	manifests string
	flows     []lab.Flow
}

func newNode(t testing.TB) node {
	t.Helper()
	theImage(t) // first: without root there is no lab either
	given := []*corev1.Pod{
		enforced.Pod("shop", "web", "10.1.0.2", "fd01::2"),
		enforced.Pod("shop", "front", "10.1.0.3", "fd01::3"),
		enforced.Pod("shop", "bad", "10.1.0.4", "fd01::4"),
	}
	spec, pods, err := lab.SpecFromObjects(given, lab.Placement{Topology: lab.Bridge})
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Build(context.WithoutCancel(t.Context()), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	n := node{Lab: l, ns: l.Node(spec.Nodes[0].Name), manifests: t.TempDir()}
	for _, key := range []string{"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"} {
		if err := n.ns.Sysctl(key, "0"); err != nil {
			t.Fatal(err)
		}
	}
	policy := enforced.DenyIngress("shop", "web", networkingv1.NetworkPolicyIngressRule{
		From: []networkingv1.NetworkPolicyPeer{enforced.PeerApp("front")},
	})
	n.writeManifests(t, pods, policy)
	for _, src := range []int{1, 2} {
		for family := range 2 {
			n.flows = append(n.flows, lab.Flow{Src: spec.Pods[src].Addrs[family], Dst: spec.Pods[0].Addrs[family], Protocol: lab.TCP, Port: 80})
		}
	}
	return n
}

func (n node) writeManifests(t testing.TB, pods []*corev1.Pod, policy any) {
	t.Helper()
	var docs []string
	for _, p := range pods {
		p.APIVersion, p.Kind = "v1", "Pod"
		docs = append(docs, marshal(t, p))
	}
	docs = append(docs, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"+marshal(t, policy))
	if err := os.WriteFile(filepath.Join(n.manifests, "shop.yaml"), []byte(strings.Join(docs, "---\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

func marshal(t testing.TB, object any) string {
	t.Helper()
	data, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// container is one with the manifest's arguments on this node.
func (n node) container(t testing.TB, args ...string) container {
	t.Helper()
	return container{
		Root: theImage(t).root, Netns: n.ns.Path(), Manifests: n.manifests,
		Args: append([]string{"/usr/bin/sluice"}, args...),
		Env:  []string{"PATH=/usr/sbin:/usr/bin", "NODE_NAME=" + n.ns.Name[len("node/"):]},
	}
}

// agent is an agent that runs in a container.
type agent struct {
	node  node
	ended chan struct{}
	log   *syncBuffer
}

// start runs the agent with the arguments of sluice.yaml, but for where it
// reads its objects from, and for metrics: no API server says here who may read
// them. It ends with the test.
func (n node) start(t testing.TB, change func(*container)) agent {
	t.Helper()
	main := agentPod(t).Containers[0]
	c := n.container(t, append(slices.Clone(main.Args), "--manifests=/run", "--metrics-address=")...)
	c.Caps = capsOf(main)
	if change != nil {
		change(&c)
	}
	a := agent{n, make(chan struct{}), &syncBuffer{}}
	cmd := c.command(t)
	cmd.Stdout, cmd.Stderr = a.log, a.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(a.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-a.ended:
		case <-time.After(5 * time.Second): // the manifest's grace
			t.Error("the agent did not end when told to")
			_ = cmd.Process.Kill()
			<-a.ended
		}
	})
	return a
}

// ready waits until the agent says that it is ready, and returns why not if it
// does not within some seconds.
func (a agent) ready(within time.Duration) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: a.dial}}
	var last error
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		select {
		case <-a.ended:
			return fmt.Errorf("it ended: %s", a.log)
		default:
		}
		resp, err := client.Get("http://127.0.0.1:9470/readyz")
		if err != nil {
			last = err
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("/readyz: %s", bytes.TrimSpace(body))
	}
	return last
}

func (a agent) dial(_ context.Context, network, address string) (conn net.Conn, err error) {
	err = a.node.ns.Do(func() error {
		conn, err = net.DialTimeout(network, address, time.Second)
		return err
	})
	return conn, err
}

func (n node) expect(t *testing.T, want ...bool) {
	t.Helper()
	got, err := n.Probe(t.Context(), n.flows)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range n.flows {
		if got[i] != want[i] {
			t.Errorf("%s: reached %v, want %v", f, got[i], want[i])
		}
	}
}

func TestAgentEnforcesWithWhatTheManifestGivesIt(t *testing.T) {
	n := newNode(t)
	n.expect(t, true, true, true, true)
	a := n.start(t, nil)
	if err := a.ready(30 * time.Second); err != nil {
		t.Fatalf("not ready: %v\n%s", err, a.log)
	}
	n.expect(t, true, true, false, false)
	// Guards tell that it could look at the Pods' ends of their veths.
	guards, web := n.nft(t, "", "list", "table", "bridge", "sluice"), n.Pod(types.NamespacedName{Namespace: "shop", Name: "web"})
	if mac := web.MAC.String(); !strings.Contains(guards, mac) {
		t.Errorf("no guard for %s:\n%s", mac, guards)
	}
	if log := a.log.String(); strings.Contains(log, "operation not permitted") || strings.Contains(log, "permission denied") {
		t.Errorf("it lacks something:\n%s", log)
	}
}

// Each capability of the manifest is needed, and so is root.
func TestAgentNeedsEachCapability(t *testing.T) {
	n := newNode(t)
	given := capsOf(agentPod(t).Containers[0])
	for _, without := range given {
		a := n.start(t, func(c *container) {
			c.Caps = slices.DeleteFunc(slices.Clone(given), func(s string) bool { return s == without })
		})
		err := a.ready(5 * time.Second)
		if err == nil {
			t.Errorf("it is ready without %s", without)
		}
		t.Logf("without %s: %v", without, err)
	}
	a := n.start(t, func(c *container) { c.User = 65532 })
	err := a.ready(5 * time.Second)
	if err == nil {
		t.Error("it is ready without root, to whom alone Kubernetes gives capabilities: let the manifest say runAsNonRoot")
	}
	t.Logf("without root: %v", err)
}

func TestCleanupRemovesWhatTheAgentLeft(t *testing.T) {
	n := newNode(t)
	t.Run("agent", func(t *testing.T) {
		a := n.start(t, nil)
		if err := a.ready(30 * time.Second); err != nil {
			t.Fatalf("not ready: %v\n%s", err, a.log)
		}
	})
	// The agent has ended, its rules have not.
	n.expect(t, true, true, false, false)
	c := n.container(t, containers(t)["cleanup.yaml cleanup"].Args...)
	c.Caps = capsOf(containers(t)["cleanup.yaml cleanup"])
	if out, err := c.command(t).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.expect(t, true, true, true, true)
}

// nft runs the image's.
func (n node) nft(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	c := n.container(t)
	c.Args, c.Caps = append([]string{"/usr/sbin/nft"}, args...), []string{"NET_ADMIN"}
	cmd := c.command(t)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft %v: %v: %s", args, err, out)
	}
	return string(out)
}

func TestNftOfTheImageIsWhole(t *testing.T) {
	n := newNode(t)
	rulesets, err := filepath.Glob("../compiler/testdata/*.nft")
	if err != nil || len(rulesets) == 0 {
		t.Fatal("no rulesets", err)
	}
	for _, file := range rulesets {
		if filepath.Base(file) == "guards.nft" {
			continue // these need the veths that they are for
		}
		rules, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n.nft(t, string(rules), "-f", "-")
		listed := n.nft(t, "", "list", "ruleset")
		n.nft(t, "flush ruleset", "-f", "-")
		// What it says of the rules it can read again, to the same effect:
		// names of protocols and the like come from nowhere else.
		n.nft(t, listed, "-f", "-")
		if diff := cmp.Diff(listed, n.nft(t, "", "list", "ruleset")); diff != "" {
			t.Errorf("%s (-first +second):\n%s", file, diff)
		}
		n.nft(t, "flush ruleset", "-f", "-")
	}
}

// syncBuffer is a buffer that a process writes to while a test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
