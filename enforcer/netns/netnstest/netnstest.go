// Package netnstest makes network namespaces for the tests of the enforcer's parts, and
// nodes with Pods in them. What it makes goes with the test. It needs root and ip.
package netnstest

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/netns"
)

var namespaces atomic.Int32

// NS is a network namespace of a test.
type NS struct {
	T    testing.TB
	Name string
}

// Do is of [netns.Namespace].
func (n NS) Do(f func() error) error { return netns.Path("/run/netns/" + n.Name).Do(f) }

// New makes a namespace that ends with the test.
func New(t testing.TB) NS {
	t.Helper()
	n := NS{t, fmt.Sprintf("sl-%d-e%d", os.Getpid(), namespaces.Add(1))}
	Run(t, "ip", "netns", "add", n.Name)
	t.Cleanup(func() { Run(t, "ip", "netns", "del", n.Name) })
	n.IP("link set lo up")
	return n
}

// Run runs a command outside.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// IP runs ip commands inside, one a line.
func (n NS) IP(format string, args ...any) {
	n.T.Helper()
	cmd := exec.Command("ip", "-n", n.Name, "-batch", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(format, args...))
	if out, err := cmd.CombinedOutput(); err != nil {
		n.T.Fatalf("ip -n %s: %v: %s\n%s", n.Name, err, out, fmt.Sprintf(format, args...))
	}
}

// Cmd runs a command inside.
func (n NS) Cmd(name string, args ...string) string {
	n.T.Helper()
	return Run(n.T, "ip", append([]string{"netns", "exec", n.Name, name}, args...)...)
}

// NFT loads rules, given as for nft -f.
func (n NS) NFT(rules string) {
	n.T.Helper()
	f := n.T.TempDir() + "/rules"
	if err := os.WriteFile(f, []byte(rules), 0o600); err != nil {
		n.T.Fatal(err)
	}
	n.Cmd("nft", "-f", f)
}

// Eventually waits until something holds. It fails where that never comes.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// Pod is a Pod with a namespace of its own, and a veth in its node's.
type Pod struct {
	NS
	Object *corev1.Pod
	// Veth is the node's end, MAC the address of the Pod's.
	Veth, MAC string
}

// Addr is one of the Pod's addresses.
func (p Pod) Addr(i int) netip.Addr {
	return netip.MustParseAddr(p.Object.Status.PodIPs[i].IP)
}

func newPod(node NS, name string, addrs ...string) Pod {
	p := Pod{NS: New(node.T), Veth: "v" + name, Object: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": name}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}}
	for _, a := range addrs {
		p.Object.Status.PodIPs = append(p.Object.Status.PodIPs, corev1.PodIP{IP: a})
	}
	node.IP("link add %s type veth peer name eth0 netns %s", p.Veth, p.Name)
	p.Cmd("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
	for _, a := range addrs {
		p.IP("addr add %s/%d dev eth0 %s", a, bits(a), nodad(a))
	}
	p.IP("link set eth0 up")
	p.MAC = strings.TrimSpace(p.Cmd("cat", "/sys/class/net/eth0/address"))
	return p
}

func bits(addr string) int { return netip.MustParseAddr(addr).BitLen() }

func nodad(addr string) string {
	if strings.Contains(addr, ":") {
		return "nodad"
	}
	return ""
}

// NewPTPNode is a node that routes to each Pod.
func NewPTPNode(t testing.TB) NS {
	n := New(t)
	n.Cmd("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
		"net.ipv6.conf.default.accept_dad=0", "net.ipv4.conf.all.proxy_arp=1")
	// What a node opens connections from: a Pod's guard passes no link-local ones.
	n.IP("addr add 192.0.2.1/32 dev lo\naddr add fd00::1/128 dev lo")
	return n
}

// PTPPod is a Pod with routes to it.
func PTPPod(node NS, name string, addrs ...string) Pod {
	p := newPod(node, name, addrs...)
	node.IP("link set %s up\naddr add 169.254.1.1/32 dev %s", p.Veth, p.Veth)
	node.IP("addr add fe80::1/64 dev %s nodad", p.Veth)
	for _, a := range addrs {
		node.IP("route add %s/%d dev %s", a, bits(a), p.Veth)
	}
	p.IP("route add 169.254.1.1 dev eth0\nroute add default via 169.254.1.1\nroute add default via fe80::1 dev eth0")
	return p
}

// NewBridgeNode is a node whose Pods are ports of the bridge cni0.
func NewBridgeNode(t testing.TB) NS {
	n := NewPTPNode(t)
	n.IP("link add cni0 type bridge\nlink set cni0 up\naddr add 10.1.0.1/24 dev cni0\naddr add fd01::1/64 dev cni0 nodad")
	return n
}

// BridgePod is a Pod at a port of cni0.
func BridgePod(node NS, name string, addrs ...string) Pod {
	p := newPod(node, name, addrs...)
	node.IP("link set %s master cni0\nlink set %s up", p.Veth, p.Veth)
	p.IP("route add 10.1.0.0/24 dev eth0\nroute add default via 10.1.0.1\nroute add fd01::/64 dev eth0\nroute add default via fd01::1")
	return p
}
