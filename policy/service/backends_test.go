package service

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func ptr[T any](v T) *T { return &v }

func web(ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.1", Selector: map[string]string{"app": "web"}, Ports: ports},
	}
}

func pod(name, ip string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func ready(status corev1.ConditionStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	}
}

func terminating(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }

func port(number uint16, name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: name, ContainerPort: int32(number)}}
	}
}

// shown is a Backends that a table can hold.
type shown struct{ List, Unready, Portless []string }

func show(b Backends) shown {
	s := shown{Unready: b.Unready, Portless: b.Portless}
	for _, e := range b.List {
		s.List = append(s.List, e.Pod.Name+" "+e.String())
	}
	return s
}

func TestFromPods(t *testing.T) {
	named := corev1.ServicePort{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}
	tests := map[string]struct {
		svc  *corev1.Service
		port corev1.ServicePort
		pods []*corev1.Pod
		want shown
	}{
		"number": {port: corev1.ServicePort{Port: 80, TargetPort: intstr.FromInt32(9090)}, pods: []*corev1.Pod{pod("a", "10.0.0.1")},
			want: shown{List: []string{"a 10.0.0.1:9090"}}},
		"targetPort absent": {port: corev1.ServicePort{Port: 80}, pods: []*corev1.Pod{pod("a", "10.0.0.1")},
			want: shown{List: []string{"a 10.0.0.1:80"}}},
		"named port of each Pod": {port: named, pods: []*corev1.Pod{pod("b", "10.0.0.2", port(9090, "http")), pod("a", "10.0.0.1"), pod("c", "10.0.0.3", port(1, "other"))},
			want: shown{List: []string{"a 10.0.0.1:8080", "b 10.0.0.2:9090"}, Portless: []string{"Pod shop/c"}}},
		"named port of the other protocol": {port: corev1.ServicePort{Port: 80, Protocol: "UDP", TargetPort: intstr.FromString("http")}, pods: []*corev1.Pod{pod("a", "10.0.0.1")},
			want: shown{Portless: []string{"Pod shop/a"}}},
		"named port of a sidecar": {port: named, pods: []*corev1.Pod{pod("a", "10.0.0.1", func(p *corev1.Pod) {
			p.Spec.InitContainers, p.Spec.Containers = p.Spec.Containers, nil
			p.Spec.InitContainers[0].RestartPolicy = ptr(corev1.ContainerRestartPolicyAlways)
		})}, want: shown{List: []string{"a 10.0.0.1:8080"}}},
		"readiness": {port: named, pods: []*corev1.Pod{
			pod("ready", "10.0.0.1", ready("True")), pod("unready", "10.0.0.2", ready("False")), pod("leaving", "10.0.0.3", ready("True"), terminating),
			pod("pending", "10.0.0.4", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }),
			pod("done", "10.0.0.5", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		}, want: shown{List: []string{"ready 10.0.0.1:8080"}, Unready: []string{"Pod shop/leaving", "Pod shop/pending", "Pod shop/unready"}}},
		"terminating ones serve where there are no others": {port: named, pods: []*corev1.Pod{pod("leaving", "10.0.0.3", ready("True"), terminating), pod("unready", "10.0.0.2", ready("False"))},
			want: shown{List: []string{"leaving 10.0.0.3:8080"}, Unready: []string{"Pod shop/unready"}}},
		"publishNotReadyAddresses": {svc: func() *corev1.Service { s := web(); s.Spec.PublishNotReadyAddresses = true; return s }(), port: named,
			pods: []*corev1.Pod{pod("unready", "10.0.0.2", ready("False"))}, want: shown{List: []string{"unready 10.0.0.2:8080"}}},
		"selector": {port: named, pods: []*corev1.Pod{
			pod("other", "10.0.0.1", func(p *corev1.Pod) { p.Labels["app"] = "db" }), pod("away", "10.0.0.2", func(p *corev1.Pod) { p.Namespace = "guests" }),
		}},
		"no selector": {svc: func() *corev1.Service { s := web(); s.Spec.Selector = nil; return s }(), port: named, pods: []*corev1.Pod{pod("a", "10.0.0.1")}},
		"host network": {port: named, pods: []*corev1.Pod{pod("a", "", func(p *corev1.Pod) {
			p.Spec.HostNetwork, p.Status = true, corev1.PodStatus{Phase: corev1.PodRunning, HostIP: "192.168.0.1"}
		})}, want: shown{List: []string{"a 192.168.0.1:8080"}}},
		"both families": {port: named, pods: []*corev1.Pod{pod("a", "10.0.0.1", func(p *corev1.Pod) {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "fd00::1"})
		})}, want: shown{List: []string{"a 10.0.0.1:8080", "a [fd00::1]:8080"}}},
		"one family of both": {svc: func() *corev1.Service {
			s := web()
			s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol}
			return s
		}(), port: named, pods: []*corev1.Pod{pod("a", "10.0.0.1", func(p *corev1.Pod) {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "fd00::1"})
		})}, want: shown{List: []string{"a [fd00::1]:8080"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := tt.svc
			if svc == nil {
				svc = web()
			}
			if diff := cmp.Diff(tt.want, show(FromPods(svc, &tt.port, tt.pods))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func endpoint(pod, addr string, c discoveryv1.EndpointConditions) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{addr}, Conditions: c, NodeName: ptr("n")}
	if pod != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: pod}
	}
	return e
}

func TestFromSlices(t *testing.T) {
	yes, no := discoveryv1.EndpointConditions{Ready: ptr(true)}, discoveryv1.EndpointConditions{Ready: ptr(false)}
	draining := discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)}
	slice := func(number int32, name string, ends ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &number}}, Endpoints: ends}
	}
	fqdn := slice(8080, "http", endpoint("", "example.com", yes))
	fqdn.AddressType = discoveryv1.AddressTypeFQDN
	tests := map[string]struct {
		slices []*discoveryv1.EndpointSlice
		want   shown
	}{
		"none": {},
		"slices by port": {slices: []*discoveryv1.EndpointSlice{
			slice(8080, "http", endpoint("a", "10.0.0.1", yes)), slice(9090, "http", endpoint("b", "10.0.0.2", discoveryv1.EndpointConditions{})), slice(1, "other", endpoint("c", "10.0.0.3", yes)),
		}, want: shown{List: []string{"a 10.0.0.1:8080", "b 10.0.0.2:9090"}, Portless: []string{"Pod shop/c"}}},
		"twice in slices that overlap": {slices: []*discoveryv1.EndpointSlice{
			slice(8080, "http", endpoint("a", "10.0.0.1", yes)), slice(8080, "http", endpoint("a", "10.0.0.1", yes)),
		}, want: shown{List: []string{"a 10.0.0.1:8080"}}},
		"unready": {slices: []*discoveryv1.EndpointSlice{slice(8080, "http", endpoint("a", "10.0.0.1", yes), endpoint("b", "10.0.0.2", no), endpoint("c", "10.0.0.3", draining))},
			want: shown{List: []string{"a 10.0.0.1:8080"}, Unready: []string{"Pod shop/b", "Pod shop/c"}}},
		"draining alone": {slices: []*discoveryv1.EndpointSlice{slice(8080, "http", endpoint("b", "10.0.0.2", no), endpoint("c", "10.0.0.3", draining))},
			want: shown{List: []string{"c 10.0.0.3:8080"}, Unready: []string{"Pod shop/b"}}},
		"no Pod": {slices: []*discoveryv1.EndpointSlice{slice(8080, "http", endpoint("", "192.0.2.1", yes))},
			want: shown{List: []string{" 192.0.2.1:8080"}}},
		"a name, no address": {slices: []*discoveryv1.EndpointSlice{fqdn}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := corev1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}
			if diff := cmp.Diff(tt.want, show(FromSlices(web(p), &p, tt.slices))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPort(t *testing.T) {
	svc := web(
		corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, NodePort: 30053}, corev1.ServicePort{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
		corev1.ServicePort{Name: "metrics", Port: 9153},
	)
	tests := []struct {
		port    string
		proto   corev1.Protocol
		want    string
		wantErr string
	}{
		{"53", "", "dns-tcp", ""},
		{"53", "UDP", "dns", ""},
		{"dns", "", "dns", ""},
		{"dns", "TCP", "", "Service shop/web has no port dns/TCP: it has 53/UDP (dns), 53/TCP (dns-tcp), 9153/TCP (metrics)"},
		{"", "", "dns", ""},
		{"", "TCP", "dns-tcp", ""},
		{"9153", "TCP", "metrics", ""},
		{"80", "", "", "has no port 80"},
	}
	for _, tt := range tests {
		got, err := Port(svc, tt.port, tt.proto)
		switch {
		case tt.wantErr != "":
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s/%s: %v, want %q", tt.port, tt.proto, err, tt.wantErr)
			}
		case err != nil || got.Name != tt.want:
			t.Errorf("%s/%s: %v %v", tt.port, tt.proto, got, err)
		}
	}
	if NodePort(svc, 30053, "UDP") != nil {
		t.Error("a ClusterIP Service has no NodePort")
	}
	svc.Spec.Type = corev1.ServiceTypeLoadBalancer
	if p := NodePort(svc, 30053, ""); p == nil || p.Name != "dns" {
		t.Errorf("got %v", p)
	}
	if p := NodePort(svc, 30053, "TCP"); p != nil {
		t.Errorf("got %v", p)
	}
}

// Protobuf can carry both values of a targetPort: the type says which counts.
func TestTypeOfTargetPortDecides(t *testing.T) {
	for name, c := range map[string]struct {
		target intstr.IntOrString
		want   uint16
	}{
		"a number with a name beside it":  {intstr.IntOrString{Type: intstr.Int, IntVal: 9090, StrVal: "http"}, 9090},
		"a name with a number beside it":  {intstr.IntOrString{Type: intstr.String, IntVal: 9090, StrVal: "http"}, 8080},
		"no number with a name beside it": {intstr.IntOrString{Type: intstr.Int, StrVal: "http"}, 80},
		"no name with a number beside it": {intstr.IntOrString{Type: intstr.String, IntVal: 9090}, 80},
	} {
		if got := targetPort(pod("a", "10.0.0.1"), &corev1.ServicePort{Port: 80, TargetPort: c.target}); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
