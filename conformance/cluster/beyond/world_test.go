package beyond

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

const uploads = "/uploads"

// Every Pod of a test listens on these, TCP and UDP.
const (
	web   = 7000
	other = 7001
)

// patience is for what the cluster does, such as starting Pods.
const patience = 2 * time.Minute

// world is what one test has made in the cluster.
type world struct {
	t          *testing.T
	ctx        context.Context
	ns         string // the namespace that is meant where none is named
	namespaces []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx}
	w.ns = w.namespace(nil)
	return w
}

// namespace makes one more.
func (w *world) namespace(labels map[string]string) string {
	w.t.Helper()
	name := "beyond-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(w.t.Name())) + "-"
	ns, err := cluster.client.CoreV1().Namespaces().Create(w.ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: name, Labels: labels},
	}, metav1.CreateOptions{})
	w.must("create a namespace", err)
	w.namespaces = append(w.namespaces, ns.Name)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			tell(w.t, ns.Name)
		}
		if err := cluster.client.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{}); err != nil {
			w.t.Errorf("delete namespace %s: %v", ns.Name, err)
		}
	})
	w.await("the default service account of "+ns.Name, func() error {
		_, err := cluster.client.CoreV1().ServiceAccounts(ns.Name).Get(w.ctx, "default", metav1.GetOptions{})
		return err
	})
	return ns.Name
}

func (w *world) must(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// await tries until it works.
func (w *world) await(what string, try func() error) {
	w.t.Helper()
	for end := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// policy creates a policy; spec is in YAML.
func (w *world) policy(ns, name, spec string) {
	w.t.Helper()
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	w.must("parse policy "+name, yaml.UnmarshalStrict([]byte(spec), &p.Spec))
	_, err := cluster.client.NetworkingV1().NetworkPolicies(ns).Create(w.ctx, p, metav1.CreateOptions{FieldValidation: "Strict"})
	w.must("create policy "+name, err)
}

func (w *world) deletePolicy(ns, name string) {
	w.t.Helper()
	w.must("delete policy "+name, cluster.client.NetworkingV1().NetworkPolicies(ns).Delete(w.ctx, name, metav1.DeleteOptions{}))
}

// label sets labels of a Pod, or of a namespace if there is no Pod; "" removes.
func (w *world) label(ns, pod string, labels map[string]string) {
	w.t.Helper()
	var pairs []string
	for key, value := range labels {
		if value == "" {
			pairs = append(pairs, fmt.Sprintf("%q: null", key))
		} else {
			pairs = append(pairs, fmt.Sprintf("%q: %q", key, value))
		}
	}
	patch := []byte(`{"metadata": {"labels": {` + strings.Join(pairs, ", ") + `}}}`)
	var err error
	if pod == "" {
		_, err = cluster.client.CoreV1().Namespaces().Patch(w.ctx, ns, types.MergePatchType, patch, metav1.PatchOptions{})
	} else {
		_, err = cluster.client.CoreV1().Pods(ns).Patch(w.ctx, pod, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	w.must("label "+ns+"/"+pod, err)
}

// service creates a Service of the Pods with a label app; ports are TCP and UDP.
func (w *world) service(name, app string, change func(*corev1.ServiceSpec), ports ...int32) *corev1.Service {
	w.t.Helper()
	dual := corev1.IPFamilyPolicyPreferDualStack
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": app}, IPFamilyPolicy: &dual},
	}
	for _, port := range ports {
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{
				Name: strings.ToLower(fmt.Sprintf("%s-%d", protocol, port)), Protocol: protocol, Port: port,
			})
		}
	}
	if change != nil {
		change(&s.Spec)
	}
	s, err := cluster.client.CoreV1().Services(w.ns).Create(w.ctx, s, metav1.CreateOptions{})
	w.must("create service "+name, err)
	return s
}

// pod is a Pod with a prober in it.
type pod struct {
	*corev1.Pod
	*hand
}

// spec is a Pod to be made.
type spec struct {
	name    string
	ns      string // the test's, if empty
	node    int    // of cluster.nodes
	labels  map[string]string
	onNode  bool // hostNetwork
	change  func(*corev1.Pod)
	pending bool // it is not waited for, and has no prober
}

// pods makes Pods, all at the same time, and reaches into them. A Pod has the
// label app with its name.
func (w *world) pods(specs ...spec) map[string]*pod {
	w.t.Helper()
	made := map[string]*pod{}
	for _, s := range specs {
		object := w.podObject(s)
		p, err := cluster.client.CoreV1().Pods(object.Namespace).Create(w.ctx, object, metav1.CreateOptions{})
		w.must("create Pod "+s.name, err)
		made[s.name] = &pod{Pod: p}
	}
	for _, s := range specs {
		p := made[s.name]
		if s.pending {
			continue
		}
		w.reload(p, func(q *corev1.Pod) bool { return q.Status.Phase == corev1.PodRunning && q.Status.PodIP != "" })
		p.hand = reachInto(w.t, p.Pod, p.Spec.Containers[0].Name)
		p.known = p.addrs()
		w.listen(p, web, other)
	}
	return made
}

// listen has a Pod answer on more ports.
func (w *world) listen(p *pod, ports ...int) {
	w.t.Helper()
	for _, port := range ports {
		for _, network := range []string{"tcp", "udp"} {
			r := p.do(probe.Request{Op: probe.Listen, Network: network, Address: fmt.Sprintf(":%d", port)})
			if r.Outcome != probe.OK {
				w.t.Fatalf("%s cannot listen on %s port %d: %s", p.hand.name, network, port, r.Detail)
			}
		}
	}
}

// reload reads a Pod until it is as wanted.
func (w *world) reload(p *pod, wanted func(*corev1.Pod) bool) {
	w.t.Helper()
	w.await("Pod "+p.Namespace+"/"+p.Pod.Name, func() error {
		read, err := cluster.client.CoreV1().Pods(p.Namespace).Get(w.ctx, p.Pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		p.Pod = read
		if !wanted(read) {
			return fmt.Errorf("it is not as expected, but %s", read.Status.Phase)
		}
		return nil
	})
}

// hostPorts keeps netexecs on one node apart, also those of tests before whose
// Pods are not quite gone.
var hostPorts = struct {
	sync.Mutex
	last int32
}{last: 17000 + int32(time.Now().Unix()%1000)*2}

const netexec = "netexec"

func (w *world) podObject(s spec) *corev1.Pod {
	ns := s.ns
	if ns == "" {
		ns = w.ns
	}
	labels := map[string]string{"app": s.name}
	maps.Copy(labels, s.labels)
	grace := int64(1)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Namespace: ns, Labels: labels},
		Spec: corev1.PodSpec{
			NodeName:                      cluster.nodes[s.node],
			HostNetwork:                   s.onNode,
			DNSPolicy:                     corev1.DNSDefault,
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: &grace,
			Volumes:                       []corev1.Volume{{Name: "uploads", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
	}
	port := int32(8080)
	if s.onNode {
		hostPorts.Lock()
		hostPorts.last++
		port = hostPorts.last
		hostPorts.Unlock()
	}
	p.Spec.Containers = []corev1.Container{netexecContainer("main", port)}
	if s.change != nil {
		s.change(p)
	}
	return p
}

// netexecContainer is one that a prober can be put into.
func netexecContainer(name string, port int32) corev1.Container {
	return corev1.Container{
		Name: name, Image: *image, ImagePullPolicy: corev1.PullIfNotPresent,
		Args:         []string{"netexec", fmt.Sprintf("--http-port=%d", port), "--udp-port=-1"},
		Ports:        []corev1.ContainerPort{{Name: netexec, ContainerPort: port}},
		VolumeMounts: []corev1.VolumeMount{{Name: "uploads", MountPath: uploads}},
	}
}

// netexecPort is where netexec listens: it says so in its first container.
func netexecPort(p *corev1.Pod) int32 {
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		for _, port := range c.Ports {
			if port.Name == netexec {
				return port.ContainerPort
			}
		}
	}
	return 8080
}

// addrs are a Pod's addresses, one of each family that the cluster has.
func (p *pod) addrs() []netip.Addr {
	var all []netip.Addr
	for _, ip := range p.Status.PodIPs {
		all = append(all, netip.MustParseAddr(ip.IP))
	}
	return all
}

// family says IPv4 or IPv6 of an address, for names of cells.
func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// blocks are ipBlocks in YAML flow style for exactly these addresses.
func blocks(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, fmt.Sprintf("{ipBlock: {cidr: %q}}", netip.PrefixFrom(a, a.BitLen())))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// tell prints what a person would ask for first.
func tell(t *testing.T, ns string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if pods, err := cluster.client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{}); err == nil {
		for _, p := range pods.Items {
			t.Logf("Pod %s/%s on %s: %s, addresses %v, labels %v, deleted %v", ns, p.Name, p.Spec.NodeName, p.Status.Phase, p.Status.PodIPs, p.Labels, p.DeletionTimestamp)
		}
	}
	if events, err := cluster.client.CoreV1().Events(ns).List(ctx, metav1.ListOptions{}); err == nil {
		for _, e := range events.Items {
			t.Logf("event %s %s: %s %s", e.LastTimestamp.Format(time.TimeOnly), e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
	if policies, err := cluster.client.NetworkingV1().NetworkPolicies(ns).List(ctx, metav1.ListOptions{}); err == nil {
		for i, p := range policies.Items {
			if i == 10 {
				t.Logf("and %d more policies", len(policies.Items)-i)
				break
			}
			text, err := yaml.Marshal(p.Spec)
			t.Logf("policy %s/%s (%v):\n%s", ns, p.Name, err, text)
		}
	}
}
