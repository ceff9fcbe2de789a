package enforcer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// Other interfaces of a known Pod are told, of every kind that leads out of it, and nothing
// that only is within it.
func TestSecondInterfacesAreTold(t *testing.T) {
	node := newPTPNode(t)
	pod, plain := ptpPod(node, "a", "10.1.0.2"), ptpPod(node, "b", "10.1.0.3")
	node.ip("link add up0 type veth peer name up1\nlink set up0 up\nlink set up1 up\nlink add br1 type bridge\nlink set br1 up")
	node.ip("link add sec0 type veth peer name net1 netns %s\nlink set sec0 master br1 up", pod.name)
	node.ip("link add sec1 type veth peer name net2 netns %s\nlink set sec1 up", pod.name)
	node.ip("link add link up0 name mv0 netns %s type macvlan mode bridge", pod.name)
	pod.ip("link set mv0 up\nlink add in0 type bridge\nlink set in0 up\nlink add in1 type veth peer name in2\nlink set in1 up\nlink set in2 up")
	l := testLinks(t, node)
	l.SetPod(subjectOf(t, pod))
	l.SetPod(subjectOf(t, plain))
	result := l.must(t, false)
	want := map[types.NamespacedName][]string{
		subjectOf(t, pod).Pod: {"mv0 in it (macvlan)", "sec0 of the node leads to it", "sec1 of the node leads to it"},
	}
	if diff := cmp.Diff(want, l.seconds(false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"br1", "sec1"}, result.SecondInterfaces); diff != "" {
		t.Errorf("second interfaces (-want +got):\n%s", diff)
	}
	pod.ip("link del mv0")
	node.ip("link del sec0\nlink del sec1")
	l.must(t, false)
	if got := l.seconds(true); len(got) > 0 {
		t.Errorf("of what is gone %v is told", got)
	}
}

// A new Pod's port of a second network is closed until the Pod is known, and closes none of
// those of others.
func TestANewPortOfASecondNetworkClosesNoOther(t *testing.T) {
	node := newPTPNode(t)
	pod := ptpPod(node, "a", "10.1.0.2")
	node.ip("link add br1 type bridge\nlink set br1 up\nlink add sec0 type veth peer name net1 netns %s\nlink set sec0 master br1 up", pod.name)
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
	first := []int{}
	if got := open(); len(got) == 1 {
		first = got
	} else {
		t.Fatalf("open ports %v", got)
	}
	fresh := ptpPod(node, "b", "10.1.0.3")
	node.ip("link add sec1 type veth peer name net1 netns %s\nlink set sec1 master br1 up", fresh.name)
	if diff := cmp.Diff(first, open()); diff != "" {
		t.Errorf("open ports beside a new one (-want +got):\n%s", diff)
	}
	l.SetPod(subjectOf(t, fresh))
	if got := open(); len(got) != 2 {
		t.Errorf("open ports %v when the Pod is known", got)
	}
}

// Many Pods with second interfaces do not make many lines.
func TestSecondConditionsAreBounded(t *testing.T) {
	found := map[types.NamespacedName][]string{}
	for i := range mostConflicts + 5 {
		found[types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("pod-%03d", i)}] = []string{"sec0 of the node leads to it"}
	}
	got := secondConditions(found)
	if len(got) != mostConflicts+1 || !strings.Contains(got[mostConflicts].Message, "5 more Pods") {
		t.Errorf("%d conditions, the last is %v", len(got), got[len(got)-1])
	}
	for _, c := range got {
		if c.What != secondKind || c.NotReady() {
			t.Errorf("%+v", c)
		}
	}
}

// The node's own routing knows nothing of a Pod whose route is in another table, and no
// change of that routing takes the Pod's place away.
func TestPodsOfOtherTablesAreDetours(t *testing.T) {
	node := newPTPNode(t)
	a, b := ptpPod(node, "a", "10.1.0.2"), ptpPod(node, "b", "10.1.0.3")
	node.ip("route del 10.1.0.2 dev va\nroute add 10.1.0.2 dev va table 101")
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
	a.ip("link set eth0 address 02:00:00:00:00:99")
	node.ip("link add up0 type veth peer name up1\nlink set up0 up\nlink set up1 up\naddr add 198.51.100.1/24 dev up0\nroute add default via 198.51.100.254")
	if diff := cmp.Diff(want.Binds, l.must(t, true).Binds, compareAddr); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
	node.ip("route del 10.1.0.2 dev va table 101\nroute add 10.1.0.2 dev va")
	l.DeletePod(subjectOf(t, a).Pod)
	l.SetPod(subjectOf(t, a))
	if l.must(t, false).Detours {
		t.Error("it stays one when the node has a route")
	}
}
