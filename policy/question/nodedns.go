package question

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/service"
)

// nodeDNS is a NodeLocal DNSCache of a node: a Pod on the host network that
// answers at addresses which the node takes for its own. Where one of them is a
// ClusterIP, questions to that never reach the Pods behind the Service.
type nodeDNS struct {
	pod   types.NamespacedName
	node  string
	addrs []netip.Addr
	// sure: it is ready and its addresses are known.
	sure bool
}

// ReasonNodeDNS is none of the policies': the agent's configuration decided, with
// --node-dns.
const ReasonNodeDNS policy.Reason = "NodeDNS"

// nodeDNSPort is the one that it answers, for UDP and TCP.
const nodeDNSPort = 53

// nodeDNSName is what its Pods are labelled with, wherever they come from.
const nodeDNSName = "node-local-dns"

// nodeDNSCaches finds them among the Pods.
func (w *World) nodeDNSCaches() []nodeDNS {
	if w.caches != nil {
		return *w.caches
	}
	w.caches = &[]nodeDNS{}
	for _, p := range w.objects.Pods {
		if !p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed ||
			p.Labels["k8s-app"] != nodeDNSName && p.Labels["app.kubernetes.io/name"] != nodeDNSName {
			continue
		}
		d := nodeDNS{pod: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, node: p.Spec.NodeName}
		d.addrs, d.sure = flagAddrs(p, "localip")
		d.sure = d.sure && !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue
		})
		*w.caches = append(*w.caches, d)
	}
	return *w.caches
}

// flagAddrs reads a flag that lists addresses from the command lines of a Pod;
// known is false if there is none, or one that is more than addresses.
func flagAddrs(p *corev1.Pod, name string) (addrs []netip.Addr, known bool) {
	for _, container := range p.Spec.Containers {
		words := slices.Concat(container.Command, container.Args)
		// A shell's command is one word to us.
		words = strings.Fields(strings.Join(words, " "))
		for i, word := range words {
			flag, isFlag := strings.CutPrefix(word, "-")
			flag = strings.TrimPrefix(flag, "-")
			flag, value, given := strings.Cut(flag, "=")
			if !isFlag || flag != name {
				continue
			}
			if !given && i+1 < len(words) {
				value = words[i+1]
			}
			known = true
			for _, s := range strings.Split(strings.Trim(value, `"'`), ",") {
				a, err := netip.ParseAddr(s)
				if err != nil {
					known = false
					continue
				}
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	return addrs, known
}

// onNode is the path to a ClusterIP that NodeLocal DNSCache may answer, if there is one;
// all says that none goes another way.
func (p *pass) onNode(d *door, client service.Client) (paths []Path, notes []string, all bool) {
	if client.Kind == service.Outside || d.pod != nil || d.Kind != service.AtClusterIP || d.port.Port != nodeDNSPort || p.q.Protocol == policy.SCTP {
		return nil, nil, false
	}
	at := d.At.Addr()
	if !at.IsValid() {
		ips := clusterIPs(d.svc)
		i := slices.IndexFunc(ips, func(a netip.Addr) bool { return a.Is4() == client.Addr.Is4() })
		if i < 0 {
			return nil, nil, false
		}
		at = ips[i]
	}
	for _, c := range p.nodeDNSCaches() {
		known := slices.Contains(c.addrs, at)
		possible := !c.sure && len(c.addrs) == 0 && d.svc.Spec.Selector["k8s-app"] == "kube-dns"
		if client.Node != "" && c.node != "" && c.node != client.Node || !known && !possible {
			continue
		}
		flow := policy.Flow{Src: p.Index.EndOfAddr(client.Addr), Dst: p.Index.EndOfAddr(at), Protocol: p.q.Protocol, Port: nodeDNSPort}
		path := Path{Egress: flow, Ingress: flow, NodeDNS: p.opensNodeDNS(client, at)}
		path.Notices = []string{
			fmt.Sprintf("NodeLocal DNSCache (Pod %s) answers at %s on the client's own node: the question reaches no Pod behind the Service, and egress is judged to the address itself, which no podSelector matches, but an ipBlock does", c.pod, at),
			nodeDNSHint(path.NodeDNS, at),
		}
		if all = c.sure && client.Node != "" && c.node != ""; !all {
			notes = append(notes, fmt.Sprintf("it depends on whether NodeLocal DNSCache (Pod %s) is at work on the client's node, and at which addresses: both ways are judged", c.pod))
		}
		return []Path{path}, notes, all
	}
	return nil, nil, false
}

// nodeDNSHint says what the agents' configuration does to the verdict.
func nodeDNSHint(opened bool, at netip.Addr) string {
	if opened {
		return fmt.Sprintf("the agent of the client's node runs with --node-dns, which opens port %d of %s to every Pod", nodeDNSPort, at)
	}
	return fmt.Sprintf("agents with --node-dns %s open port %d of it to every Pod, whatever policies say; none is known to run on the client's node", at, nodeDNSPort)
}

// agentName is what the agents' Pods are labelled with.
const agentName = "sluice"

// opensNodeDNS reports whether the agent of the client's node opens an address
// with --node-dns, as its Pod's command line tells.
func (w *World) opensNodeDNS(client service.Client, at netip.Addr) bool {
	return client.Kind == service.Pod && client.Node != "" && slices.ContainsFunc(w.objects.Pods, func(p *corev1.Pod) bool {
		if p.Spec.NodeName != client.Node || !p.Spec.HostNetwork || p.Labels["app.kubernetes.io/name"] != agentName {
			return false
		}
		addrs, known := flagAddrs(p, "node-dns")
		return known && slices.Contains(addrs, at)
	})
}

// atNodeDNS marks a path from a Pod to an address at which NodeLocal DNSCache
// answers, and says so.
func (w *World) atNodeDNS(p *Path) []string {
	flow := p.Egress
	pod := flow.Src.Pod
	if flow.Dst.Pod != nil || flow.Port != nodeDNSPort || flow.Protocol != policy.TCP && flow.Protocol != policy.UDP || pod == nil || pod.HostNetwork {
		return nil
	}
	client := service.Client{Addr: flow.Src.Addr, Node: pod.Node, Kind: service.Pod}
	for _, c := range w.nodeDNSCaches() {
		if slices.Contains(c.addrs, flow.Dst.Addr) && (c.node == pod.Node || pod.Node == "") {
			p.NodeDNS = w.opensNodeDNS(client, flow.Dst.Addr)
			return []string{fmt.Sprintf("NodeLocal DNSCache (Pod %s) answers at %s", c.pod, flow.Dst.Addr), nodeDNSHint(p.NodeDNS, flow.Dst.Addr)}
		}
	}
	return nil
}
