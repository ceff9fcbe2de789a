package policy_test

import (
	"encoding/json"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy"
)

// Bugs that other engines have had, one test for each: what makes them
// impossible is that these hold.

// kube-router PR#2064: except was rendered as a return, which skipped the
// rules that come after.
func TestExceptDoesNotEndTheWalk(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
ingress:
- from: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.3/32]}}]
- from: [{namespaceSelector: {matchLabels: {team: blue}}}]
`)).check(verdicts{
		"shop/web > shop/db TCP 80": allowed,
		"bank/web > shop/db TCP 80": allowed, // 10.0.0.3, by the second rule
	})
}

// cilium#9209, cilium#19601: ipBlock did not match Pods.
func TestBlockDoesNotIgnorePods(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/all", `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}], egress: [{to: [{ipBlock: {cidr: 10.0.0.3/32}}]}]}`)).check(verdicts{
		"bank/web > shop/db TCP 80": allowed,
		"shop/db > bank/web TCP 80": allowed,
		"shop/db > bank/db TCP 80":  egressDenied,
	})
}

// kube-router#375: except was ignored without a word.
func TestExceptIsNotIgnored(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/all", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32, 10.0.0.0/8]}}]}]}`)).check(verdicts{
		"shop/db > 203.0.113.7 TCP 80":     allowed,
		"shop/db > 169.254.169.253 TCP 80": allowed,
		"shop/db > 169.254.169.254 TCP 80": egressDenied,
		"shop/db > 169.254.169.255 TCP 80": allowed,
		"shop/db > bank/web TCP 80":        egressDenied,
	})
}

// kube-router PR#648: a policy with a named port was skipped, which left its
// Pods open.
func TestNamedPortDoesNotSkipThePolicy(t *testing.T) {
	w := twoTeams(t)
	w.set(netpol(t, "shop/all", `{podSelector: {}, ingress: [{ports: [{port: nobody-has-it}]}], egress: [{ports: [{port: nobody-has-it}]}]}`)).check(verdicts{
		"bank/web > shop/db TCP 80": ingressDenied,
		"shop/db > bank/web TCP 80": egressDenied,
		"shop/db > shop/db TCP 80":  allowed,
	})
}

// kube-network-policies: a selector that does not parse accepted the packet.
func TestSelectorThatDoesNotParseAcceptsNothing(t *testing.T) {
	for _, selector := range []string{
		`{matchExpressions: [{key: app, operator: in, values: [web]}]}`,
		`{matchExpressions: [{key: app, operator: NotIn}]}`,
		`{matchExpressions: [{key: app, operator: Exists, values: [web]}]}`,
		`{matchLabels: {app: "not a value"}}`,
		`{matchLabels: {"": web}}`,
	} {
		w := twoTeams(t)
		w.invalid = true
		w.set(netpol(t, "shop/all", `{podSelector: {}, ingress: [{from: [{podSelector: `+selector+`}, {namespaceSelector: `+selector+`}]}]}`)).check(verdicts{
			"shop/web > shop/db TCP 80": ingressDenied,
			"bank/web > shop/db TCP 80": ingressDenied,
		})
	}
}

// kube-network-policies: ingress: [] in JSON, an empty list and not a missing
// one, was taken for allow all.
func TestEmptyIngressListFromJSONDeniesAll(t *testing.T) {
	np := &networkingv1.NetworkPolicy{}
	text := `{"metadata": {"namespace": "shop", "name": "all"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []}}`
	if err := json.Unmarshal([]byte(text), np); err != nil {
		t.Fatal(err)
	}
	if np.Spec.Ingress == nil {
		t.Fatal("the list got lost on the way")
	}
	twoTeams(t).set(np).check(verdicts{"bank/web > shop/db TCP 80": ingressDenied})
}

// kube-network-policies: a port without a protocol panicked.
func TestMissingProtocolIsTCP(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/all", `{podSelector: {}, ingress: [{ports: [{port: 80}, {}]}]}`)).check(verdicts{
		"bank/web > shop/db TCP 80": allowed,
		"bank/web > shop/db UDP 80": ingressDenied,
	})
}

// kube-network-policies: the reused address of a finished Pod stayed selected.
func TestFinishedPodsReusedAddressIsNotSelected(t *testing.T) {
	job := inPhase(minutesLater(pod("shop/job", "10.0.0.9", "app=db"), 9), corev1.PodSucceeded)
	next := pod("void/next", "10.0.0.9", "app=web") // created earlier, and still running
	for _, order := range [][]any{{job, next}, {next, job}} {
		twoTeams(t).set(netpol(t, "shop/all", denyAll)).set(order...).check(verdicts{
			"bank/web > 10.0.0.9 TCP 80": allowed,
			"10.0.0.9 > bank/web TCP 80": allowed,
		})
	}
}

// kube-network-policies#380, kube-router#1067: a hostNetwork Pod's address,
// which is the node's, was enrolled in a set, and node traffic filtered.
func TestNodeAddressIsInNoGroup(t *testing.T) {
	w := twoTeams(t).set(hostNetwork(pod("shop/agent", "", "app=web")), netpol(t, "shop/all", denyAll), netpol(t, "shop/db", fromWeb),
		netpol(t, "bank/all", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}], egress: [{ports: [{port: http}]}]}`))
	w.check(verdicts{
		"172.18.0.1 > 203.0.113.7 TCP 80": allowed,
		"203.0.113.7 > 172.18.0.1 TCP 80": allowed,
		"172.18.0.1 > bank/db TCP 80":     allowed,
		"bank/db > 172.18.0.1 TCP 80":     egressDenied,
	})
	node := w.addr("172.18.0.1")
	for key, members := range w.follow.groups {
		if _, in := members[node]; in {
			t.Errorf("the node is in group %q", key)
		}
	}
	for s := range w.live.Subjects() {
		if slices.Contains(s.Addrs, node) {
			t.Errorf("the node is the subject %s", s.Pod)
		}
	}
}

// kube-router#1056, antrea#6507: the recycled address of a completed Job kept
// the Job's policy.
func TestCompletedJobTakesItsPolicyAlong(t *testing.T) {
	job := pod("shop/job", "10.0.0.9", "app=job")
	w := twoTeams(t).set(job, netpol(t, "shop/job", `{podSelector: {matchLabels: {app: job}}, policyTypes: [Ingress, Egress]}`))
	w.check(verdicts{"bank/web > 10.0.0.9 TCP 80": ingressDenied, "10.0.0.9 > bank/web TCP 80": egressDenied})
	w.set(inPhase(job, corev1.PodSucceeded), minutesLater(pod("bank/next", "10.0.0.9"), 1)).check(verdicts{
		"bank/web > 10.0.0.9 TCP 80": allowed,
		"10.0.0.9 > bank/web TCP 80": allowed,
	})
	w.delete(job).check(verdicts{"bank/web > 10.0.0.9 TCP 80": allowed})
}

// antrea#176, kube-router#1017, aws-network-policy-agent#56, kind#3875,
// cilium#43012: the kubelet's probes were blocked, over IPv6 once more later.
func TestProbesAreNotBlocked(t *testing.T) {
	w := twoTeams(t).set(netpol(t, "shop/all", denyAll))
	w.check(verdicts{
		"172.18.0.1 > shop/db TCP 8080":   allowed,
		"fd00:18::1 > shop/db#1 TCP 8080": allowed,
	})
	v := w.live.Explain(policy.Flow{Src: w.live.EndOfAddr(w.addr("fd00:18::1")), Dst: w.live.EndOfAddr(w.addr("fd00::2")), Protocol: policy.TCP, Port: 8080})
	if v.Ingress.Reason != policy.ReasonOwnNode {
		t.Errorf("a probe passes because of %s, want %s", v.Ingress.Reason, policy.ReasonOwnNode)
	}
}

// antrea#5681, ovn-kubernetes PR#3178: hairpin traffic, a Pod that reaches
// itself through a Service, was allowed or denied at random.
func TestHairpinIsAlwaysAllowed(t *testing.T) {
	w := twoTeams(t).set(netpol(t, "shop/all", denyAll))
	for range 20 {
		w.check(verdicts{"shop/db > shop/db TCP 8080": allowed, "shop/db#1 > shop/db#1 TCP 8080": allowed})
	}
}

// kube-router#1617: egress rules broke ClusterIP unless the operator told the
// engine the services' CIDR. Here there is nothing to tell: the flow to judge
// is that to the Pod behind it.
func TestEgressNeedsNoServiceCIDR(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/web", `
podSelector: {matchLabels: {app: web}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]
`)).check(verdicts{"shop/web > shop/db TCP 5432": allowed, "shop/web > bank/db TCP 5432": egressDenied})
}

// calico#9869, kube-router#744: the verdict on a NodePort depended on the node
// that the backend was on. What is judged is an address: it gets one verdict
// wherever the backend is, except that the own node is always let in.
func TestVerdictDoesNotDependOnTheBackendsNode(t *testing.T) {
	twoTeams(t).set(
		onNode(pod("shop/here", "10.0.0.11", "app=db"), 1), onNode(pod("shop/there", "10.0.0.12", "app=db"), 2),
		netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}`),
	).check(verdicts{
		"203.0.113.7 > shop/here TCP 80":   allowed,
		"203.0.113.7 > shop/there TCP 80":  allowed,
		"198.51.100.9 > shop/here TCP 80":  ingressDenied,
		"198.51.100.9 > shop/there TCP 80": ingressDenied,
		"172.18.0.3 > shop/here TCP 80":    ingressDenied,
		"172.18.0.3 > shop/there TCP 80":   ingressDenied,
	})
}

// kube-network-policies#191: ICMPv6 went unfiltered.
func TestICMPv6IsFiltered(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{protocol: TCP}, {protocol: UDP}]}, {from: [{podSelector: {matchLabels: {app: web}}}]}]}`)).check(verdicts{
		"fd00::3 > shop/db#1 ICMPv6":     ingressDenied,
		"2001:db8::7 > shop/db#1 ICMPv6": ingressDenied,
		"fd00::1 > shop/db#1 ICMPv6":     allowed,
		"bank/web > shop/db ICMP":        ingressDenied,
	})
}

// Label values, wrong in many analysers: NotIn and DoesNotExist match where
// the key is absent, matchLabels with an empty value does not.
func TestAbsentAndEmptyLabels(t *testing.T) {
	for name, tc := range map[string]struct{ selector, absent, empty, one string }{
		`NotIn`:             {`{matchExpressions: [{key: k, operator: NotIn, values: [a]}]}`, allowed, allowed, ingressDenied},
		`NotIn ""`:          {`{matchExpressions: [{key: k, operator: NotIn, values: [""]}]}`, allowed, ingressDenied, allowed},
		`DoesNotExist`:      {`{matchExpressions: [{key: k, operator: DoesNotExist}]}`, allowed, ingressDenied, ingressDenied},
		`Exists`:            {`{matchExpressions: [{key: k, operator: Exists}]}`, ingressDenied, allowed, allowed},
		`In ""`:             {`{matchExpressions: [{key: k, operator: In, values: ["", b]}]}`, ingressDenied, allowed, ingressDenied},
		`matchLabels k: ""`: {`{matchLabels: {k: ""}}`, ingressDenied, allowed, ingressDenied},
		`Exists and NotIn`:  {`{matchExpressions: [{key: k, operator: Exists}, {key: k, operator: NotIn, values: [a]}]}`, ingressDenied, allowed, ingressDenied},
		`a contradiction`:   {`{matchLabels: {k: a}, matchExpressions: [{key: k, operator: DoesNotExist}]}`, ingressDenied, ingressDenied, ingressDenied},
	} {
		t.Run(name, func(t *testing.T) {
			newWorld(t, namespace("shop", "team=red"), pod("shop/db", "10.0.0.1", "app=db"),
				pod("shop/absent", "10.0.0.2"), pod("shop/empty", "10.0.0.3", "k="), pod("shop/one", "10.0.0.4", "k=a"),
				netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: `+tc.selector+`}]}]}`),
			).check(verdicts{
				"shop/absent > shop/db TCP 80": tc.absent,
				"shop/empty > shop/db TCP 80":  tc.empty,
				"shop/one > shop/db TCP 80":    tc.one,
			})
		})
	}
}

// The same for the labels of namespaces, and for what a policy selects.
func TestAbsentAndEmptyLabelsElsewhere(t *testing.T) {
	notRed := `{matchExpressions: [{key: team, operator: NotIn, values: [red]}]}`
	w := twoTeams(t).set(pod("nowhere/web", "10.0.0.9"), // a namespace that is not known yet could be red
		netpol(t, "shop/db", `{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}, ingress: [{from: [{namespaceSelector: `+notRed+`}]}]}`))
	w.check(verdicts{
		"void/web > shop/db TCP 80":    allowed,
		"bank/web > shop/db TCP 80":    allowed,
		"shop/web > shop/db TCP 80":    ingressDenied,
		"nowhere/web > shop/db TCP 80": ingressDenied,
		"shop/db > shop/web TCP 80":    allowed,
	})
	w.set(pod("shop/bare", "10.0.0.8")).check(verdicts{"shop/web > shop/bare TCP 80": ingressDenied})
}

// k3s#7446, cilium#30003, aws-network-policy-agent#193 and #71: a named port
// was resolved once for all Pods, on the wrong Pod, or dropped where two Pods
// differ.
func TestNamedPortsAreEachPodsOwn(t *testing.T) {
	twoNumbers := `{podSelector: {matchLabels: {app: server}}, ingress: [{ports: [{port: http}]}]}`
	out := `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: http}]}]}`
	want := verdicts{
		"shop/client > shop/a TCP 80":   allowed,
		"shop/client > shop/a TCP 8080": bothDenied,
		"shop/client > shop/b TCP 8080": allowed,
		"shop/client > shop/b TCP 80":   bothDenied,
		"shop/client > shop/a TCP 3000": bothDenied, // the client's own http
	}
	w := newWorld(t, namespace("shop"), withPorts(pod("shop/client", "10.0.0.1", "app=client"), "http=3000"),
		withPorts(pod("shop/a", "10.0.0.2", "app=server"), "http=80"), withPorts(pod("shop/b", "10.0.0.3", "app=server"), "http=8080"),
		netpol(t, "shop/in", twoNumbers), netpol(t, "shop/out", out))
	w.check(want)
	// A rollout changes the number behind the name.
	w.set(withPorts(pod("shop/a", "10.0.0.2", "app=server"), "http=8080")).check(verdicts{
		"shop/client > shop/a TCP 80":   bothDenied,
		"shop/client > shop/a TCP 8080": allowed,
	})
}
