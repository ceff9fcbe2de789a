package question

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/service"
)

// member is one of the Pods, addresses and nodes that an end stands for.
type member struct {
	// End is a Pod, an address or a Node.
	End
	// addrs are its addresses, at least one.
	addrs  []netip.Addr
	notice string
}

// settle decides between TYPE/NAME and NAMESPACE/POD, where both can be meant:
// the type wins if there is such an object.
func (p *pass) settle(e *End) error {
	if e.Kind == KindPod && p.pod(e.Object) == nil {
		return p.workloadNamed(e)
	}
	other := PodEnd(e.word, e.Object.Name)
	if e.word == "" || p.pod(other.Object) == nil {
		return nil
	}
	exists, err := p.exists(*e)
	switch {
	case err != nil:
		return err
	case exists:
		p.note(fmt.Sprintf("%s is taken for the %s; the Pod of namespace %s is pod/%s", e, e.Kind, e.word, other.Object))
	default:
		*e = other
	}
	return nil
}

// workloadKinds are those by which a workload may be found that is named alone.
var workloadKinds = []Kind{"Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "ReplicaSet", "ReplicationController"}

// workloadNamed takes the name of no Pod for that of a workload, if there is one of
// that name.
func (p *pass) workloadNamed(e *End) error {
	var found []End
	for _, kind := range workloadKinds {
		other := End{Kind: kind, Object: e.Object}
		w, _, err := p.workload(other)
		switch {
		case errors.Is(err, errMissing) || apierrors.IsForbidden(err):
		case err != nil:
			return err
		case w != nil:
			found = append(found, other)
		}
	}
	if len(p.missing) > 0 {
		return errMissing
	}
	switch len(found) {
	case 0:
		return nil
	case 1:
		*e = found[0]
		return nil
	}
	return fmt.Errorf("%s is a %s and a %s: write %s or %s", e.Object, found[0].Kind, found[1].Kind, found[0], found[1])
}

// meant completes a message with the names that are nearly an end's.
func (p *pass) meant(e End) string {
	var names []string
	for _, o := range p.objects.Pods {
		names = append(names, o.Namespace+"/"+o.Name)
	}
	for i := range p.objects.Workloads {
		names = append(names, p.objects.Workloads[i].String())
	}
	return meant(e, names)
}

func (p *pass) exists(e End) (bool, error) {
	if e.Entry() {
		_, found, err := p.entry(e)
		return found != nil, err
	}
	switch e.Kind {
	case KindService:
		svc, err := p.service(e.Object)
		return svc != nil, err
	case KindNode:
		nodes, err := p.nodeTable()
		return err == nil && len(nodes.addrs[e.Object.Name]) > 0, err
	}
	w, _, err := p.workload(e)
	return w != nil, err
}

// members lists the Pods and addresses that an end stands for, sorted. Of several
// those without an address are left out.
func (p *pass) members(side string, e End) ([]member, error) {
	if e.spread() {
		return p.spreadMembers(e)
	}
	if e.Entry() {
		return p.speakers(e)
	}
	var pods []types.NamespacedName
	var err error
	switch e.Kind {
	case KindPod, KindAddress, KindNode:
		m, err := p.member(e)
		return []member{m}, err
	case KindService:
		pods, err = p.podsBehind(e)
	default:
		pods, err = p.podsOf(e)
	}
	if err != nil {
		return nil, err
	}
	var list []member
	var first error
	for _, name := range pods {
		m, err := p.member(PodEnd(name.Namespace, name.Name))
		if err != nil {
			first = cmp.Or(first, err)
			p.leaveOut(fmt.Errorf("%s: %w", side, err))
			continue
		}
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, first
	}
	return list, nil
}

// member finds the addresses of a Pod, an address or a Node.
func (p *pass) member(e End) (member, error) {
	m := member{End: e}
	switch e.Kind {
	case KindAddress:
		m.addrs = []netip.Addr{e.Addr}
		return m, nil
	case KindNode:
		nodes, err := p.nodeTable()
		if err != nil {
			return m, err
		}
		p.note(nodes.notice)
		if m.addrs = nodes.addrs[e.Object.Name]; len(m.addrs) == 0 {
			return m, fmt.Errorf("no Node %s in %s", e.Object.Name, p.where)
		}
		return m, nil
	}
	pod := p.pod(e.Object)
	if pod == nil {
		return m, fmt.Errorf("no Pod %s in %s%s", e.Object, p.where, p.meant(e))
	}
	m.addrs = pod.Addrs
	if len(m.addrs) == 0 && pod.HostNetwork {
		m.addrs = pod.NodeAddrs
	}
	if len(m.addrs) == 0 {
		return m, fmt.Errorf("the Pod %s has no address: status.podIP is empty", e.Object)
	}
	if StandIn(m.addrs[0]) {
		var err error
		if m.addrs, err = p.possible(pod.HostNetwork, m.addrs); err != nil {
			return m, err
		}
	}
	if pod.Finished {
		m.notice = fmt.Sprintf("Pod %s is finished: judged by its bare address", e.Object)
	}
	return m, nil
}

// podsOf lists the Pods of a workload that run, sorted by name.
func (p *pass) podsOf(e End) ([]types.NamespacedName, error) {
	w, between, err := p.workload(e)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, fmt.Errorf("no %s %s in %s%s", e.Kind, e.Object, p.where, p.meant(e))
	}
	var names []types.NamespacedName
	for _, o := range p.podsMadeBy(w, between) {
		names = append(names, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
	}
	slices.SortFunc(names, func(a, b types.NamespacedName) int { return strings.Compare(a.Name, b.Name) })
	names = slices.DeleteFunc(names, func(name types.NamespacedName) bool {
		pod := p.pod(name)
		away := pod == nil || pod.Finished || len(pod.Addrs) == 0 && !pod.HostNetwork
		if away {
			p.note(fmt.Sprintf("Pod %s is finished or has no address yet: left out", name))
		}
		return away
	})
	if len(names) == 0 && p.imagineWorkload(w) {
		p.note(fmt.Sprintf("no Pod of %s %s runs: this is for the Pod that it would make", e.Kind, e.Object))
		last := p.objects.Pods[len(p.objects.Pods)-1]
		names = append(names, types.NamespacedName{Namespace: last.Namespace, Name: last.Name})
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s %s has no running Pod in %s, and no template says what it would be", e.Kind, e.Object, p.where)
	}
	return names, nil
}

// podsBehind lists the Pods behind all ports of a Service, for a Service that is
// named as a client.
func (p *pass) podsBehind(e End) ([]types.NamespacedName, error) {
	svc, err := p.mustService(e.Object)
	if err != nil {
		return nil, err
	}
	var names []types.NamespacedName
	ports := portsOf(svc)
	for i := range ports {
		behind, err := p.backends(svc, &ports[i])
		if err != nil {
			return nil, err
		}
		for _, b := range behind.List {
			if b.Pod.Name != "" && !slices.Contains(names, b.Pod) {
				names = append(names, b.Pod)
			}
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no Pod is behind Service %s", e.Object)
	}
	p.note(fmt.Sprintf("a Service opens no connections: %s is taken for the Pods behind it", e))
	return names, nil
}

// client says who a member is to what it connects to, and what a reader might not
// expect of that.
func (p *pass) client(m *member) (client service.Client, notice string, err error) {
	if m.Kind == KindNode {
		return service.Client{Node: m.Object.Name, Kind: service.Host}, m.notice, nil
	}
	pod := p.Index.EndOfAddr(m.addrs[0]).Pod
	if m.Kind == KindPod {
		pod = p.pod(m.Object)
	}
	switch {
	case pod != nil && pod.HostNetwork:
		return service.Client{Node: pod.Node, Kind: service.Host},
			fmt.Sprintf("Pod %s uses the host network: it is its node, whose address the other end sees", pod.NamespacedName), nil
	case pod != nil:
		return service.Client{Node: pod.Node, Kind: service.Pod}, m.notice, nil
	}
	nodes, err := p.nodeTable()
	if err != nil {
		return client, "", err
	}
	if name := nodes.byAddr[m.addrs[0]]; name != "" {
		return service.Client{Node: name, Kind: service.Host}, m.notice, nil
	}
	return client, m.notice, nil
}

// port gives the number of the question's port, resolving a name on the
// destination.
func (p *pass) port(dst *member, end policy.End) (uint16, error) {
	port, proto := p.q.Port, p.q.Protocol
	switch {
	case !proto.HasPorts() && port != "" && port != "0":
		return 0, fmt.Errorf("%s has no ports, %q was given", proto, port)
	case !proto.HasPorts():
		return 0, nil
	case port == "":
		return 0, fmt.Errorf("%s needs one", proto)
	case strings.Trim(port, "-0123456789") == "":
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%s is not from 1 to 65535", port)
		}
		return uint16(n), nil
	}
	pod := end.Pod
	if dst.Kind == KindPod {
		pod = p.pod(dst.Object)
	}
	if pod == nil {
		return 0, fmt.Errorf("the name %q means nothing at %s, which is no Pod", port, end.Addr)
	}
	for _, named := range pod.Ports {
		if named.Name == port && named.Protocol == proto {
			return named.Number, nil
		}
	}
	return 0, fmt.Errorf("Pod %s has no container port named %q with protocol %s", pod.NamespacedName, port, proto)
}

// workload finds the workload that an end names, nil if there is none, and those
// between it and its Pods.
func (w *World) workload(e End) (found *manifest.Workload, between []manifest.Workload, err error) {
	list, err := w.workloads(e.Kind, e.Object.Namespace)
	if err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(list, func(w manifest.Workload) bool { return w.NamespacedName == e.Object })
	if at < 0 {
		return nil, nil, nil
	}
	if kind := makers[e.Kind]; kind != "" {
		if between, err = w.workloads(kind, e.Object.Namespace); err != nil {
			return nil, nil, err
		}
	}
	return &list[at], between, nil
}
