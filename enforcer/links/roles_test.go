package links

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// The kernel tells of a veth without another end while it makes it, and again before it
// takes it away, as a port still. A look may come after any notice: at none of them is the
// bridge taken for one with an uplink, or a veth for one that leads to nobody's namespace,
// for either would open what is no known Pod's. That holds for a bridge with a Pod, and for
// one that gets its first.
func TestAVethThatComesOrGoesOpensNothing(t *testing.T) {
	for _, first := range []bool{false, true} {
		t.Run(fmt.Sprintf("first=%t", first), func(t *testing.T) {
			node := netnstest.NewBridgeNode(t)
			if !first {
				netnstest.BridgePod(node, "a", "10.1.0.2")
			}
			comeAndGo(t, node, first)
		})
	}
}

func comeAndGo(t *testing.T, node netnstest.NS, first bool) {
	pod := netnstest.New(t)
	l := testLinks(t, node)
	l.must(t, false)
	notices, err := nlsocket.Subscribe(node, nlsocket.NoticeBuffer, unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		t.Fatal(err)
	}
	type notice struct {
		kind uint16
		data []byte
	}
	var mu sync.Mutex
	var all []notice
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		notices.Receive(ctx, func(kind uint16, data []byte) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, notice{kind, slices.Clone(data)})
		}, func() { t.Error("notices were lost") }, func() {})
	})
	for i, way := range []string{
		// Made here with its other end there, made there, and made here as a whole.
		"ip link add v%[1]d type veth peer name e%[1]d netns %[2]s",
		"ip -n %[2]s link add e%[1]d type veth peer name v%[1]d netns %[3]s",
		"ip link add v%[1]d type veth peer name e%[1]d && ip link set v%[1]d master cni0 up && ip link set e%[1]d netns %[2]s",
	} {
		for j, end := range []string{"ip link del v%[1]d", "ip -n %[2]s link del e%[1]d"} {
			for k, port := range []bool{true, false} {
				n := 100*i + 10*j + k
				script := fmt.Sprintf(way, n, pod.Name, node.Name)
				if port {
					script += fmt.Sprintf(" && ip link set v%d master cni0", n)
				} else {
					script += fmt.Sprintf(" && ip link set v%d nomaster", n)
				}
				script += fmt.Sprintf(" && ip link set v%[1]d up && ip -n %[2]s link set e%[1]d up && "+end, n, pod.Name)
				node.Cmd("sh", "-c", script)
			}
		}
	}
	node.IP("link add last type bridge")
	netnstest.Eventually(t, "all notices", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(all, func(n notice) bool { i, _ := InterfaceOf(n.data); return i.Name == "last" })
	})
	stop()
	running.Wait()
	loose := 0
	for n, one := range all {
		var w Watch
		w.take(one.kind, one.data)
		if err := l.Update(w.Take()); err != nil {
			t.Fatal(err)
		}
		result := l.Result()
		if !first && !slices.Equal(result.PodInterfaces, []string{"cni0"}) || len(result.Uplinks)+len(result.OpenPorts)+len(result.OtherInterfaces) > 0 {
			t.Errorf("after notice %d of %d: Pod interfaces %v, uplinks %v, open ports %v, others %v", n+1, len(all),
				result.PodInterfaces, result.Uplinks, result.OpenPorts, result.OtherInterfaces)
		}
		if i, ok := InterfaceOf(one.data); ok && i.Kind == "veth" && i.Peer == 0 {
			loose++
		}
	}
	if loose == 0 {
		t.Errorf("none of %d notices is of a veth without another end", len(all))
	}
	t.Logf("%d notices, %d of veths without another end", len(all), loose)
}
