package enforcer

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
	"github.com/sluice-net/sluice/policy"
)

// testNS is a network namespace of a test.
type testNS struct {
	netnstest.NS
	t    testing.TB
	name string
}

func inTest(n netnstest.NS) testNS { return testNS{n, n.T, n.Name} }

func newNS(t testing.TB) testNS {
	t.Helper()
	return inTest(netnstest.New(t))
}

// ip runs ip commands inside, one a line.
func (n testNS) ip(format string, args ...any) {
	n.t.Helper()
	n.IP(format, args...)
}

// cmd runs a command inside.
func (n testNS) cmd(name string, args ...string) string {
	n.t.Helper()
	return n.Cmd(name, args...)
}

// nft loads rules, given as for nft -f.
func (n testNS) nft(rules string) {
	n.t.Helper()
	n.NFT(rules)
}

func (n testNS) ruleset() string { return n.cmd("nft", "list", "ruleset") }

// testPod is a Pod with a namespace of its own, and a veth in its node's.
type testPod struct {
	testNS
	object *corev1.Pod
	veth   string
	mac    string
}

func podInTest(p netnstest.Pod) testPod { return testPod{inTest(p.NS), p.Object, p.Veth, p.MAC} }

func (p testPod) addr(i int) netip.Addr { return netip.MustParseAddr(p.object.Status.PodIPs[i].IP) }

func newPTPNode(t testing.TB) testNS { return inTest(netnstest.NewPTPNode(t)) }

func ptpPod(node testNS, name string, addrs ...string) testPod {
	return podInTest(netnstest.PTPPod(node.NS, name, addrs...))
}

func newBridgeNode(t testing.TB) testNS { return inTest(netnstest.NewBridgeNode(t)) }

func bridgePod(node testNS, name string, addrs ...string) testPod {
	return podInTest(netnstest.BridgePod(node.NS, name, addrs...))
}

// testLinks has looked at a node once.
func testLinks(t *testing.T, node testNS, pods ...string) *links.Links {
	t.Helper()
	socket, err := nlsocket.Open(node, unix.NETLINK_ROUTE)
	must(t, err)
	must(t, socket.Strict())
	l := links.New(socket, node, links.Patterns{Pods: pods, Uplinks: links.DefaultUplinks, Others: links.DefaultOtherInterfaces})
	t.Cleanup(l.Close)
	must(t, l.Update(links.Everything()))
	must(t, l.Resolve(context.Background(), false))
	return l
}

func subjectOf(t *testing.T, p testPod) *policy.Subject {
	t.Helper()
	pod, err := policy.PodFromAPI(p.object)
	must(t, err)
	addrs := slices.SortedFunc(slices.Values(pod.Addrs), netip.Addr.Compare)
	return &policy.Subject{Pod: pod.NamespacedName, UID: pod.UID, Addrs: addrs}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	netnstest.Eventually(t, what, ok)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
