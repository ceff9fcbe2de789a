package policy_test

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy"
)

// One test, or some, for each point of the semantics that the engine promises.
// The same points are shown with packets in conformance.

// The cluster of most of these tests: two teams, a Pod without a team, and an
// outsider at 203.0.113.7.
func twoTeams(t *testing.T) *world {
	return newWorld(t,
		namespace("shop", "team=red"), namespace("bank", "team=blue"), namespace("void"),
		pod("shop/web", "10.0.0.1,fd00::1", "app=web"),
		pod("shop/db", "10.0.0.2,fd00::2", "app=db"),
		pod("bank/web", "10.0.0.3,fd00::3", "app=web"),
		pod("bank/db", "10.0.0.4,fd00::4", "app=db"),
		pod("void/web", "10.0.0.5,fd00::5", "app=web"),
	)
}

// Point 1: the entries of from and to are alternatives.
func TestPeersAreAlternatives(t *testing.T) {
	w := twoTeams(t)
	w.set(netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
ingress:
- from:
  - podSelector: {matchLabels: {app: web}}
  - namespaceSelector: {matchLabels: {team: blue}}
  - ipBlock: {cidr: 203.0.113.0/24}
`)).check(verdicts{
		"shop/web > shop/db TCP 80":    allowed,
		"bank/web > shop/db TCP 80":    allowed,
		"bank/db > shop/db TCP 80":     allowed,
		"203.0.113.7 > shop/db TCP 80": allowed,
		"void/web > shop/db TCP 80":    ingressDenied,
		"8.8.8.8 > shop/db TCP 80":     ingressDenied,
	})
}

// Point 1: the selectors of one entry must both match, those of two entries
// need not.
func TestSelectorsOfOnePeerMustBothMatch(t *testing.T) {
	w := twoTeams(t)
	w.set(netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
ingress:
- from:
  - podSelector: {matchLabels: {app: web}}
    namespaceSelector: {matchLabels: {team: blue}}
`)).check(verdicts{
		"bank/web > shop/db TCP 80":  allowed,
		"bank/db > shop/db TCP 80":   ingressDenied,
		"shop/web > shop/db TCP 80":  ingressDenied,
		"void/web > shop/db TCP 80":  ingressDenied,
		"fd00::3 > shop/db#1 TCP 80": allowed,
	})
	w.set(netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
ingress:
- from:
  - podSelector: {matchLabels: {app: web}}
  - namespaceSelector: {matchLabels: {team: blue}}
`)).check(verdicts{
		"bank/db > shop/db TCP 80":  allowed,
		"shop/web > shop/db TCP 80": allowed,
		"void/web > shop/db TCP 80": ingressDenied,
	})
}

// Point 1: a podSelector alone stays in the policy's own namespace.
func TestPodSelectorAloneMeansOwnNamespace(t *testing.T) {
	w := twoTeams(t)
	w.set(netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
ingress: [{from: [{podSelector: {}}]}]
egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]
`)).check(verdicts{
		"shop/web > shop/db TCP 80": allowed,
		"bank/web > shop/db TCP 80": ingressDenied,
		"shop/db > shop/web TCP 80": allowed,
		"shop/db > bank/web TCP 80": egressDenied,
		"bank/web > bank/db TCP 80": allowed,
	})
}

// Point 1: an empty namespaceSelector is every Pod of every namespace, and
// nobody else.
func TestEmptyNamespaceSelectorMeansAllPodsOnly(t *testing.T) {
	w := twoTeams(t)
	w.set(pod("late/web", "10.0.0.6", "app=web")) // its Namespace is not known yet
	w.set(netpol(t, "shop/all", `
podSelector: {}
ingress: [{from: [{namespaceSelector: {}}]}]
egress: [{to: [{namespaceSelector: {}}]}]
`)).check(verdicts{
		"void/web > shop/db TCP 80":     allowed,
		"void/web > shop/db ICMP":       allowed,
		"203.0.113.7 > shop/db TCP 80":  ingressDenied,
		"2001:db8::7 > shop/db#1 UDP 1": ingressDenied,
		"shop/db > 203.0.113.7 TCP 80":  egressDenied,
		"shop/db > 172.18.0.2 TCP 80":   egressDenied,
		"late/web > shop/db TCP 80":     ingressDenied,
	})
	w.set(namespace("late")).check(verdicts{"late/web > shop/db TCP 80": allowed})
}

// Point 2: from and to left out, or empty, mean everybody.
func TestMissingPeersMeanEverybody(t *testing.T) {
	for name, rules := range map[string]string{
		"missing": `{podSelector: {}, ingress: [{ports: [{port: 80}]}], egress: [{ports: [{port: 80}]}]}`,
		"empty":   `{podSelector: {}, ingress: [{from: [], ports: [{port: 80}]}], egress: [{to: [], ports: [{port: 80}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			twoTeams(t).set(netpol(t, "shop/all", rules)).check(verdicts{
				"bank/web > shop/db TCP 80":      allowed,
				"203.0.113.7 > shop/db TCP 80":   allowed,
				"2001:db8::7 > shop/db#1 TCP 80": allowed,
				"shop/db > 203.0.113.7 TCP 80":   allowed,
				"shop/db#1 > 2001:db8::7 TCP 80": allowed,
				"bank/web > shop/db TCP 81":      ingressDenied,
				"shop/db > 203.0.113.7 TCP 443":  egressDenied,
			})
		})
	}
}

// Point 2: ports left out, or empty, mean all ports of all protocols.
func TestMissingPortsMeanAllProtocols(t *testing.T) {
	for name, rules := range map[string]string{
		"missing": `{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`,
		"empty":   `{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: []}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			twoTeams(t).set(netpol(t, "shop/all", rules)).check(verdicts{
				"shop/web > shop/db TCP 1":     allowed,
				"shop/web > shop/db UDP 65535": allowed,
				"shop/web > shop/db SCTP 80":   allowed,
				"shop/web > shop/db ICMP":      allowed,
				"fd00::1 > shop/db#1 ICMPv6":   allowed,
				"shop/web > shop/db GRE":       allowed,
				"bank/web > shop/db ICMP":      ingressDenied,
			})
		})
	}
}

// Point 2: no rules is deny all, one empty rule is allow all.
func TestNoRuleDeniesEmptyRuleAllows(t *testing.T) {
	for name, tc := range map[string]struct{ spec, in, out string }{
		"ingress absent":    {`{podSelector: {}, policyTypes: [Ingress]}`, ingressDenied, allowed},
		"ingress: []":       {`{podSelector: {}, policyTypes: [Ingress], ingress: []}`, ingressDenied, allowed},
		"ingress: [{}]":     {`{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}`, allowed, allowed},
		"egress absent":     {`{podSelector: {}, policyTypes: [Egress]}`, allowed, egressDenied},
		"egress: []":        {`{podSelector: {}, policyTypes: [Egress], egress: []}`, allowed, egressDenied},
		"egress: [{}]":      {`{podSelector: {}, policyTypes: [Egress], egress: [{}]}`, allowed, allowed},
		"both, nothing":     {`{podSelector: {}, policyTypes: [Ingress, Egress]}`, ingressDenied, egressDenied},
		"both, all allowed": {`{podSelector: {}, policyTypes: [Egress, Ingress], ingress: [{}], egress: [{}]}`, allowed, allowed},
	} {
		t.Run(name, func(t *testing.T) {
			twoTeams(t).set(netpol(t, "shop/all", tc.spec)).check(verdicts{
				"bank/web > shop/db TCP 80":      tc.in,
				"203.0.113.7 > shop/db ICMP":     tc.in,
				"2001:db8::7 > shop/db#1 ICMPv6": tc.in,
				"shop/db > bank/web TCP 80":      tc.out,
				"shop/db > 203.0.113.7 GRE":      tc.out,
			})
		})
	}
}

// Point 3: policyTypes left out mean Ingress always, and Egress if there are
// egress rules. What the API server would have filled in changes nothing.
func TestPolicyTypesDefault(t *testing.T) {
	for name, tc := range map[string]struct{ spec, in, out string }{
		"no rules":                     {`{podSelector: {}}`, ingressDenied, allowed},
		"ingress rules":                {`{podSelector: {}, ingress: [{}]}`, allowed, allowed},
		"egress rules":                 {`{podSelector: {}, egress: [{}]}`, ingressDenied, allowed},
		"egress: []":                   {`{podSelector: {}, egress: []}`, ingressDenied, allowed},
		"policyTypes: []":              {`{podSelector: {}, policyTypes: [], egress: [{to: [{podSelector: {}}]}]}`, ingressDenied, egressDenied},
		"Ingress only, egress rules":   {`{podSelector: {}, policyTypes: [Ingress], egress: [{to: [{podSelector: {}}]}]}`, ingressDenied, allowed},
		"Egress only, ingress rules":   {`{podSelector: {}, policyTypes: [Egress], ingress: [{from: [{podSelector: {}}]}]}`, allowed, egressDenied},
		"egress rules that match none": {`{podSelector: {}, ingress: [{}], egress: [{to: [{ipBlock: {cidr: 8.8.8.8/32}}]}]}`, allowed, egressDenied},
	} {
		t.Run(name, func(t *testing.T) {
			want := verdicts{"bank/web > shop/db TCP 80": tc.in, "shop/db > bank/web TCP 80": tc.out}
			np := netpol(t, "shop/all", tc.spec)
			w := twoTeams(t).set(np)
			w.check(want)
			policy.Default(np)
			w.set(np).check(want)
		})
	}
}

// Point 3: a port without a protocol is a TCP port.
func TestProtocolDefaultsToTCP(t *testing.T) {
	want := verdicts{
		"bank/web > shop/db TCP 80":   allowed,
		"bank/web > shop/db UDP 80":   ingressDenied,
		"bank/web > shop/db SCTP 80":  ingressDenied,
		"bank/web > shop/web TCP 99":  allowed, // no port: all of TCP
		"bank/web > shop/web UDP 99":  ingressDenied,
		"bank/web > shop/web ICMP":    ingressDenied,
		"fd00::3 > shop/web#1 ICMPv6": ingressDenied,
	}
	web := netpol(t, "shop/web", `{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{}]}]}`)
	db := netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}]}]}`)
	w := twoTeams(t).set(web, db)
	w.check(want)
	for _, np := range []*networkingv1.NetworkPolicy{web, db} {
		policy.Default(np)
		w.set(np)
	}
	w.check(want)
}

// Point 4: a protocol without a port is all ports of that protocol.
func TestProtocolWithoutPort(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/all", `{podSelector: {}, ingress: [{ports: [{protocol: UDP}, {protocol: SCTP}]}]}`)).check(verdicts{
		"bank/web > shop/db UDP 1":      allowed,
		"bank/web > shop/db UDP 65535":  allowed,
		"bank/web > shop/db SCTP 36412": allowed,
		"bank/web > shop/db TCP 1":      ingressDenied,
		"bank/web > shop/db ICMP":       ingressDenied,
		"bank/web > shop/db GRE":        ingressDenied,
	})
}

// Point 4: endPort is inclusive, may equal port, and goes with numbers only.
func TestEndPortIsInclusive(t *testing.T) {
	w := twoTeams(t).set(netpol(t, "shop/all", `
podSelector: {}
policyTypes: [Egress]
egress:
- ports: [{port: 8000, endPort: 8010}, {port: 53, endPort: 53, protocol: UDP}, {port: 65530, endPort: 65535}]
`))
	w.check(verdicts{
		"shop/db > bank/db TCP 7999":  egressDenied,
		"shop/db > bank/db TCP 8000":  allowed,
		"shop/db > bank/db TCP 8005":  allowed,
		"shop/db > bank/db TCP 8010":  allowed,
		"shop/db > bank/db TCP 8011":  egressDenied,
		"shop/db > bank/db UDP 8005":  egressDenied,
		"shop/db > bank/db UDP 52":    egressDenied,
		"shop/db > bank/db UDP 53":    allowed,
		"shop/db > bank/db UDP 54":    egressDenied,
		"shop/db > bank/db TCP 65529": egressDenied,
		"shop/db > bank/db TCP 65535": allowed,
	})
	w.invalid = true
	w.set(withPorts(pod("bank/named", "10.0.0.9"), "http=80"), netpol(t, "shop/all", `
podSelector: {}
policyTypes: [Egress]
egress: [{ports: [{port: http, endPort: 90}, {endPort: 90}, {port: 90, endPort: 80}]}]
`)).check(verdicts{
		"shop/db > bank/named TCP 80": egressDenied,
		"shop/db > bank/named TCP 85": egressDenied,
		"shop/db > bank/named TCP 90": egressDenied,
	})
}
