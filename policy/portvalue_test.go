package policy

import (
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Protobuf can carry both values of an IntOrString. The type says which of them
// counts, for the API server and so for us, also where a policy slept.
func TestTypeOfPortDecides(t *testing.T) {
	for name, c := range map[string]struct {
		port    intstr.IntOrString
		allowed uint16
		denied  uint16
	}{
		"a number with a name beside it":   {intstr.IntOrString{Type: intstr.Int, IntVal: 80, StrVal: "http"}, 80, 8080},
		"a name with a number beside it":   {intstr.IntOrString{Type: intstr.String, IntVal: 80, StrVal: "http"}, 8080, 80},
		"an unknown type counts as a name": {intstr.IntOrString{Type: 7, IntVal: 80, StrVal: "http"}, 8080, 80},
		"no name though it should be one":  {intstr.IntOrString{Type: intstr.String, IntVal: 80}, 0, 80},
	} {
		for _, node := range []string{"", "here"} {
			x := NewIndex(Options{Node: node})
			_ = x.SetPolicy(&networkingv1.NetworkPolicy{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"},
				Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{
					{Ports: []networkingv1.NetworkPolicyPort{{Port: &c.port}}},
				}},
			})
			x.SetPod(testPod("shop/web", "10.0.0.1", nil).with(func(p *Pod) { p.Ports = []NamedPort{{"http", TCP, 8080}} }))
			passes := func(port uint16) bool {
				return x.Evaluate(Flow{
					Src: x.EndOfAddr(netip.MustParseAddr("192.0.2.1")), Dst: x.EndOfAddr(netip.MustParseAddr("10.0.0.1")),
					Protocol: TCP, Port: port,
				}).Allowed
			}
			if c.allowed != 0 && !passes(c.allowed) {
				t.Errorf("%s (node %q): port %d is denied", name, node, c.allowed)
			}
			if passes(c.denied) {
				t.Errorf("%s (node %q): port %d is allowed", name, node, c.denied)
			}
			if s := x.Subject(types.NamespacedName{Namespace: "shop", Name: "web"}); s == nil || s.Ingress == nil {
				t.Errorf("%s (node %q): the Pod is not isolated", name, node)
			}
		}
	}
}
