package scale

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Node is the node from which the cluster is seen: it has the LocalPods.
const Node = "node-0"

// podsPerNode is how many Pods every other node has.
const podsPerNode = 100

// appsPerNamespace is how many Deployments share a namespace.
const appsPerNamespace = 5

// Shape says what the policies of a cluster are like.
type Shape uint8

const (
	// Mixed is what people write: denials by default, callers, scraping from
	// everywhere, egress to names of ports, blocks with exceptions.
	Mixed Shape = iota
	// Published is the shape of published scale tests: every policy selects
	// half the Pods of its namespace and has one rule with 5 ports, 5 ranges,
	// 5 namespaces, 5 groups of Pods and 5 blocks as peers.
	Published
)

// Cluster is a cluster by its size. Pod, Namespace and Policy are pure
// functions of a number below the field of that name.
type Cluster struct {
	Pods, Namespaces, Policies int
	// LocalPods are the first ones, in neighbouring namespaces.
	LocalPods int
	Shape     Shape
	DualStack bool
}

// Large is a cluster with the proportions of a large one: 15 Pods and 2
// policies a namespace, 20,000 policies and 500 local Pods with 150,000 Pods.
func Large(pods int) Cluster {
	namespaces := max(1, pods/15)
	return Cluster{Pods: pods, Namespaces: namespaces, Policies: 2 * namespaces, LocalPods: min(pods, max(10, min(500, pods/100)))}
}

// Burner is the cluster of published scale tests, seen from one of 24 nodes.
func Burner() Cluster {
	return Cluster{Pods: 2_400, Namespaces: 240, Policies: 4_800, LocalPods: 100, Shape: Published}
}

// Fill hands all objects to an index.
func (c Cluster) Fill(x *policy.Index) error {
	for i := range c.Namespaces {
		x.SetNamespace(c.Namespace(i))
	}
	for i := range c.Policies {
		if err := x.SetPolicy(c.Policy(i)); err != nil {
			return err
		}
	}
	for i := range c.Pods {
		x.SetPod(c.Pod(i))
	}
	return nil
}

// Namespace is the i-th namespace with its labels.
func (c Cluster) Namespace(i int) (name string, labels map[string]string) {
	name = namespaceName(i)
	return name, map[string]string{
		corev1.LabelMetadataName: name,
		"team":                   "team-" + strconv.Itoa(i%teams(c.Namespaces)),
	}
}

// teams grow with the cluster, so that a team's namespaces stay about ten.
func teams(namespaces int) int { return max(1, namespaces/10) }

func namespaceName(i int) string { return "ns-" + strconv.Itoa(i) }

// namespaceOf spreads Pods so that neighbours by number share a namespace, as
// those of one node do.
func (c Cluster) namespaceOf(pod int) int { return pod / appsPerNamespace % c.Namespaces }

// Pod is the i-th Pod. It shares no memory with another one, as decoding gives
// them. Pods from c.Pods on are guests: of the same kind, on other nodes.
func (c Cluster) Pod(i int) *policy.Pod {
	app, ns := i%appsPerNamespace, c.namespaceOf(i)
	node := i/podsPerNode + 1
	out := &policy.Pod{
		NamespacedName: types.NamespacedName{
			Namespace: namespaceName(ns),
			Name:      fmt.Sprintf("app-%d-5d4f8c7b9d-%05d", app, i),
		},
		UID:       types.UID(fmt.Sprintf("0f1e2d3c-4b5a-6978-8796-%012d", i)),
		Node:      "node-" + strconv.Itoa(node),
		NodeAddrs: []netip.Addr{v4(192, 168, node)},
		Labels: map[string]string{
			strings.Clone("app"):                       "app-" + strconv.Itoa(app),
			strings.Clone("num"):                       "num-" + strconv.Itoa(c.num(i)),
			strings.Clone("app.kubernetes.io/part-of"): strings.Clone("shop"),
			strings.Clone("pod-template-hash"):         fmt.Sprintf("5d4f8c%d-%d", app, ns),
		},
		Addrs: []netip.Addr{v4(10, 0, i+1)},
		Ports: []policy.NamedPort{
			{Name: strings.Clone("http"), Protocol: policy.TCP, Number: 8080},
			{Name: strings.Clone("dns"), Protocol: policy.UDP, Number: 53},
		},
		Created: 1_700_000_000 + int64(i),
	}
	if i < c.LocalPods {
		out.Node, out.NodeAddrs = Node, []netip.Addr{v4(192, 168, 0)}
	}
	if c.DualStack {
		out.Addrs = append(out.Addrs, v6(i+1))
	}
	return out
}

// num is the Pod's number in its namespace, as long as those have ten.
func (c Cluster) num(i int) int {
	if c.Shape != Published {
		return i % appsPerNamespace
	}
	round := i / (appsPerNamespace * c.Namespaces)
	return (round*appsPerNamespace + i%appsPerNamespace) % 10
}

// PodObject is the i-th Pod as the API has it.
func (c Cluster) PodObject(i int) *corev1.Pod {
	p := c.Pod(i)
	out := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, Labels: p.Labels,
			CreationTimestamp: metav1.Unix(p.Created, 0),
		},
		Spec: corev1.PodSpec{NodeName: p.Node, Containers: []corev1.Container{{Name: "main", Image: "registry.invalid/main:1"}}},
		Status: corev1.PodStatus{
			Phase:   corev1.PodRunning,
			HostIP:  p.NodeAddrs[0].String(),
			HostIPs: []corev1.HostIP{{IP: p.NodeAddrs[0].String()}},
			PodIP:   p.Addrs[0].String(),
		},
	}
	for _, a := range p.Addrs {
		out.Status.PodIPs = append(out.Status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	for _, port := range p.Ports {
		out.Spec.Containers[0].Ports = append(out.Spec.Containers[0].Ports, corev1.ContainerPort{
			Name: port.Name, Protocol: corev1.Protocol(port.Protocol.String()), ContainerPort: int32(port.Number),
		})
	}
	return out
}

// NamespaceObject is the i-th namespace as the API has it.
func (c Cluster) NamespaceObject(i int) *corev1.Namespace {
	name, labels := c.Namespace(i)
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// Policy is the i-th policy. The policies of a namespace are c.Namespaces
// apart.
func (c Cluster) Policy(i int) *networkingv1.NetworkPolicy {
	ns := i % c.Namespaces
	out := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespaceName(ns), Name: "policy-" + strconv.Itoa(i)},
	}
	if c.Shape == Published {
		out.Spec = c.published(ns, i/c.Namespaces)
	} else {
		out.Spec = c.mixed(ns, i/c.Namespaces)
	}
	return out
}

func v4(a, b byte, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{a, b + byte(n>>16), byte(n >> 8), byte(n)})
}

func v6(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x10, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
}
