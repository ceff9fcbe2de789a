package beyond

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// question is what sluice explain is asked, and the packets that have to bear
// its answer out.
type question struct {
	src, dst string
	from     *hand
	network  string
	// to is all that dst may mean, of both families.
	to []netip.AddrPort
}

// explained is what the tests read of explain's answer.
type explained struct {
	Allowed  bool
	Flow     explainedFlow
	Paths    *struct{ Allowed, Total int } // absent for a single one
	Outcomes []struct {
		Count                   int
		Allowed                 bool
		EntryNode, ClientSeenAs string
		Flow                    explainedFlow
		Notices                 []string
	}
	Through string
	Notices []string
}

type explainedFlow struct {
	Src, Dst struct{ Address, Pod string }
	Port     uint16
}

func (w *world) explain(args ...string) (explained, error) {
	var e explained
	r, err := w.ask("", cluster.sluice, append([]string{"explain", "-o", "json"}, args...)...)
	if err == nil && r.code != 0 {
		err = fmt.Errorf("sluice explain %s: exit code %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	if err == nil {
		err = json.Unmarshal([]byte(r.out), &e)
	}
	return e, err
}

// share is how many of the paths of a question are open.
type share string

const (
	all  share = "all"
	some share = "some"
	none share = "none"
)

func (e *explained) share() share {
	allowed := e.Allowed
	if e.Paths != nil {
		if 0 < e.Paths.Allowed && e.Paths.Allowed < e.Paths.Total {
			return some
		}
		allowed = e.Paths.Allowed > 0
	}
	if allowed {
		return all
	}
	return none
}

// over is the answer over the family of an address: a name means both where both ends have
// them, and a policy may allow one alone.
func (e *explained) over(a netip.Addr) bool {
	for i := range e.Outcomes {
		if src, err := netip.ParseAddr(e.Outcomes[i].Flow.Src.Address); err == nil && src.Is4() == a.Is4() {
			return e.Outcomes[i].Allowed
		}
	}
	return e.Allowed
}

// agree asks sluice all questions, and sends packets for each.
func (w *world) agree(when string, questions []question) {
	w.t.Helper()
	answers := make([]explained, len(questions))
	problems := make([]string, len(questions))
	w.atOnce(len(questions), func(i int) {
		q := &questions[i]
		var err error
		if answers[i], err = w.explain(q.src, q.dst); err == nil {
			err = q.packets(&answers[i])
		}
		if err != nil {
			problems[i] = fmt.Sprintf("%s → %s: %v", q.src, q.dst, err)
		}
	})
	wrong := slices.DeleteFunc(problems, func(p string) bool { return p == "" })
	if len(wrong) > 0 {
		w.t.Fatalf("%s:\n  %s", when, strings.Join(wrong, "\n  "))
	}
	count := map[share]int{}
	for i := range answers {
		count[answers[i].share()]++
	}
	w.t.Logf("%s: sluice explain and packets agree on %d questions: %d allowed, %d in part, %d denied",
		when, len(questions), count[all], count[some], count[none])
}

// tries is how many packets an answer has to stand, and patientTries how many
// are sent in wait of both outcomes, where the cluster chooses a path by chance.
const tries, patientTries = 4, 60

// packets sends some, and says what speaks against the answer.
func (q *question) packets(e *explained) error {
	dst, err := netip.ParseAddr(e.Flow.Dst.Address)
	if err != nil {
		return err
	}
	to := slices.DeleteFunc(slices.Clone(q.to), func(a netip.AddrPort) bool { return a.Addr().Is4() != dst.Is4() })
	if len(to) == 0 {
		return fmt.Errorf("explain answers for %s, which is of no family that was asked for", dst)
	}
	says := e.share()
	seen := map[bool]int{}
	for i := range patientTries {
		if says != some && i >= max(tries, len(to)) || says == some && seen[true] > 0 && seen[false] > 0 {
			break
		}
		c := cell{from: q.from, network: q.network, addr: to[i%len(to)], want: true}
		r := c.probe()
		if r.Outcome == probe.Timeout && says == all {
			r = c.probe() // a busy machine may lose one
		}
		if r.Outcome != probe.OK && r.Outcome != probe.Timeout {
			return fmt.Errorf("a packet to %s: %s: %s", c.addr, r.Outcome, r.Detail)
		}
		answered := r.Outcome == probe.OK
		seen[answered]++
		if answered && says == none || !answered && says == all {
			return fmt.Errorf("explain says that %s is allowed, and a packet to %s is %s", says, c.addr, r.Outcome)
		}
	}
	if says == some && (seen[true] == 0 || seen[false] == 0) {
		return fmt.Errorf("explain says that some is allowed, and of %d packets %d were answered", patientTries, seen[true])
	}
	return nil
}

// deployment makes a Deployment with one Pod on each node, with probers in
// them, in the nodes' order.
func (w *world) deployment(s spec) (pods [2]*pod) {
	w.t.Helper()
	template := w.podObject(s)
	template.Spec.NodeName, template.Spec.RestartPolicy = "", corev1.RestartPolicyAlways
	on := corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: cluster.hostnames[:]}
	template.Spec.Affinity = &corev1.Affinity{
		NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{on}}},
		}},
		PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": s.name}}, TopologyKey: corev1.LabelHostname,
		}}},
	}
	replicas := int32(len(pods))
	_, err := cluster.client.AppsV1().Deployments(w.ns).Create(w.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: s.name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": s.name}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: template.Labels}, Spec: template.Spec},
		},
	}, metav1.CreateOptions{})
	w.must("create Deployment "+s.name, err)
	w.await("the Pods of Deployment "+s.name, func() error {
		list, err := cluster.client.CoreV1().Pods(w.ns).List(w.ctx, metav1.ListOptions{LabelSelector: "app=" + s.name})
		if err != nil {
			return err
		}
		n := 0
		for i := range list.Items {
			p := &list.Items[i]
			if at := slices.Index(cluster.nodes[:], p.Spec.NodeName); at >= 0 && ready(p) {
				pods[at] = &pod{Pod: p}
				n++
			}
		}
		if n < len(pods) {
			return fmt.Errorf("%d of %d are ready", n, len(pods))
		}
		return nil
	})
	for _, p := range pods {
		p.hand = reachInto(w.t, p.Pod, p.Spec.Containers[0].Name)
		w.listen(p, web, other)
	}
	return pods
}

// ports is the addresses with a port.
func ports(addrs []netip.Addr, port uint16) []netip.AddrPort {
	var all []netip.AddrPort
	for _, a := range addrs {
		all = append(all, netip.AddrPortFrom(a, port))
	}
	return all
}

// TestExplain asks the live cluster about all kinds of ends, in several states
// of its policies.
func TestExplain(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "friend"}, spec{name: "stranger", node: 1}, spec{name: "node-0", onNode: true}, spec{name: "node-1", onNode: true, node: 1})
	replicas := w.deployment(spec{name: "web", change: func(p *corev1.Pod) {
		c := &p.Spec.Containers[0]
		c.Ports = append(c.Ports,
			corev1.ContainerPort{Name: "web", ContainerPort: web}, corev1.ContainerPort{Name: "web-udp", ContainerPort: web, Protocol: corev1.ProtocolUDP})
	}})
	service := w.service("web", "web", func(s *corev1.ServiceSpec) {
		s.Type = corev1.ServiceTypeNodePort
		s.Ports[0].TargetPort, s.Ports[1].TargetPort = intstr.FromString("web"), intstr.FromString("web-udp")
	}, 80)
	w.endpoints(service, len(replicas))

	type end struct {
		hand  *hand
		name  string
		at    int  // its node
		hides bool // other nodes see it as that
	}
	hidden := w.hidden()
	clients := []end{
		{pods["friend"].hand, w.ns + "/friend", 0, hidden}, {pods["stranger"].hand, "pod/" + w.ns + "/stranger", 1, hidden},
		{pods["node-0"].hand, w.ns + "/node-0", 0, false}, {pods["node-1"].hand, "node/" + cluster.nodes[1], 1, false},
	}
	if h := outsider(t); h != nil {
		h.learn(t, pods["node-0"])
		clients = append(clients, end{h, h.end(pods["node-0"].addrs()[0]), -1, false})
	}
	nodes := [2][]netip.Addr{pods["node-0"].addrs(), pods["node-1"].addrs()}
	clusterIPs := parse(service.Spec.ClusterIPs)
	tcp, udp := uint16(service.Spec.Ports[0].NodePort), uint16(service.Spec.Ports[1].NodePort)
	both := slices.Concat(replicas[0].addrs(), replicas[1].addrs())
	var questions []question
	for _, c := range clients {
		add := func(dst, network string, to []netip.AddrPort) {
			questions = append(questions, question{c.name, dst, c.hand, network, to})
		}
		add(fmt.Sprintf("%s/%s:%d", w.ns, replicas[0].Pod.Name, web), "tcp", ports(replicas[0].addrs(), web))
		add(fmt.Sprintf("%s/%s:web-udp/UDP", w.ns, replicas[1].Pod.Name), "udp", ports(replicas[1].addrs(), web))
		add("deploy/"+w.ns+"/web:web", "tcp", ports(both, web))
		add(w.ns+"/friend:7000/UDP", "udp", ports(pods["friend"].addrs(), web))
		for i, n := range nodes {
			if c.at == i || !c.hides {
				add(fmt.Sprintf("node/%s:%d", cluster.nodes[i], tcp), "tcp", ports(n, tcp))
			}
			add(fmt.Sprintf("node/%s:%d", cluster.nodes[i], web), "tcp", ports(n, web))
			add(fmt.Sprintf("%s/node-%d:%d/UDP", w.ns, i, web), "udp", ports(n, web))
		}
		if c.hand.pod != "" {
			add("svc/"+w.ns+"/web", "tcp", ports(clusterIPs, 80))
			add("svc/"+w.ns+"/web:80/UDP", "udp", ports(clusterIPs, 80))
			add(fmt.Sprintf("%s:%d", bracketed(clusterIPs[0]), 80), "tcp", ports(clusterIPs[:1], 80))
		}
		if c.at == 1 || !c.hides {
			add(fmt.Sprintf("%s:%d/UDP", bracketed(nodes[1][0]), udp), "udp", ports(nodes[1][:1], udp))
		}
	}
	// A Deployment opens connections too.
	for _, p := range replicas {
		questions = append(questions, question{"deploy/" + w.ns + "/web", w.ns + "/friend:7000", p.hand, "tcp", ports(pods["friend"].addrs(), web)})
	}

	direct := func(friend, stranger, there bool) []cell {
		return slices.Concat(pods["friend"].to(replicas[0], web, friend), pods["friend"].to(replicas[1], web, friend),
			pods["stranger"].to(replicas[0], web, stranger), pods["node-1"].to(replicas[0], web, there))
	}
	// Every node has to know the Service before chance may choose.
	known := direct(true, true, true)
	for i, name := range []string{"friend", "stranger"} {
		known = slices.Concat(known, pods[name].at("the Service", clusterIPs, "tcp", 80, true), pods[name].at("the Service", clusterIPs, "udp", 80, true),
			pods[name].through("NodePort of its node", nodes[i], tcp, udp, true))
	}
	w.expect("without a policy", known...)
	w.agree("without a policy", questions)
	w.policy(w.ns, "deny", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`)
	w.expect("under default deny", direct(false, false, false)...)
	w.agree("under default deny", questions)
	w.policy(w.ns, "friend", `
podSelector: {matchLabels: {app: web}}
ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}], ports: [{port: web}, {port: web-udp, protocol: UDP}]}]
`)
	w.policy(w.ns, "node", fmt.Sprintf(`
podSelector: {matchLabels: {app: web}}
ingress: [{from: %s}]
`, blocks(w.known(pods["node-1"]))))
	w.expect("with a Pod and a node allowed", direct(true, false, true)...)
	w.agree("with a Pod and a node allowed", questions)
	// One Pod of the two is bound no more.
	w.policy(w.ns, "open", `
podSelector: {matchLabels: {open: "yes"}}
ingress: [{}]
`)
	w.label(w.ns, replicas[0].Pod.Name, map[string]string{"open": "yes"})
	w.policy(w.ns, "stranger", `
podSelector: {matchLabels: {app: stranger}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]
`)
	w.expect("with one of two open", slices.Concat(direct(true, true, true), pods["stranger"].to(replicas[1], web, false),
		pods["stranger"].to(pods["node-0"], web, false))...)
	w.agree("with one of two open", questions)
}

// endpoints waits until all Pods are behind a Service.
func (w *world) endpoints(service *corev1.Service, pods int) {
	w.t.Helper()
	w.await("the endpoints of Service "+service.Name, func() error {
		list, err := cluster.client.DiscoveryV1().EndpointSlices(w.ns).List(w.ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + service.Name})
		if err != nil {
			return err
		}
		n := 0
		for _, s := range list.Items {
			n += len(s.Endpoints)
		}
		if want := pods * len(service.Spec.ClusterIPs); n != want {
			return fmt.Errorf("there are %d, want %d", n, want)
		}
		return nil
	})
}

// bracketed is an address as it stands before a port.
func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
