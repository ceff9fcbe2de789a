package links

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// Other interfaces of a known Pod are told, of every kind that leads out of it, and nothing
// that only is within it.
func TestSecondInterfacesAreTold(t *testing.T) {
	node := netnstest.NewPTPNode(t)
	pod, plain := netnstest.PTPPod(node, "a", "10.1.0.2"), netnstest.PTPPod(node, "b", "10.1.0.3")
	node.IP("link add up0 type veth peer name up1\nlink set up0 up\nlink set up1 up\nlink add br1 type bridge\nlink set br1 up")
	node.IP("link add sec0 type veth peer name net1 netns %s\nlink set sec0 master br1 up", pod.Name)
	node.IP("link add sec1 type veth peer name net2 netns %s\nlink set sec1 up", pod.Name)
	node.IP("link add link up0 name mv0 netns %s type macvlan mode bridge", pod.Name)
	pod.IP("link set mv0 up\nlink add in0 type bridge\nlink set in0 up\nlink add in1 type veth peer name in2\nlink set in1 up\nlink set in2 up")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, pod))
	l.SetPod(subjectOf(t, plain))
	result := l.must(t, false)
	want := map[types.NamespacedName][]string{
		subjectOf(t, pod).Pod: {"mv0 in it (macvlan)", "sec0 of the node leads to it", "sec1 of the node leads to it"},
	}
	if diff := cmp.Diff(want, l.Seconds(false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"br1", "sec1"}, result.SecondInterfaces); diff != "" {
		t.Errorf("second interfaces (-want +got):\n%s", diff)
	}
	pod.IP("link del mv0")
	node.IP("link del sec0\nlink del sec1")
	l.must(t, false)
	if got := l.Seconds(true); len(got) > 0 {
		t.Errorf("of what is gone %v is told", got)
	}
}

// A new Pod's port of a second network is closed until the Pod is known, and closes none of
// those of others.
func TestANewPortOfASecondNetworkClosesNoOther(t *testing.T) {
	node := netnstest.NewPTPNode(t)
	pod := netnstest.PTPPod(node, "a", "10.1.0.2")
	node.IP("link add br1 type bridge\nlink set br1 up\nlink add sec0 type veth peer name net1 netns %s\nlink set sec0 master br1 up", pod.Name)
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, pod))
	open := func() []int {
		t.Helper()
		r := l.must(t, false)
		if len(r.PodInterfaces) > 0 {
			t.Errorf("%v count as bridges of Pods alone", r.PodInterfaces)
		}
		return r.OpenPorts
	}
	first := open()
	if len(first) != 1 {
		t.Fatalf("open ports %v", first)
	}
	fresh := netnstest.PTPPod(node, "b", "10.1.0.3")
	node.IP("link add sec1 type veth peer name net1 netns %s\nlink set sec1 master br1 up", fresh.Name)
	if diff := cmp.Diff(first, open()); diff != "" {
		t.Errorf("open ports beside a new one (-want +got):\n%s", diff)
	}
	l.SetPod(subjectOf(t, fresh))
	if got := open(); len(got) != 2 {
		t.Errorf("open ports %v when the Pod is known", got)
	}
}

// The node's own routing knows nothing of a Pod whose route is in another table, and no
// change of that routing takes the Pod's place away.
func TestPodsOfOtherTablesAreDetours(t *testing.T) {
	node := netnstest.NewPTPNode(t)
	a, b := netnstest.PTPPod(node, "a", "10.1.0.2"), netnstest.PTPPod(node, "b", "10.1.0.3")
	node.IP("route del 10.1.0.2 dev va\nroute add 10.1.0.2 dev va table 101")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, b))
	if l.must(t, false).Detours {
		t.Error("a Pod that the node has a route to is taken for one that it has none to")
	}
	l.SetPod(subjectOf(t, a))
	want := l.must(t, false)
	if !want.Detours {
		t.Error("it is not told that the node reaches a Pod by way of the network")
	}
	// Its end is not asked again: the Pod may have changed it.
	a.IP("link set eth0 address 02:00:00:00:00:99")
	node.IP("link add up0 type veth peer name up1\nlink set up0 up\nlink set up1 up\naddr add 198.51.100.1/24 dev up0\nroute add default via 198.51.100.254")
	if diff := cmp.Diff(want.Binds, l.must(t, true).Binds, compareAddr); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
	node.IP("route del 10.1.0.2 dev va table 101\nroute add 10.1.0.2 dev va")
	l.DeletePod(subjectOf(t, a).Pod)
	l.SetPod(subjectOf(t, a))
	if l.must(t, false).Detours {
		t.Error("it stays one when the node has a route")
	}
}
