package beyond

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestExplainSNAT holds explain's word on where a node hides the client against
// what the server sees, and against what a policy that names nobody but the
// client makes of it: the node that takes a connection and has the Pod judges
// the client, also where it hides it from the Pod; another node's Pod is judged
// by the address of the node between.
func TestExplainSNAT(t *testing.T) {
	for _, policy := range []corev1.ServiceExternalTrafficPolicy{corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t)
			pods := w.pods(
				spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1},
				spec{name: "node-0", onNode: true}, spec{name: "node-1", onNode: true, node: 1},
			)
			seen := [2]netip.Addr{w.seen(pods["node-0"])[0], w.seen(pods["node-1"])[0]}
			nodes := [2]netip.Addr{pods["node-0"].addrs()[0], pods["node-1"].addrs()[0]}
			tcp, _ := w.nodePorts("server", policy)
			// With Local, Pods are served as at the ClusterIP, and who dials
			// another node's port is there as a client from outside.
			around := policy == corev1.ServiceExternalTrafficPolicyCluster
			doors := []door{
				{from: pods["near"].hand, at: 0},
				{from: pods["near"].hand, at: 1, hidden: around, closed: !around},
				{from: pods["far"].hand, at: 1, hidden: around},
			}
			// Hidden by its own node already, it is somebody else at the other.
			if !w.hidden() {
				doors = append(doors, door{from: pods["far"].hand, at: 0})
			}
			if h := outsider(t); h != nil {
				h.learn(t, pods["node-0"])
				doors = append(doors, door{from: h, at: 0}, door{from: h, at: 1, hidden: around, closed: !around})
			}
			for i := range doors {
				d := &doors[i]
				d.client = d.from.addr(nodes[d.at])
				d.node, d.seen, d.name, d.port = nodes[d.at], seen[d.at], cluster.nodes[d.at], tcp
			}
			var open []cell
			for _, d := range doors {
				open = append(open, d.cell(true))
			}
			w.observe("without a policy", open...)
			for _, d := range doors {
				d.check(w)
			}
		})
	}
}

// door is a client at a node's port.
type door struct {
	from   *hand
	client netip.Addr
	at     int // which node: the server is on the first
	node   netip.Addr
	seen   netip.Addr // by which Pods of others see the node
	name   string
	port   uint16
	hidden bool // the node puts its own address in place of the client's
	closed bool // the node has nobody to serve it
}

func (d *door) String() string {
	return fmt.Sprintf("%s at node %s", d.from.name, d.name)
}

func (d *door) cell(want bool) cell {
	return cell{from: d.from, to: "NodePort of " + d.name, network: "tcp", addr: netip.AddrPortFrom(d.node, d.port), want: want && !d.closed}
}

// check asks explain who is seen, and has two policies say who is judged.
func (d *door) check(w *world) {
	w.t.Helper()
	dst := fmt.Sprintf("node/%s:%d", d.name, d.port)
	src := d.from.end(d.client)
	e, err := w.explain(src, dst)
	if d.closed {
		if err == nil || !strings.Contains(err.Error(), "exit code 2") || !strings.Contains(err.Error(), "has no endpoint on node "+d.name) {
			w.t.Errorf("%s: explain says %+v, %v, and nobody serves there", d, e, err)
		}
		return
	}
	w.must("explain", err)
	if len(e.Outcomes) != 1 || e.Outcomes[0].EntryNode != d.name || e.share() != all {
		w.t.Fatalf("%s: explain says %+v, want one path through that node", d, e)
	}
	judged := d.client
	if d.hidden {
		judged = d.seen
	}
	if says := e.Outcomes[0].ClientSeenAs; (says != "") != d.hidden || d.hidden && says != judged.String() {
		w.t.Errorf("%s: explain says that the Pod sees %q; is the client hidden: %v", d, says, d.hidden)
	}
	c := d.cell(true)
	answer := c.probe()
	if d.hidden && answer.Seen != judged.String() {
		w.t.Errorf("%s: the Pod sees %s, and explain says %s", d, answer.Seen, judged)
	}
	for _, c := range []struct {
		who  string
		addr netip.Addr
	}{{"the client", d.client}, {"the node", d.seen}} {
		w.policy(w.ns, "only", fmt.Sprintf("{podSelector: {matchLabels: {app: server}}, ingress: [{from: %s}]}", blocks([]netip.Addr{c.addr})))
		w.expect(fmt.Sprintf("%s, with %s allowed alone", d, c.who), d.cell(c.addr == judged))
		e, err := w.explain(src, dst)
		w.must("explain", err)
		if says := e.over(d.client); says != (c.addr == judged) {
			w.t.Errorf("%s, with %s allowed alone: explain says %v", d, c.who, says)
		}
		w.deletePolicy(w.ns, "only")
	}
	w.t.Logf("%s: judged as %s, seen by the Pod as %s", d, judged, answer.Seen)
}
