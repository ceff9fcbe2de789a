package beyond

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is between nodes changes who is seen. Of flannel it is known how.

// flannelPrefix is of the annotations that flannel puts on Nodes.
const flannelPrefix = "flannel.alpha.coreos.com/"

func (w *world) node(name string) *corev1.Node {
	w.t.Helper()
	n, err := cluster.client.CoreV1().Nodes().Get(w.ctx, name, metav1.GetOptions{})
	w.must("get node "+name, err)
	return n
}

// seen are the addresses by which Pods of other nodes see the node of a Pod that is
// on its network: those of its tunnel, where it has one.
func (w *world) seen(onNode *pod) []netip.Addr {
	w.t.Helper()
	n := w.node(onNode.Spec.NodeName)
	if n.Annotations[flannelPrefix+"backend-type"] != "vxlan" {
		return onNode.addrs()
	}
	var all []netip.Addr
	for _, cidr := range n.Spec.PodCIDRs {
		all = append(all, netip.MustParsePrefix(cidr).Addr())
	}
	return all
}

// known are all addresses by which a node is seen: by other nodes and by their Pods.
func (w *world) known(onNode *pod) []netip.Addr {
	w.t.Helper()
	all := slices.Concat(onNode.addrs(), w.seen(onNode))
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// hidden says that a Pod is seen as its node by all that is no Pod, other nodes
// among them, and so at their NodePorts and hostPorts. sluice tells users of that in
// a note and answers as if it were not so; it is not asked there.
func (w *world) hidden() bool {
	w.t.Helper()
	return w.node(cluster.nodes[0]).Annotations[flannelPrefix+"kube-subnet-manager"] == "true"
}

// unsaid is cells that sluice is not asked about.
func unsaid(cells []cell) []cell {
	for i := range cells {
		cells[i].unsaid = true
	}
	return cells
}
