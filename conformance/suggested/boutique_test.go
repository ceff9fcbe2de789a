package suggested

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

type microservice struct {
	name         string
	service, pod int32 // ports; none for who is only a client
	replicas     int
	calls        []string
}

// Online Boutique (https://github.com/GoogleCloudPlatform/microservices-demo): which of
// its services call which, and on which ports. A Service's port differs from that of its
// Pods in two of them.
var boutique = []microservice{
	{name: "loadgenerator", replicas: 1, calls: []string{"frontend"}},
	{name: "frontend", service: 80, pod: 8080, replicas: 2, calls: []string{
		"adservice", "cartservice", "checkoutservice", "currencyservice", "productcatalogservice", "recommendationservice", "shippingservice",
	}},
	{name: "adservice", service: 9555, pod: 9555, replicas: 1},
	{name: "cartservice", service: 7070, pod: 7070, replicas: 1, calls: []string{"redis-cart"}},
	{name: "checkoutservice", service: 5050, pod: 5050, replicas: 1, calls: []string{
		"cartservice", "currencyservice", "emailservice", "paymentservice", "productcatalogservice", "shippingservice",
	}},
	{name: "currencyservice", service: 7000, pod: 7000, replicas: 1},
	{name: "emailservice", service: 5000, pod: 8080, replicas: 1},
	{name: "paymentservice", service: 50051, pod: 50051, replicas: 1},
	{name: "productcatalogservice", service: 3550, pod: 3550, replicas: 2},
	{name: "recommendationservice", service: 8080, pod: 8080, replicas: 1, calls: []string{"productcatalogservice"}},
	{name: "redis-cart", service: 6379, pod: 6379, replicas: 1},
	{name: "shippingservice", service: 50051, pod: 50051, replicas: 1},
}

// customer is who comes from outside.
var customer = netip.MustParseAddr("203.0.113.80")

// onlineBoutique is the application with the Pods and Services of its namespace, a
// cluster's DNS, and a stranger in another namespace.
func onlineBoutique(*testing.T) *application {
	const ns = "boutique"
	a := &application{namespace: ns, namespaces: []*corev1.Namespace{enforced.Namespace(ns), enforced.Namespace("guests"), enforced.Namespace("kube-system")}}
	last := byte(9)
	addr := func(of byte) string {
		last++
		return netip.AddrFrom4([4]byte{10, of, 0, last}).String()
	}
	pod := func(ns, app string, replica int, ports ...corev1.ContainerPort) {
		p := enforced.Pod(ns, fmt.Sprintf("%s-5c8f6d7b9-%d", app, replica), addr(244))
		p.Labels = map[string]string{"app": app, "pod-template-hash": "5c8f6d7b9"}
		p.Spec.Containers[0].Ports = ports
		a.pods = append(a.pods, p)
	}
	service := func(ns, app string, ports ...corev1.ServicePort) {
		a.services = append(a.services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: app},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": app}, ClusterIPs: []string{addr(96)}, Ports: ports},
		})
	}
	pod("kube-system", "kube-dns", 0, corev1.ContainerPort{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, corev1.ContainerPort{Name: "dns-tcp", ContainerPort: 53})
	service("kube-system", "kube-dns", corev1.ServicePort{Protocol: corev1.ProtocolUDP, Port: 53}, corev1.ServicePort{Port: 53})
	pod("guests", "stranger", 0, corev1.ContainerPort{ContainerPort: 8080})
	for _, s := range boutique {
		var ports []corev1.ContainerPort
		if s.pod != 0 {
			ports = append(ports, corev1.ContainerPort{ContainerPort: s.pod})
			service(ns, s.name, corev1.ServicePort{Port: s.service, TargetPort: intstr.FromInt32(s.pod)})
		}
		for i := range s.replicas {
			pod(ns, s.name, i, ports...)
		}
	}
	port := func(name string) uint16 {
		return uint16(boutique[slices.IndexFunc(boutique, func(s microservice) bool { return s.name == name })].pod)
	}
	a.calls = append(a.calls, call{customer.String(), ns + "/frontend", lab.TCP, port("frontend")})
	for _, s := range boutique {
		if s.calls != nil {
			a.calls = append(a.calls, call{ns + "/" + s.name, "kube-system/kube-dns", lab.UDP, 53})
		}
		for _, to := range s.calls {
			a.calls = append(a.calls, call{ns + "/" + s.name, ns + "/" + to, lab.TCP, port(to)})
		}
	}
	return a
}
