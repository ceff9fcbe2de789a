package beyond

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// vxlanPort is where flannel's devices take packets.
const vxlanPort = 8472

// overlayEnd is a node's device that takes packets out of others, for outer packets
// of one family.
type overlayEnd struct {
	VNI     uint32
	VtepMAC string
	is6     bool
}

// overlay are a node's devices, of flannel with VXLAN.
func (w *world) overlay(node string) []overlayEnd {
	w.t.Helper()
	n := w.node(node)
	if n.Annotations[flannelPrefix+"backend-type"] != "vxlan" {
		return nil
	}
	var ends []overlayEnd
	for _, key := range []string{"backend-data", "backend-v6-data"} {
		data := n.Annotations[flannelPrefix+key]
		if data == "" || data == "null" {
			continue
		}
		e := overlayEnd{is6: key == "backend-v6-data"}
		w.must("read the annotation "+key, json.Unmarshal([]byte(data), &e))
		ends = append(ends, e)
	}
	return ends
}

// nodeAddrs are all addresses that a node has for Pods of one family: its own, that
// of its tunnel, and that of its bridge.
func (w *world) nodeAddrs(node string, is6 bool) []netip.Addr {
	w.t.Helper()
	n := w.node(node)
	var all []netip.Addr
	for _, a := range n.Status.Addresses {
		if addr, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP && addr.Is6() == is6 {
			all = append(all, addr)
		}
	}
	for _, cidr := range n.Spec.PodCIDRs {
		if p := netip.MustParsePrefix(cidr); p.Addr().Is6() == is6 {
			all = append(all, p.Addr(), p.Addr().Next())
		}
	}
	return all
}

// TestTunnel: nobody but nodes sends through the nodes' overlay. A Pod, or a host
// that is no node, would otherwise put packets into it in any Pod's name.
func TestTunnel(t *testing.T) {
	w := newWorld(t)
	ends := w.overlay(cluster.nodes[0])
	if len(ends) == 0 {
		t.Log("the nodes have no VXLAN of flannel, so there is nothing to send through")
		return
	}
	w.policy(w.ns, "server", `
podSelector: {matchLabels: {role: server}}
ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]
`)
	server, friend := map[string]string{"role": "server"}, map[string]string{"role": "friend"}
	pods := w.pods(
		spec{name: "attacker"}, spec{name: "far-attacker", node: 1},
		spec{name: "server", labels: server}, spec{name: "far-server", node: 1, labels: server},
		spec{name: "friend", labels: friend}, spec{name: "far-friend", node: 1, labels: friend},
		spec{name: "own-node", onNode: true}, spec{name: "other-node", onNode: true, node: 1},
	)
	var cells []cell
	for _, s := range []string{"server", "far-server"} {
		cells = slices.Concat(cells, pods["friend"].to(pods[s], web, true), pods["far-friend"].to(pods[s], web, true),
			pods["attacker"].to(pods[s], web, false), pods["far-attacker"].to(pods[s], web, false))
	}
	w.expect("through the overlay", cells...)

	// Of each server, a friend on the other node is who the attackers pass for.
	senders := []sender{
		{pods["attacker"].hand, false}, {pods["far-attacker"].hand, false}, {pods["friend"].hand, false}, {pods["far-friend"].hand, false},
	}
	if h := outsider(t); h != nil {
		senders = append(senders, sender{h, false})
	}
	shots := map[*pod][]shot{}
	heard := map[*pod]task{}
	for _, s := range []struct {
		server, as, node *pod
		at               int
	}{{pods["server"], pods["far-friend"], pods["other-node"], 0}, {pods["far-server"], pods["friend"], pods["own-node"], 1}} {
		heard[s.server] = s.server.start(probe.Request{Op: probe.Hear})
		// What is proved by the other node: such packets are taken, if it sends them.
		for _, by := range append(senders, sender{s.node.hand, true}) {
			shots[s.server] = append(shots[s.server], w.tunnel(by, s.server, s.as, s.at)...)
		}
	}
	time.Sleep(time.Second)
	sent := 0
	for server, task := range heard {
		r := task.stop()
		if r.Outcome != probe.Finished {
			t.Fatalf("%s does not hear: %s", server.Pod.Name, r.Detail)
		}
		for _, s := range shots[server] {
			sent++
			if arrived := r.Heard[s.mark] > 0; arrived != s.want {
				t.Errorf("%s: arrives is %v, want %v", s.what, arrived, s.want)
			}
		}
	}
	t.Logf("%d kinds of packets were sent to the nodes' tunnels, %d times each", sent, sendings)
	w.expect("through the overlay, after all", cells...)
}

// sender is who sends to a tunnel, and whether it may.
type sender struct {
	*hand
	node bool
}

// tunnel sends packets to a server in a friend's name, to each address of the
// server's node at which there is a tunnel.
func (w *world) tunnel(by sender, server, as *pod, at int) []shot {
	w.t.Helper()
	var shots []shot
	for _, end := range w.overlay(cluster.nodes[at]) {
		mac, err := net.ParseMAC(end.VtepMAC)
		w.must("read the tunnel's hardware address", err)
		for _, node := range w.nodeAddrs(cluster.nodes[at], end.is6) {
			if by.node && node != w.nodeAddrs(cluster.nodes[at], end.is6)[0] {
				continue // nodes send to a node's own address
			}
			var payloads [][]byte
			for _, to := range server.addrs() {
				s := shot{
					what: fmt.Sprintf("%s to the tunnel of %s at %s, to %s as %s", by.name, cluster.nodes[at], node, to, as.Pod.Name),
					mark: newMark(), want: by.node,
				}
				shots = append(shots, s)
				inner := ends{srcMAC: net.HardwareAddr{0x0a, 0x58, 0, 0, 0, 5}, dstMAC: mac, src: as.addr(to), dst: to}
				header := binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, end.VNI<<8)
				for range sendings {
					payloads = append(payloads, slices.Concat(header, inner.udp(port(s.mark), web, s.mark)))
				}
			}
			r := by.do(probe.Request{Op: probe.Datagrams, Address: netip.AddrPortFrom(node, vxlanPort).String(), Frames: payloads})
			// Where there is no way to an address, nothing comes that way either.
			if r.Outcome != probe.OK && by.node {
				w.t.Fatalf("send to %s from %s: %s", node, by.name, r.Detail)
			}
		}
	}
	return shots
}
