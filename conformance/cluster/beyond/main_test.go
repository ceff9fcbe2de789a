package beyond

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

var (
	image   = flag.String("image", "localhost/e2e-test-images/agnhost:2.63.0", "agnhost's `image`")
	agent   = flag.String("agent", "sluice-system/sluice", "the `DaemonSet` that is rolled")
	next    = flag.String("next", "", "`image` of another version that the nodes have, for the DaemonSet to be rolled to; without it, it is restarted")
	kubectl = flag.String("kubectl", "kubectl", "`program` to call sluice as its plugin")
	command = flag.String("sluice", "", "the `program` sluice; without it, one is built of this tree")
	// A client that is neither a Pod nor on a node. Without one, a node stands
	// in for it where that makes no difference, and the rest cannot be seen.
	outside = flag.String("outside", "", "`command` that runs its arguments outside of the nodes, as \"sluice-cluster exec control-plane\"")
	// Tests of an agent in trouble reach for its process.
	machine = flag.String("machine", "", "`command` that runs the arguments after a node's name on that node, as \"sluice-cluster exec\"")
	nri     = flag.Bool("nri", false, "have the agents hear of sandboxes from the container runtime, by deploy/nri.yaml, in the tests of Pods that start")
)

// cluster is the one that the tests run on.
var cluster struct {
	config    *rest.Config
	client    *kubernetes.Clientset
	nodes     [2]string // that Pods are put on
	hostnames [2]string // what the scheduler knows them by
	prober    string    // path of the program
	sluice    string    // likewise
}

func TestMain(m *testing.M) {
	flag.Parse()
	// client-go complains of every connection that ends because a test does.
	klog.SetLogger(klog.Logger{})
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "sluice-beyond-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := find(dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func find(dir string) error {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	cluster.config, cluster.client = config, client
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var architecture string
	n := 0
	for _, node := range list.Items {
		if n < len(cluster.nodes) && usable(&node) {
			cluster.nodes[n], cluster.hostnames[n] = node.Name, node.Labels[corev1.LabelHostname]
			architecture = node.Status.NodeInfo.Architecture
			n++
		}
	}
	if n < len(cluster.nodes) {
		return errors.New("the tests want two nodes that Pods can be put on")
	}
	cluster.prober, cluster.sluice = filepath.Join(dir, "prober"), filepath.Join(dir, "sluice")
	sluice := func() error { return build(cluster.sluice, "../../..", "./cmd/sluice") }
	if *command != "" {
		sluice = func() error { return os.Symlink(*command, cluster.sluice) }
	}
	return errors.Join(
		build(cluster.prober, ".", "./prober", "GOARCH="+architecture),
		sluice(),
		os.Symlink("sluice", filepath.Join(dir, pluginName)),
	)
}

// build builds a program of a module. It has the time of all tests: on a new
// machine the compiler has everything still to do. Without cgo, as in the image,
// so that what that took is not compiled again.
func build(path, module, pkg string, env ...string) error {
	cmd := exec.Command("go", "build", "-C", module, "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

func usable(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule {
			return false
		}
	}
	return !node.Spec.Unschedulable
}

// outsider is a prober outside of the nodes, or nil.
func outsider(t *testing.T) *hand {
	t.Helper()
	if *outside == "" {
		return nil
	}
	args := append(strings.Fields(*outside), cluster.prober)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	in, out := talk(t, cmd)
	h := newHand("outside", in)
	go h.read(out)
	t.Cleanup(func() {
		in.Close()
		<-h.gone
	})
	return h
}

// talk starts a program that reads and answers until its input ends, with the test at the
// latest.
func talk(t *testing.T, cmd *exec.Cmd) (in io.WriteCloser, out io.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err = cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd, err)
	}
	t.Cleanup(func() {
		in.Close()
		// It ends because its input did; how, says nothing of the test.
		_ = cmd.Wait()
	})
	return in, out
}
