package question_test

import (
	"fmt"
	"net/netip"
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
// Deployments that have none running.
func drawn(seed uint64) manifest.Set {
	c := spectest.Random(spectest.Seeded(seed), spectest.Options{Plain: true, Pods: 2 + int(seed%6)})
	set := manifest.Set{Namespaces: c.Namespaces, Policies: c.Policies}
	for i, p := range c.Pods {
		if p.Spec.HostNetwork {
			continue
		}
		switch (seed + uint64(i)) % 3 {
		case 0:
			p.Status.PodIP, p.Status.PodIPs = "", nil
			fallthrough
		case 1:
			set.Pods = append(set.Pods, p)
		case 2:
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
			d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: p.Spec}
			set.Workloads = append(set.Workloads, manifest.NewWorkload("Deployment", &d.ObjectMeta, nil).WithTemplate(&d.Spec.Template))
		}
	}
	return set
}

// What a question is answered about workloads and Pods, with addresses and without, is
// what a list says of the same pair and port.
func TestAskSaysWhatListSays(t *testing.T) {
	counts := map[question.Result]int{}
	for seed := range uint64(150) {
		set := drawn(seed)
		c := inventory.Cluster(&set)
		m, w := connectivity.New(&c), question.New(set)
		for s := range m.Ends() {
			for d := range m.Ends() {
				for _, port := range []int{53, 80, 81, 443, 8080} {
					for _, proto := range []policy.Protocol{policy.TCP, policy.UDP} {
						result := compare(t, m, w, s, d, proto, port)
						counts[result]++
					}
				}
			}
		}
	}
	for _, r := range []question.Result{question.Allowed, question.Denied, question.Depends} {
		if counts[r] < 100 {
			t.Errorf("%s was answered %d times: %v", r, counts[r], counts)
		}
	}
}

// compare asks about the first workload, or the first address, of two ends.
func compare(t *testing.T, m *connectivity.Matrix, w *question.World, s, d int, proto policy.Protocol, port int) question.Result {
	t.Helper()
	src, dst := &m.Ends()[s], &m.Ends()[d]
	if src.Kind == connectivity.Outside && dst.Kind == connectivity.Outside {
		return ""
	}
	if s == d && len(src.Workloads) == 1 && src.Workloads[0].Kind == "Pod" {
		return "" // a Pod and itself
	}
	from, to := endOf(w, src, 0), endOf(w, dst, len(dst.Workloads)-1)
	if from == "" || to == "" {
		return ""
	}
	q, err := question.Parse(from, fmt.Sprintf("%s:%d/%s", bracketed(to), port, proto), "default")
	if err != nil {
		t.Fatal(err)
	}
	all, v4, v6 := m.Allows(s, d, proto, uint16(port))
	a, err := w.Ask(q)
	if err != nil {
		if all == connectivity.Denied && v4 != connectivity.Allowed && v6 != connectivity.Allowed {
			return "" // no family in common
		}
		t.Fatalf("%s: %v", q, err)
	}
	if a.First().Verdict.Ingress.Reason == policy.ReasonOwnNode {
		return "" // ranges do not mean the own node
	}
	f := a.First().Path.Flow()
	switch {
	case question.StandIn(f.Src.Addr) && question.StandIn(f.Dst.Addr):
	case f.Dst.Addr.Is4():
		all = v4
	default:
		all = v6
	}
	if got := a.Result(); string(got) != all.String() {
		t.Fatalf("%s: asked %s, listed %s (IPv4 %s, IPv6 %s)", q, got, all, v4, v6)
	}
	return a.Result()
}

func bracketed(s string) string {
	if strings.Contains(s, ":") {
		return "[" + s + "]"
	}
	return s
}

// endOf names a workload, or an address of a range that is no Pod's; empty if all are.
func endOf(w *question.World, e *connectivity.End, i int) string {
	if len(e.Workloads) == 0 {
		for _, r := range e.Ranges {
			for a := r.First; a.IsValid() && a.Compare(r.Last) <= 0; a = a.Next() {
				if a.IsUnspecified() || question.StandIn(a) {
					a = map[bool]netip.Addr{true: netip.MustParseAddr("0.255.255.255"), false: netip.MustParseAddr("100::ffff:ffff:ffff:ffff")}[a.Is4()]
					if e.Ranges[0].First == netip.IPv6Unspecified() {
						a = netip.MustParseAddr("::1")
					}
					continue
				}
				if w.Index.EndOfAddr(a).Pod == nil {
					return a.String()
				}
			}
		}
		return ""
	}
	n := e.Workloads[i]
	return strings.ToLower(n.Kind) + "/" + n.Namespace + "/" + n.Name
}
