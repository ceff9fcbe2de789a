package lint_test

// auditedSituations are those of policies on trial beside others: what is audited does
// nothing for what is enforced, and what is enforced counts for both.
func auditedSituations() map[string][]situation {
	const (
		all     = "podSelector: {}, ingress: [{}]"
		fromAPI = "podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 5432}]}]"
		toDNS   = "podSelector: {}, egress: [{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]"
		toPods  = "podSelector: {}, egress: [{to: [{podSelector: {}}], ports: [{port: 8080}]}]"
		v4      = "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"
		v6      = "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]"
	)
	three := carts + deploy("shop", "web", "name: web", "") + deploy("shop", "db", "name: db", "")
	twoOfThree := "podSelector: {matchExpressions: [{key: name, operator: In, values: [carts, web]}]}"
	onTrial := namespace("shop", "sluice-net.github.io/mode: audit")
	both := pod("shop", "web", "app: web", "containers: []", "podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]")
	dnsOverUDP := deploy("shop", "dns", "app: dns", "{containerPort: 53, protocol: UDP}")
	cache := workload("DaemonSet", "kube-system", "node-local-dns", "k8s-app: node-local-dns", "hostNetwork: true, containers: [{name: c}]")
	toCache := "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 169.254.20.10/32}}], ports: [{port: 53, protocol: UDP}]}]"
	enforced := "metadata: {name: q, namespace: shop, annotations: {sluice-net.github.io/mode: enforce}}\nspec: {" + all + "}\n"
	return map[string][]situation{
		"policy-adds-nothing": {
			{"an audited one that allows all", np("shop", "db", fromAPI) + audited("shop", "on-trial", all), nil},
			{"an audited twin that comes first", audited("shop", "a", fromAPI) + np("shop", "b", fromAPI),
				[]string{"note policy-adds-nothing: NetworkPolicy shop/a"}},
			{"an audited twin that comes last", np("shop", "a", fromAPI) + audited("shop", "b", fromAPI),
				[]string{"note policy-adds-nothing: NetworkPolicy shop/b"}},
			{"an audited one that an enforced one makes vain", audited("shop", "db", fromAPI) + np("shop", "q", all),
				[]string{"note policy-adds-nothing: NetworkPolicy shop/db"}},
			{"two that are audited", audited("shop", "db", fromAPI) + audited("shop", "q", all),
				[]string{"note policy-adds-nothing: NetworkPolicy shop/db"}},
			{"all of a namespace on trial", onTrial + np("shop", "db", fromAPI) + np("shop", "q", all),
				[]string{"note policy-adds-nothing: NetworkPolicy shop/db"}},
			{"an enforced one in a namespace on trial", onTrial + np("shop", "all", all) + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n" + enforced,
				[]string{"note policy-adds-nothing: NetworkPolicy shop/all"}},
		},
		"rule-adds-nothing": {
			{"in an audited policy", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 5432}]}, {ports: [{port: 9187}]}]") + audited("shop", "q", "podSelector: {}, ingress: [{ports: [{port: 5432}]}]"),
				[]string{"note policy-adds-nothing: NetworkPolicy shop/q"}},
			{"of an audited policy", audited("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 5432}]}, {ports: [{port: 9187}]}]") + np("shop", "q", "podSelector: {}, ingress: [{ports: [{port: 5432}]}]"),
				[]string{"note rule-adds-nothing: NetworkPolicy shop/p spec.ingress[0]"}},
		},
		"direction-not-isolated": {
			{"an audited policy closes it", np("shop", "p", "podSelector: {matchLabels: {app: x}}, egress: []") + audited("shop", "q", "podSelector: {}, policyTypes: [Egress]"),
				[]string{"warning direction-not-isolated: NetworkPolicy shop/p spec.egress"}},
			{"an enforced policy closes it for an audited one", audited("shop", "p", "podSelector: {matchLabels: {app: x}}, egress: []") + np("shop", "q", "podSelector: {}, policyTypes: [Egress]"),
				[]string{"note direction-not-isolated: NetworkPolicy shop/p spec.egress"}},
		},
		"block-one-family": {
			{"an audited policy has the other", both + np("shop", "p", v4) + audited("shop", "q", v6),
				[]string{"warning block-one-family: NetworkPolicy shop/p spec.ingress[0].from[0].ipBlock.cidr"}},
			{"an enforced policy has the other of an audited one", both + audited("shop", "p", v4) + np("shop", "q", v6),
				[]string{"warning block-one-family: NetworkPolicy shop/q spec.ingress[0].from[0].ipBlock.cidr"}},
		},
		"port-protocol": {
			{"an audited policy allows the other", dnsOverUDP + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}]}]") + audited("shop", "q", "podSelector: {}, ingress: [{ports: [{port: 53, protocol: UDP}]}]"),
				[]string{"warning port-protocol: NetworkPolicy shop/p spec.ingress[0].ports[0]"}},
			{"an enforced policy allows the other", dnsOverUDP + audited("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}]}]") + np("shop", "q", "podSelector: {}, ingress: [{ports: [{port: 53, protocol: UDP}]}]"), nil},
		},
		"egress-without-dns": {
			{"in an audited policy", carts + np("shop", "p", toPods) + audited("shop", "dns", toDNS),
				[]string{"warning egress-without-dns: NetworkPolicy shop/p spec.egress"}},
			{"in an audited policy, without workloads", np("shop", "p", toPods) + audited("shop", "dns", toDNS),
				[]string{"warning egress-without-dns: NetworkPolicy shop/p spec.egress"}},
			{"in an enforced policy beside an audited one", carts + audited("shop", "p", toPods) + np("shop", "dns", toDNS), nil},
			{"in an audited policy beside an audited one", carts + audited("shop", "p", toPods) + audited("shop", "dns", toDNS), nil},
			{"in a namespace on trial", onTrial + carts + np("shop", "p", toPods) + np("shop", "dns", toDNS), nil},
		},
		"node-local-dns": {
			{"an audited policy has its address", carts + cache + np("shop", "p", toDNS) + audited("shop", "q", toCache),
				[]string{"warning node-local-dns: NetworkPolicy shop/p spec.egress"}},
			{"an enforced policy has its address", carts + cache + audited("shop", "p", toDNS) + np("shop", "q", toCache), nil},
		},
		"pod-not-isolated": {
			{"an audited policy selects it", three + np("shop", "p", twoOfThree) + audited("shop", "q", "podSelector: {matchLabels: {name: db}}"),
				[]string{"note pod-not-isolated: Deployment shop/db"}},
			{"most are audited, and it is not", three + audited("shop", "p", twoOfThree),
				[]string{"note pod-not-isolated: Deployment shop/db"}},
			{"all are on trial", onTrial + three + np("shop", "p", "podSelector: {}"), nil},
			{"one is enforced, all are on trial", three + np("shop", "p", "podSelector: {matchLabels: {name: db}}") + audited("shop", "q", "podSelector: {}"), nil},
		},
	}
}

// byTCPSituations are those of DNS that is allowed by TCP.
func byTCPSituations() map[string][]situation {
	const kubeDNS = "to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]"
	byTCP := workload("Deployment", "shop", "carts", "name: carts", "dnsConfig: {options: [{name: use-vc}]}, containers: [{name: c}]")
	egress := func(ports string) string {
		return "podSelector: {}, egress: [{" + kubeDNS + ", ports: [" + ports + "]}]"
	}
	alone := func(at string) []string {
		return []string{"warning egress-without-dns: NetworkPolicy shop/p " + at}
	}
	return map[string][]situation{
		"egress-without-dns": {
			{"a port without a protocol", np("shop", "p", egress("{port: 53}")), alone("spec.egress[0].ports[0]")},
			{"beside another port", carts + np("shop", "p", egress("{port: 443}, {port: 53, protocol: TCP}")), alone("spec.egress[0].ports[1]")},
			{"to everybody", np("shop", "p", "podSelector: {}, egress: [{ports: [{port: 53}]}]"), alone("spec.egress[0].ports[0]")},
			{"every port of TCP", np("shop", "p", "podSelector: {}, egress: [{ports: [{protocol: TCP}]}]"), alone("spec.egress[0].ports[0]")},
			{"by a name that says so", np("shop", "p", egress("{port: dns-tcp}")), alone("spec.egress[0].ports[0]")},
			{"in another policy for the same Pods", np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}], ports: [{port: 8080}]}]") +
				np("shop", "q", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.96.0.10/32}}], ports: [{port: 53}]}]"), alone("spec.egress")},
			{"both in one rule", np("shop", "p", egress("{port: 53}, {port: 53, protocol: UDP}")), nil},
			{"UDP in another rule", np("shop", "p", "podSelector: {}, egress: [{"+kubeDNS+", ports: [{port: 53}]}, {"+kubeDNS+", ports: [{port: 53, protocol: UDP}]}]"), nil},
			{"UDP in another policy", carts + np("shop", "p", egress("{port: 53}")) + np("shop", "q", egress("{port: 53, protocol: UDP}")), nil},
			{"UDP alone", np("shop", "p", egress("{port: 53, protocol: UDP}")), nil},
			{"DNS over TLS", np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}, {port: 853}]}]"), nil},
			{"a name that may mean it", np("shop", "p", egress("{port: dns}")), nil},
			{"a resolver that asks by TCP", byTCP + np("shop", "p", egress("{port: 53}")), nil},
			{"one of two resolvers asks by TCP", byTCP + deploy("shop", "web", "name: web", "") + np("shop", "p", egress("{port: 53}")), alone("spec.egress[0].ports[0]")},
			{"nothing is said of DNS, to blocks only", np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.53/32}}], ports: [{port: 53}]}]"), nil},
		},
		"node-local-dns": {
			{"its address by TCP alone", carts + workload("DaemonSet", "kube-system", "node-local-dns", "k8s-app: node-local-dns", "hostNetwork: true, containers: [{name: c}]") +
				np("shop", "p", egress("{port: 53, protocol: UDP}")) + np("shop", "q", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 169.254.20.10/32}}], ports: [{port: 53}]}]"),
				[]string{"warning node-local-dns: NetworkPolicy shop/p spec.egress"}},
		},
	}
}
