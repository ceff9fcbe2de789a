package lint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/lint"
	"github.com/sluice-net/sluice/policy/manifest"
)

// run lints one source called m.yaml.
func run(text string) lint.Result {
	loader := manifest.Loader{Repository: true}
	in := lint.Input{Outline: &manifest.Outline{Repository: true}}
	loader.Add("m.yaml", []byte(text))
	in.Outline.Add("m.yaml", []byte(text))
	in.Set, in.Problems = loader.Finish()
	return lint.Run(in)
}

// lines are findings in short.
func lines(list []lint.Finding) []string {
	var out []string
	for _, f := range list {
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s: %s %s", f.Severity, f.ID, f.Object, f.Field)), " "))
	}
	slices.Sort(out)
	return out
}

// deploy is a Deployment with labels and ports in flow style.
func deploy(namespace, name, labels, ports string) string {
	return workload("Deployment", namespace, name, labels, "containers: [{name: c, ports: ["+ports+"]}]")
}

// workload is one with a Pod template.
func workload(kind, namespace, name, labels, spec string) string {
	version := "apps/v1"
	if kind == "Job" {
		version = "batch/v1"
	}
	return fmt.Sprintf("---\napiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s}\nspec: {template: {metadata: {labels: {%s}}, spec: {%s}}}\n",
		version, kind, name, namespace, labels, spec)
}

// np is a NetworkPolicy with a spec in flow style.
func np(namespace, name, spec string) string {
	return fmt.Sprintf("---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: %s}\nspec: {%s}\n", name, namespace, spec)
}

// audited is np on trial.
func audited(namespace, name, spec string) string {
	return strings.Replace(np(namespace, name, spec), "namespace: "+namespace+"}", "namespace: "+namespace+", annotations: {sluice-net.github.io/mode: audit}}", 1)
}

func object(version, kind, namespace, name, rest string) string {
	return fmt.Sprintf("---\napiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s}\n%s\n", version, kind, name, namespace, rest)
}

func pod(namespace, name, labels, spec, status string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: %s, labels: {%s}}\nspec: {%s}\nstatus: {%s}\n", name, namespace, labels, spec, status)
}

func namespace(name, labels string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s}}\n", name, labels)
}

// service is one with a selector app=NAME, or another.
func service(ns, name, selector, ports, more string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec: {selector: {%s}, ports: [%s]%s}\n", name, ns, selector, ports, more)
}

// situation is an input with all that is found in it.
type situation struct {
	name, input string
	want        []string
}

// Each check finds what it is for, and all that is said of an input is expected.
func TestChecks(t *testing.T) {
	for id, list := range situations() {
		for _, s := range list {
			t.Run(id+"/"+s.name, func(t *testing.T) {
				if diff := cmp.Diff(s.want, lines(run(s.input).Findings)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Each check has a case that it finds, and one near to it that it does not.
func TestEveryCheckIsTested(t *testing.T) {
	all := situations()
	for _, c := range lint.Checks() {
		found, silent := 0, 0
		for _, s := range all[c.ID] {
			if slices.ContainsFunc(s.want, func(line string) bool { return strings.Contains(line+" ", " "+c.ID+": ") }) {
				found++
			} else {
				silent++
			}
		}
		if found == 0 || silent == 0 {
			t.Errorf("%s: %d cases that it finds, %d near to it that it does not", c.ID, found, silent)
		}
		delete(all, c.ID)
	}
	for id := range all {
		t.Errorf("there are cases for %s, and no such check", id)
	}
}

// Every check is documented, and no severity is higher than what is documented.
func TestChecksAreDocumented(t *testing.T) {
	seen := map[string]lint.Severity{}
	for _, c := range lint.Checks() {
		if _, twice := seen[c.ID]; twice {
			t.Errorf("%s is there twice", c.ID)
		}
		seen[c.ID] = c.Severity
		for _, sentence := range []string{c.Says, c.Why, c.Mend, c.Silent} {
			if sentence == "" || !strings.HasSuffix(sentence, ".") {
				t.Errorf("%s: %q is no sentence", c.ID, sentence)
			}
		}
	}
	highest := map[string]lint.Severity{}
	for _, list := range situations() {
		for _, s := range list {
			for _, f := range run(s.input).Findings {
				highest[f.ID] = max(highest[f.ID], f.Severity)
				if f.Message == "" || f.Mend == "" || f.Place.File != "m.yaml" || f.Place.Line == 0 {
					t.Errorf("%s: not complete: %+v", s.name, f)
				}
			}
		}
	}
	for id, severity := range seen {
		if highest[id] != severity {
			t.Errorf("%s: documented as %s, the cases have %s at most", id, severity, highest[id])
		}
	}
}

// What is said is words, not numbers: a few are held to the letter.
func TestMessages(t *testing.T) {
	tests := map[string]struct{ input, message, mend string }{
		"the near miss": {
			deploy("shop", "carts", "name: carts", "") + np("shop", "cart-access", "podSelector: {matchLabels: {name: cart}}"),
			"selects name=cart, and no workload of namespace shop is that: Deployment shop/carts has name=carts",
			"write name=carts, if these Pods are meant",
		},
		"another key": {
			deploy("shop", "carts", "app.kubernetes.io/name: cart", "") + np("shop", "p", "podSelector: {matchLabels: {app: cart}}"),
			"selects app=cart, and no workload of namespace shop is that: Deployment shop/carts has app.kubernetes.io/name=cart",
			"select by app.kubernetes.io/name=cart, if these Pods are meant",
		},
		"no near miss": {
			deploy("shop", "a", "app: a", "") + deploy("shop", "b", "app: b", "") + np("shop", "p", "podSelector: {matchLabels: {app: payment}}"),
			"selects app=payment, and no workload of namespace shop is that: of 2 workloads, of app they have a, b",
			"write the labels of the workloads that are meant, or remove the policy",
		},
		"no such key": {
			deploy("shop", "a", "app: a", "") + np("shop", "p", "podSelector: {matchLabels: {tier: payment}}"),
			"selects tier=payment, and no workload of namespace shop is that: of 1 workload, none of them has a label tier",
			"write the labels of the workloads that are meant, or remove the policy",
		},
		"the port of a Service": {
			deploy("shop", "a", "app: a", "{containerPort: 8080}") + service("shop", "a", "app: a", "{port: 80, targetPort: 8080}", "") +
				np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: 80}]}]"),
			"80 is the port of Service shop/a, and the Pods behind it listen on 8080: policies see the Pod's port",
			"write 8080",
		},
		"a name of a Service's port": {
			deploy("shop", "a", "app: a", "{name: http, containerPort: 8080}") + service("shop", "a", "app: a", "{name: web, port: 80, targetPort: http}", "") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: web}]}]"),
			"no Pod that the rule is about has a TCP port named web: they declare http (8080/TCP); it is the name of a port of Service shop/a, which does not count",
			"write the name as a container of the Pods declares it, with its protocol, or the number",
		},
		"a name for another protocol": {
			deploy("shop", "a", "app: a", "{name: dns, containerPort: 53, protocol: UDP}") + np("shop", "p", "podSelector: {}, ingress: [{ports: [{port: dns}]}]"),
			"no Pod that the rule is about has a TCP port named dns: Deployment shop/a declares it for UDP",
			"write the name as a container of the Pods declares it, with its protocol, or the number",
		},
		"DNS by TCP": {
			carts + np("shop", "p", "podSelector: {}, egress: [{ports: [{port: 53}]}]"),
			"allows DNS by TCP alone: UDP 53 is missing, by which names are asked for first: Deployment shop/carts cannot resolve a name",
			"allow UDP port 53 beside TCP: a port without a protocol is TCP",
		},
		"of an audited policy": {
			carts + audited("shop", "p", "podSelector: {}, egress: [{ports: [{port: 443}]}]"),
			"allows egress, and no policy for the same Pods allows DNS: Deployment shop/carts could not resolve a name once the policy is enforced",
			"allow UDP and TCP port 53 to the cluster's DNS, here or in a policy for the whole namespace",
		},
		"isolated by what is audited": {
			carts + deploy("shop", "web", "name: web", "") + deploy("shop", "db", "name: db", "") + np("shop", "p", "podSelector: {matchExpressions: [{key: name, operator: In, values: [carts, web]}]}") + audited("shop", "q", "podSelector: {matchLabels: {name: db}}"),
			"no policy isolates its ingress, and policies isolate that of 2 of the 3 workloads of namespace shop; NetworkPolicy shop/q selects it, and is audited",
			"enforce that once it denies nothing that is needed, or write a policy for it, or one for the whole namespace with policyTypes [Ingress] and no rules",
		},
	}
	for name, tt := range tests {
		got := run(tt.input).Findings
		if len(got) != 1 || got[0].Message != tt.message || got[0].Mend != tt.mend {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// The same findings in the same order, whatever the order of the objects.
func TestOrderDoesNotMatter(t *testing.T) {
	input := deploy("shop", "a", "app: a", "{containerPort: 8080}") + deploy("shop", "b", "app: bee", "") +
		np("shop", "one", "podSelector: {matchLabels: {app: bees}}, ingress: [{}]") + np("shop", "two", "podSelector: {}, ingress: [{ports: [{port: 80}]}, {ports: [{port: 80}]}]") +
		np("shop", "three", "podSelector: {}, ingress: [{ports: [{port: 80}]}]")
	parts := strings.Split(strings.TrimPrefix(input, "---\n"), "---\n")
	want := lines(run(input).Findings)
	if len(want) < 2 {
		t.Fatalf("only %v", want)
	}
	for range parts {
		parts = append(parts[1:], parts[0])
		if diff := cmp.Diff(want, lines(run("---\n"+strings.Join(parts, "---\n")).Findings)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
