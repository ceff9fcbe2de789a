package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// kubeconfigFor is a kubeconfig for a test's API server.
func kubeconfigFor(t *testing.T, s *agentstest.Server, token string) string {
	t.Helper()
	return write(t, "kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: u, user: {token: %q}}]
contexts: [{name: c, context: {cluster: c, user: u, namespace: shop}}]
current-context: c
`, s.URL, token))
}

var began = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// aNode is what an agent says.
func aNode(change ...func(*nodestatus.Node)) *nodestatus.Node {
	since := began.Add(-90 * time.Second)
	n := &nodestatus.Node{
		APIVersion: nodestatus.APIVersion, Kind: nodestatus.Kind, Version: "v1.0.0", Time: began, Ready: true,
		Generation: 7, Since: &since, Epoch: 3, PodStart: "by the container runtime (NRI)", Objects: nodestatus.Objects{Pods: 4, Namespaces: 2, Policies: 3},
	}
	for _, c := range change {
		c(n)
	}
	return n
}

func hasPolicy(name, rv string, pods int, change ...func(*nodestatus.Policy)) func(*nodestatus.Node) {
	return func(n *nodestatus.Node) {
		p := nodestatus.Policy{Object: objectIn(name, "uid-"+name, rv), Pods: pods}
		for _, c := range change {
			c(&p)
		}
		n.Policies = append(n.Policies, p)
	}
}

func hasPod(name, rv string, ingress ...string) func(*nodestatus.Node) {
	return func(n *nodestatus.Node) {
		n.Pods = append(n.Pods, nodestatus.Pod{Object: objectIn(name, "uid-"+name, rv), Addresses: []string{"10.0.0.7"}, Ingress: ingress})
	}
}

func objectIn(name, uid, rv string) nodestatus.Object {
	since := began.Add(-time.Minute)
	return nodestatus.Object{Namespace: "shop", Name: name, UID: uid, ResourceVersion: rv, Enforced: true, Since: &since}
}

// agentPaths answer a status to every query, and note the queries.
func agentPaths(n *nodestatus.Node, queries *[]string) map[string]http.Handler {
	var mu sync.Mutex
	return map[string]http.Handler{nodestatus.StatusPath: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := nodestatus.ParseQuery(r.URL.Query()); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		if queries != nil {
			*queries = append(*queries, r.URL.RawQuery)
		}
		mu.Unlock()
		_ = json.NewEncoder(w).Encode(n)
	})}
}

func apiPolicy(name, rv string) runtime.Object {
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), ResourceVersion: rv}}
}

func apiPod(name, node, rv string) runtime.Object {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), ResourceVersion: rv}, Spec: corev1.PodSpec{NodeName: node},
	}
}

const (
	shopPolicies = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"
	shopPods     = "/api/v1/namespaces/shop/pods"
)

// A Pod whose interface is not found has its policies in the kernel, and no effect of
// them: it is not said to be enforced.
func TestStatusOfABlockedPod(t *testing.T) {
	s := agentstest.New(t)
	s.Set(shopPolicies, apiPolicy("db", "10"))
	s.Set(shopPods, apiPod("db-0", "n1", "20"))
	s.Node("n1", mayRead(), agentPaths(aNode(hasPolicy("db", "10", 1), hasPod("db-0", "20", "shop/db"), func(n *nodestatus.Node) {
		n.Ready, n.Conditions = false, []nodestatus.Condition{{What: "PodUnresolved", NotReady: true, Object: "Pod shop/db-0", Message: "no route"}}
	}), nil))
	got := sluice(t, "", "status", "pod/db-0", "--kubeconfig", kubeconfigFor(t, s, "mine"))
	if got.code != exitFailed || !strings.Contains(got.out, "shop/db-0  n1    Blocked") {
		t.Errorf("code %d:\n%s", got.code, got.out)
	}
}

// Whatever is called a problem is one for the exit code.
func TestStatusOfAnInvalidPolicy(t *testing.T) {
	s := agentstest.New(t)
	s.Set(shopPolicies, apiPolicy("db", "10"))
	s.Set(shopPods)
	s.Node("n1", mayRead(), agentPaths(aNode(hasPolicy("db", "10", 1, func(p *nodestatus.Policy) { p.Invalid = "spec.ingress[0]: no range" })), nil))
	for _, arg := range []string{"netpol/db", "-A", "node/n1"} {
		s.Set("/apis/networking.k8s.io/v1/networkpolicies", apiPolicy("db", "10"))
		s.Set("/api/v1/pods")
		got := sluice(t, "", "status", arg, "--kubeconfig", kubeconfigFor(t, s, "mine"))
		if got.code != exitFailed || !strings.Contains(got.out, "problem in policy shop/db: spec.ingress[0]: no range") || !strings.Contains(got.out, "n1    yes ") {
			t.Errorf("%s: code %d:\n%s%s", arg, got.code, got.out, got.err)
		}
	}
}

func mayRead() agentstest.Reviewer { return agentstest.Reviewer{agentstest.ReaderToken} }

func TestStatusOfACluster(t *testing.T) {
	s := agentstest.New(t)
	var queries []string
	s.Node("n1", mayRead(), agentPaths(aNode(), &queries))
	s.Node("n2", mayRead(), agentPaths(aNode(func(n *nodestatus.Node) {
		n.Ready = false
		n.Conditions = []nodestatus.Condition{
			{What: "PodUnresolved", NotReady: true, Object: "Pod shop/db-0", Message: "10.0.0.9: no route\x1b[2J", Mend: "look at the plug-in"},
			{What: "PolicyEngine", Message: "kube-router is at work", Mend: "switch it off"},
		}
	}), nil))
	s.Node("n3", mayRead(), nil)
	got := sluice(t, "", "status", "--kubeconfig", kubeconfigFor(t, s, "mine"))
	want := `problem on n2: PodUnresolved (Pod shop/db-0): 10.0.0.9: no route?[2J
  mend: look at the plug-in
notice on n2: PolicyEngine: kube-router is at work
  mend: switch it off

NODE  READY  CHANGED  GENERATION  PODS  POLICIES  VERSION  POD START
n1    yes    90s      7           4     3         v1.0.0   by the container runtime (NRI)
n2    no     90s      7           4     3         v1.0.0   by the container runtime (NRI)
`
	if diff := cmp.Diff(want, got.out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "error: node n3: no agent runs there, so that no policy is enforced\n"; got.err != want || got.code != exitFailed {
		t.Errorf("code %d, %q, want %q", got.code, got.err, want)
	}
	if len(queries) != 1 || queries[0] != "summary=true" {
		t.Errorf("asked for %v", queries)
	}
}

func TestStatusComparesWithTheAPI(t *testing.T) {
	s := agentstest.New(t)
	s.Set(shopPolicies, apiPolicy("db", "10"), apiPolicy("web", "11"), apiPolicy("idle", "12"))
	s.Set(shopPods, apiPod("db-0", "n1", "20"), apiPod("web-0", "n2", "21"), apiPod("lost", "n2", "22"), apiPod("pending", "", "23"))
	s.Node("n1", mayRead(), agentPaths(aNode(hasPolicy("db", "10", 1), hasPolicy("web", "11", 1), hasPod("db-0", "20", "shop/db", "other/x")), nil))
	s.Node("n2", mayRead(), agentPaths(aNode(hasPolicy("web", "9", 2), hasPolicy("deleted", "1", 1), hasPod("web-0", "21")), nil))
	kubeconfig := kubeconfigFor(t, s, "mine")
	got := sluice(t, "", "status", "-n", "shop", "--kubeconfig", kubeconfig)
	want := `NODE  READY  CHANGED  GENERATION  PODS  POLICIES  VERSION  POD START
n1    yes    90s      7           4     3         v1.0.0   by the container runtime (NRI)
n2    yes    90s      7           4     3         v1.0.0   by the container runtime (NRI)

POLICY        STATE     NODES  PODS  SINCE  BEHIND
shop/db       Enforced  1/1    1     60s
shop/deleted  Behind    0/1    1     -      n2
shop/idle     NoPods    0/0    0     -
shop/web      Behind    1/2    3     60s    n2

POD         NODE  STATE     SINCE  INGRESS     EGRESS  ADDRESSES
shop/db-0   n1    Enforced  60s    db,other/x  open    10.0.0.7
shop/lost   -     Unknown   -      ?           ?       -
shop/web-0  n2    Enforced  60s    open        open    10.0.0.7
`
	if diff := cmp.Diff(want, got.out); diff != "" || got.code != exitFailed {
		t.Errorf("code %d (-want +got):\n%s", got.code, diff)
	}
	var doc statusReport
	got = sluice(t, "", "status", "-n", "shop", "--kubeconfig", kubeconfig, "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &doc); err != nil || doc.Kind != "Status" || doc.APIVersion == "" || len(doc.Policies) != 4 || doc.Policies[3].Nodes[1].Current || doc.Policies[3].ResourceVersion != "11" {
		t.Errorf("%v: %+v", err, doc)
	}
}

// One object costs one question, and its name must be somebody's.
func TestStatusOfOneObject(t *testing.T) {
	s := agentstest.New(t)
	s.Set(shopPolicies, apiPolicy("db", "10"), apiPolicy("web", "11"))
	s.Set(shopPods, apiPod("db-0", "n1", "20"))
	var queries []string
	s.Node("n1", mayRead(), agentPaths(aNode(hasPolicy("db", "10", 1), hasPod("db-0", "20", "shop/db")), &queries))
	kubeconfig := kubeconfigFor(t, s, "mine")
	for _, tt := range []struct {
		arg, query, want string
		code             int
	}{
		{"netpol/db", "policy=shop%2Fdb", "shop/db  Enforced  1/1    1     60s", exitOK},
		{"pod/db-0", "pod=shop%2Fdb-0", "shop/db-0  n1    Enforced  60s    db", exitOK},
		{"node/n1", "", "shop/db-0  n1", exitFailed}, // the lists of all namespaces do not have them here
		{"netpol/none", "policy=shop%2Fnone", "", exitUnusable},
		{"node/n9", "", "", exitUnusable},
	} {
		if tt.arg == "node/n1" {
			s.Set("/api/v1/pods")
			s.Set("/apis/networking.k8s.io/v1/networkpolicies")
		}
		queries = nil
		got := sluice(t, "", "status", tt.arg, "--kubeconfig", kubeconfig)
		if got.code != tt.code || !strings.Contains(got.out, tt.want) || len(queries) > 0 && queries[0] != tt.query {
			t.Errorf("%s: code %d, asked for %v\n%s%s", tt.arg, got.code, queries, got.out, got.err)
		}
	}
}

// Without the right to compare, the error says which right that is.
func TestStatusSaysWhatItLacks(t *testing.T) {
	s := agentstest.New(t)
	s.Node("n1", mayRead(), agentPaths(aNode(), nil))
	s.Allow(func(_, path string) bool { return path != shopPolicies && path != "/api/v1/nodes" })
	got := sluice(t, "", "status", "-n", "shop", "--kubeconfig", kubeconfigFor(t, s, "mine"))
	if got.code != exitUnusable || !strings.Contains(got.err, "needs the verb list for pods and networkpolicies") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
	got = sluice(t, "", "status", "--kubeconfig", kubeconfigFor(t, s, "mine"))
	if got.code != exitOK || !strings.Contains(got.err, "notice: whether there are nodes without an agent is not known") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
	got = sluice(t, "", "status", "--socket", filepath.Join(t.TempDir(), "none"))
	if got.code != exitUnusable || !strings.Contains(got.err, "error: this node: ask the agent: dial unix ") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
}
