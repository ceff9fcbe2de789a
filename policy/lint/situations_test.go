package lint_test

import "maps"

// situations are the cases of all checks. Inputs are as small as they can be and
// not draw other findings.
func situations() map[string][]situation {
	all := map[string][]situation{}
	for _, part := range []map[string][]situation{policySituations(), ruleSituations(), peerSituations(), portSituations(), dnsSituations(), workloadSituations()} {
		maps.Copy(all, part)
	}
	for _, part := range []map[string][]situation{auditedSituations(), byTCPSituations()} {
		for id, list := range part {
			all[id] = append(all[id], list...)
		}
	}
	return all
}

// carts is a namespace with one workload.
var carts = deploy("shop", "carts", "name: carts", "{name: http, containerPort: 8080}")

func policySituations() map[string][]situation {
	return map[string][]situation{
		"policy-selects-nothing": {
			{"a slip of the pen", carts + np("shop", "cart-access", "podSelector: {matchLabels: {name: cart}}"),
				[]string{"warning policy-selects-nothing: NetworkPolicy shop/cart-access spec.podSelector.matchLabels.name"}},
			{"an expression", carts + np("shop", "p", "podSelector: {matchExpressions: [{key: name, operator: In, values: [cart, basket]}]}"),
				[]string{"warning policy-selects-nothing: NetworkPolicy shop/p spec.podSelector.matchExpressions[0]"}},
			{"nothing near", carts + np("shop", "p", "podSelector: {matchLabels: {name: payment}}"),
				[]string{"warning policy-selects-nothing: NetworkPolicy shop/p spec.podSelector"}},
			{"digits are another thing", carts + deploy("shop", "db-1", "name: db-1", "") + np("shop", "p", "podSelector: {matchLabels: {name: db-2}}"),
				[]string{"warning policy-selects-nothing: NetworkPolicy shop/p spec.podSelector"}},
			{"an operator may make Pods", carts + object("kafka.strimzi.io/v1beta2", "Kafka", "shop", "log", "spec: {}") + np("shop", "p", "podSelector: {matchLabels: {name: log}}"),
				[]string{"note policy-selects-nothing: NetworkPolicy shop/p spec.podSelector"}},
			{"a kustomization is not built", carts + object("kustomize.config.k8s.io/v1beta1", "Kustomization", "x", "x", "namePrefix: dev-") + np("shop", "p", "podSelector: {matchLabels: {name: payment}}"),
				[]string{"note policy-selects-nothing: NetworkPolicy shop/p spec.podSelector"}},
			{"a template that cannot be read", carts + object("apps/v1", "StatefulSet", "shop", "x", "spec: {replicas: 2}") + np("shop", "p", "podSelector: {matchLabels: {name: payment}}"),
				[]string{"note policy-selects-nothing: NetworkPolicy shop/p spec.podSelector"}},
			{"Pods of the cluster's own", deploy("kube-system", "metrics", "k8s-app: metrics-server", "") + np("kube-system", "p", "podSelector: {matchLabels: {k8s-app: kube-proxy}}"),
				[]string{"note policy-selects-nothing: NetworkPolicy kube-system/p spec.podSelector"}},
			{"the namespace has no workload", np("shop", "p", "podSelector: {matchLabels: {name: cart}}"), nil},
			{"another namespace has one", deploy("other", "carts", "name: carts", "") + np("shop", "p", "podSelector: {matchLabels: {name: cart}}"), nil},
			{"a Job's own labels", workload("Job", "shop", "backup", "", "containers: []") + np("shop", "p", "podSelector: {matchLabels: {job-name: backup}}"), nil},
			{"a CronJob between its runs", object("batch/v1", "CronJob", "shop", "backup", "spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: backup}}, spec: {containers: []}}}}}") +
				np("shop", "p", "podSelector: {matchLabels: {app: backup}}"), nil},
			{"scaled to none", object("apps/v1", "Deployment", "shop", "web", "spec: {replicas: 0, template: {metadata: {labels: {app: web}}, spec: {containers: []}}}") +
				np("shop", "p", "podSelector: {matchLabels: {app: web}}"), nil},
			{"a Pod without an address", pod("shop", "web", "app: web", "containers: []", "") + np("shop", "p", "podSelector: {matchLabels: {app: web}}"), nil},
			{"a Pod of a StatefulSet", workload("StatefulSet", "shop", "db", "app: db", "containers: []") +
				np("shop", "p", "podSelector: {matchLabels: {app: db, statefulset.kubernetes.io/pod-name: db-0}}"), nil},
			{"what is left out", carts + np("shop", "p", "podSelector: {matchExpressions: [{key: name, operator: NotIn, values: [cart]}]}"), nil},
			{"one of two versions of a workload", carts + deploy("shop", "carts", "name: cart", "") + np("shop", "p", "podSelector: {matchLabels: {name: cart}}"),
				[]string{"note object-given-twice: Deployment shop/carts"}},
		},
		"policy-other-namespace": {
			{"the namespace is left out", carts + object("networking.k8s.io/v1", "NetworkPolicy", "default", "p", "spec: {podSelector: {matchLabels: {name: carts}}}"),
				[]string{"note policy-other-namespace: NetworkPolicy default/p metadata.namespace"}},
			{"it selects every Pod", carts + np("default", "p", "podSelector: {}"), nil},
			{"it asks for nothing that is there", carts + np("default", "p", "podSelector: {matchExpressions: [{key: name, operator: NotIn, values: [x]}]}"), nil},
			{"it would select in two", carts + deploy("test", "carts", "name: carts", "") + np("default", "p", "podSelector: {matchLabels: {name: carts}}"), nil},
			{"its own namespace has workloads", carts + deploy("default", "web", "name: web", "") + np("default", "p", "podSelector: {matchLabels: {name: web}}"), nil},
		},
		"policy-host-network": {
			{"a DaemonSet of the node", workload("DaemonSet", "infra", "exporter", "app: exporter", "hostNetwork: true, containers: []") + np("infra", "p", "podSelector: {matchLabels: {app: exporter}}"),
				[]string{"warning policy-host-network: NetworkPolicy infra/p spec.podSelector"}},
			{"another is not", workload("DaemonSet", "infra", "exporter", "app: exporter", "hostNetwork: true, containers: []") + deploy("infra", "other", "app: exporter", "") +
				np("infra", "p", "podSelector: {matchLabels: {app: exporter}}"), nil},
			{"every Pod", workload("DaemonSet", "infra", "exporter", "app: exporter", "hostNetwork: true, containers: []") + np("infra", "p", "podSelector: {}"), nil},
		},
		"selector-contradiction": {
			{"of the policy", carts + np("shop", "p", "podSelector: {matchLabels: {name: carts}, matchExpressions: [{key: name, operator: NotIn, values: [carts]}]}"),
				[]string{"error selector-contradiction: NetworkPolicy shop/p spec.podSelector"}},
			{"of a peer", carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: DoesNotExist}]}}]}]"),
				[]string{"error selector-contradiction: NetworkPolicy shop/p spec.ingress[0].from[0].podSelector"}},
			{"of namespaces", np("shop", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [x]}, {key: a, operator: In, values: [z]}]}}]}]"),
				[]string{"error selector-contradiction: NetworkPolicy shop/p spec.ingress[0].from[0].namespaceSelector"}},
			{"one value is left", np("shop", "p", "podSelector: {matchExpressions: [{key: a, operator: In, values: [x, z]}, {key: a, operator: NotIn, values: [x]}]}"), nil},
			{"NotIn and DoesNotExist", np("shop", "p", "podSelector: {matchExpressions: [{key: a, operator: DoesNotExist}, {key: a, operator: NotIn, values: [x]}]}"), nil},
		},
		"policy-adds-nothing": {
			{"twins", np("shop", "a", "podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]") + np("shop", "b", "podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]"),
				[]string{"note policy-adds-nothing: NetworkPolicy shop/b"}},
			{"narrower in all", np("shop", "a", "podSelector: {matchLabels: {app: web, tier: x}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 5432}]}]") +
				np("shop", "b", "podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]"),
				[]string{"note policy-adds-nothing: NetworkPolicy shop/a"}},
			{"a default that denies", np("shop", "default-deny", "podSelector: {}") + np("shop", "web", "podSelector: {}, ingress: [{from: [{podSelector: {}}]}]"), nil},
			{"another namespace", np("shop", "a", "podSelector: {}, ingress: [{from: [{podSelector: {}}]}]") + np("test", "a", "podSelector: {}, ingress: [{from: [{podSelector: {}}]}]"), nil},
			{"it isolates egress, too", np("shop", "a", "podSelector: {}, ingress: [{from: [{podSelector: {}}]}]") + np("shop", "b", "podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: x}}}]}]"),
				[]string{"note rule-adds-nothing: NetworkPolicy shop/b spec.ingress[0]"}},
			{"it selects more Pods", np("shop", "a", "podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]") + np("shop", "b", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: x}}}]}]"), nil},
		},
		"direction-not-isolated": {
			{"an empty list alone", np("shop", "p", "podSelector: {}, egress: []"),
				[]string{"warning direction-not-isolated: NetworkPolicy shop/p spec.egress"}},
			{"rules without their type", np("shop", "p", "podSelector: {}, policyTypes: [Ingress], egress: [{ports: [{port: 53, protocol: UDP}]}]"),
				[]string{"warning direction-not-isolated: NetworkPolicy shop/p spec.egress"}},
			{"ingress without its type", np("shop", "p", "podSelector: {}, policyTypes: [Egress], ingress: [{}]"),
				[]string{"warning direction-not-isolated: NetworkPolicy shop/p spec.ingress"}},
			{"another policy closes it", np("shop", "p", "podSelector: {matchLabels: {app: x}}, egress: []") + np("shop", "q", "podSelector: {}, policyTypes: [Egress]"),
				[]string{"note direction-not-isolated: NetworkPolicy shop/p spec.egress"}},
			{"everything is denied", np("shop", "p", "podSelector: {}, policyTypes: [Ingress, Egress], ingress: [], egress: []"), nil},
			{"egress rules name their type by default", np("shop", "p", "podSelector: {}, egress: [{ports: [{port: 53, protocol: UDP}]}]"), nil},
			{"types without lists", np("shop", "p", "podSelector: {}, policyTypes: [Egress]"), nil},
		},
		"list-without-value": {
			{"from", np("shop", "p", "podSelector: {}, ingress: [{from: , ports: [{port: 5432}]}]"),
				[]string{"warning list-without-value: NetworkPolicy shop/p spec.ingress[0].from"}},
			{"ports", np("shop", "p", "podSelector: {}, egress: [{to: [{namespaceSelector: {}}], ports: null}]"),
				[]string{"warning list-without-value: NetworkPolicy shop/p spec.egress[0].ports"}},
			{"an empty list", np("shop", "p", "podSelector: {}, ingress: [{from: []}]"), nil},
			{"left out", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 443}]}]"), nil},
		},
	}
}

func ruleSituations() map[string][]situation {
	return map[string][]situation{
		"rule-allows-all": {
			{"a stray dash", np("shop", "p", "podSelector: {}, ingress: [{}, {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]"),
				[]string{"warning rule-allows-all: NetworkPolicy shop/p spec.ingress[0]"}},
			{"an empty entry last", np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}, {}]"),
				[]string{"warning rule-allows-all: NetworkPolicy shop/p spec.egress[1]"}},
			{"the only rule", np("shop", "p", "podSelector: {}, ingress: [{}]"), nil},
			{"peers are left out, ports are not", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 5432}]}, {ports: [{port: 443}]}]"), nil},
		},
		"rule-split": {
			{"a dash before ports", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}, {ports: [{port: 5432}]}]"),
				[]string{"note rule-split: NetworkPolicy shop/p spec.ingress[1].ports"}},
			{"DNS for everybody", np("shop", "p", "podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}, {ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]"), nil},
			{"a web server for everybody", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {}}]}, {ports: [{port: 443}]}]"), nil},
			{"a list of three", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {}}]}, {ports: [{port: 5432}]}, {from: [{namespaceSelector: {}}], ports: [{port: 9090}]}]"), nil},
			{"ports first", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 5432}]}, {from: [{podSelector: {}}]}]"), nil},
		},
		"rule-adds-nothing": {
			{"twins", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 5432}]}, {from: [{podSelector: {}}], ports: [{port: 5432}]}]"),
				[]string{"note rule-adds-nothing: NetworkPolicy shop/p spec.ingress[1]"}},
			{"inside of a range", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 5432}]}, {ports: [{port: 5000, endPort: 6000}]}]"),
				[]string{"note rule-adds-nothing: NetworkPolicy shop/p spec.ingress[0]"}},
			{"in another policy", np("shop", "p", "podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5432}]}, {ports: [{port: 9187}]}]") + np("shop", "q", "podSelector: {}, ingress: [{ports: [{port: 5432}]}]"),
				[]string{"note rule-adds-nothing: NetworkPolicy shop/p spec.ingress[0]"}},
			{"a block inside of a block", np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.9.0.0/16]}}]}, {from: [{ipBlock: {cidr: 10.1.0.0/16}}]}]"),
				[]string{"note rule-adds-nothing: NetworkPolicy shop/p spec.ingress[1]"}},
			{"the own namespace by its name", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}, {from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]"),
				[]string{"note rule-adds-nothing: NetworkPolicy shop/p spec.ingress[0]"}},
			{"a block with another exception", np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.9.0/24]}}]}, {from: [{ipBlock: {cidr: 10.1.0.0/16}}]}]"), nil},
			{"a block of everywhere covers no Pod", np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}, {from: [{podSelector: {}}]}]"), nil},
			{"only two rules together", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 1, endPort: 50}]}, {ports: [{port: 51, endPort: 90}]}, {ports: [{port: 40, endPort: 60}]}]"), nil},
			{"a name and a number", carts + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: http}]}, {ports: [{port: 8080}]}]"), nil},
			{"the other protocol", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 53}]}, {ports: [{port: 53, protocol: UDP}]}]"), nil},
			{"fewer Pods are selected there", np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 5432}]}]") + np("shop", "q", "podSelector: {matchLabels: {app: x}}, ingress: [{ports: [{port: 5432}]}, {ports: [{port: 6000}]}]"),
				[]string{"note rule-adds-nothing: NetworkPolicy shop/q spec.ingress[0]"}},
			{"in a direction that is open", np("shop", "p", "podSelector: {}, policyTypes: [Ingress], egress: [{}, {}]"),
				[]string{"warning direction-not-isolated: NetworkPolicy shop/p spec.egress"}},
		},
	}
}

func peerSituations() map[string][]situation {
	return map[string][]situation{
		"peer-selects-nothing": {
			{"a slip of the pen", carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: cart}}}]}]"),
				[]string{"warning peer-selects-nothing: NetworkPolicy shop/p spec.ingress[0].from[0].podSelector.matchLabels.name"}},
			{"another team's", carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: loadtest}}}]}]"),
				[]string{"note peer-selects-nothing: NetworkPolicy shop/p spec.ingress[0].from[0]"}},
			{"a namespace by its name", carts + np("test", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: cart}}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]"),
				[]string{"warning peer-selects-nothing: NetworkPolicy test/p spec.ingress[0].from[0].podSelector.matchLabels.name"}},
			{"a near miss where others may be", namespace("shop", "team: a") + carts + np("test", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: cart}}, namespaceSelector: {matchLabels: {team: a}}}]}]"),
				[]string{"note peer-selects-nothing: NetworkPolicy test/p spec.ingress[0].from[0].podSelector.matchLabels.name"}},
			{"the right one is there, too", carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: cart}}}, {podSelector: {matchLabels: {name: carts}}}]}]"),
				[]string{"note peer-selects-nothing: NetworkPolicy shop/p spec.ingress[0].from[0].podSelector.matchLabels.name"}},
			{"Pods of any namespace", carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: prometheus}}, namespaceSelector: {}}]}]"), nil},
			{"a namespace that is not here", carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: cart}}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]}]"), nil},
			{"namespaces with labels that none here has", namespace("shop", "team: b") + carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: cart}}, namespaceSelector: {matchLabels: {team: a}}}]}]"), nil},
			{"the own namespace has no workload", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: cart}}}]}]"), nil},
			{"Pods of the cluster's own", deploy("kube-system", "metrics", "k8s-app: metrics-server", "") + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {k8s-app: kube-dns}}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]}]"), nil},
			{"a whole namespace", carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]}]"), nil},
			{"a mesh's label", carts + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {service.istio.io/canonical-name: web}}}]}]"), nil},
			{"in a direction that is open", carts + np("shop", "p", "podSelector: {}, policyTypes: [Ingress], egress: [{to: [{podSelector: {matchLabels: {name: cart}}}]}]"),
				[]string{"warning direction-not-isolated: NetworkPolicy shop/p spec.egress"}},
		},
		"peer-or": {
			{"a dash too many", namespace("shop", "team: a") + carts + deploy("test", "x", "name: x", "") +
				np("test", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}, {podSelector: {matchLabels: {name: carts}}}]}]"),
				[]string{"warning peer-or: NetworkPolicy test/p spec.ingress[0].from[1]"}},
			{"the same the other way round", namespace("shop", "team: a") + carts + deploy("test", "x", "name: x", "") +
				np("test", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: carts}}}, {namespaceSelector: {matchLabels: {team: a}}}]}]"),
				[]string{"warning peer-or: NetworkPolicy test/p spec.ingress[0].from[0]"}},
			{"every namespace, and some Pods", np("shop", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {}}, {podSelector: {matchLabels: {name: carts}}}]}]"),
				[]string{"warning peer-or: NetworkPolicy shop/p spec.ingress[0].from[1]"}},
			{"one entry", namespace("shop", "team: a") + carts + deploy("test", "x", "name: x", "") +
				np("test", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {name: carts}}}]}]"), nil},
			{"the list of the documentation", np("default", "test-network-policy", "podSelector: {matchLabels: {role: db}}, ingress: [{from: [{ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}}, {namespaceSelector: {matchLabels: {project: myproject}}}, {podSelector: {matchLabels: {role: frontend}}}]}]"), nil},
			{"Pods of the own namespace are there", namespace("shop", "team: a") + carts + deploy("test", "x", "name: carts", "") +
				np("test", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}, {podSelector: {matchLabels: {name: carts}}}]}]"), nil},
			{"namespaces of unknown labels", carts + deploy("test", "x", "name: x", "") +
				np("test", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}, {podSelector: {matchLabels: {name: other}}}]}]"),
				[]string{"note peer-selects-nothing: NetworkPolicy test/p spec.ingress[0].from[1]"}},
			{"not side by side", np("shop", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {matchLabels: {name: carts}}}]}]"),
				[]string{"note peer-adds-nothing: NetworkPolicy shop/p spec.ingress[0].from[2]"}},
		},
		"peer-host-network": {
			{"an agent of the node", carts + workload("DaemonSet", "shop", "agent", "name: agent", "hostNetwork: true, containers: []") + np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: agent}}}]}]"),
				[]string{"warning peer-host-network: NetworkPolicy shop/p spec.ingress[0].from[0]"}},
			{"another is not", carts + workload("DaemonSet", "shop", "agent", "name: agent", "hostNetwork: true, containers: []") + deploy("shop", "agent2", "name: agent", "") +
				np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {name: agent}}}]}]"), nil},
			{"namespaces that may have others", carts + workload("DaemonSet", "other", "agent", "name: agent", "hostNetwork: true, containers: []") +
				np("shop", "p", "podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {name: agent}}}]}]"), nil},
		},
		"peer-adds-nothing": {
			{"twice", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {a: b}}}, {podSelector: {matchLabels: {a: b}}}]}]"),
				[]string{"note peer-adds-nothing: NetworkPolicy shop/p spec.ingress[0].from[1]"}},
			{"inside of a block", np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.1.2.0/24}}, {ipBlock: {cidr: 10.0.0.0/8}}]}]"),
				[]string{"note peer-adds-nothing: NetworkPolicy shop/p spec.ingress[0].from[0]"}},
			{"more labels than another", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {a: b}}}, {podSelector: {matchLabels: {a: b, c: d}}}]}]"),
				[]string{"note peer-adds-nothing: NetworkPolicy shop/p spec.ingress[0].from[1]"}},
			{"the same in another namespace", np("shop", "p", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {a: b}}}, {namespaceSelector: {matchLabels: {x: z}}, podSelector: {matchLabels: {a: b}}}]}]"), nil},
			{"Pods beside all addresses", np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}, {podSelector: {matchLabels: {a: b}}}]}]"), nil},
		},
		"block-empty": {
			{"both halves", np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, 10.128.0.0/9]}}]}]"),
				[]string{"error block-empty: NetworkPolicy shop/p spec.ingress[0].from[0].ipBlock.except"}},
			{"one address is left", np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/30, except: [10.0.0.0/31, 10.0.0.2/32]}}]}]"), nil},
		},
		"block-one-family": {
			{"a Pod has both", pod("shop", "web", "app: web", "containers: []", "podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]") + np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}]"),
				[]string{"warning block-one-family: NetworkPolicy shop/p spec.ingress[0].from[0].ipBlock.cidr"}},
			{"a Service must have both", service("shop", "web", "app: web", "{port: 80}", ", ipFamilyPolicy: RequireDualStack") + np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]"),
				[]string{"warning block-one-family: NetworkPolicy shop/p spec.ingress[0].from[0].ipBlock.cidr"}},
			{"a Service would like both", service("shop", "web", "app: web", "{port: 80}", ", ipFamilyPolicy: PreferDualStack") + np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"), nil},
			{"one family", pod("shop", "web", "app: web", "containers: []", "podIP: 10.0.0.1") + np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"), nil},
			{"both are there", pod("shop", "web", "app: web", "containers: []", "podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]") + np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: '::/0'}}]}]"), nil},
			{"another policy has the other", pod("shop", "web", "app: web", "containers: []", "podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]") + np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]") +
				np("shop", "q", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]"), nil},
			{"a site's own range", pod("shop", "web", "app: web", "containers: []", "podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]") + np("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.168.0.0/16}}]}]"), nil},
		},
		"block-service-address": {
			{"a database by its ClusterIP", service("shop", "db", "app: db", "{port: 5432}", ", clusterIP: 10.96.7.7") + np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.96.7.7/32}}]}]"),
				[]string{"warning block-service-address: NetworkPolicy shop/p spec.egress[0].to[0].ipBlock.cidr"}},
			{"DNS, which a node may answer", service("kube-system", "kube-dns", "k8s-app: kube-dns", "{port: 53, protocol: UDP}", ", clusterIP: 10.96.0.10") + np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.96.0.10/32}}]}]"), nil},
			{"a range that has it", service("shop", "db", "app: db", "{port: 5432}", ", clusterIP: 10.96.7.7") + np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.96.0.0/12}}]}]"), nil},
			{"a headless Service", service("shop", "db", "app: db", "{port: 5432}", ", clusterIP: None") + np("shop", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.96.7.7/32}}]}]"), nil},
		},
	}
}
