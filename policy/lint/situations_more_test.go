package lint_test

const dnsPod = "{name: dns, containerPort: 53, protocol: UDP}, {name: dns-tcp, containerPort: 53, protocol: TCP}"

func portSituations() map[string][]situation {
	sidecar := workload("Deployment", "shop", "carts", "name: carts", "initContainers: [{name: s, restartPolicy: Always, ports: [{name: metrics, containerPort: 9090}]}], containers: [{name: c}]")
	return map[string][]situation{
		"port-name-unknown": {
			{"no such name", carts + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: web}]}]"),
				[]string{"warning port-name-unknown: NetworkPolicy shop/p spec.ingress[0].ports[0].port"}},
			{"of another protocol", deploy("shop", "dns", "app: dns", "{name: dns, containerPort: 53, protocol: UDP}") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: dns}]}]"),
				[]string{"warning port-name-unknown: NetworkPolicy shop/p spec.ingress[0].ports[0].port"}},
			{"of the destination", carts + np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {name: carts}}}], ports: [{port: web}, {port: 53, protocol: UDP}]}]"),
				[]string{"warning port-name-unknown: NetworkPolicy shop/p spec.egress[0].ports[0].port"}},
			{"an init container's", workload("Deployment", "shop", "carts", "name: carts", "initContainers: [{name: s, ports: [{name: metrics, containerPort: 9090}]}], containers: [{name: c}]") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: metrics}]}]"),
				[]string{"warning port-name-unknown: NetworkPolicy shop/p spec.ingress[0].ports[0].port"}},
			{"an operator may make Pods", carts + object("kafka.strimzi.io/v1beta2", "Kafka", "shop", "log", "spec: {}") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: web}]}]"),
				[]string{"note port-name-unknown: NetworkPolicy shop/p spec.ingress[0].ports[0].port"}},
			{"the name is there", carts + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: http}]}]"), nil},
			{"one of two has it", carts + deploy("shop", "web", "name: web", "{name: web, containerPort: 80}") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: web}]}]"), nil},
			{"a sidecar's", sidecar + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: metrics}]}]"), nil},
			{"a mesh's", carts + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: http-envoy-prom}]}]"), nil},
			{"no workload is here", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: web}]}]"), nil},
			{"to a block", carts + np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: web}]}]"), nil},
			{"to namespaces that may be elsewhere", carts + np("shop", "p", "podSelector: {}, egress: [{to: [{namespaceSelector: {}}], ports: [{port: dns}]}]"), nil},
		},
		"port-protocol": {
			{"TCP by default", deploy("shop", "dns", "app: dns", "{containerPort: 53, protocol: UDP}") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}]}]"),
				[]string{"warning port-protocol: NetworkPolicy shop/p spec.ingress[0].ports[0]"}},
			{"both are allowed", deploy("shop", "dns", "app: dns", "{containerPort: 53, protocol: UDP}") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}, {port: 53, protocol: UDP}]}]"), nil},
			{"another policy allows the other", deploy("shop", "dns", "app: dns", "{containerPort: 53, protocol: UDP}") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}]}]") +
				np("shop", "q", "podSelector: {matchLabels: {app: dns}}, ingress: [{ports: [{port: 53, protocol: UDP}]}]"), nil},
			{"both are declared", deploy("shop", "dns", "app: dns", dnsPod) + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}]}]"), nil},
			{"nothing is declared", deploy("shop", "dns", "app: dns", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}]}]"), nil},
			{"one of two does not declare it", deploy("shop", "dns", "app: dns", "{containerPort: 53, protocol: UDP}") + carts + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}]}]"), nil},
		},
		"port-of-service": {
			{"into the Pods", carts + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}]}]"),
				[]string{"warning port-of-service: NetworkPolicy shop/p spec.ingress[0].ports[0].port"}},
			{"by a name", carts + service("shop", "carts", "name: carts", "{port: 80, targetPort: http}", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}]}]"),
				[]string{"warning port-of-service: NetworkPolicy shop/p spec.ingress[0].ports[0].port"}},
			{"out to the Pods", carts + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}", "") + np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {name: carts}}}], ports: [{port: 80}]}, {ports: [{port: 53, protocol: UDP}]}]"),
				[]string{"warning port-of-service: NetworkPolicy shop/p spec.egress[0].ports[0].port"}},
			{"the targetPort", carts + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 8080}]}]"), nil},
			{"both", carts + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}, {port: 8080}]}]"), nil},
			{"both, one by its name", carts + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}, {port: http}]}]"), nil},
			{"the Pod has the port", deploy("shop", "carts", "name: carts", "{containerPort: 8080}, {containerPort: 80}") + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}", "") +
				np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}]}]"), nil},
			{"another Service leads there", carts + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}, {port: 81, targetPort: 80, name: b}", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}]}]"), nil},
			{"some Pods are behind no Service", carts + deploy("shop", "web", "name: web", "") + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}]}]"), nil},
			{"a headless Service translates nothing", carts + service("shop", "carts", "name: carts", "{port: 80, targetPort: 8080}", ", clusterIP: None") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}]}]"), nil},
		},
		"port-adds-nothing": {
			{"twice", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 5432}, {port: 5432, protocol: TCP}]}]"),
				[]string{"note port-adds-nothing: NetworkPolicy shop/p spec.ingress[0].ports[1]"}},
			{"inside of a range", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 5432}, {port: 5000, endPort: 6000}]}]"),
				[]string{"note port-adds-nothing: NetworkPolicy shop/p spec.ingress[0].ports[0]"}},
			{"two protocols", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}, {port: 53, protocol: UDP}]}]"), nil},
			{"a name and its number", carts + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 8080}, {port: http}]}]"), nil},
			{"ranges that overlap", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 5432, endPort: 5500}, {port: 5000, endPort: 5450}]}]"), nil},
		},
	}
}

func dnsSituations() map[string][]situation {
	cache := workload("DaemonSet", "kube-system", "node-local-dns", "k8s-app: node-local-dns", "hostNetwork: true, containers: [{name: node-cache, args: ['-localip', '169.254.20.11,10.96.0.10']}]")
	toDNS := "{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}"
	return map[string][]situation{
		"egress-without-dns": {
			{"to Pods", carts + np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}], ports: [{port: 8080}]}]"),
				[]string{"warning egress-without-dns: NetworkPolicy shop/p spec.egress"}},
			{"to everywhere", np("shop", "p", "podSelector: {matchLabels: {app: x}}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}], ports: [{port: 443}]}]"),
				[]string{"warning egress-without-dns: NetworkPolicy shop/p spec.egress"}},
			{"on some port", np("shop", "p", "podSelector: {}, egress: [{ports: [{port: 443}]}]"),
				[]string{"warning egress-without-dns: NetworkPolicy shop/p spec.egress"}},
			{"all ports, to Pods that are no DNS server", carts + np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {name: carts}}}]}]"),
				[]string{"warning egress-without-dns: NetworkPolicy shop/p spec.egress"}},
			{"DNS is for other Pods", carts + deploy("shop", "web", "name: web", "") + np("shop", "p", "podSelector: {matchLabels: {name: web}}, egress: [{to: [{podSelector: {}}], ports: [{port: 8080}]}]") +
				np("shop", "q", "podSelector: {matchLabels: {name: carts}}, egress: ["+toDNS+"]"),
				[]string{"warning egress-without-dns: NetworkPolicy shop/p spec.egress"}},
			{"no egress at all", carts + np("shop", "p", "podSelector: {}, policyTypes: [Egress]"), nil},
			{"in the policy", carts + np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}], ports: [{port: 8080}]}, "+toDNS+"]"), nil},
			{"in a policy for all", carts + np("shop", "p", "podSelector: {matchLabels: {name: carts}}, egress: [{to: [{podSelector: {}}], ports: [{port: 8080}]}]") + np("shop", "dns", "podSelector: {}, egress: ["+toDNS+"]"), nil},
			{"in a policy that may select the same", np("shop", "p", "podSelector: {matchLabels: {app: x}}, egress: [{ports: [{port: 443}]}]") + np("shop", "dns", "podSelector: {matchLabels: {dns: allowed}}, egress: ["+toDNS+"]"), nil},
			{"another port of DNS", np("shop", "p", "podSelector: {}, egress: [{ports: [{port: 443}, {port: 5353, protocol: UDP}]}]"), nil},
			{"all ports of other namespaces", np("shop", "p", "podSelector: {}, egress: [{to: [{namespaceSelector: {}}]}]"), nil},
			{"all ports of a block", np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]"), nil},
			{"addresses only", np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.7/32}}], ports: [{port: 5432}]}]"), nil},
			{"a DNS server of the own namespace", deploy("shop", "dns", "app: dns", dnsPod) + np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}]}]"), nil},
			{"all ports in kube-system", deploy("kube-system", "coredns", "k8s-app: kube-dns", "") + np("kube-system", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}]}]"), nil},
			{"another kind of policy may allow it", carts + object("cilium.io/v2", "CiliumNetworkPolicy", "shop", "dns", "spec: {}") + np("shop", "p", "podSelector: {}, egress: [{ports: [{port: 443}]}]"), nil},
			{"the host's network has no policy", workload("DaemonSet", "shop", "agent", "app: agent", "hostNetwork: true, containers: []") + np("shop", "p", "podSelector: {}, egress: [{ports: [{port: 443}]}]"), nil},
		},
		"node-local-dns": {
			{"by selectors only", carts + cache + np("shop", "p", "podSelector: {}, egress: ["+toDNS+"]"),
				[]string{"warning node-local-dns: NetworkPolicy shop/p spec.egress"}},
			{"to its address, too", carts + cache + np("shop", "p", "podSelector: {}, egress: ["+toDNS+", {to: [{ipBlock: {cidr: 169.254.20.11/32}}], ports: [{port: 53, protocol: UDP}]}]"), nil},
			{"another policy has its address", carts + cache + np("shop", "p", "podSelector: {}, egress: ["+toDNS+"]") + np("shop", "q", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 169.254.0.0/16}}], ports: [{port: 53, protocol: UDP}]}]"), nil},
			{"to everybody", carts + cache + np("shop", "p", "podSelector: {}, egress: [{ports: [{port: 53, protocol: UDP}]}]"), nil},
			{"there is none", carts + np("shop", "p", "podSelector: {}, egress: ["+toDNS+"]"), nil},
		},
	}
}

func workloadSituations() map[string][]situation {
	three := carts + deploy("shop", "web", "name: web", "") + deploy("shop", "db", "name: db", "")
	return map[string][]situation{
		"pod-not-isolated": {
			{"two of three are", three + np("shop", "p", "podSelector: {matchExpressions: [{key: name, operator: In, values: [carts, web]}]}"),
				[]string{"note pod-not-isolated: Deployment shop/db"}},
			{"in one direction", three + np("shop", "p", "podSelector: {}") + np("shop", "q", "podSelector: {matchExpressions: [{key: name, operator: NotIn, values: [db]}]}, policyTypes: [Egress]"),
				[]string{"note pod-not-isolated: Deployment shop/db"}},
			{"one of three is", three + np("shop", "p", "podSelector: {matchLabels: {name: web}}"), nil},
			{"all are", three + np("shop", "p", "podSelector: {}"), nil},
			{"on the host's network", carts + deploy("shop", "web", "name: web", "") + workload("DaemonSet", "shop", "agent", "name: agent", "hostNetwork: true, containers: []") + np("shop", "p", "podSelector: {matchExpressions: [{key: name, operator: In, values: [carts, web]}]}"), nil},
			{"another kind of policy may isolate it", three + object("crd.projectcalico.org/v1", "NetworkPolicy", "shop", "q", "spec: {}") + np("shop", "p", "podSelector: {matchExpressions: [{key: name, operator: In, values: [carts, web]}]}"), nil},
			{"a document could not be read", three + np("shop", "p", "podSelector: {matchExpressions: [{key: name, operator: In, values: [carts, web]}]}") + "---\na: [\n",
				[]string{"error unreadable:"}},
		},
		"obsolete-annotation": {
			{"on a namespace", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {net.beta.kubernetes.io/network-policy: '{\"ingress\": {\"isolation\": \"DefaultDeny\"}}'}}\n",
				[]string{"warning obsolete-annotation: Namespace shop metadata.annotations[net.beta.kubernetes.io/network-policy]"}},
			{"a plug-in's own", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {cni.projectcalico.org/ipv4pools: '[\"a\"]'}}\n", nil},
		},
		"invalid-object": {
			{"a port that is none", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 70000}]}]"),
				[]string{"error invalid-object: NetworkPolicy shop/p spec.ingress[0].ports[0].port"}},
			{"an empty peer", carts + np("shop", "p", "podSelector: {matchLabels: {name: cart}}, ingress: [{from: [{}]}]"),
				[]string{"error invalid-object: NetworkPolicy shop/p spec.ingress[0].from[0]"}},
			{"a workload of another version", object("v1", "Deployment", "shop", "d", "spec: {}"),
				[]string{"error invalid-object: Deployment shop/d apiVersion"}},
			{"a misspelt workload", object("apps/v1", "deployment", "shop", "d", "spec: {}"),
				[]string{"error invalid-object: deployment shop/d kind"}},
			{"a policy for a workload that could not be read", carts + object("apps/v1beta1", "Deployment", "shop", "d", "spec: {}") + np("shop", "p", "podSelector: {matchLabels: {name: d}}") + np("shop", "q", "podSelector: {}"),
				[]string{"error invalid-object: Deployment shop/d apiVersion", "note policy-selects-nothing: NetworkPolicy shop/p spec.podSelector"}},
			{"valid", carts + np("shop", "p", "podSelector: {}"), nil},
			{"of another kind", object("example.com/v1", "NetworkPolicy", "shop", "p", "spec: 7"), nil},
		},
		"unreadable": {
			{"no YAML", "a: [\n", []string{"error unreadable:"}},
			{"no object of Kubernetes", "image: {tag: latest}\n", nil},
			{"other kinds", object("v1", "ConfigMap", "shop", "c", "data: {x: y}"), nil},
		},
		"object-given-twice": {
			{"policies that differ", carts + np("shop", "p", "podSelector: {matchLabels: {name: cart}}") + np("shop", "p", "podSelector: {}"),
				[]string{"warning object-given-twice: NetworkPolicy shop/p"}},
			{"workloads that differ", carts + deploy("shop", "carts", "name: carts", "{containerPort: 81}") + np("shop", "p", "podSelector: {}"),
				[]string{"note object-given-twice: Deployment shop/carts"}},
			{"the same twice", carts + carts + np("shop", "p", "podSelector: {}") + np("shop", "p", "podSelector: {}"), nil},
			{"of different groups", carts + np("shop", "p", "podSelector: {}") + object("crd.projectcalico.org/v1", "NetworkPolicy", "shop", "p", "spec: {}"), nil},
		},
		"unknown-ignore": {
			{"an annotation", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop, annotations: {sluice-net.github.io/lint-ignore: 'rule-split, rule-add-nothing'}}\nspec: {podSelector: {}}\n",
				[]string{"warning unknown-ignore: NetworkPolicy shop/p metadata.annotations[sluice-net.github.io/lint-ignore]"}},
			{"a comment", "# sluice-lint-ignore: rules-split\n" + np("shop", "p", "podSelector: {}"), []string{"warning unknown-ignore:"}},
			{"a misspelt comment", "# sluice-lint-ingore: rule-split\n" + np("shop", "p", "podSelector: {}"), []string{"warning unknown-ignore:"}},
			{"with a reason", "# sluice-lint-ignore: rule-split, rule-adds-nothing because, as we said\n" + np("shop", "p", "podSelector: {}"), nil},
			{"all of them", "# sluice-lint-ignore: *\n" + np("shop", "p", "podSelector: {}"), nil},
		},
	}
}
