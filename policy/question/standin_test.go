package question_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
	"github.com/sluice-net/sluice/policy/spectest"
)

// drawn is a random cluster, of which Pods have addresses, lack them, or are
// Deployments that have none running, beside bare Pods with the same labels. Some Pods are
// on the host network, many have addresses of both families, and of every third cluster the
// Nodes tell of their ranges.
func drawn(seed uint64) manifest.Set {
	c := spectest.Random(spectest.Seeded(seed), spectest.Options{Plain: true, Pods: 2 + int(seed%6)})
	set := manifest.Set{Namespaces: c.Namespaces, Policies: c.Policies}
	for i, p := range c.Pods {
		switch (seed + uint64(i)) % 3 {
		case 0:
			p.Status.PodIP, p.Status.PodIPs = "", nil
			if p.Spec.HostNetwork {
				p.Status.HostIP, p.Status.HostIPs = "", nil
			}
			fallthrough
		case 1:
			set.Pods = append(set.Pods, p)
		case 2:
			set.Workloads = append(set.Workloads, deploymentOf(p))
			if i%2 == 0 && !p.Spec.HostNetwork {
				bare := p.DeepCopy()
				bare.Name += "-debug"
				bare.Spec.Containers = nil
				set.Pods = append(set.Pods, bare)
			}
		}
	}
	if seed%3 == 0 {
		set.Nodes = nodesOf(c, seed%2 == 0)
	}
	return set
}

func deploymentOf(p *corev1.Pod) manifest.Workload {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: p.Labels}
	d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: p.Spec}
	return manifest.NewWorkload("Deployment", &d.ObjectMeta, d.Spec.Selector).WithTemplate(&d.Spec.Template)
}

// nodesOf are the nodes of a cluster's Pods; v6 says whether Pods have IPv6.
func nodesOf(c *spectest.Cluster, v6 bool) []*corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	n.Spec.PodCIDRs = []string{"10.64.0.0/14"}
	if v6 || slices.ContainsFunc(c.Pods, func(p *corev1.Pod) bool { return strings.Contains(fmt.Sprint(p.Status.PodIPs), "::") }) {
		n.Spec.PodCIDRs = append(n.Spec.PodCIDRs, "fd00:64::/32")
	}
	for _, p := range c.Pods {
		for _, ip := range p.Status.HostIPs {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.IP})
		}
	}
	return []*corev1.Node{n}
}

// What a question is answered about workloads and Pods, with addresses and without, is
// what a list says of the same pair and port.
func TestAskSaysWhatListSays(t *testing.T) {
	counts := map[question.Result]int{}
	for seed := range uint64(150) {
		set := drawn(seed)
		c := inventory.Cluster(&set)
		k := comparison{t: t, seed: seed, m: connectivity.New(&c), w: question.New(set), nodes: nodeAddrs(&set)}
		for s := range k.m.Ends() {
			for d := range k.m.Ends() {
				for _, port := range []int{53, 80, 81, 443, 8080} {
					for _, proto := range []policy.Protocol{policy.TCP, policy.UDP} {
						counts[k.compare(s, d, proto, port)]++
					}
				}
			}
		}
	}
	for _, r := range []question.Result{question.Allowed, question.Denied, question.Depends, question.Partly} {
		if counts[r] < 100 {
			t.Errorf("%s was answered %d times: %v", r, counts[r], counts)
		}
	}
}

// nodeAddrs are the addresses that are known as nodes'.
func nodeAddrs(set *manifest.Set) map[string]bool {
	out := map[string]bool{}
	for _, p := range set.Pods {
		for _, ip := range p.Status.HostIPs {
			out[ip.IP] = true
		}
	}
	return out
}

type comparison struct {
	t    *testing.T
	seed uint64
	m    *connectivity.Matrix
	w    *question.World
	// nodes are addresses of nodes.
	nodes map[string]bool
}

// compare asks about the first workload, or the first address, of two ends.
func (k *comparison) compare(s, d int, proto policy.Protocol, port int) question.Result {
	k.t.Helper()
	src, dst := &k.m.Ends()[s], &k.m.Ends()[d]
	if len(src.Workloads) == 0 && len(dst.Workloads) == 0 {
		return ""
	}
	if s == d && len(src.Workloads) == 1 && src.Workloads[0].Kind == "Pod" {
		return "" // a Pod and itself
	}
	from, to := k.endOf(src, 0), k.endOf(dst, len(dst.Workloads)-1)
	if from == "" || to == "" {
		return ""
	}
	q, err := question.Parse(from, fmt.Sprintf("%s:%d/%s", bracketed(to), port, proto), "default")
	if err != nil {
		k.t.Fatal(err)
	}
	all, v4, v6 := k.m.Allows(s, d, proto, uint16(port))
	a, err := k.w.Ask(q)
	if err != nil {
		if all == connectivity.Denied && v4 != connectivity.Allowed && v6 != connectivity.Allowed {
			return "" // no family in common
		}
		k.t.Fatalf("seed %d: %s: %v", k.seed, q, err)
	}
	if a.Outcomes[len(a.Outcomes)-1].Verdict.Ingress.Reason == policy.ReasonOwnNode {
		return "" // ranges do not mean the own node
	}
	f := a.First().Path.Flow()
	known := !question.StandIn(f.Src.Addr) && !question.StandIn(f.Dst.Addr)
	want := question.Result(all.String())
	switch host := src.Kind == connectivity.HostNetwork || src.Kind == connectivity.Nodes; {
	case all != connectivity.Depends || !known:
	case host:
		return "" // whether it is the own node is known
	default:
		want = question.Partly // the families differ
	}
	if got := a.Result(); got != want {
		k.t.Fatalf("seed %d: %s: asked %s, listed %s (IPv4 %s, IPv6 %s)", k.seed, q, got, all, v4, v6)
	}
	return a.Result()
}

func bracketed(s string) string {
	if strings.Contains(s, ":") {
		return "[" + s + "]"
	}
	return s
}

// endOf names a workload, or an address of a range that is no Pod's, nor a node's outside
// of nodes; empty if all are.
func (k *comparison) endOf(e *connectivity.End, i int) string {
	if len(e.Workloads) > 0 {
		n := e.Workloads[i]
		return strings.ToLower(n.Kind) + "/" + n.Namespace + "/" + n.Name
	}
	for _, r := range e.Ranges {
		for a := r.First; a.IsValid() && a.Compare(r.Last) <= 0; a = a.Next() {
			if a.IsUnspecified() || question.StandIn(a) {
				a = map[bool]netip.Addr{true: netip.MustParseAddr("0.255.255.255"), false: netip.MustParseAddr("100::ffff:ffff:ffff:ffff")}[a.Is4()]
				if e.Ranges[0].First == netip.IPv6Unspecified() {
					a = netip.MustParseAddr("::1")
				}
				continue
			}
			if k.w.Index.EndOfAddr(a).Pod == nil && (e.Kind == connectivity.Nodes || !k.nodes[a.String()]) {
				return a.String()
			}
		}
	}
	return ""
}
