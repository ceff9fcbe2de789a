package enforcer

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var namespaces atomic.Int32

// testNS is a network namespace of a test.
type testNS struct {
	t    testing.TB
	name string
}

func (n testNS) Do(f func() error) error { return NetnsPath("/run/netns/" + n.name).Do(f) }

func newNS(t testing.TB) testNS {
	t.Helper()
	n := testNS{t, fmt.Sprintf("sl-%d-e%d", os.Getpid(), namespaces.Add(1))}
	run(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { run(t, "ip", "netns", "del", n.name) })
	n.ip("link set lo up")
	return n
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ip runs ip commands inside, one a line.
func (n testNS) ip(format string, args ...any) {
	n.t.Helper()
	cmd := exec.Command("ip", "-n", n.name, "-batch", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(format, args...))
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("ip -n %s: %v: %s\n%s", n.name, err, out, fmt.Sprintf(format, args...))
	}
}

// cmd runs a command inside.
func (n testNS) cmd(name string, args ...string) string {
	n.t.Helper()
	return run(n.t, "ip", append([]string{"netns", "exec", n.name, name}, args...)...)
}

func (n testNS) ruleset() string { return n.cmd("nft", "list", "ruleset") }

// testPod is a Pod with a namespace of its own, and a veth in its node's.
type testPod struct {
	testNS
	object *corev1.Pod
	veth   string
	mac    string
}

func (p testPod) addr(i int) netip.Addr {
	return netip.MustParseAddr(p.object.Status.PodIPs[i].IP)
}

func newPod(node testNS, name string, addrs ...string) testPod {
	p := testPod{testNS: newNS(node.t), veth: "v" + name, object: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": name}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}}
	for _, a := range addrs {
		p.object.Status.PodIPs = append(p.object.Status.PodIPs, corev1.PodIP{IP: a})
	}
	node.ip("link add %s type veth peer name eth0 netns %s", p.veth, p.name)
	p.cmd("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
	for _, a := range addrs {
		p.ip("addr add %s/%d dev eth0 %s", a, bits(a), nodad(a))
	}
	p.ip("link set eth0 up")
	p.mac = strings.TrimSpace(p.cmd("cat", "/sys/class/net/eth0/address"))
	return p
}

func bits(addr string) int { return netip.MustParseAddr(addr).BitLen() }

func nodad(addr string) string {
	if strings.Contains(addr, ":") {
		return "nodad"
	}
	return ""
}

// newPTPNode is a node that routes to each Pod.
func newPTPNode(t testing.TB) testNS {
	n := newNS(t)
	n.cmd("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
		"net.ipv6.conf.default.accept_dad=0", "net.ipv4.conf.all.proxy_arp=1")
	// What a node opens connections from: a Pod's guard passes no link-local ones.
	n.ip("addr add 192.0.2.1/32 dev lo\naddr add fd00::1/128 dev lo")
	return n
}

func ptpPod(node testNS, name string, addrs ...string) testPod {
	p := newPod(node, name, addrs...)
	node.ip("link set %s up\naddr add 169.254.1.1/32 dev %s", p.veth, p.veth)
	node.ip("addr add fe80::1/64 dev %s nodad", p.veth)
	for _, a := range addrs {
		node.ip("route add %s/%d dev %s", a, bits(a), p.veth)
	}
	p.ip("route add 169.254.1.1 dev eth0\nroute add default via 169.254.1.1\nroute add default via fe80::1 dev eth0")
	return p
}

// newBridgeNode is a node whose Pods are ports of the bridge cni0.
func newBridgeNode(t testing.TB) testNS {
	n := newPTPNode(t)
	n.ip("link add cni0 type bridge\nlink set cni0 up\naddr add 10.1.0.1/24 dev cni0\naddr add fd01::1/64 dev cni0 nodad")
	return n
}

func bridgePod(node testNS, name string, addrs ...string) testPod {
	p := newPod(node, name, addrs...)
	node.ip("link set %s master cni0\nlink set %s up", p.veth, p.veth)
	p.ip("route add 10.1.0.0/24 dev eth0\nroute add default via 10.1.0.1\nroute add fd01::/64 dev eth0\nroute add default via fd01::1")
	return p
}
