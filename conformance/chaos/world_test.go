package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/lab"
)

const nodeName = "n1"

// podCount is how many sandboxes the node has. Each keeps its addresses,
// whatever Pods live in it one after the other.
const podCount = 6

var namespaces = []string{"shop", "bank", "town"}

var (
	nodeAddrs    = [2]netip.Addr{netip.MustParseAddr("172.31.9.1"), netip.MustParseAddr("fd31::9:1")}
	outsideAddrs = [2]netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")}
	podCIDRs     = []string{"10.77.1.0/24", "fd77:1::/64"}
)

// world is a node with its Pods, its agent, and all that happens to it.
type world struct {
	t        *testing.T
	rng      *rand.Rand
	dir      string
	topology lab.Topology
	lab      *lab.Lab
	node     *lab.Namespace
	model    *model
	history  *history
	checker  *checker
	prober   *prober
	source   source
	// api is the source if it is an API server.
	api *apiServer
	// files is the source if it is a directory.
	files *directory
	agent *agentProcess
	ready *readiness
	stall *stalls
	now   objects
	boxes []*sandbox
	// shares are objects that claim a sandbox's address besides its own Pod.
	shares map[*sandbox]*corev1.Pod
	// troubles are what is to be healed.
	troubles []*trouble
	// pending are those of which the agent has not recovered yet, inStepSince is
	// since when the source has told it all.
	pending     []pendingSpan
	inStepSince int64
	// notReady is when readyz must not say ok.
	notReady []*expectation
	// names counts objects and interfaces, so that none comes twice.
	names int
	// edited is when others last changed the rules.
	edited int64
	carry  []datagram
	events []string
	// scenes are these, and the agent's words, when something was found; found is how
	// much that was, of all kinds, when one was last kept.
	scenes []string
	found  int
	faults []string
	tally
}

// tally is what a run did.
type tally struct {
	actions, quiets, compared int
	// slowest is how long the agent took to be ready when all was healed.
	slowest time.Duration
}

// expectation is a time in which readyz must not say ok.
type expectation struct {
	span
	why string
}

// newWorld builds it, with an agent at work.
func newWorld(ctx context.Context, t *testing.T, topology lab.Topology, fromAPI bool, seed uint64) *world {
	t.Helper()
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), topology: topology,
		model: &model{}, shares: map[*sandbox]*corev1.Pod{}, ready: &readiness{}, stall: &stalls{},
	}
	spec := lab.Spec{Topology: topology, Nodes: []lab.Node{{Name: nodeName, Addrs: nodeAddrs[:]}}, External: outsideAddrs[:]}
	for i := range podCount {
		addrs := [2]netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.77.1.%d", 11+i)), netip.MustParseAddr(fmt.Sprintf("fd77:1::%d", 11+i))}
		name := types.NamespacedName{Namespace: "sandbox", Name: fmt.Sprint(i)}
		spec.Pods = append(spec.Pods, lab.Pod{Name: name, Node: nodeName, Addrs: addrs[:]})
		w.model.ends = append(w.model.ends, end{"sandbox " + fmt.Sprint(i), pod, addrs})
	}
	w.model.ends = append(w.model.ends, end{"outside", outside, outsideAddrs}, end{"the node", node, nodeAddrs})
	var err error
	w.lab, err = lab.Build(ctx, spec)
	w.must(err)
	t.Cleanup(func() { w.must(w.lab.Close()) })
	w.node = w.lab.Node(nodeName)
	hosts := make([]*lab.Namespace, 0, len(w.model.ends))
	for i := range podCount {
		ns := w.lab.Pod(spec.Pods[i].Name)
		box, err := newSandbox(w, i, ns)
		w.must(err)
		w.boxes = append(w.boxes, box)
		hosts = append(hosts, ns.Namespace)
	}
	hosts = append(hosts, w.lab.Outside(), w.node)
	w.history = newHistory(w.model)
	w.checker = &checker{history: w.history, routed: topology == lab.PTP, began: time.Now().UnixNano()}
	w.must(w.trackConnections())
	w.openSource(fromAPI)
	w.populate()
	w.agent, err = newAgent(w.node, w.dir, append(w.source.flags(), extraFlags()...), 9470)
	w.must(err)
	w.startAgent(ctx)
	w.prober, err = startProber(ctx, w.model, hosts)
	w.must(err)
	t.Cleanup(w.prober.close)
	go w.stall.run(ctx)
	go w.spoof(ctx, rand.New(rand.NewPCG(seed, 2)))
	return w
}

func extraFlags() []string { return strings.Fields(os.Getenv("SLUICE_CHAOS_AGENT_FLAGS")) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) openSource(fromAPI bool) {
	if fromAPI {
		var err error
		w.api, err = newAPIServer(w.node, w.dir)
		w.must(err)
		w.t.Cleanup(w.api.stop)
		w.source = w.api
		return
	}
	w.files = &directory{path: filepath.Join(w.dir, "manifests")}
	w.must(os.Mkdir(w.files.path, 0o700))
	w.source = w.files
}

// populate makes the objects that are there at the start.
func (w *world) populate() {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName, UID: "n1"},
		Spec:       corev1.NodeSpec{PodCIDR: podCIDRs[0], PodCIDRs: podCIDRs},
	}
	for _, a := range nodeAddrs {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	w.must(w.source.set(n))
	for _, name := range namespaces {
		w.setNamespace(w.randomNamespace(name))
	}
	for i, box := range w.boxes {
		w.setPod(box, w.newPod(box, namespaces[i%len(namespaces)]))
	}
	for range 3 {
		w.setPolicy(w.randomPolicy())
	}
}

// startAgent starts the agent and waits until it is ready.
func (w *world) startAgent(ctx context.Context) {
	w.hinder("the first start")
	w.must(w.agent.start())
	w.t.Cleanup(func() { w.must(w.agent.kill()) })
	go w.ready.run(ctx, w.agent)
	w.history.open = append(w.history.open, span{from: w.checker.began, until: time.Now().UnixNano()})
	w.healAll()
	w.awaitReady()
	// Until here there were no rules.
	w.history.open[0].until = time.Now().UnixNano()
}

// log notes what is done, for those who read about a fault.
func (w *world) log(format string, args ...any) {
	w.events = append(w.events, w.checker.clock(time.Now().UnixNano())+" "+fmt.Sprintf(format, args...))
}

// fault notes what the checker of packets does not see.
func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, w.checker.clock(time.Now().UnixNano())+": "+fmt.Sprintf(format, args...))
	w.log("FAULT: "+format, args...)
}

// tell changes what the source says, and records it.
func (w *world) tell(kind int, change func(*objects), deliver func() error) {
	before := time.Now().UnixNano()
	change(&w.now)
	w.names++
	w.now.versions[kind] = w.names
	w.must(deliver())
	w.history.become(before, time.Now().UnixNano(), w.now)
}

// put replaces the object of the same name in a list, or adds it.
func put[T object](list []T, o T) []T {
	return append(without(list, o), o)
}

func without[T object](list []T, o T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool {
		return x.GetName() == o.GetName() && x.GetNamespace() == o.GetNamespace()
	})
}

// run runs a program in a namespace.
func run(ns *lab.Namespace, args ...string) (string, error) {
	var out strings.Builder
	err := ns.Do(func() error {
		cmd := command(args...)
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), err
}

// each runs programs one after the other until one fails.
func runAll(ns *lab.Namespace, lines ...string) error {
	for _, line := range lines {
		if _, err := run(ns, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}
