package spectest

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The vocabulary is small, so that selectors, labels, names and numbers meet.
var (
	podLabels = []labelKey{
		{"app", 85, []string{"web", "api", "db", ""}},
		{"tier", 55, []string{"front", "back", "1"}},
		{"sluice.example/role", 40, []string{"web", "a.b_c", ""}},
		{"Odd_key.1", 20, []string{"", "x"}},
	}
	namespaceLabels = []labelKey{
		{"team", 75, []string{"red", "blue", ""}},
		{"env", 55, []string{"prod", "dev"}},
		{"sluice.example/zone", 25, []string{"a", "b"}},
	}
	portNumbers = []int32{1, 53, 79, 80, 81, 443, 8079, 8080, 8081, 9090, 65534, 65535}
	portNames   = []string{"http", "metrics", "dns", "web-2", "a"}
	epoch       = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

type labelKey struct {
	key     string
	percent int
	values  []string
}

func randomLabels(d dice, keys []labelKey) map[string]string {
	out := map[string]string{}
	for _, k := range keys {
		if d.chance(k.percent) {
			out[k.key] = pick(d, k.values)
		}
	}
	return out
}

func namespaceName(i int) string { return "ns-" + strconv.Itoa(i) }

// addNamespace leaves some namespaces out, although they have Pods and
// policies: the Namespace object may be late, or not given.
func (c *Cluster) addNamespace(d dice, i int) {
	if d.chance(8) {
		return
	}
	labels := randomLabels(d, namespaceLabels)
	if d.chance(95) {
		labels[corev1.LabelMetadataName] = namespaceName(i)
	}
	c.Namespaces = append(c.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName(i), Labels: labels}})
}

type podBuilder struct {
	dice
	Options
	namespaces int
	count      int
}

func (b *podBuilder) pod(others []*corev1.Pod) *corev1.Pod {
	node := b.IntN(b.Nodes)
	b.count++
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespaceName(b.IntN(b.namespaces)),
		// Names repeat in other namespaces, where they are other Pods.
		Name:              "p" + strconv.Itoa(b.count/2),
		UID:               types.UID(fmt.Sprintf("uid-%04d-%d", b.IntN(10000), b.count)),
		CreationTimestamp: metav1.NewTime(epoch.Add(time.Duration(b.IntN(4)) * time.Minute)),
		Labels:            randomLabels(b.dice, podLabels),
	}}
	for _, o := range others {
		if o.Namespace == p.Namespace && o.Name == p.Name {
			p.Name += "-b"
		}
	}
	p.Spec.NodeName = "node-" + strconv.Itoa(node)
	p.Spec.HostNetwork = b.chance(8)
	p.Spec.Containers, p.Spec.InitContainers = randomContainers(b.dice)
	b.status(p, node, others)
	return p
}

func (b *podBuilder) status(p *corev1.Pod, node int, others []*corev1.Pod) {
	p.Status.Phase = weighted(b.dice, []weight[corev1.PodPhase]{
		{85, corev1.PodRunning}, {12, corev1.PodPending}, {3, corev1.PodUnknown},
	})
	if b.chance(8) {
		p.DeletionTimestamp = &metav1.Time{Time: epoch.Add(time.Hour)}
	}
	v4, v6 := b.families()
	setAddrs(p, b.dice, keep(v4, podAddr4(node, b.count)), keep(v6, podAddr6(node, b.count)))
	if p.Spec.HostNetwork {
		setAddrs(p, b.dice, keep(v4, nodeAddr4(node)), keep(v6, nodeAddr6(node)))
		if !b.Plain && b.chance(35) {
			// Another address of the node, which status.hostIPs does not list.
			setAddrs(p, b.dice, keep(v4, nodeAddr4(node+100)), keep(v6, nodeAddr6(node+100)))
		}
	}
	if b.Plain || b.chance(95) {
		for _, a := range append(keep(v4, nodeAddr4(node)), keep(v6, nodeAddr6(node))...) {
			p.Status.HostIPs = append(p.Status.HostIPs, corev1.HostIP{IP: a.String()})
		}
		p.Status.HostIP = p.Status.HostIPs[0].IP
	}
	if b.Plain {
		return
	}
	if b.chance(6) {
		p.Status.Phase = pick(b.dice, []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed})
	}
	switch {
	case p.Spec.HostNetwork:
	case b.Contested && len(others) > 0 && b.chance(50):
		takeAddr(p, others[0])
	case b.chance(4):
		p.Status.PodIP, p.Status.PodIPs = "", nil
	case len(others) > 0 && b.chance(12):
		takeAddr(p, pick(b.dice, others))
	case len(others) > 0 && b.chance(6):
		takeAddr(p, others[0]) // which so has several claimants
	}
}

func (b *podBuilder) families() (v4, v6 bool) {
	f := b.Families
	if f == mixedFamilies {
		f = weighted(b.dice, []weight[Families]{{20, IPv4Only}, {20, IPv6Only}, {60, DualStack}})
	}
	return f != IPv6Only, f != IPv4Only
}

func keep(yes bool, a netip.Addr) []netip.Addr {
	if yes {
		return []netip.Addr{a}
	}
	return nil
}

func setAddrs(p *corev1.Pod, d dice, first, second []netip.Addr) {
	p.Status.PodIP, p.Status.PodIPs = "", nil
	all := append(first, second...)
	if len(all) == 2 && d.chance(30) {
		all[0], all[1] = all[1], all[0]
	}
	for _, a := range all {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	p.Status.PodIP = p.Status.PodIPs[0].IP
}

// takeAddr gives the Pod the first address of another: one of them is stale.
func takeAddr(p, from *corev1.Pod) {
	if from.Spec.HostNetwork || from.Status.PodIP == "" {
		return
	}
	p.Status.PodIP = from.Status.PodIP
	taken := []corev1.PodIP{{IP: from.Status.PodIP}}
	for _, ip := range p.Status.PodIPs {
		if is4(ip.IP) != is4(p.Status.PodIP) {
			taken = append(taken, ip)
		}
	}
	p.Status.PodIPs = taken
}

func is4(s string) bool { return netip.MustParseAddr(s).Is4() }

func podAddr4(node, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(64 + node), byte(n / 250), byte(n%250 + 2)})
}

func podAddr6(node, n int) netip.Addr {
	a := netip.MustParseAddr("fd00:64::").As16()
	a[5], a[14], a[15] = byte(node), byte(n/250), byte(n%250+2)
	return netip.AddrFrom16(a)
}

func nodeAddr4(node int) netip.Addr { return netip.AddrFrom4([4]byte{172, 18, 0, byte(10 + node)}) }

func nodeAddr6(node int) netip.Addr {
	a := netip.MustParseAddr("fd00:18::").As16()
	a[15] = byte(10 + node)
	return netip.AddrFrom16(a)
}

// randomContainers have sidecars and plain init containers among them, and
// repeat port names with other numbers and protocols.
func randomContainers(d dice) (containers, inits []corev1.Container) {
	always := corev1.ContainerRestartPolicyAlways
	for i := range 1 + d.IntN(2) {
		containers = append(containers, corev1.Container{Name: "c" + strconv.Itoa(i), Ports: randomContainerPorts(d)})
	}
	if d.chance(25) {
		inits = append(inits, corev1.Container{Name: "sidecar", RestartPolicy: &always, Ports: randomContainerPorts(d)})
	}
	if d.chance(20) {
		inits = append(inits, corev1.Container{Name: "init", Ports: randomContainerPorts(d)})
	}
	return containers, inits
}

func randomContainerPorts(d dice) (ports []corev1.ContainerPort) {
	for range d.IntN(4) {
		p := corev1.ContainerPort{ContainerPort: pick(d, portNumbers), Protocol: randomProtocol(d)}
		if d.chance(85) {
			p.Name = pick(d, portNames)
		}
		ports = append(ports, p)
	}
	return ports
}

func randomProtocol(d dice) corev1.Protocol {
	return weighted(d, []weight[corev1.Protocol]{
		{30, corev1.ProtocolTCP}, {25, ""}, {30, corev1.ProtocolUDP}, {15, corev1.ProtocolSCTP},
	})
}
