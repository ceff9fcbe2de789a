package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/conformance/kerneltest"
)

// No test asks the cluster of whoever runs it.
func TestMain(m *testing.M) {
	os.Setenv("KUBECONFIG", "/nonexistent")
	os.Unsetenv("KUBERNETES_SERVICE_HOST")
	if filepath.Base(os.Args[0]) == "kubectl-sluice" {
		os.Exit(Main(context.Background(), os.Args[1:], IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
	}
	os.Exit(kerneltest.Run(m))
}

// apiServer answers lists and gets from objects, as an API server does: in
// pages, and only to those who may.
type apiServer struct {
	t *testing.T
	// objects by "namespace/resource".
	objects map[string][]map[string]any
	// forbidden are paths below the API's group and version.
	forbidden []string
	// groups are what discovery says of API groups, by "group" and "group/version".
	groups map[string]any
	// expire makes the second page of Pods expire once.
	expire bool

	mu    sync.Mutex
	asked []string
}

var resources = map[string]string{
	"Pod": "pods", "Namespace": "namespaces", "NetworkPolicy": "networkpolicies", "Service": "services", "Node": "nodes",
	"EndpointSlice": "endpointslices", "StatefulSet": "statefulsets", "Ingress": "ingresses", "IngressClass": "ingressclasses",
	"Gateway": "gateways", "GatewayClass": "gatewayclasses", "HTTPRoute": "httproutes", "TCPRoute": "tcproutes", "Route": "routes", "Deployment": "deployments", "ReplicaSet": "replicasets", "Job": "jobs", "CronJob": "cronjobs",
}

func (s *apiServer) load(manifests ...string) {
	s.objects = map[string][]map[string]any{}
	for _, text := range manifests {
		for _, doc := range strings.Split(text, "\n---\n") {
			var o map[string]any
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				s.t.Fatal(err)
			}
			if o == nil {
				continue
			}
			meta, _ := o["metadata"].(map[string]any)
			namespace, _ := meta["namespace"].(string)
			if o["kind"] == "Namespace" {
				labels, _ := meta["labels"].(map[string]any)
				if labels == nil {
					labels = map[string]any{}
				}
				labels["kubernetes.io/metadata.name"] = meta["name"]
				meta["labels"] = labels
			}
			key := namespace + "/" + resources[o["kind"].(string)]
			s.objects[key] = append(s.objects[key], o)
		}
	}
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] == "apis" && len(parts) <= 3 {
		if known, is := s.groups[strings.Join(parts[1:], "/")]; is {
			s.write(w, known.(map[string]any))
			return
		}
		s.status(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource", "")
		return
	}
	if parts[0] == "api" {
		parts = parts[2:]
	} else {
		parts = parts[3:]
	}
	path := strings.Join(parts, "/")
	s.asked = append(s.asked, path)
	if slices.Contains(s.forbidden, path) {
		s.status(w, http.StatusForbidden, "Forbidden", fmt.Sprintf(`%s is forbidden: User "jane" cannot list resource %q`, parts[len(parts)-1], parts[len(parts)-1]), "")
		return
	}
	if len(parts) == 2 && parts[0] == "namespaces" {
		for _, o := range s.objects["/namespaces"] {
			if o["metadata"].(map[string]any)["name"] == parts[1] {
				s.write(w, o)
				return
			}
		}
		s.status(w, http.StatusNotFound, "NotFound", "not found", "")
		return
	}
	namespace := ""
	if len(parts) == 3 {
		namespace = parts[1]
	}
	s.list(w, r, namespace, parts[len(parts)-1])
}

// list pages by one object, whatever limit is asked for: limits are hints.
func (s *apiServer) list(w http.ResponseWriter, r *http.Request, namespace, resource string) {
	items := []map[string]any{}
	for key, list := range s.objects {
		if strings.HasSuffix(key, "/"+resource) && (namespace == "" || strings.HasPrefix(key, namespace+"/")) {
			items = append(items, list...)
		}
	}
	if selector := r.URL.Query().Get("labelSelector"); selector != "" {
		key, value, _ := strings.Cut(selector, "=")
		items = slices.DeleteFunc(items, func(o map[string]any) bool {
			labels, _ := o["metadata"].(map[string]any)["labels"].(map[string]any)
			return labels[key] != value
		})
	}
	slices.SortFunc(items, func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(a["metadata"]), fmt.Sprint(b["metadata"]))
	})
	meta := map[string]any{"resourceVersion": "1"}
	if r.URL.Query().Get("limit") != "500" {
		s.t.Errorf("%s is not asked for in pages", r.URL)
	}
	start, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	if s.expire && start > 0 && resource == "pods" {
		s.expire = false
		s.status(w, http.StatusGone, "Expired", "the continue token is too old", strconv.Itoa(start))
		return
	}
	if items = items[min(start, len(items)):]; len(items) > 1 {
		items = items[:1]
		meta["continue"] = strconv.Itoa(start + 1)
	}
	kind, group := "", strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	for k, name := range resources {
		if name == resource {
			kind = k + "List"
		}
	}
	version := "v1"
	if group[0] == "apis" {
		version = group[1] + "/" + group[2]
	}
	s.write(w, map[string]any{"kind": kind, "apiVersion": version, "metadata": meta, "items": items})
}

func (s *apiServer) status(w http.ResponseWriter, code int, reason, message, more string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code,
		"metadata": map[string]any{"continue": more},
	})
}

func (s *apiServer) write(w http.ResponseWriter, o any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(o); err != nil {
		s.t.Error(err)
	}
}

// kubeconfig writes one for the server, with a context whose namespace is shop.
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	return write(t, "config", fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: "%s"}}]
users: [{name: u, user: {token: secret}}]
contexts:
- {name: here, context: {cluster: c, user: u, namespace: shop}}
- {name: there, context: {cluster: c, user: u}}
`, server))
}

// liveShop serves the shop of the demo, and what is in front of it.
// Of what kubectl applied to a Namespace a change takes away what it does not give, and
// leaves what others gave.
func TestLiveDiffApplyTakesAway(t *testing.T) {
	const guarded = `
{apiVersion: v1, kind: Namespace, metadata: {name: lobby, uid: 6b8, labels: {LABEL: "true"}, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"metadata": {"labels": {"applied": "true"}}}'}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: g, namespace: lobby, uid: 6b9}, spec: {nodeName: node-a, containers: [{name: c, image: i}]}, status: {phase: Running, podIPs: [{ip: 10.244.9.9}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: lobby, namespace: lobby}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {LABEL: "true"}}}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: h, namespace: lobby, uid: 6c0}, spec: {nodeName: node-a, containers: [{name: c, image: i}]}, status: {phase: Running, podIPs: [{ip: 10.244.9.8}]}}`
	change := write(t, "ns.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: lobby}}")
	for label, want := range map[string]int{"applied": exitFailed, "given": exitOK} {
		_, config := liveShop(t, strings.ReplaceAll(guarded, "LABEL", label))
		if got := sluice(t, "", "diff", "cluster", change, "--apply", "--kubeconfig", config); got.code != want {
			t.Errorf("%s: want %d, got %+v", label, want, got)
		}
	}
}

func liveShop(t *testing.T, more ...string) (*apiServer, string) {
	t.Helper()
	s := &apiServer{t: t}
	var manifests []string
	files, err := os.ReadDir("shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile("shop/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, string(data))
	}
	s.load(append(append(manifests, shopServices), more...)...)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, kubeconfig(t, server.URL)
}

const shopServices = `{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {type: NodePort, clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], selector: {app: api}, ports: [{name: http, port: 80, targetPort: http, nodePort: 30080, protocol: TCP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}}, addressType: IPv4, ports: [{name: http, port: 8080, protocol: TCP}], endpoints: [{addresses: [10.244.1.11], nodeName: node-a, conditions: {ready: true}, targetRef: {kind: Pod, namespace: shop, name: api}}]}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: frontend, namespace: shop, uid: d}, spec: {selector: {matchLabels: {app: frontend}}}}
---
{apiVersion: v1, kind: Node, metadata: {name: node-b}, status: {addresses: [{type: InternalIP, address: 192.168.77.2}]}}`

func TestLiveExplain(t *testing.T) {
	for _, expire := range []bool{false, true} {
		s, config := liveShop(t)
		s.expire = expire
		got := sluice(t, "", "explain", "--kubeconfig", config, "frontend", "db:5432")
		want, err := os.ReadFile("testdata/explain-denied.txt")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.out); diff != "" || got.code != exitOK || got.err != "" {
			t.Errorf("code %d %s\nthe cluster and its manifests differ (-manifests +cluster):\n%s", got.code, got.err, diff)
		}
		// What a question does not need is not asked for.
		for _, path := range s.asked {
			if !slices.Contains([]string{"pods", "networkpolicies", "namespaces"}, path) {
				t.Errorf("asked for %s", path)
			}
		}
	}
}

func TestLiveService(t *testing.T) {
	s, config := liveShop(t)
	for _, args := range [][]string{
		{"deploy/frontend", "svc/api:http"},
		{"shop/frontend", "10.96.0.20:80"},
	} {
		got := sluice(t, "", append([]string{"explain", "--kubeconfig", config}, args...)...)
		if got.code != exitOK || !strings.HasPrefix(got.out, "ALLOWED") || !strings.Contains(got.out, "ALLOWED  shop/frontend → shop/api:8080/TCP") {
			t.Errorf("%v: %+v", args, got)
		}
	}
	if !slices.Contains(s.asked, "namespaces/shop/endpointslices") {
		t.Errorf("asked for %v", s.asked)
	}
}

func TestLiveVerify(t *testing.T) {
	_, config := liveShop(t)
	got := sluice(t, `{"src":"deploy/frontend","dst":"svc/api","port":"http","expected":true}
{"src":"10.9.9.9","dst":"node/node-b","port":30080,"expected":false}`, "verify", "--kubeconfig", config, "-o", "json")
	want := `{"src":"deploy/frontend","dst":"svc/api","port":"http","expected":true,"result":"allowed","allowed":true,"egress":true,"ingress":true,"reason":"egress: a rule allows it: shop/frontend egress[0]; ingress: a rule allows it: shop/api ingress[0]","policies":["shop/default-deny","shop/dns","shop/frontend","shop/api"],"paths":{"allowed":1,"total":1}}
`
	if got.code != exitOK || !strings.HasPrefix(got.out, want) || !strings.Contains(got.out, "node node-b hides the client: the Pod sees 192.168.77.2") {
		t.Errorf("got %+v", got)
	}
}

// Who may read some namespaces only gets an answer about these.
func TestLiveForbidden(t *testing.T) {
	tests := map[string]struct {
		forbidden []string
		args      []string
		code      int
		want      []string
	}{
		"one namespace": {
			[]string{"pods", "networkpolicies", "namespaces"}, []string{"frontend", "db:5432"}, exitOK,
			[]string{"only the namespaces [shop] are read"},
		},
		"nothing": {
			[]string{"pods", "networkpolicies", "namespaces", "namespaces/shop/networkpolicies"}, []string{"frontend", "db:5432"}, exitUnusable,
			[]string{`cannot list resource "networkpolicies"`, "the verb list for pods and networkpolicies"},
		},
		"no namespaced end": {
			[]string{"pods", "networkpolicies"}, []string{"10.0.0.1", "10.0.0.2:80"}, exitUnusable,
			[]string{`cannot list resource "networkpolicies"`},
		},
		"Services of one namespace": {
			[]string{"services"}, []string{"frontend", "svc/api"}, exitOK, nil,
		},
		"no Services": {
			[]string{"services", "namespaces/shop/services"}, []string{"frontend", "svc/api"}, exitUnusable,
			[]string{`cannot list resource "services"`},
		},
		"no Nodes": {
			[]string{"nodes"}, []string{"10.9.9.9", "svc/api"}, exitOK, nil,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, config := liveShop(t)
			s.forbidden = tt.forbidden
			got := sluice(t, "", append([]string{"explain", "--kubeconfig", config}, tt.args...)...)
			if got.code != tt.code {
				t.Errorf("code %d\n%s%s", got.code, got.out, got.err)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.err, want) {
					t.Errorf("stderr lacks %q:\n%s", want, got.err)
				}
			}
		})
	}
}

func TestLiveUnusable(t *testing.T) {
	_, config := liveShop(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	tests := map[string]struct {
		args []string
		want string
	}{
		"no cluster":      {nil, "no manifests and no cluster"},
		"wrong context":   {[]string{"--kubeconfig", config, "--context", "nowhere"}, `--context: there is no "nowhere" in the kubeconfig: it has here, there`},
		"no such file":    {[]string{"--kubeconfig", "/nonexistent/config"}, "/nonexistent/config"},
		"no such user":    {[]string{"--kubeconfig", config, "--user", "nobody"}, `auth info "nobody" does not exist`},
		"unreachable":     {[]string{"--kubeconfig", kubeconfig(t, gone.URL)}, "cannot be reached"},
		"files and flags": {[]string{"-f", "shop", "--context", "here"}, "leave out --context"},
	}
	for name, tt := range tests {
		for _, command := range [][]string{{"explain", "shop/a", "shop/b:80"}, {"verify"}} {
			t.Run(name+" "+command[0], func(t *testing.T) {
				got := sluice(t, answerAToB, append(slices.Clone(command), tt.args...)...)
				if got.code != exitUnusable || !strings.Contains(got.err, tt.want) || got.out != "" {
					t.Errorf("got %+v, want %q", got, tt.want)
				}
			})
		}
	}
}

func TestAsPlugin(t *testing.T) {
	for program, want := range map[string]string{
		"/usr/bin/kubectl-sluice":   "kubectl sluice explain SRC",
		"C:/bin/kubectl-sluice.exe": "kubectl sluice explain SRC",
		"/usr/bin/sluice":           "sluice explain SRC",
	} {
		root := newRootCommand(IOStreams{})
		asPlugin(root, program)
		c, _, err := root.Find([]string{"explain"})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(c.UseLine(), want) {
			t.Errorf("%s: %q", program, c.UseLine())
		}
		if got := strings.Contains(c.Example, "  kubectl sluice explain"); got != strings.Contains(program, "kubectl") {
			t.Errorf("%s:\n%s", program, c.Example)
		}
	}
}
