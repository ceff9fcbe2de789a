package chaos

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/lab"
)

func command(args ...string) *exec.Cmd { return exec.Command(args[0], args[1:]...) }

// sandbox is a Pod's network namespace with the veth that connects it.
type sandbox struct {
	w     *world
	index int
	ns    *lab.PodNamespace
	veth  string
	// nodeMAC is that of the node's end.
	nodeMAC net.HardwareAddr
	// bits and gateways are by family, as the lab chose them.
	bits     [2]string
	gateways [2]string
	// pod is the object of the Pod that lives here, nil if there is none.
	pod *corev1.Pod
	// redirected: tc takes what comes in over another device.
	redirected bool
}

func newSandbox(w *world, index int, ns *lab.PodNamespace) (*sandbox, error) {
	s := &sandbox{w: w, index: index, ns: ns, veth: ns.Veth}
	for family, option := range []string{"-4", "-6"} {
		addrs, err := run(ns.Namespace, "ip", option, "-o", "address", "show", "dev", "eth0", "scope", "global")
		if err != nil {
			return nil, err
		}
		routes, err := run(ns.Namespace, "ip", option, "route", "show", "default")
		if err != nil {
			return nil, err
		}
		a, r := strings.Fields(addrs), strings.Fields(routes)
		if len(a) < 4 || len(r) < 3 {
			return nil, fmt.Errorf("sandbox %d: read %q and %q", index, addrs, routes)
		}
		_, s.bits[family], _ = strings.Cut(a[3], "/")
		s.gateways[family] = r[2]
	}
	var link *net.Interface
	err := w.node.Do(func() error {
		var err error
		link, err = net.InterfaceByName(s.veth)
		return err
	})
	if err == nil {
		s.nodeMAC = link.HardwareAddr
	}
	return s, err
}

// broken runs what interrupts the way to the sandbox, and records it.
func (s *sandbox) broken(what string, f func() error) {
	s.w.log("%s of sandbox %d (%s)", what, s.index, s.veth)
	b := span{from: time.Now().UnixNano()}
	s.w.must(f())
	b.until = time.Now().UnixNano()
	h := s.w.history
	h.broken[s.index] = append(h.broken[s.index], b)
	if !s.w.bridged() {
		h.fresh[s.index] = append(h.fresh[s.index], b)
	}
}

// remake gives the sandbox another veth, as a Pod has that is made anew.
func (s *sandbox) remake() error {
	w := s.w
	old := s.veth
	s.veth = w.interfaceName()
	if err := runAll(w.node, "ip link del "+old,
		fmt.Sprintf("ip link add %s address %s type veth peer name eth0 address %s netns %s", s.veth, s.nodeMAC, s.ns.MAC, s.ns.Path())); err != nil {
		return err
	}
	s.straight()
	if err := s.attach(); err != nil {
		return err
	}
	if err := runAll(s.ns.Namespace, "ip link set eth0 up"); err != nil {
		return err
	}
	for family, option := range []string{"-4", "-6"} {
		address, flags := w.model.ends[s.index].addrs[family], ""
		if family == 1 {
			flags = " nodad"
		}
		lines := []string{fmt.Sprintf("ip %s address add %s/%s dev eth0%s", option, address, s.bits[family], flags)}
		if family == 0 && w.topology == lab.PTP {
			lines = append(lines, "ip route replace "+s.gateways[0]+" dev eth0")
		}
		lines = append(lines, fmt.Sprintf("ip %s route replace default via %s dev eth0 onlink", option, s.gateways[family]))
		if err := runAll(s.ns.Namespace, lines...); err != nil {
			return err
		}
	}
	return s.route()
}

// attach sets the node's end up where it belongs.
func (s *sandbox) attach() error {
	if s.w.topology == lab.Bridge {
		return runAll(s.w.node, fmt.Sprintf("ip link set %s master cni0 up", s.veth), fmt.Sprintf("ip link set %s type bridge_slave hairpin on", s.veth))
	}
	return runAll(s.w.node, fmt.Sprintf("ip link set %s up", s.veth),
		// The address that the Pod routes by: when the last veth that has it is gone, no
		// Pod finds its gateway any more.
		fmt.Sprintf("ip address replace %s/32 dev %s scope link", s.gateways[0], s.veth),
		fmt.Sprintf("ip -6 address replace fe80::1/64 dev %s nodad", s.veth))
}

// route leads to the sandbox's addresses, where its veth is no bridge's.
func (s *sandbox) route() error {
	if s.w.topology == lab.Bridge {
		return nil
	}
	addrs := s.w.model.ends[s.index].addrs
	return runAll(s.w.node,
		fmt.Sprintf("ip route replace %s/32 dev %s src %s", addrs[0], s.veth, nodeAddrs[0]),
		fmt.Sprintf("ip -6 route replace %s/128 dev %s src %s", addrs[1], s.veth, nodeAddrs[1]))
}

// rename gives the veth another name while it is up.
func (s *sandbox) rename() error {
	old := s.veth
	s.veth = s.w.interfaceName()
	return runAll(s.w.node, fmt.Sprintf("ip link set dev %s name %s", old, s.veth))
}

// takeOut takes the veth out of the bridge for a while.
func (s *sandbox) takeOut(ctx context.Context, pause time.Duration) error {
	if err := runAll(s.w.node, fmt.Sprintf("ip link set %s nomaster", s.veth)); err != nil {
		return err
	}
	sleep(ctx, pause)
	return s.attach()
}

// redirect has tc send what comes in from the sandbox through an ifb, as the
// bandwidth plugin does, or no longer.
func (s *sandbox) redirect() error {
	ifb := fmt.Sprintf("ifb%d", s.index)
	if s.redirected {
		s.straight()
		return runAll(s.w.node, fmt.Sprintf("tc qdisc del dev %s ingress", s.veth), "ip link del "+ifb)
	}
	s.redirected = true
	redirected := s.w.history.redirected
	redirected[s.index] = append(redirected[s.index], span{from: time.Now().UnixNano()})
	// A veth that was made anew has left its ifb behind.
	_, _ = run(s.w.node, "ip", "link", "del", ifb)
	return runAll(s.w.node, fmt.Sprintf("ip link add %s type ifb", ifb), fmt.Sprintf("ip link set %s up", ifb),
		fmt.Sprintf("tc qdisc add dev %s root tbf rate 1gbit burst 10mb latency 50ms", ifb),
		fmt.Sprintf("tc qdisc add dev %s ingress", s.veth),
		fmt.Sprintf("tc filter add dev %s parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev %s", s.veth, ifb))
}

// straight records that nothing is redirected any more.
func (s *sandbox) straight() {
	if spans := s.w.history.redirected[s.index]; s.redirected {
		spans[len(spans)-1].until = time.Now().UnixNano()
	}
	s.redirected = false
}

func (w *world) interfaceName() string {
	w.names++
	return fmt.Sprintf("veth%dx", w.names)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
