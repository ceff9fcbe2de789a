package enforcer

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/policy"
)

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func testLinks(t *testing.T, node testNS, pods ...string) *links {
	t.Helper()
	socket, err := openSocket(node, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.strict(); err != nil {
		t.Fatal(err)
	}
	l := newLinks(socket, node, roles{pods: pods, uplinks: DefaultUplinks, others: DefaultOtherInterfaces})
	t.Cleanup(l.close)
	return l
}

func subjectOf(t *testing.T, p testPod) *policy.Subject {
	t.Helper()
	pod, err := policy.PodFromAPI(p.object)
	if err != nil {
		t.Fatal(err)
	}
	addrs := slices.SortedFunc(slices.Values(pod.Addrs), netip.Addr.Compare)
	return &policy.Subject{Pod: pod.NamespacedName, UID: pod.UID, Addrs: addrs}
}

func (l *links) must(t *testing.T, recheck bool) compiler.Links {
	t.Helper()
	if err := l.Update(touched{all: true}); err != nil {
		t.Fatal(err)
	}
	if err := l.Resolve(context.Background(), recheck); err != nil {
		t.Fatal(err)
	}
	return l.Result()
}

func wantBinds(iface string, pods ...testPod) map[netip.Addr]compiler.Bind {
	out := map[netip.Addr]compiler.Bind{}
	for _, p := range pods {
		for i := range p.object.Status.PodIPs {
			b := compiler.Bind{Interface: iface, Veth: p.veth, MAC: p.mac}
			if iface == "" {
				b.Interface = p.veth
			}
			out[p.addr(i)] = b
		}
	}
	return out
}

var ignoreLinkLocal = cmpopts.IgnoreFields(compiler.Bind{}, "LinkLocal", "Port")

func TestLinksFindRoutedPods(t *testing.T) {
	node := newPTPNode(t)
	a, b := ptpPod(node, "a", "10.1.0.2", "fd01::2"), ptpPod(node, "b", "10.1.0.3", "fd01::3")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, a))
	l.SetPod(subjectOf(t, b))
	time.Sleep(50 * time.Millisecond)
	got := l.must(t, false)
	if diff := cmp.Diff(wantBinds("", a, b), got.Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
	linkLocal := got.Binds[a.addr(1)].LinkLocal
	if len(linkLocal) != 1 || !linkLocal[0].IsLinkLocalUnicast() {
		t.Errorf("link-local addresses %v", linkLocal)
	}
}

func TestLinksFindBridgedPodsBeforeAnyTraffic(t *testing.T) {
	node := newBridgeNode(t)
	a, b := bridgePod(node, "a", "10.1.0.2", "fd01::2"), bridgePod(node, "b", "10.1.0.3", "fd01::3")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, a))
	l.SetPod(subjectOf(t, b))
	got := l.must(t, false)
	if diff := cmp.Diff(wantBinds("cni0", a, b), got.Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"cni0"}, got.PodInterfaces); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

// An interface gets its addresses one after the other. Who is known by the first is found
// by the second, too, without another look at everything.
func TestLinksFindASecondAddressOfAKnownPort(t *testing.T) {
	node := newBridgeNode(t)
	a := bridgePod(node, "a", "10.1.0.2")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, a))
	l.must(t, false)
	a.object.Status.PodIPs = append(a.object.Status.PodIPs, corev1.PodIP{IP: "fd01::2"})
	a.ip("addr add fd01::2/128 dev eth0 nodad")
	l.SetPod(subjectOf(t, a))
	if err := l.Resolve(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantBinds("cni0", a), l.Result().Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
}

func TestLinksAPodCannotTakeItsNeighboursAddress(t *testing.T) {
	node := newBridgeNode(t)
	victim := bridgePod(node, "victim", "10.1.0.2")
	thief := bridgePod(node, "thief", "10.1.0.3")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, victim))
	l.SetPod(subjectOf(t, thief))
	want := l.must(t, false).Binds

	thief.ip("addr add 10.1.0.2/32 dev eth0")
	if diff := cmp.Diff(want, l.must(t, true).Binds, compareAddr); diff != "" {
		t.Errorf("binds changed (-want +got):\n%s", diff)
	}
	if got := l.conflicts[victim.addr(0)]; got != "vthief" {
		t.Errorf("conflict reported as %q", got)
	}

	// Nor does an agent that starts now fall for it: a veth carries one Pod.
	l = testLinks(t, node)
	l.SetPod(subjectOf(t, victim))
	l.SetPod(subjectOf(t, thief))
	if diff := cmp.Diff(want, l.must(t, false).Binds, compareAddr); diff != "" {
		t.Errorf("binds of a new agent (-want +got):\n%s", diff)
	}

	// Not even while the victim has lost it.
	victim.ip("addr del 10.1.0.2/32 dev eth0")
	l = testLinks(t, node)
	l.SetPod(subjectOf(t, victim))
	l.SetPod(subjectOf(t, thief))
	got := l.must(t, false).Binds[victim.addr(0)]
	if diff := cmp.Diff(compiler.Bind{Interface: "cni0"}, got, compareAddr); diff != "" {
		t.Errorf("the thief's port was taken (-want +got):\n%s", diff)
	}
	if why := l.Unresolved()[victim.addr(0)]; !strings.Contains(why, "vthief") {
		t.Errorf("reason %q", why)
	}
}

func TestLinksFollowAPodThatIsMadeAnew(t *testing.T) {
	node := newBridgeNode(t)
	old := bridgePod(node, "old", "10.1.0.2")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, old))
	l.must(t, false)
	node.ip("link del vold")
	if got := l.must(t, false).Binds[old.addr(0)].Veth; got != "" {
		t.Errorf("still bound to %q, which is gone", got)
	}
	fresh := bridgePod(node, "new", "10.1.0.2")
	fresh.object.Name = old.object.Name
	l.SetPod(subjectOf(t, fresh))
	if diff := cmp.Diff(wantBinds("cni0", fresh), l.must(t, false).Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
}

// A sandbox ends before the API says so, and a Pod can take its interface away itself:
// neither is anything that the node fails to enforce.
func TestAPodWhoseInterfaceIsGoneIsNoTrouble(t *testing.T) {
	for _, family := range []string{"10.1.0.", "fd01::"} {
		node := newBridgeNode(t)
		old, other := bridgePod(node, "old", family+"2"), bridgePod(node, "other", family+"3")
		l := testLinks(t, node)
		all := isolation{subjectOf(t, old).Pod: true, subjectOf(t, other).Pod: true}
		l.SetPod(subjectOf(t, old))
		l.SetPod(subjectOf(t, other))
		l.must(t, false)
		node.ip("link del vold")
		l.must(t, false)
		if got := placeTroubles(l, all); len(got) > 0 {
			t.Errorf("the end of a sandbox is told as %v", got)
		}
		// As soon as there is an interface that is nobody's it could be the Pod's.
		bridgePod(node, "stray", family+"77")
		l.must(t, false)
		if got := placeTroubles(l, all); len(got) != 1 || got[0].What != "PodUnresolved" {
			t.Errorf("a Pod that may be behind an unknown interface is told as %v", got)
		}
		node.ip("link del vstray")
		fresh := bridgePod(node, "old", family+"2")
		l.must(t, false)
		if got := placeTroubles(l, all); len(got) > 0 || l.Result().Binds[fresh.addr(0)].Veth != "vold" {
			t.Errorf("its next interface is not found: %v", got)
		}
	}
}

func TestLinksSayWhyAPodIsNotFound(t *testing.T) {
	node := newBridgeNode(t)
	node.ip("link add dum0 type veth peer name dum1\nlink set dum0 up\nlink set dum1 up\naddr add 198.51.100.1/24 dev dum0\nroute add default via 198.51.100.254")
	tests := []struct{ name, addr, why string }{
		{"none", "fd99::1", "no route"},
		{"own", "10.1.0.1", "itself"},
		{"far", "10.9.9.9", "gateway on dum0"},
		{"strange", "198.51.100.7", "neither a Pod's veth nor a bridge"},
		{"absent", "10.1.0.77", "no port of cni0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := testLinks(t, node)
			addr := netip.MustParseAddr(tt.addr)
			s := &policy.Subject{Addrs: []netip.Addr{addr}}
			s.Pod.Name = tt.name
			l.SetPod(s)
			l.must(t, false)
			if got := l.Unresolved()[addr]; !strings.Contains(got, tt.why) {
				t.Errorf("reason %q, want %q in it", got, tt.why)
			}
		})
	}
}

// A veth is a Pod's until something proves otherwise, and so is a port of a bridge.
func TestLinksKnowWhatAnInterfaceIs(t *testing.T) {
	node := newPTPNode(t)
	pod := ptpPod(node, "a", "10.1.0.2")
	ptpPod(node, "unknown", "10.2.0.2")
	ptpPod(node, "net", "10.3.0.2")
	node.ip("route add 10.30.0.0/24 dev vnet")
	ptpPod(node, "gateway", "10.4.0.2")
	node.ip("route add 10.40.0.2/32 via 10.4.0.2")
	node.ip("link add docker0 type bridge\nlink set docker0 up\nlink add cni0 type bridge\nlink set cni0 up")
	for i, name := range []string{"container", "bridged", "eth7"} {
		p := newNS(t)
		node.ip("link add v%d type veth peer name eth0 netns %s\nlink set v%d name %s master %s up", i, p.name, i, name, map[bool]string{true: "docker0", false: "cni0"}[i == 0])
	}
	// A second interface of a Pod that is known.
	node.ip("link add v2nd type veth peer name net1 netns %s\nlink set v2nd up", pod.name)
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, pod))
	got := l.must(t, false)
	if diff := cmp.Diff([]string{"v2nd", "vgateway", "vnet"}, got.OtherInterfaces); diff != "" {
		t.Errorf("other interfaces (-want +got):\n%s", diff)
	}
	if len(got.PodInterfaces) != 0 {
		t.Errorf("an uplink is behind the bridge, yet it is taken for Pods' alone: %v", got.PodInterfaces)
	}
	for name, list := range map[string][]int{"container": got.OpenPorts, "eth7": got.Uplinks} {
		if diff := cmp.Diff([]int{l.byName(name).index}, list); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	node.ip("link del eth7")
	if diff := cmp.Diff([]string{"cni0"}, l.must(t, false).PodInterfaces); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

func TestLinkWatchTellsWhatChanged(t *testing.T) {
	node := newPTPNode(t)
	w, err := newLinkWatch(node, func() {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		w.Run(ctx)
		close(done)
	}()
	defer func() {
		cancel()
		<-done
	}()
	if !w.Take().all {
		t.Error("nothing is known at first, so everything must be looked at")
	}
	pod := ptpPod(node, "a", "10.1.0.2")
	eventually(t, "interface and route", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, i := range w.pending.ifaces {
			if i != nil && i.name == "va" && i.leadsOut() {
				return w.pending.touches(pod.addr(0))
			}
		}
		return false
	})
	w.Take()
	node.ip("link del va")
	eventually(t, "interface gone", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, i := range w.pending.ifaces {
			if i == nil {
				return true
			}
		}
		return false
	})
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func (l *links) byName(name string) *iface {
	for _, i := range l.ifaces {
		if i.name == name {
			return i
		}
	}
	return nil
}

// A Pod's route may be in a table that rules choose by where a packet comes from, as
// the AWS VPC CNI does for Pods with security groups of their own.
func TestLinksFindAPodByAnotherTable(t *testing.T) {
	node := newPTPNode(t)
	a, b := ptpPod(node, "a", "10.1.0.2", "fd01::2"), ptpPod(node, "b", "10.1.0.3", "fd01::3")
	for i := range 2 {
		node.ip("route del %s dev va\nroute add %s dev va table 101", a.addr(i), a.addr(i))
	}
	node.ip("link add up0 type veth peer name up1\nlink set up0 up\nlink set up1 up\naddr add 198.51.100.1/24 dev up0\nroute add default via 198.51.100.254")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, a))
	l.SetPod(subjectOf(t, b))
	if diff := cmp.Diff(wantBinds("", a, b), l.must(t, false).Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
}

// What the kernel tells of is told once: a look that fails must not lose it.
func TestLostNoticesAreLookedForAgain(t *testing.T) {
	c := newCluster(t, "ptp")
	s := &syncer{cfg: &Config{}, metrics: newFakeGuards(t).metrics, status: newStatusBoard()}
	s.cfg.Defaults()
	s.links, s.tunnels.off = testLinks(t, c.node), true
	w, err := newLinkWatch(c.node, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer w.socket.Close()
	s.watch = w
	s.links.SetPod(subjectOf(t, c.web))
	look := func() error {
		if err := s.look(context.Background(), batch{}); err != nil {
			return err
		}
		return s.resolve(context.Background())
	}
	if err := look(); err != nil {
		t.Fatal(err)
	}
	c.node.ip("link del vweb")
	w.overrun()
	good := s.links.socket
	if s.links.socket, err = openSocket(c.node, unix.NETLINK_ROUTE); err != nil {
		t.Fatal(err)
	}
	s.links.socket.close()
	if err := look(); err == nil {
		t.Fatal("it did not fail")
	}
	s.links.socket = good
	if err := look(); err != nil {
		t.Fatal(err)
	}
	if b := s.places.Binds[c.web.addr(0)]; b.Veth != "" {
		t.Errorf("still bound to %q, which is gone", b.Veth)
	}
}

// A Pod that toggles its own interface does not set the pace of the loop.
func TestAPodDoesNotSetThePace(t *testing.T) {
	node := newBridgeNode(t)
	pod := bridgePod(node, "a", "10.1.0.2")
	const interval = 50 * time.Millisecond
	agent := startAgent(t, node, &MemorySource{}, func(c *Config) { c.MinInterval = interval })
	agent.set(shop(), pod.object)
	time.Sleep(10 * interval)
	rounds := func() uint64 {
		var m dto.Metric
		if err := agent.metrics.syncDuration.Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetHistogram().GetSampleCount()
	}
	before, started := rounds(), time.Now()
	pod.ip("%s", strings.Repeat("link set eth0 down\nlink set eth0 up\n", 1000))
	n := rounds() - before
	if most := uint64(time.Since(started)/interval) + 2; n > most {
		t.Errorf("%d rounds, %d are allowed", n, most)
	}
}
