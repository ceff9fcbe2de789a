package app

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestParseEndKinds(t *testing.T) {
	object := func(kind, namespace, name, word string) endRef {
		e := endRef{kind: kind, object: types.NamespacedName{Namespace: namespace, Name: name}}
		if word != "" {
			e.orPod = types.NamespacedName{Namespace: word, Name: name}
		}
		return e
	}
	tests := map[string]struct {
		want    endRef
		wantErr string
	}{
		"svc/web":                {want: object("Service", "ns", "web", "svc")},
		"service/shop/web":       {want: object("Service", "shop", "web", "")},
		"deploy/web":             {want: object("Deployment", "ns", "web", "deploy")},
		"deployments.apps/a/web": {want: object("Deployment", "a", "web", "")},
		"Deployment/web":         {want: object("Deployment", "ns", "web", "Deployment")},
		"sts/db":                 {want: object("StatefulSet", "ns", "db", "sts")},
		"ds/x":                   {want: object("DaemonSet", "ns", "x", "ds")},
		"rs/x":                   {want: object("ReplicaSet", "ns", "x", "rs")},
		"job/x":                  {want: object("Job", "ns", "x", "job")},
		"cj/x":                   {want: object("CronJob", "ns", "x", "cj")},
		"node/worker-1":          {want: object("Node", "", "worker-1", "node")},
		"pod/a":                  {want: podEnd("ns", "a")},
		"pod/svc/a":              {want: podEnd("svc", "a")},
		"shop/web":               {want: podEnd("shop", "web")},
		"node/shop/worker":       {wantErr: "a Node is in no namespace"},
		"ingress/shop/web":       {wantErr: "neither an address"},
		"svc//web":               {wantErr: "neither an address"},
		"svc/a/b/c":              {wantErr: "neither an address"},
	}
	for in, tt := range tests {
		t.Run(in, func(t *testing.T) {
			got, err := parseEnd(in, "ns")
			checkError(t, err, tt.wantErr)
			if tt.wantErr != "" {
				return
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if got.orPod.Name == "" && !strings.Contains(in, ".") {
				if again, err := parseEnd(got.String(), "other"); err != nil || again != got {
					t.Errorf("%s reads as %+v, %v", got, again, err)
				}
			}
		})
	}
}

// town is a namespace with an api of three Pods on two nodes behind Services,
// of which one Pod takes no connections from the client, and other workloads.
var town = `apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Namespace
metadata: {name: jobs}
---
` + townPod("client", "app: client", "10.0.1.9", "a", "") +
	townPod("api-1", "app: api", "10.0.1.1", "a", "ReplicaSet/api-7f") +
	townPod("api-2", "app: api", "10.0.2.1", "b", "ReplicaSet/api-7f") +
	townPod("api-3", "app: api, canary: yes", "10.0.2.2", "b", "ReplicaSet/api-8a") +
	townPod("nightly-1-x", "job: nightly", "10.0.1.5", "a", "Job/nightly-1") +
	townPod("agent", "app: agent", "192.168.0.1", "a", "DaemonSet/agent") + `
{apiVersion: v1, kind: Pod, metadata: {name: worker, namespace: jobs}, status: {phase: Running, podIP: 10.0.1.7}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: api}, spec: {selector: {matchLabels: {app: api}}}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: api-7f, ownerReferences: [{kind: Deployment, name: api, controller: true}]}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: nightly-1, ownerReferences: [{kind: CronJob, name: nightly, controller: true}]}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: empty}, spec: {selector: {matchLabels: {app: none}}}}
---
{apiVersion: v1, kind: Node, metadata: {name: c}, status: {addresses: [{type: InternalIP, address: 192.168.0.3}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {type: NodePort, clusterIP: 10.96.0.1, selector: {app: api}, ports: [{name: web, port: 80, targetPort: http, nodePort: 30080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: local}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, clusterIP: 10.96.0.2, selector: {app: api}, ports: [{port: 80, targetPort: http, nodePort: 30081}]}, status: {loadBalancer: {ingress: [{ip: 198.51.100.1}]}}}
---
{apiVersion: v1, kind: Service, metadata: {name: near}, spec: {internalTrafficPolicy: Local, clusterIP: 10.96.0.3, selector: {app: api}, ports: [{port: 80, targetPort: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: alias}, spec: {type: ExternalName, externalName: example.com}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {clusterIP: None, selector: {app: api}, ports: [{name: web, port: 80, targetPort: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: empty}, spec: {clusterIP: 10.96.0.4, selector: {app: none}, ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: api}, spec: {podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: client}, spec: {podSelector: {matchLabels: {app: api}, matchExpressions: [{key: canary, operator: DoesNotExist}]}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: http}]}]}}
`

func townPod(name, labels, ip, node, owner string) string {
	hash := ""
	if kind, of, ok := strings.Cut(owner, "/"); ok {
		if at := strings.LastIndex(of, "-"); kind == "ReplicaSet" {
			hash = ", pod-template-hash: " + of[at+1:]
		}
		owner = ", ownerReferences: [{kind: " + kind + ", name: " + of + ", controller: true}]"
	}
	network := ""
	if strings.HasPrefix(ip, "192.") {
		network = "hostNetwork: true, "
	}
	return `{apiVersion: v1, kind: Pod, metadata: {name: ` + name + `, labels: {` + strings.ReplaceAll(labels, "yes", `"yes"`) + strings.ReplaceAll(hash, ": ", `: "`) + closing(hash) + `}` + owner +
		`}, spec: {` + network + `nodeName: ` + node + `, containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}, status: {phase: Running, podIP: ` + ip +
		`, hostIP: 192.168.0.` + map[string]string{"a": "1", "b": "2"}[node] + `}}
---
`
}

func closing(hash string) string {
	if hash == "" {
		return ""
	}
	return `"`
}

// What stands for several Pods is followed to each of them.
func TestEndsThatStandForPods(t *testing.T) {
	path := write(t, "town.yaml", town)
	tests := map[string]struct {
		src, dst, port string
		allowed        bool
		paths          string
		notice         string
	}{
		"Service":                  {"client", "svc/api", "80", false, "2/3", ""},
		"Service, port by name":    {"client", "svc/api", "web", false, "2/3", ""},
		"ClusterIP":                {"client", "10.96.0.1", "80", false, "2/3", ""},
		"Deployment":               {"client", "deploy/api", "http", false, "2/3", ""},
		"Deployment as client":     {"deploy/api", "client", "1", true, "3/3", ""},
		"Service as client":        {"svc/api", "client", "1", true, "3/3", "a Service opens no connections"},
		"ReplicaSet":               {"client", "rs/api-7f", "8080", true, "2/2", ""},
		"CronJob":                  {"client", "cronjob/nightly", "8080", true, "1/1", ""},
		"many to many":             {"deploy/api", "svc/api", "80", false, "3/9", ""},
		"own node":                 {"node/a", "api-1", "8080", true, "", ""},
		"other node":               {"node/a", "api-2", "8080", false, "", ""},
		"node without Pods":        {"node/c", "api-1", "8080", false, "", ""},
		"hostNetwork client":       {"agent", "svc/api", "80", false, "1/3", "uses the host network"},
		"DaemonSet of the host":    {"ds/agent", "api-1", "8080", true, "1/1", ""},
		"outside, SNAT":            {"203.0.113.7", "svc/api", "80", false, "3/9", "puts its own address in place"},
		"outside, Local":           {"203.0.113.7", "svc/local", "80", true, "3/3", "keeps the client's address"},
		"outside, balancer":        {"203.0.113.7", "198.51.100.1", "80", true, "3/3", ""},
		"outside, NodePort":        {"203.0.113.7", "node/b", "30080", false, "2/3", "node b hides the client: the Pod sees 192.168.0.2"},
		"outside, NodePort, Local": {"203.0.113.7", "node/a", "30081", true, "1/1", ""},
		"by a node's address":      {"203.0.113.7", "192.168.0.1", "30081", true, "1/1", ""},
		"node's own port":          {"203.0.113.7", "192.168.0.1", "22", true, "", ""},
		"internal Local":           {"client", "svc/near", "80", true, "1/1", ""},
		"headless, as dialled":     {"client", "svc/headless", "80", false, "0/3", "nothing translates the port"},
		"headless, by name":        {"client", "svc/headless", "web", false, "2/3", ""},
		"namespace jobs":           {"client", "jobs/worker", "80", true, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			line, err := json.Marshal(map[string]string{"src": tt.src, "dst": tt.dst, "port": tt.port})
			if err != nil {
				t.Fatal(err)
			}
			got := sluice(t, string(line), "verify", "-f", path, "-o", "json")
			var a struct {
				Allowed bool
				Paths   *struct{ Allowed, Total int }
				Notice  string
			}
			if err := json.Unmarshal([]byte(got.out), &a); err != nil {
				t.Fatal(err)
			}
			paths := ""
			if a.Paths != nil {
				paths = string(rune('0'+a.Paths.Allowed)) + "/" + string(rune('0'+a.Paths.Total))
			}
			if got.code != exitOK || a.Allowed != tt.allowed || paths != tt.paths || !strings.Contains(a.Notice, tt.notice) {
				t.Errorf("got %s %s\nwant %+v", got.out, got.err, tt)
			}
		})
	}
}

func TestEndsThatLeadNowhere(t *testing.T) {
	path := write(t, "town.yaml", town)
	tests := map[string]struct{ src, dst, want string }{
		"no such Service":    {"client", "svc/nothing:80", "no Service default/nothing in the manifests"},
		"no such port":       {"client", "svc/api:8080", "Service default/api has no port 8080: it has 80/TCP (web)"},
		"no endpoints":       {"client", "svc/empty:80", "Service default/empty has no endpoints for port 80/TCP, so connections to it fail whatever the policies say: no ready Pod matches"},
		"ExternalName":       {"client", "svc/alias:80", "a DNS alias of example.com"},
		"no such Deployment": {"client", "deploy/nothing:80", "no Deployment default/nothing in the manifests"},
		"no Pod":             {"sts/empty", "client:80", "StatefulSet default/empty has no running Pod"},
		"no such node":       {"node/z", "client:80", "no Node z in the manifests"},
		"ICMP":               {"client", "svc/api:/ICMP", "forwards ports only, not ICMP"},
		"not on the node":    {"203.0.113.7", "node/c:30081", "has no endpoint on node c"},
		"no port name":       {"client", "deploy/api:https", `no container port named "https"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := sluice(t, "", "explain", "-f", path, tt.src, tt.dst)
			if got.code != exitUnusable || got.out != "" || !strings.Contains(got.err, tt.want) {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
		})
	}
}

func TestExplainServiceGolden(t *testing.T) {
	path := write(t, "town.yaml", town)
	got := sluice(t, "", "explain", "-f", path, "client", "svc/api")
	golden(t, "explain-service.txt", got.out)
	golden(t, "explain-nodeport.txt", sluice(t, "", "explain", "-f", path, "203.0.113.7", "svc/api").out)
	if got.code != exitOK {
		t.Errorf("%+v", got)
	}
}

// The JSON form of what stands for several is the old one, of the first
// outcome, with more beside it.
func TestExplainServiceJSON(t *testing.T) {
	got := sluice(t, "", "explain", "-f", write(t, "town.yaml", town), "203.0.113.7", "svc/api", "-o", "json")
	var d surveyDocument
	if err := json.Unmarshal([]byte(got.out), &d); err != nil {
		t.Fatal(err)
	}
	if d.APIVersion != explanationVersion || d.Kind != "Explanation" || d.Allowed || d.Question != "203.0.113.7 → svc/default/api:80/TCP" {
		t.Errorf("got %+v", d)
	}
	if len(d.Outcomes) != 2 || d.Paths == nil || *d.Paths != (pathsDocument{3, 9}) || d.Outcomes[0].Seen == "" || d.Outcomes[1].Count != 3 || !d.Outcomes[1].Allowed {
		t.Errorf("got %s", got.out)
	}
}

func TestVerifyPartly(t *testing.T) {
	flows := `{"src":"client","dst":"svc/api","port":80,"expected":true}
{"src":"client","dst":"svc/api","port":80,"expected":false}`
	got := sluice(t, flows, "verify", "-f", write(t, "town.yaml", town))
	if got.code != exitFailed || strings.Count(got.out, "partly  default/client → svc/default/api:80/TCP  allowed for 2 of 3 Pods  MISMATCH") != 2 {
		t.Errorf("got %+v", got)
	}
}

// A connection to a dual-stack Service is of the first of its families that the
// client has.
func TestServiceFamilies(t *testing.T) {
	both := `{apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: b}}, status: {phase: Running, podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: six}, status: {phase: Running, podIP: "fd00::6"}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two}, status: {phase: Running, podIPs: [{ip: 10.0.0.3}, {ip: "fd00::3"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIPs: ["fd96::1", 10.96.0.1], clusterIP: "fd96::1", selector: {app: b}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: four}, spec: {clusterIPs: [10.96.0.2], clusterIP: 10.96.0.2, ipFamilies: [IPv4], selector: {app: b}, ports: [{port: 80}]}}
`
	path := write(t, "both.yaml", both)
	for _, tt := range []struct{ src, dst, want string }{
		{"two", "svc/b", "to   Pod default/b, fd00::2"},
		{"two", "10.96.0.1:80", "to   Pod default/b, 10.0.0.2"},
		{"two", "[fd96::1]:80", "to   Pod default/b, fd00::2"},
		{"six", "svc/b", "to   Pod default/b, fd00::2"},
		{"two", "svc/four", "to   Pod default/b, 10.0.0.2"},
		{"six", "svc/four", "no address of the same family"},
	} {
		got := sluice(t, "", "explain", "-f", path, tt.src, tt.dst)
		if !strings.Contains(got.out+got.err, tt.want) {
			t.Errorf("%s → %s lacks %q: %+v", tt.src, tt.dst, tt.want, got)
		}
	}
}

// TYPE/NAME may be NAMESPACE/POD, too: then the type wins, and that is said.
func TestTypeOrNamespace(t *testing.T) {
	more := `---
{apiVersion: v1, kind: Pod, metadata: {name: api, namespace: svc}, status: {phase: Running, podIP: 10.0.9.9}}
`
	path := write(t, "town.yaml", town+more)
	got := sluice(t, "", "explain", "-f", path, "client", "svc/api:80")
	if !strings.Contains(got.out, "svc/default/api is taken for the Service; the Pod of namespace svc is pod/svc/api") {
		t.Errorf("got %+v", got)
	}
	got = sluice(t, "", "explain", "-f", path, "client", "pod/svc/api:80")
	if !strings.HasPrefix(got.out, "ALLOWED  default/client → svc/api:80/TCP") {
		t.Errorf("got %+v", got)
	}
}
