package app

import (
	"strings"
	"testing"
)

const shopManifests = `
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: shop, name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {namespace: shop, name: db}
spec:
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, ports: [{name: sql, containerPort: 5432}]}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: sql}]
`

func TestListCommand(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	for name, c := range map[string]struct {
		args      []string
		has, lack []string
	}{
		"all":          {nil, []string{"shop/web → shop/db   TCP 5432", "internet → shop/web"}, []string{"→ shop/db  all"}},
		"focus":        {[]string{"--focus", "shop/db"}, []string{"shop/web → shop/db"}, []string{"internet → shop/web"}},
		"by labels":    {[]string{"--focus", "app=db", "--direction", "ingress", "--why"}, []string{"shop.yaml:23"}, []string{"internet"}},
		"namespace":    {[]string{"-n", "shop", "--focus", "sts/db"}, []string{"shop/web → shop/db"}, nil},
		"from outside": {[]string{"--focus", "internet", "--direction", "egress"}, []string{"internet → shop/web"}, []string{"shop/db  "}},
		"a CIDR":       {[]string{"--focus", "203.0.113.0/24"}, []string{"→ shop/web"}, []string{"shop/web → shop/db"}},
		"named port":   {[]string{"--port", "sql"}, []string{"shop/web → shop/db"}, []string{" all"}},
		"no such port": {[]string{"--port", "53/UDP", "--focus", "shop/db"}, []string{"2 workloads"}, []string{"→"}},
	} {
		r := sluice(t, "", append([]string{"list", "-f", file}, c.args...)...)
		if r.code != exitOK {
			t.Errorf("%s: %d: %s", name, r.code, r.err)
		}
		r.holds(t, name, c.has, c.lack)
	}
	for format := range listOutputs {
		if r := sluice(t, shopManifests, "list", "-f", "-", "-o", format); r.code != exitOK || r.out == "" {
			t.Errorf("-o %s: %d: %s", format, r.code, r.err)
		}
	}
}

func TestListRefuses(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--focus", "shop/dc"}, "did you mean shop/db?"},
		{[]string{"--focus", "other/db"}, "there is shop/db"},
		{[]string{"--focus", "svc/db"}, "give the workload behind it"},
		{[]string{"--focus", "10.0.0.1/8"}, "write 10.0.0.0/8"},
		{[]string{"--direction", "ingress"}, "give --focus"},
		{[]string{"--direction", "up", "--focus", "any"}, "none of"},
		{[]string{"--port", "http-"}, "no workload has a port"},
		{[]string{"--port", "sq"}, "did you mean sql"},
		{[]string{"--port", "9-1"}, "is no port"},
		{[]string{"-o", "png"}, "none of [text csv dot"},
	} {
		r := sluice(t, "", append([]string{"list", "-f", file}, c.args...)...)
		if r.code != exitUnusable || !strings.Contains(r.err, c.want) {
			t.Errorf("%v: %d: %s", c.args, r.code, r.err)
		}
	}
}

// A port's name is of each destination's own port: another number that some other workload
// has by it is not asked for.
func TestListOfNamedPort(t *testing.T) {
	workload := func(name, port string) string {
		return "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: shop, name: " + name + "}, spec: {selector: {matchLabels: {app: " + name + "}}, template: {metadata: {labels: {app: " + name + "}}, spec: {containers: [{name: c, ports: [" + port + "]}]}}}}\n"
	}
	file := write(t, "named.yaml", workload("a", "{name: http, containerPort: 80}")+workload("b", "{name: http, containerPort: 8080}")+workload("c", "{name: sql, containerPort: 8080}")+`---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: shop, name: a}, spec: {podSelector: {matchLabels: {app: a}}, ingress: [{ports: [{port: 8080}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: c}, spec: {selector: {app: c}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: b}, spec: {selector: {app: b}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {namespace: shop, name: web}, spec: {defaultBackend: {service: {name: c, port: {number: 80}}}}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {namespace: shop, name: web-b}, spec: {defaultBackend: {service: {name: b, port: {number: 80}}}}}
`)
	for name, c := range map[string]struct {
		args      []string
		has, lack []string
	}{
		"denied on its own":  {[]string{"--port", "http", "--focus", "shop/a", "--direction", "ingress"}, nil, []string{"→ shop/a"}},
		"its own":            {[]string{"--port", "http"}, []string{"→ shop/b  TCP 8080", "Ingress shop/web-b"}, []string{"→ shop/a", "→ shop/c", "Ingress shop/web ", "→ internet"}},
		"two names":          {[]string{"--port", "http", "--port", "sql"}, []string{"TCP 8080", "Ingress shop/web ", "Ingress shop/web-b"}, []string{"→ shop/a", "TCP 80 "}},
		"with a number":      {[]string{"--port", "http", "--port", "8080", "--focus", "shop/a", "--direction", "ingress"}, []string{"→ shop/a  TCP 8080"}, nil},
		"with the reasons":   {[]string{"--port", "http", "--why"}, []string{"→ shop/b  TCP 8080"}, []string{"→ shop/a"}},
		"a number, as it is": {[]string{"--port", "8080"}, []string{"shop/a", "shop/c", "internet"}, []string{"TCP 80 "}},
	} {
		r := sluice(t, "", append([]string{"list", "-f", file, "-q"}, c.args...)...)
		if r.code != exitOK {
			t.Errorf("%s: %d: %s", name, r.code, r.err)
		}
		r.holds(t, name, c.has, c.lack)
	}
}
