package links

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
	"github.com/sluice-net/sluice/policy"
)

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func testLinks(t *testing.T, node netnstest.NS, pods ...string) *Links {
	t.Helper()
	socket, err := nlsocket.Open(node, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Strict(); err != nil {
		t.Fatal(err)
	}
	l := New(socket, node, Patterns{Pods: pods, Uplinks: DefaultUplinks, Others: DefaultOtherInterfaces})
	t.Cleanup(l.Close)
	return l
}

func subjectOf(t *testing.T, p netnstest.Pod) *policy.Subject {
	t.Helper()
	pod, err := policy.PodFromAPI(p.Object)
	if err != nil {
		t.Fatal(err)
	}
	addrs := slices.SortedFunc(slices.Values(pod.Addrs), netip.Addr.Compare)
	return &policy.Subject{Pod: pod.NamespacedName, UID: pod.UID, Addrs: addrs}
}

func (l *Links) must(t *testing.T, recheck bool) compiler.Links {
	t.Helper()
	if err := l.Update(Everything()); err != nil {
		t.Fatal(err)
	}
	if err := l.Resolve(context.Background(), recheck); err != nil {
		t.Fatal(err)
	}
	return l.Result()
}

func wantBinds(iface string, pods ...netnstest.Pod) map[netip.Addr]compiler.Bind {
	out := map[netip.Addr]compiler.Bind{}
	for _, p := range pods {
		for i := range p.Object.Status.PodIPs {
			b := compiler.Bind{Interface: iface, Veth: p.Veth, MAC: p.MAC}
			if iface == "" {
				b.Interface = p.Veth
			}
			out[p.Addr(i)] = b
		}
	}
	return out
}

var ignoreLinkLocal = cmpopts.IgnoreFields(compiler.Bind{}, "LinkLocal", "Port")

func TestLinksFindRoutedPods(t *testing.T) {
	node := netnstest.NewPTPNode(t)
	a, b := netnstest.PTPPod(node, "a", "10.1.0.2", "fd01::2"), netnstest.PTPPod(node, "b", "10.1.0.3", "fd01::3")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, a))
	l.SetPod(subjectOf(t, b))
	time.Sleep(50 * time.Millisecond)
	got := l.must(t, false)
	if diff := cmp.Diff(wantBinds("", a, b), got.Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
	linkLocal := got.Binds[a.Addr(1)].LinkLocal
	if len(linkLocal) != 1 || !linkLocal[0].IsLinkLocalUnicast() {
		t.Errorf("link-local addresses %v", linkLocal)
	}
}

func TestLinksFindBridgedPodsBeforeAnyTraffic(t *testing.T) {
	node := netnstest.NewBridgeNode(t)
	a, b := netnstest.BridgePod(node, "a", "10.1.0.2", "fd01::2"), netnstest.BridgePod(node, "b", "10.1.0.3", "fd01::3")
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
	node := netnstest.NewBridgeNode(t)
	a := netnstest.BridgePod(node, "a", "10.1.0.2")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, a))
	l.must(t, false)
	a.Object.Status.PodIPs = append(a.Object.Status.PodIPs, corev1.PodIP{IP: "fd01::2"})
	a.IP("addr add fd01::2/128 dev eth0 nodad")
	l.SetPod(subjectOf(t, a))
	if err := l.Resolve(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantBinds("cni0", a), l.Result().Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
}

func TestLinksAPodCannotTakeItsNeighboursAddress(t *testing.T) {
	node := netnstest.NewBridgeNode(t)
	victim := netnstest.BridgePod(node, "victim", "10.1.0.2")
	thief := netnstest.BridgePod(node, "thief", "10.1.0.3")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, victim))
	l.SetPod(subjectOf(t, thief))
	want := l.must(t, false).Binds

	thief.IP("addr add 10.1.0.2/32 dev eth0")
	if diff := cmp.Diff(want, l.must(t, true).Binds, compareAddr); diff != "" {
		t.Errorf("binds changed (-want +got):\n%s", diff)
	}
	if got := l.conflicts[victim.Addr(0)]; got != "vthief" {
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
	victim.IP("addr del 10.1.0.2/32 dev eth0")
	l = testLinks(t, node)
	l.SetPod(subjectOf(t, victim))
	l.SetPod(subjectOf(t, thief))
	got := l.must(t, false).Binds[victim.Addr(0)]
	if diff := cmp.Diff(compiler.Bind{Interface: "cni0"}, got, compareAddr); diff != "" {
		t.Errorf("the thief's port was taken (-want +got):\n%s", diff)
	}
	if why := l.Report().Unresolved[victim.Addr(0)]; !strings.Contains(why, "vthief") {
		t.Errorf("reason %q", why)
	}
}

func TestLinksFollowAPodThatIsMadeAnew(t *testing.T) {
	node := netnstest.NewBridgeNode(t)
	old := netnstest.BridgePod(node, "old", "10.1.0.2")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, old))
	l.must(t, false)
	node.IP("link del vold")
	if got := l.must(t, false).Binds[old.Addr(0)].Veth; got != "" {
		t.Errorf("still bound to %q, which is gone", got)
	}
	fresh := netnstest.BridgePod(node, "new", "10.1.0.2")
	fresh.Object.Name = old.Object.Name
	l.SetPod(subjectOf(t, fresh))
	if diff := cmp.Diff(wantBinds("cni0", fresh), l.must(t, false).Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
}

// A sandbox ends before the API says so, and a Pod can take its interface away itself:
// neither is anything that the node fails to enforce.
func TestAPodWhoseInterfaceIsGoneIsNoTrouble(t *testing.T) {
	for _, family := range []string{"10.1.0.", "fd01::"} {
		node := netnstest.NewBridgeNode(t)
		old, other := netnstest.BridgePod(node, "old", family+"2"), netnstest.BridgePod(node, "other", family+"3")
		l := testLinks(t, node)
		l.SetPod(subjectOf(t, old))
		l.SetPod(subjectOf(t, other))
		l.must(t, false)
		node.IP("link del vold")
		l.must(t, false)
		if got := l.Report().Unplaced; len(got) > 0 {
			t.Errorf("the end of a sandbox is told as %v", got)
		}
		// As soon as there is an interface that is nobody's it could be the Pod's.
		netnstest.BridgePod(node, "stray", family+"77")
		l.must(t, false)
		if got := l.Report().Unplaced; len(got) != 1 || got[0].Pod != subjectOf(t, old).Pod {
			t.Errorf("a Pod that may be behind an unknown interface is told as %v", got)
		}
		node.IP("link del vstray")
		fresh := netnstest.BridgePod(node, "old", family+"2")
		l.must(t, false)
		if got := l.Report().Unplaced; len(got) > 0 || l.Result().Binds[fresh.Addr(0)].Veth != "vold" {
			t.Errorf("its next interface is not found: %v", got)
		}
	}
}

func TestLinksSayWhyAPodIsNotFound(t *testing.T) {
	node := netnstest.NewBridgeNode(t)
	node.IP("link add dum0 type veth peer name dum1\nlink set dum0 up\nlink set dum1 up\naddr add 198.51.100.1/24 dev dum0\nroute add default via 198.51.100.254")
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
			if got := l.Report().Unresolved[addr]; !strings.Contains(got, tt.why) {
				t.Errorf("reason %q, want %q in it", got, tt.why)
			}
		})
	}
}

// A veth is a Pod's until something proves otherwise, and so is a port of a bridge.
func TestLinksKnowWhatAnInterfaceIs(t *testing.T) {
	node := netnstest.NewPTPNode(t)
	pod := netnstest.PTPPod(node, "a", "10.1.0.2")
	netnstest.PTPPod(node, "unknown", "10.2.0.2")
	netnstest.PTPPod(node, "net", "10.3.0.2")
	node.IP("route add 10.30.0.0/24 dev vnet")
	netnstest.PTPPod(node, "gateway", "10.4.0.2")
	node.IP("route add 10.40.0.2/32 via 10.4.0.2")
	node.IP("link add docker0 type bridge\nlink set docker0 up\nlink add cni0 type bridge\nlink set cni0 up")
	for i, name := range []string{"container", "bridged", "eth7"} {
		p := netnstest.New(t)
		node.IP("link add v%d type veth peer name eth0 netns %s\nlink set v%d name %s master %s up", i, p.Name, i, name, map[bool]string{true: "docker0", false: "cni0"}[i == 0])
	}
	// A second interface of a Pod that is known.
	node.IP("link add v2nd type veth peer name net1 netns %s\nlink set v2nd up", pod.Name)
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
		if diff := cmp.Diff([]int{l.byName(name).Index}, list); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	node.IP("link del eth7")
	if diff := cmp.Diff([]string{"cni0"}, l.must(t, false).PodInterfaces); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

func TestLinkWatchTellsWhatChanged(t *testing.T) {
	node := netnstest.NewPTPNode(t)
	w, err := NewWatch(node, func() {})
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
	pod := netnstest.PTPPod(node, "a", "10.1.0.2")
	eventually(t, "interface and route", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, i := range w.pending.ifaces {
			if i != nil && i.Name == "va" && i.LeadsOut() {
				return w.pending.touches(pod.Addr(0))
			}
		}
		return false
	})
	w.Take()
	node.IP("link del va")
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

func (l *Links) byName(name string) *Interface {
	for _, i := range l.ifaces {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// A Pod's route may be in a table that rules choose by where a packet comes from, as
// the AWS VPC CNI does for Pods with security groups of their own.
func TestLinksFindAPodByAnotherTable(t *testing.T) {
	node := netnstest.NewPTPNode(t)
	a, b := netnstest.PTPPod(node, "a", "10.1.0.2", "fd01::2"), netnstest.PTPPod(node, "b", "10.1.0.3", "fd01::3")
	for i := range 2 {
		node.IP("route del %s dev va\nroute add %s dev va table 101", a.Addr(i), a.Addr(i))
	}
	node.IP("link add up0 type veth peer name up1\nlink set up0 up\nlink set up1 up\naddr add 198.51.100.1/24 dev up0\nroute add default via 198.51.100.254")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, a))
	l.SetPod(subjectOf(t, b))
	if diff := cmp.Diff(wantBinds("", a, b), l.must(t, false).Binds, compareAddr, ignoreLinkLocal); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
}
