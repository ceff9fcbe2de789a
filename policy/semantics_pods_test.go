package policy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
)

// Points 8 to 14 of the semantics: other protocols, nodes, and whose an
// address is.

const (
	denyAll    = `{podSelector: {}, policyTypes: [Ingress, Egress]}`
	denyIn     = `{podSelector: {}, policyTypes: [Ingress]}`
	fromWeb    = `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`
	withinTeam = `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}}]}], egress: [{to: [{namespaceSelector: {matchLabels: {team: red}}}]}]}`
)

// Point 8: protocols without ports pass only rules without ports. Related ICMP
// errors, neighbour discovery and MLD are the kernel's to show.
func TestProtocolsWithoutPorts(t *testing.T) {
	w := twoTeams(t)
	for _, ports := range []string{
		`{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}`,
		`{port: 1, endPort: 65535}, {port: 1, endPort: 65535, protocol: UDP}`,
	} {
		w.set(netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [`+ports+`]}]}`)).check(verdicts{
			"shop/web > shop/db TCP 80":  allowed,
			"shop/web > shop/db UDP 80":  allowed,
			"shop/web > shop/db ICMP":    ingressDenied,
			"fd00::1 > shop/db#1 ICMPv6": ingressDenied,
			"shop/web > shop/db GRE":     ingressDenied,
			"shop/web > bank/db GRE":     allowed,
			"203.0.113.7 > bank/web GRE": allowed,
		})
	}
	w.set(netpol(t, "shop/ping", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`)).check(verdicts{
		"shop/web > shop/db ICMP":    allowed,
		"fd00::1 > shop/db#1 ICMPv6": allowed,
		"shop/web > shop/db GRE":     allowed,
		"bank/web > shop/db ICMP":    ingressDenied,
	})
}

// Point 9: the Pod's own node always gets in, by any of its addresses.
func TestOwnNodeIsAlwaysAllowedIn(t *testing.T) {
	w := twoTeams(t)
	w.set(onNode(pod("shop/far", "10.0.0.8,fd00::8"), 2), netpol(t, "shop/all", denyAll), netpol(t, "bank/all", denyAll)).check(verdicts{
		"172.18.0.1 > shop/db TCP 80":   allowed,
		"172.18.0.1 > shop/db ICMP":     allowed,
		"fd00:18::1 > shop/db#1 TCP 80": allowed,
		"172.18.0.2 > shop/db TCP 80":   ingressDenied,
		"fd00:18::2 > shop/db#1 TCP 80": ingressDenied,
		"172.18.0.2 > shop/far TCP 80":  allowed,
		"172.18.0.1 > shop/far TCP 80":  ingressDenied,
	})
	// A node may have an address that status.hostIPs does not list, but a
	// hostNetwork Pod of the same node uses.
	agent := hostNetwork(pod("kube-system/agent", ""))
	agent.Status.PodIP, agent.Status.PodIPs = "192.168.7.1", []corev1.PodIP{{IP: "192.168.7.1"}}
	w.check(verdicts{"192.168.7.1 > shop/db TCP 80": ingressDenied})
	w.set(agent).check(verdicts{
		"192.168.7.1 > shop/db TCP 80":  allowed,
		"192.168.7.1 > shop/far TCP 80": ingressDenied,
	})
	w.delete(agent).check(verdicts{"192.168.7.1 > shop/db TCP 80": ingressDenied})
}

// Point 9: towards its own node a Pod is held to its egress rules, as towards
// any other, unless the documentation's literal reading is asked for.
func TestEgressToOwnNode(t *testing.T) {
	for _, tc := range []struct {
		literal    bool
		own, asked string
	}{
		{false, egressDenied, allowed},
		{true, allowed, allowed},
	} {
		newWorldWith(t, policy.Options{NodeEgress: tc.literal}, namespace("shop"),
			pod("shop/web", "10.0.0.1,fd00::1", "app=web"),
			pod("shop/dns", "10.0.0.2", "app=dns"),
			netpol(t, "shop/all", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`),
			netpol(t, "shop/dns", `{podSelector: {matchLabels: {app: dns}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 172.18.0.1/32}}]}]}`),
		).check(verdicts{
			"shop/web > 172.18.0.1 TCP 80":   tc.own,
			"shop/web#1 > fd00:18::1 TCP 80": tc.own,
			"shop/web > 172.18.0.2 TCP 80":   egressDenied,
			"shop/dns > 172.18.0.1 TCP 80":   tc.asked,
			"shop/dns > 172.18.0.2 TCP 80":   egressDenied,
		})
	}
}

// Point 10: a hostNetwork Pod is its node: no policy selects it, no selector
// finds it, a block that holds the node's address does.
func TestHostNetworkPodsAreTheNode(t *testing.T) {
	newWorld(t, namespace("shop"),
		pod("shop/db", "10.0.0.1", "app=db"),
		hostNetwork(onNode(withPorts(pod("shop/agent", "", "app=web"), "http=80"), 2)),
		hostNetwork(onNode(pod("shop/other", "", "app=web"), 3)),
		netpol(t, "shop/agent", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}`),
		netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
policyTypes: [Ingress, Egress]
ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}, {ipBlock: {cidr: 172.18.0.3/32}}]}]
egress: [{to: [{podSelector: {}}, {namespaceSelector: {}}]}, {to: [{ipBlock: {cidr: 172.18.0.3/32}}], ports: [{port: 80}]}, {ports: [{port: http}]}]
`),
	).check(verdicts{
		"172.18.0.2 > shop/db TCP 80":     ingressDenied,
		"172.18.0.3 > shop/db TCP 80":     allowed,
		"shop/db > 172.18.0.2 TCP 80":     egressDenied,
		"shop/db > 172.18.0.3 TCP 80":     allowed,
		"shop/db > 172.18.0.3 TCP 81":     egressDenied,
		"203.0.113.7 > shop/agent TCP 80": allowed,
		"shop/agent > 203.0.113.7 TCP 80": allowed,
		"shop/agent > shop/other TCP 80":  allowed,
	})
}

// Point 11: a Pod reaches itself, whatever its policies say. A Service that
// leads back to the Pod is the same flow, once its address is translated.
func TestPodReachesItself(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/all", denyAll)).check(verdicts{
		"shop/db > shop/db TCP 80":     allowed,
		"shop/db > shop/db ICMP":       allowed,
		"shop/db#1 > shop/db#1 UDP 53": allowed,
		"shop/web > shop/db TCP 80":    bothDenied,
		"shop/db > 10.96.0.1 TCP 80":   egressDenied,
	})
}

// Point 12: a Pending Pod with an address runs init containers: it is held to
// its policies, and its labels count.
func TestPendingPodWithAddress(t *testing.T) {
	w := twoTeams(t).set(netpol(t, "shop/db", fromWeb),
		inPhase(pod("shop/db", "10.0.0.2,fd00::2", "app=db"), corev1.PodPending),
		inPhase(pod("shop/web", "10.0.0.1,fd00::1", "app=web"), corev1.PodPending))
	w.check(verdicts{
		"shop/web > shop/db TCP 80": allowed,
		"bank/web > shop/db TCP 80": ingressDenied,
	})
	w.set(inPhase(pod("shop/web", "", "app=web"), corev1.PodPending)).check(verdicts{
		"10.0.0.1 > shop/db TCP 80": ingressDenied,
	})
}

// Point 12: a terminating Pod keeps policies and membership until it has
// finished; then it loses both at once.
func TestTerminatingAndFinishedPods(t *testing.T) {
	for _, phase := range []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed} {
		web, db := pod("shop/web", "10.0.0.1,fd00::1", "app=web"), pod("shop/db", "10.0.0.2,fd00::2", "app=db")
		w := twoTeams(t).set(netpol(t, "shop/db", fromWeb))
		for _, p := range []*corev1.Pod{web, db} {
			p.DeletionTimestamp = &metav1.Time{Time: p.CreationTimestamp.Time}
			w.set(p)
		}
		w.check(verdicts{
			"shop/web > shop/db TCP 80": allowed,
			"bank/web > shop/db TCP 80": ingressDenied,
		})
		w.set(inPhase(web, phase)).check(verdicts{"10.0.0.1 > shop/db TCP 80": ingressDenied})
		w.set(inPhase(db, phase)).check(verdicts{"bank/web > 10.0.0.2 TCP 80": allowed})
	}
}

// Point 12: status.podIPs counts, in both families and in any order, and
// status.podIP where there is no list.
func TestAllAddressesOfAPodCount(t *testing.T) {
	bare := pod("shop/bare", "", "app=db")
	bare.Status.PodIP = "10.0.0.9"
	twoTeams(t).set(netpol(t, "shop/db", fromWeb), bare, pod("shop/six", "fd00::6,10.0.0.6", "app=web")).check(verdicts{
		"shop/web > shop/db TCP 80":  allowed,
		"fd00::1 > shop/db#1 TCP 80": allowed,
		"fd00::3 > shop/db#1 TCP 80": ingressDenied,
		"shop/six > fd00::2 TCP 80":  allowed,
		"10.0.0.6 > shop/db TCP 80":  allowed,
		"shop/web > 10.0.0.9 TCP 80": allowed,
		"bank/web > 10.0.0.9 TCP 80": ingressDenied,
	})
}

// Point 13: labels of Pods and of namespaces take effect as they change.
func TestLabelChangesRetarget(t *testing.T) {
	w := twoTeams(t).set(netpol(t, "shop/db", fromWeb), netpol(t, "bank/all", withinTeam))
	w.check(verdicts{
		"shop/web > shop/db TCP 80": allowed,
		"shop/web > bank/db TCP 80": allowed,
		"void/web > bank/db TCP 80": ingressDenied,
	})
	w.set(pod("shop/web", "10.0.0.1,fd00::1", "app=other")).check(verdicts{"shop/web > shop/db TCP 80": ingressDenied})
	w.set(pod("shop/db", "10.0.0.2,fd00::2", "app=free")).check(verdicts{"shop/web > shop/db TCP 80": allowed})
	w.set(namespace("shop", "team=green"), namespace("void", "team=red")).check(verdicts{
		"shop/web > bank/db TCP 80": ingressDenied,
		"void/web > bank/db TCP 80": allowed,
		"bank/db > shop/web TCP 80": egressDenied,
	})
	w.delete(namespace("void")).check(verdicts{"void/web > bank/db TCP 80": ingressDenied})
}

// Point 13: the order in which objects are seen never matters, not even that
// of a Pod, its namespace and the policy about both.
func TestOrderOfObjectsNeverMatters(t *testing.T) {
	ns, web, db := namespace("shop", "team=red"), pod("shop/web", "10.0.0.1", "app=web"), pod("shop/db", "10.0.0.2", "app=db")
	team, own := netpol(t, "shop/team", withinTeam), netpol(t, "shop/own", fromWeb)
	objects := []any{ns, web, db, team, own}
	var permute func(done, rest []any)
	permute = func(done, rest []any) {
		if len(rest) == 0 {
			newWorld(t, done...).check(verdicts{
				"shop/web > shop/db TCP 80":    allowed,
				"203.0.113.7 > shop/db TCP 80": ingressDenied,
				"shop/db > 203.0.113.7 TCP 80": egressDenied,
			})
			return
		}
		for i := range rest {
			next := append(append([]any{}, rest[:i]...), rest[i+1:]...)
			permute(append(append([]any{}, done...), rest[i]), next)
		}
	}
	permute(nil, objects)
}

// Point 14: ports and addresses are the Pod's, not those of a Service: what a
// rule says of the Service's port or address is nothing to the flow behind it.
// That the kernel judges behind the translation is for conformance to show.
func TestServiceAddressesMeanNothing(t *testing.T) {
	newWorld(t, namespace("shop"),
		pod("shop/client", "10.0.0.1", "app=client"),
		withPorts(pod("shop/server", "10.0.0.2", "app=server"), "http=8080"), // behind 10.96.0.10:80
		netpol(t, "shop/client", `
podSelector: {matchLabels: {app: client}}
policyTypes: [Egress]
egress:
- to: [{ipBlock: {cidr: 10.96.0.0/12}}]
- to: [{podSelector: {matchLabels: {app: server}}}]
  ports: [{port: 8080}]
`),
		netpol(t, "shop/server", `{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {}}, {ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 8080}]}]}`),
	).check(verdicts{
		"shop/client > shop/server TCP 8080": allowed,
		"shop/client > shop/server TCP 80":   bothDenied,
		"203.0.113.7 > shop/server TCP 8080": allowed,       // externalTrafficPolicy: Local
		"172.18.0.2 > shop/server TCP 8080":  ingressDenied, // Cluster: another node hides the client
		"172.18.0.1 > shop/server TCP 8080":  allowed,       // the own node does too
	})
}
