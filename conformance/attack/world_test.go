// Package attack_test sends what an attacker could send, and looks whether it
// arrives.
//
// Each attack runs in two labs that differ in nothing but that one has the
// engine: without it the frame has to arrive, or else the attack would prove
// nothing; with it, it must not.
package attack_test

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/policy"
)

const namespace = "town"

// The Pods of the lab.
const (
	// victim is isolated in ingress and lets friend in, at port 8080.
	victim = "victim"
	friend = "friend"
	// attacker is a Pod like any other; stray asked for no guard.
	attacker = "attacker"
	stray    = "stray"
	// open is not isolated.
	open = "open"
	// caged is isolated in egress and may reach open, at port 8080.
	caged = "caged"
	// fan is isolated and lets friend in, with a rule without ports.
	fan = "fan"
)

// allowedPort is where friend may reach victim and caged open; deniedPort is
// any other.
const (
	allowedPort = 8080
	deniedPort  = 8081
)

var podNames = []string{victim, friend, attacker, stray, open, caged, fan}

func named(pod string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: pod}
}

// pods gives each Pod an address of both families.
func pods() []*corev1.Pod {
	var out []*corev1.Pod
	for i, name := range podNames {
		p := enforced.Pod(namespace, name, fmt.Sprintf("10.77.0.%d", i+10), fmt.Sprintf("fd77::%d", i+10))
		if name == stray {
			p.Annotations = map[string]string{policy.GuardAnnotation: "off"}
		}
		out = append(out, p)
	}
	return out
}

func allowedPorts() []networkingv1.NetworkPolicyPort {
	return []networkingv1.NetworkPolicyPort{
		enforced.Port(corev1.ProtocolTCP, allowedPort), enforced.Port(corev1.ProtocolUDP, allowedPort),
	}
}

func policies() []any {
	fromFriend := []networkingv1.NetworkPolicyPeer{enforced.PeerApp(friend)}
	return []any{
		enforced.Namespace(namespace),
		enforced.DenyIngress(namespace, victim, networkingv1.NetworkPolicyIngressRule{From: fromFriend, Ports: allowedPorts()}),
		enforced.DenyIngress(namespace, fan, networkingv1.NetworkPolicyIngressRule{From: fromFriend}),
		enforced.DenyEgress(namespace, caged, networkingv1.NetworkPolicyEgressRule{
			To: []networkingv1.NetworkPolicyPeer{enforced.PeerApp(open)}, Ports: allowedPorts(),
		}),
	}
}

// world is a lab, with the engine or without.
type world struct {
	*enforced.Cluster
	t        testing.TB
	topology lab.Topology
	node     *lab.Namespace
	// heard are what came to each Pod.
	heard map[string]*recorder
}

var outsider = netip.MustParseAddr("203.0.113.66")

func newWorld(t testing.TB, topology lab.Topology, engine bool, objects ...any) *world {
	t.Helper()
	c := enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: topology, External: []netip.Addr{outsider, netip.MustParseAddr("2001:db8::66")}},
		Pods:      pods(),
		Objects:   append(policies(), objects...),
		NoAgents:  !engine,
		Config: func(c *enforcer.Config) {
			c.Compiler.GuardOptOut = true
			// Nothing is let through for being there first.
			c.Grace = -1
		},
	})
	// The node's kernel drops packets with its own source addresses, unless told
	// otherwise, and where a plug-in has it so, what comes by another way than it would
	// be answered; that is not what is tested.
	for _, s := range []struct{ key, value string }{
		{"ipv4/conf/all/accept_local", "1"}, {"ipv4/conf/all/rp_filter", "0"}, {"ipv4/conf/eth0/rp_filter", "0"},
	} {
		if err := c.NodeOf(named(victim)).Sysctl(s.key, s.value); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{Cluster: c, t: t, topology: topology, node: c.NodeOf(named(victim)), heard: map[string]*recorder{}}
	for _, name := range podNames {
		w.heard[name] = newRecorder(t, w.pod(name).Namespace)
	}
	return w
}

func (w *world) pod(name string) *lab.PodNamespace { return w.Pod(named(name)) }

func (w *world) addr(pod string, is6 bool) netip.Addr { return w.Addr(named(pod), is6) }

// hardwareAddr is that of an interface.
func hardwareAddr(t testing.TB, ns *lab.Namespace, link string) net.HardwareAddr {
	t.Helper()
	var mac net.HardwareAddr
	err := ns.Do(func() error {
		i, err := net.InterfaceByName(link)
		if err == nil {
			mac = i.HardwareAddr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// recorder remembers the tokens of all frames that came to a Pod's interface,
// before the Pod's own kernel looked at them.
type recorder struct {
	mu   sync.Mutex
	seen map[string]int
	last map[string][]byte
	// newest is the frame that came last.
	newest []byte
}

func (r *recorder) latest() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

// tokenPattern is that of tokens, which look like nothing else.
var tokenPattern = regexp.MustCompile(`atk-[0-9]{8}`)

// shortPattern is a token as the nonce of a message between neighbours.
var shortPattern = regexp.MustCompile(`\x0e\x01~([0-9]{5})`)

func newRecorder(t testing.TB, ns *lab.Namespace) *recorder {
	t.Helper()
	r := &recorder{seen: map[string]int{}, last: map[string][]byte{}}
	c, err := ns.Capture("eth0", func(frame []byte) bool {
		r.note(frame)
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	return r
}

func (r *recorder) note(frame []byte) {
	tokens := tokenPattern.FindAll(frame, -1)
	for _, short := range shortPattern.FindAllSubmatch(frame, -1) {
		tokens = append(tokens, append([]byte("atk-000"), short[1]...))
	}
	if len(tokens) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = frame
	for _, token := range tokens {
		r.seen[string(token)]++
		r.last[string(token)] = frame
	}
}

// frames is how many frames had the token, and one of them.
func (r *recorder) frames(token []byte) (int, []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[string(token)], r.last[string(token)]
}

// arrives waits for a frame with the token.
func (r *recorder) arrives(token []byte, within time.Duration) bool {
	for deadline := time.Now().Add(within); ; time.Sleep(2 * time.Millisecond) {
		if n, _ := r.frames(token); n > 0 {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// A frame that gets through does so at once; those that a busy machine delays
// longer than soon are found when all attacks are over.
const (
	soon       = 25 * time.Millisecond
	eventually = 3 * time.Second
)

var tokens struct {
	sync.Mutex
	last int
}

// newToken is what marks the frames of one attack.
func newToken() []byte {
	tokens.Lock()
	defer tokens.Unlock()
	tokens.last++
	return fmt.Appendf(nil, "atk-%08d", tokens.last)
}
