package scale

import (
	"fmt"
	"net/netip"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

// Selected is a node of which many policies select one Pod, and nothing the others.
type Selected struct {
	Policies int
	// Plain policies have one port and one range of their own, in both directions, and
	// addresses of both families. Others overlap as much as they can: see
	// [Selected.Policy].
	Plain bool
	// Everybody has each policy let all Pods of all namespaces in besides, by ports that
	// it names: what costs others large sets.
	Everybody bool
}

const (
	selectedLocal = 100
	// selectedGroups is how many selectors the peers take turns with, selectedMembers
	// how many Pods elsewhere each selects.
	selectedGroups, selectedMembers = 50, 4
	// sharedPort is one that all policies name.
	sharedPort = 9102
)

// Fill hands all objects to an index.
func (s Selected) Fill(x *policy.Index) error {
	x.SetNamespace(s.Namespace())
	for i := range s.Policies {
		if err := x.SetPolicy(s.Policy(i)); err != nil {
			return err
		}
	}
	all, _ := s.Pods()
	for i := range all {
		x.SetPod(s.Pod(i))
	}
	return nil
}

// Pod is the i-th Pod: the first is selected, the first hundred are on the node, and
// those after them are peers. Any number is a Pod.
func (s Selected) Pod(i int) *policy.Pod {
	node, app := Node, "local-"+strconv.Itoa(i)
	if i >= selectedLocal {
		node, app = "node-1", "peer-"+strconv.Itoa((i-selectedLocal)%selectedGroups)
	}
	name := types.NamespacedName{Namespace: namespaceName(0), Name: "pod-" + strconv.Itoa(i)}
	out := &policy.Pod{NamespacedName: name, UID: types.UID(name.Name), Node: node, Created: 1,
		Labels: map[string]string{"app": app}, Addrs: []netip.Addr{v4(10, 0, i+1)}}
	if s.Plain {
		out.Addrs = append(out.Addrs, v6(i+1))
	}
	if s.Everybody {
		for n := range selectedNames {
			out.Ports = append(out.Ports, policy.NamedPort{Name: portName(n), Protocol: policy.TCP, Number: uint16(7_000 + n)})
		}
	}
	return out
}

// selectedNames is how many ports have names.
const selectedNames = 8

func portName(n int) string { return "named-" + strconv.Itoa(n%selectedNames) }

// Namespace is the one that all of them are in.
func (s Selected) Namespace() (name string, labels map[string]string) {
	return namespaceName(0), map[string]string{"team": "team-0"}
}

// Pods is how many there are, the first of which are on the node.
func (s Selected) Pods() (all, local int) {
	return selectedLocal + selectedGroups*selectedMembers, selectedLocal
}

// Policy is the n-th that selects the first Pod. Unless they are plain, each has a port
// of its own, two ranges that overlap with its neighbours', the port that all name, a
// group and a block with an exception as peers, and a block with all ports.
func (s Selected) Policy(n int) *networkingv1.NetworkPolicy {
	of := peer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "peer-" + strconv.Itoa(n%selectedGroups)}}}
	at := int32(n)
	out := spec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "local-0"}}, PolicyTypes: both[:1]}
	if s.Plain {
		peers := []peer{of, cidr(fmt.Sprintf("198.%d.%d.0/24", 18+n/256, n%256)), cidr(fmt.Sprintf("2001:db8:%x::/48", n))}
		ports := []port{number(1_000+at, 0), number(10_000+20*at, 10_010+20*at)}
		out.PolicyTypes = both
		out.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}}
		out.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: ports}}
		return selecting(n, out)
	}
	between := number(30_000+2*at, 30_003+2*at)
	between.Protocol = udp()
	out.Ingress = []networkingv1.NetworkPolicyIngressRule{
		{
			From:  []peer{of, cidr(fmt.Sprintf("172.%d.%d.0/24", 16+n/256, n%256), fmt.Sprintf("172.%d.%d.64/26", 16+n/256, n%256))},
			Ports: []port{number(10_000+at, 0), number(30_000+3*at, 30_009+3*at), number(sharedPort, 0), between},
		},
		{From: []peer{cidr(fmt.Sprintf("198.%d.%d.0/24", 18+n/256, n%256))}},
	}
	if s.Everybody {
		name := intstr.FromString(portName(n))
		out.Ingress = append(out.Ingress, networkingv1.NetworkPolicyIngressRule{
			From: []peer{{NamespaceSelector: &metav1.LabelSelector{}}}, Ports: []port{{Port: &name}},
		})
	}
	return selecting(n, out)
}

// Neighbour isolates the second Pod.
func (s Selected) Neighbour() *networkingv1.NetworkPolicy {
	out := selecting(0, ingress(0, []peer{pods(1)}, number(80, 0)))
	out.Name = "neighbour"
	out.Spec.PodSelector.MatchLabels = map[string]string{"app": "local-1"}
	return out
}

func selecting(n int, s spec) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespaceName(0), Name: fmt.Sprintf("selecting-%05d", n)}, Spec: s,
	}
}

func cidr(block string, except ...string) peer {
	return peer{IPBlock: &networkingv1.IPBlock{CIDR: block, Except: except}}
}
