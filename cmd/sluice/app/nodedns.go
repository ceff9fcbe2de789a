package app

import (
	"context"
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

// reasonNodeDNS is none of the policies': the agent's configuration decided.
const reasonNodeDNS policy.Reason = "NodeDNS"

// nodeDNSPort is the one that it answers, for UDP and TCP.
const nodeDNSPort = 53

// nodeDNSName is what its Pods are labelled with, wherever they come from.
const nodeDNSName = "node-local-dns"

// nodeDNSCaches finds them among the Pods.
func (c *cluster) nodeDNSCaches() []nodeDNS {
	if c.dnsRead {
		return c.dns
	}
	c.dnsRead = true
	for _, p := range c.set.Pods {
		if !p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed ||
			p.Labels["k8s-app"] != nodeDNSName && p.Labels["app.kubernetes.io/name"] != nodeDNSName {
			continue
		}
		d := nodeDNS{pod: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, node: p.Spec.NodeName}
		d.addrs, d.sure = flagAddrs(p, "localip")
		d.sure = d.sure && !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue
		})
		c.dns = append(c.dns, d)
	}
	return c.dns
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

// onNode finds the paths of a question to a ClusterIP that NodeLocal DNSCache may
// answer, and whether none goes another way.
func (c *cluster) onNode(k *knock, client service.Client, proto policy.Protocol) (paths []path, notices []string, all bool) {
	if client.Kind == service.Outside || k.pod != nil || k.door.Kind != service.AtClusterIP || k.port.Port != nodeDNSPort || proto == policy.SCTP {
		return nil, nil, false
	}
	at := k.door.At.Addr()
	if !at.IsValid() {
		ips := clusterIPs(k.svc)
		i := slices.IndexFunc(ips, func(a netip.Addr) bool { return a.Is4() == client.Addr.Is4() })
		if i < 0 {
			return nil, nil, false
		}
		at = ips[i]
	}
	for _, d := range c.nodeDNSCaches() {
		if client.Node != "" && d.node != "" && d.node != client.Node {
			continue
		}
		switch {
		case slices.Contains(d.addrs, at):
		case !d.sure && len(d.addrs) == 0 && k.svc.Spec.Selector["k8s-app"] == "kube-dns":
		default:
			continue
		}
		flow := policy.Flow{Src: c.index.EndOfAddr(client.Addr), Dst: c.index.EndOfAddr(at), Protocol: proto, Port: nodeDNSPort}
		p := path{egress: flow, ingress: flow, nodeDNS: c.opensNodeDNS(client, at)}
		p.notices = append(p.notices, fmt.Sprintf("NodeLocal DNSCache (Pod %s) answers at %s on the client's own node: the question reaches no Pod behind the Service, and egress is judged to the address itself, which no podSelector matches, but an ipBlock does", d.pod, at), nodeDNSHint(p.nodeDNS, at))
		if all = d.sure && client.Node != "" && d.node != ""; !all {
			notices = append(notices, fmt.Sprintf("it depends on whether NodeLocal DNSCache (Pod %s) is at work on the client's node, and at which addresses: both ways are judged", d.pod))
		}
		return []path{p}, notices, all
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
func (c *cluster) opensNodeDNS(client service.Client, at netip.Addr) bool {
	return client.Kind == service.Pod && client.Node != "" && slices.ContainsFunc(c.set.Pods, func(p *corev1.Pod) bool {
		if p.Spec.NodeName != client.Node || !p.Spec.HostNetwork || p.Labels["app.kubernetes.io/name"] != agentName {
			return false
		}
		addrs, known := flagAddrs(p, "node-dns")
		return known && slices.Contains(addrs, at)
	})
}

// direct finds the paths between two ends with no Service between them.
func (c *cluster) direct(ctx context.Context, src endRef, flow policy.Flow) ([]path, []string, error) {
	paths, notices, err := c.fromNode(ctx, src, flow)
	if err != nil || flow.Dst.Pod != nil || flow.Port != nodeDNSPort || flow.Protocol != policy.TCP && flow.Protocol != policy.UDP {
		return paths, notices, err
	}
	pod := flow.Src.Pod
	if pod == nil || pod.HostNetwork {
		return paths, notices, nil
	}
	client := service.Client{Addr: flow.Src.Addr, Node: pod.Node, Kind: service.Pod}
	for _, d := range c.nodeDNSCaches() {
		if slices.Contains(d.addrs, flow.Dst.Addr) && (d.node == pod.Node || pod.Node == "") {
			paths[0].nodeDNS = c.opensNodeDNS(client, flow.Dst.Addr)
			notices = append(notices, fmt.Sprintf("NodeLocal DNSCache (Pod %s) answers at %s", d.pod, flow.Dst.Addr), nodeDNSHint(paths[0].nodeDNS, flow.Dst.Addr))
			break
		}
	}
	return paths, notices, nil
}
