package policy_test

import "testing"

// Points 5 to 7 of the semantics: named ports, blocks, and how policies add up.

// Point 5: for ingress the Pod that the policy selects says what a name means.
func TestNamedPortsOfIngressAreTheSubjects(t *testing.T) {
	newWorld(t, namespace("shop"),
		withPorts(pod("shop/client", "10.0.0.1", "app=client"), "http=9999"),
		withPorts(pod("shop/old", "10.0.0.2", "app=server"), "http=80"),
		withPorts(pod("shop/new", "10.0.0.3", "app=server"), "http=8080"),
		pod("shop/none", "10.0.0.4", "app=server"),
		netpol(t, "shop/server", `
podSelector: {matchLabels: {app: server}}
ingress:
- from: [{podSelector: {matchLabels: {app: client}}}]
  ports: [{port: http}]
- from: [{ipBlock: {cidr: 203.0.113.0/24}}]
  ports: [{port: http}]
`),
	).check(verdicts{
		"shop/client > shop/old TCP 80":     allowed,
		"shop/client > shop/old TCP 8080":   ingressDenied,
		"shop/client > shop/old TCP 9999":   ingressDenied,
		"shop/client > shop/new TCP 8080":   allowed,
		"shop/client > shop/new TCP 80":     ingressDenied,
		"shop/client > shop/none TCP 80":    ingressDenied,
		"shop/client > shop/none TCP 8080":  ingressDenied,
		"203.0.113.7 > shop/new TCP 8080":   allowed,
		"203.0.113.7 > shop/new TCP 80":     ingressDenied,
		"198.51.100.9 > shop/new TCP 8080":  ingressDenied,
		"shop/old > shop/new TCP 8080":      ingressDenied,
		"shop/client > shop/client TCP 123": allowed,
	})
}

// Point 5: for egress each destination says what a name means.
func TestNamedPortsOfEgressAreTheDestinations(t *testing.T) {
	newWorld(t, namespace("shop"),
		withPorts(pod("shop/client", "10.0.0.1", "app=client"), "http=9999"),
		withPorts(pod("shop/old", "10.0.0.2,fd00::2", "app=server"), "http=80"),
		withPorts(pod("shop/new", "10.0.0.3", "app=server"), "http=8080"),
		withPorts(pod("shop/other", "10.0.0.5", "app=other"), "http=80"),
		pod("shop/none", "10.0.0.4", "app=server"),
		netpol(t, "shop/client", `
podSelector: {matchLabels: {app: client}}
policyTypes: [Egress]
egress:
- to: [{podSelector: {matchLabels: {app: server}}}]
  ports: [{port: http}]
`),
	).check(verdicts{
		"shop/client > shop/old TCP 80":    allowed,
		"shop/client > shop/old TCP 8080":  egressDenied,
		"shop/client > shop/new TCP 8080":  allowed,
		"shop/client > shop/new TCP 80":    egressDenied,
		"shop/client > shop/new TCP 9999":  egressDenied,
		"shop/client > shop/none TCP 80":   egressDenied,
		"shop/client > shop/other TCP 80":  egressDenied,
		"shop/client > 203.0.113.7 TCP 80": egressDenied,
		"shop/client > shop/old UDP 80":    egressDenied,
	})
}

// Point 5: an egress rule without peers means a name on every Pod that has it,
// wherever it is, and nobody else.
func TestNamedPortOfEgressToAnybody(t *testing.T) {
	newWorld(t, namespace("shop"),
		pod("shop/client", "10.0.0.1", "app=client"),
		withPorts(pod("shop/server", "10.0.0.2"), "http=80"),
		withPorts(pod("elsewhere/server", "10.0.0.3"), "http=8080"), // its namespace is not known
		hostNetwork(onNode(withPorts(pod("shop/node", ""), "http=80"), 2)),
		netpol(t, "shop/client", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`),
	).check(verdicts{
		"shop/client > shop/server TCP 80":        allowed,
		"shop/client > elsewhere/server TCP 8080": allowed,
		"shop/client > elsewhere/server TCP 80":   egressDenied,
		"shop/client > 172.18.0.2 TCP 80":         egressDenied,
		"shop/client > 203.0.113.7 TCP 80":        egressDenied,
	})
}

// Point 5: a port name beside a block is that of the Pods in it. A Pod without
// the name, one in an exception and what is no Pod never match.
func TestNamedPortOfEgressMatchesPodsInBlocks(t *testing.T) {
	w := newWorld(t, namespace("shop"),
		pod("shop/client", "10.0.0.1", "app=client"),
		withPorts(pod("shop/server", "10.0.0.2,fd00::2", "app=server"), "http=80"),
		withPorts(pod("shop/other", "10.0.0.3,fd00::3"), "http=8080", "dns=53/UDP"),
		withPorts(pod("shop/udp", "10.0.0.4"), "http=80/UDP"),
		withPorts(pod("shop/excepted", "10.0.9.1"), "http=80"),
		pod("shop/none", "10.0.0.5"),
		hostNetwork(onNode(withPorts(pod("shop/node", ""), "http=80"), 2)),
		netpol(t, "shop/client", `
podSelector: {matchLabels: {app: client}}
policyTypes: [Egress]
egress:
- to:
  - ipBlock: {cidr: 10.0.0.0/8, except: [10.0.9.0/24]}
  - ipBlock: {cidr: 172.18.0.0/16}
  - podSelector: {matchLabels: {app: server}}
  ports: [{port: http}, {port: 443}]
`))
	w.check(verdicts{
		"shop/client > shop/server TCP 80":     allowed,
		"shop/client > shop/other TCP 8080":    allowed,
		"shop/client > shop/other TCP 80":      egressDenied,
		"shop/client > shop/other UDP 53":      egressDenied,
		"shop/client > fd00::3 TCP 8080":       egressDenied,
		"shop/client > shop/udp UDP 80":        egressDenied,
		"shop/client > shop/excepted TCP 80":   egressDenied,
		"shop/client > shop/none TCP 80":       egressDenied,
		"shop/client > 172.18.0.2 TCP 80":      egressDenied,
		"shop/client > shop/other TCP 443":     allowed,
		"shop/client > shop/server TCP 443":    allowed,
		"shop/client > 10.9.9.9 TCP 443":       allowed,
		"shop/client > 10.9.9.9 TCP 80":        egressDenied,
		"shop/client > shop/excepted TCP 8080": egressDenied,
	})
}

// Point 5: the name and the protocol must be the same.
func TestNamedPortMatchesProtocolToo(t *testing.T) {
	newWorld(t, namespace("shop"),
		pod("shop/client", "10.0.0.1"),
		withPorts(pod("shop/dns", "10.0.0.2", "app=dns"), "dns=53/UDP", "dns-tcp=53/TCP", "sig=36412/SCTP"),
		netpol(t, "shop/dns", `
podSelector: {matchLabels: {app: dns}}
ingress:
- ports: [{port: dns, protocol: UDP}, {port: dns-tcp, protocol: UDP}, {port: sig}]
`),
	).check(verdicts{
		"shop/client > shop/dns UDP 53":     allowed,
		"shop/client > shop/dns TCP 53":     ingressDenied,
		"shop/client > shop/dns SCTP 36412": ingressDenied,
		"shop/client > shop/dns TCP 36412":  ingressDenied,
	})
}

// Point 5: sidecars count, init containers that end do not, and what several
// containers call by one name is all of them.
func TestNamedPortsOfSidecarsAndRepeatedNames(t *testing.T) {
	server := pod("shop/server", "10.0.0.2", "app=server")
	withPorts(server, "http=80", "metrics=9090")
	withPorts(server, "http=8080", "metrics=9090/UDP")
	withSidecar(server, "http=15001", "proxy=15006")
	withInitContainer(server, "http=7000", "setup=7001")
	newWorld(t, namespace("shop"), pod("shop/client", "10.0.0.1"), server,
		netpol(t, "shop/server", `
podSelector: {matchLabels: {app: server}}
ingress: [{ports: [{port: http}, {port: proxy}, {port: setup}, {port: metrics, protocol: UDP}]}]
`),
	).check(verdicts{
		"shop/client > shop/server TCP 80":    allowed,
		"shop/client > shop/server TCP 8080":  allowed,
		"shop/client > shop/server TCP 15001": allowed,
		"shop/client > shop/server TCP 15006": allowed,
		"shop/client > shop/server TCP 7000":  ingressDenied,
		"shop/client > shop/server TCP 7001":  ingressDenied,
		"shop/client > shop/server UDP 9090":  allowed,
		"shop/client > shop/server TCP 9090":  ingressDenied,
	})
}

// Point 6: a block is addresses, and Pods have addresses.
func TestBlockMatchesPodsToo(t *testing.T) {
	twoTeams(t).set(netpol(t, "shop/all", `
podSelector: {}
ingress: [{from: [{ipBlock: {cidr: 10.0.0.4/30}}]}]
egress: [{to: [{ipBlock: {cidr: 10.0.0.4/32}}]}]
`)).check(verdicts{
		"bank/db > shop/db TCP 80":  allowed,
		"void/web > shop/db TCP 80": allowed,
		"bank/web > shop/db TCP 80": ingressDenied,
		"shop/db > bank/db TCP 80":  allowed,
		"shop/db > void/web TCP 80": egressDenied,
	})
}

// Point 6: except limits its own block; another block, rule or policy may
// still allow what it leaves out.
func TestExceptLimitsOnlyItsOwnBlock(t *testing.T) {
	w := twoTeams(t).set(netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
ingress:
- from:
  - ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/29, 10.1.0.0/16, 10.1.2.0/24]}
`))
	w.check(verdicts{
		"bank/db > shop/db TCP 80":      ingressDenied,
		"10.0.0.7 > shop/db TCP 80":     ingressDenied,
		"10.0.0.8 > shop/db TCP 80":     allowed,
		"10.1.255.255 > shop/db TCP 80": ingressDenied,
		"10.2.0.0 > shop/db TCP 80":     allowed,
		"11.0.0.0 > shop/db TCP 80":     ingressDenied,
	})
	w.set(netpol(t, "shop/db", `
podSelector: {matchLabels: {app: db}}
ingress:
- from:
  - ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/29, 10.1.0.0/16]}
  - ipBlock: {cidr: 10.1.2.0/24}
- from: [{podSelector: {matchLabels: {app: web}}}]
`), netpol(t, "shop/more", `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.4/32}}]}]}`)).check(verdicts{
		"10.1.2.3 > shop/db TCP 80": allowed,
		"10.1.3.3 > shop/db TCP 80": ingressDenied,
		"shop/web > shop/db TCP 80": allowed,
		"bank/db > shop/db TCP 80":  allowed,
		"bank/web > shop/db TCP 80": ingressDenied,
	})
}

// Point 6: a block of one family says nothing of the other.
func TestBlocksOfOneFamilySayNothingOfTheOther(t *testing.T) {
	twoTeams(t).set(
		netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`),
		netpol(t, "shop/web", `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: "::/0"}}]}]}`),
	).check(verdicts{
		"203.0.113.7 > shop/db TCP 80":    allowed,
		"2001:db8::7 > shop/db#1 TCP 80":  ingressDenied,
		"203.0.113.7 > shop/web TCP 80":   ingressDenied,
		"2001:db8::7 > shop/web#1 TCP 80": allowed,
		"fd00::3 > shop/web#1 TCP 80":     allowed,
		"bank/web > shop/web TCP 80":      ingressDenied,
	})
}

// Point 6: the forms that the API server has always taken mean what it means
// by them: host bits do not count, leading zeros are decimal, and IPv4 written
// as IPv6 is IPv4.
func TestLegacyFormsOfBlocks(t *testing.T) {
	for _, cidr := range []string{"10.1.2.3/16", "010.001.02.003/16", "::ffff:10.1.2.3/112"} {
		t.Run(cidr, func(t *testing.T) {
			twoTeams(t).set(netpol(t, "shop/all", `
podSelector: {}
ingress: [{from: [{ipBlock: {cidr: "`+cidr+`", except: [10.1.5.77/24]}}]}]
`)).check(verdicts{
				"10.1.0.0 > shop/db TCP 80":     allowed,
				"10.1.255.255 > shop/db TCP 80": allowed,
				"10.0.255.255 > shop/db TCP 80": ingressDenied,
				"10.2.0.0 > shop/db TCP 80":     ingressDenied,
				"10.1.5.0 > shop/db TCP 80":     ingressDenied,
				"8.1.2.3 > shop/db TCP 80":      ingressDenied,
			})
		})
	}
}

// Point 7: what policies allow adds up, whatever their order.
func TestPoliciesAddUp(t *testing.T) {
	a := netpol(t, "shop/a", `{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}]}`)
	b := netpol(t, "shop/b", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}], ports: [{port: 443}]}]}`)
	nothing := netpol(t, "shop/c", `{podSelector: {}}`)
	want := verdicts{
		"shop/web > shop/db TCP 80":  allowed,
		"shop/web > shop/db TCP 443": ingressDenied, // not the peers of one with the ports of the other
		"bank/db > shop/db TCP 443":  allowed,
		"bank/db > shop/db TCP 80":   ingressDenied,
		"bank/db > shop/web TCP 443": ingressDenied,
	}
	twoTeams(t).set(a, b, nothing).check(want)
	twoTeams(t).set(nothing, b, a).check(want)
	w := twoTeams(t).set(nothing)
	w.check(verdicts{"shop/web > shop/db TCP 80": ingressDenied})
	w.set(b, a).check(want)
	w.delete(a, b, nothing).check(verdicts{"bank/web > shop/db TCP 80": allowed})
}

// Point 7: isolation is per direction, and both ends must allow. A reply needs
// no rule of its own, but a connection the other way is no reply.
func TestBothEndsMustAllow(t *testing.T) {
	out := netpol(t, "shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}`)
	in := netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`)
	w := twoTeams(t).set(out)
	w.check(verdicts{
		"shop/web > shop/db TCP 80":  allowed,
		"shop/web > bank/db TCP 80":  egressDenied,
		"bank/web > shop/web TCP 80": allowed,
		"shop/db > shop/web TCP 80":  allowed,
	})
	w.set(in).check(verdicts{
		"shop/web > shop/db TCP 80": allowed,
		"bank/web > shop/db TCP 80": ingressDenied,
		"shop/db > bank/db TCP 80":  allowed,
	})
	w.set(netpol(t, "shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}`)).check(verdicts{
		"shop/web > shop/db TCP 80": egressDenied,
		"shop/db > shop/web TCP 80": ingressDenied,
	})
	w.set(netpol(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress]}`)).check(verdicts{
		"shop/web > shop/db TCP 80": bothDenied,
		"shop/db > shop/web TCP 80": bothDenied,
	})
}
