package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/report"
	"github.com/sluice-net/sluice/policy/spectest"
)

func app(name string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
}

func workload(kind, namespace, name string) connectivity.Workload {
	return connectivity.Workload{
		Kind: kind, NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}, Labels: map[string]string{"app": name},
	}
}

func tcp(port int32) []networkingv1.NetworkPolicyPort {
	p := intstr.FromInt32(port)
	return []networkingv1.NetworkPolicyPort{{Port: &p}}
}

func ingress(name, selects string, rules ...networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: app(selects), Ingress: rules},
	}
}

func from(ports []networkingv1.NetworkPolicyPort, peers ...networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicyIngressRule {
	return networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports}
}

func pods(name string) networkingv1.NetworkPolicyPeer {
	s := app(name)
	return networkingv1.NetworkPolicyPeer{PodSelector: &s}
}

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
}

// shop has a database for web and an office, and an agent on the host network.
func shop() *connectivity.Cluster {
	agent := workload("DaemonSet", "infra", "agent")
	agent.HostNetwork = true
	return &connectivity.Cluster{
		Workloads: []connectivity.Workload{
			workload("Deployment", "shop", "web"), workload("StatefulSet", "shop", "db"), agent,
		},
		Policies: []*networkingv1.NetworkPolicy{
			ingress("db", "db", from(tcp(5432), pods("web")), from(tcp(22), block("10.1.0.0/16"))),
		},
	}
}

func places(p types.NamespacedName, path ...any) report.Place {
	return report.Place{File: p.Name + ".yaml", Line: 1 + len(path)}
}

func text(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestListText(t *testing.T) {
	m := connectivity.New(shop())
	got := text(t, report.NewList(m, places, connectivity.ListOptions{Why: true}).Text)
	for _, line := range []string{
		"shop/web → shop/db", "TCP 5432; TCP 22 (depends)", "if the address of the source is in 10.1.0.0/16",
		"10.1.0.0/16 → shop/db", "internet → shop/web", "policy shop/db spec.ingress[0].from[0] (db.yaml:6)  on TCP 5432",
		"2 workloads: policies isolate the ingress of 1 and the egress of 0; 1 more on the host network, which no policy isolates",
		"Left out: a Pod's own node",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is missing:\n%s", line, got)
		}
	}
	if strings.Contains(got, "from the Pod's own node") {
		t.Errorf("what holds of every Pod is told:\n%s", got)
	}
}

// Many workloads are named in few words.
func TestNames(t *testing.T) {
	c := &connectivity.Cluster{Policies: []*networkingv1.NetworkPolicy{ingress("a", "a1"), ingress("b", "a9", from(tcp(80), block("0.0.0.0/0", "10.0.0.0/8"), block("::/0")))}}
	for i := range 12 {
		c.Workloads = append(c.Workloads, workload("Deployment", "shop", fmt.Sprintf("a%d", i)), workload("Deployment", "ops", fmt.Sprintf("b%d", i)))
	}
	got := text(t, report.NewList(connectivity.New(c), nil, connectivity.ListOptions{}).Text)
	for _, want := range []string{
		"every workload → ops/*, shop/* but shop/a1 and shop/a9  all",
		"internet but 10.0.0.0/8 → shop/a9", "every workload → internet",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
}

// Ends that are called alike are told apart.
func TestNamesAreUnique(t *testing.T) {
	c := &connectivity.Cluster{Policies: []*networkingv1.NetworkPolicy{ingress("a", "x", from(nil, block("10.0.0.0/24")))}}
	for i, labels := range []map[string]string{{"app": "x"}, {"app": "y"}} {
		w := workload([]string{"Deployment", "Job"}[i], "shop", "same")
		w.Labels = labels
		c.Workloads = append(c.Workloads, w, w)
		c.Workloads[len(c.Workloads)-1].Labels = map[string]string{"app": "x", "new": "yes"}
	}
	d := report.NewList(connectivity.New(c), nil, connectivity.ListOptions{}).Document()
	seen := map[string]bool{}
	for _, e := range d.Ends {
		if seen[e.Name] {
			t.Errorf("two ends are called %s", e.Name)
		}
		seen[e.Name] = true
	}
}

// What the documents and tables say is what the matrix says, of every pair.
func TestListSaysWhatTheMatrixSays(t *testing.T) {
	for seed := range uint64(60) {
		c := spectest.Random(spectest.Seeded(seed), spectest.Options{Plain: true, Pods: 2 + int(seed%9)})
		in := &connectivity.Cluster{Namespaces: c.Namespaces, Policies: c.Policies}
		for _, p := range c.Pods {
			w, err := connectivity.FromAPI(p)
			if err != nil {
				t.Fatal(err)
			}
			in.Workloads = append(in.Workloads, w)
		}
		m := connectivity.New(in)
		list := report.NewList(m, nil, connectivity.ListOptions{Why: seed%2 == 0})
		got := map[[2]int]string{}
		var document report.ListDocument
		if err := json.Unmarshal([]byte(text(t, list.JSON)), &raw{&document}); err != nil {
			t.Fatal(err)
		}
		for _, line := range document.Connections {
			for _, s := range line.Sources {
				for _, d := range line.Destinations {
					got[[2]int{s, d}] += line.Ports + ";"
				}
			}
		}
		for s := range m.Ends() {
			for d := range m.Ends() {
				if m.Ends()[s].Kind != connectivity.Pods && m.Ends()[d].Kind != connectivity.Pods {
					continue
				}
				passes := len(m.Passes(s, d)) > 0
				alone := s == d && len(m.Ends()[s].Workloads) == 1
				if _, listed := got[[2]int{s, d}]; listed != passes && !alone {
					t.Fatalf("seed %d: %s → %s: listed %v, passes %v", seed, &m.Ends()[s], &m.Ends()[d], listed, passes)
				}
			}
		}
	}
}

// raw reads connections and leaves ends alone, whose kinds are written only.
type raw struct{ to *report.ListDocument }

func (r *raw) UnmarshalJSON(data []byte) error {
	var d struct {
		APIVersion, Kind string
		Connections      []struct {
			Sources, Destinations []int
			Ports                 string
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	if d.APIVersion != report.Version || d.Kind != "ConnectionList" || d.Connections == nil {
		return fmt.Errorf("a %s %s", d.APIVersion, d.Kind)
	}
	for _, c := range d.Connections {
		r.to.Connections = append(r.to.Connections, report.Connection{Sources: c.Sources, Destinations: c.Destinations, Ports: c.Ports})
	}
	return nil
}

// The fields of the document have the names that programs know.
func TestListJSON(t *testing.T) {
	var d struct {
		Ends        []map[string]any
		Connections []map[string]any
	}
	m := connectivity.New(shop())
	list := report.NewList(m, places, connectivity.ListOptions{
		Why: true, Ports: []connectivity.Ports{{Protocol: policy.TCP, First: 5432, Last: 5432}},
		To: func(e *connectivity.End) bool { return e.String() == "StatefulSet shop/db" },
	})
	if err := json.Unmarshal([]byte(text(t, list.JSON)), &d); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"name": "shop/db", "kind": "pods", "namespace": "shop", "labels": map[string]any{"app": "db"},
		"workloads":       []any{map[string]any{"kind": "StatefulSet", "namespace": "shop", "name": "db"}},
		"ingressPolicies": []any{"shop/db"},
	}
	found := false
	for _, e := range d.Ends {
		if e["name"] == "shop/db" {
			found = true
			if diff := cmp.Diff(want, e); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	}
	if !found || len(d.Connections) == 0 {
		t.Fatalf("%+v", d)
	}
	stretch := d.Connections[0]["stretches"].([]any)[0].(map[string]any)
	if diff := cmp.Diff(map[string]any{
		"protocol": "TCP", "firstPort": 5432.0, "lastPort": 5432.0, "answer": "allowed", "ipv4": "allowed", "ipv6": "allowed",
		"egress": map[string]any{"reason": "NotIsolated", "answer": "allowed"},
		"ingress": map[string]any{"reason": "Rule", "answer": "allowed", "rules": []any{map[string]any{
			"policy": "shop/db", "direction": "ingress", "field": "spec.ingress[0].from[0]", "place": map[string]any{"file": "db.yaml", "line": 6.0},
		}}},
	}, stretch); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Tables and graphs are well formed, whatever names have in them.
func TestListTablesAndGraphs(t *testing.T) {
	c := shop()
	c.Workloads[0].Name = "we|b\"<x>\n`*_"
	list := report.NewList(connectivity.New(c), places, connectivity.ListOptions{Why: true})
	rows, err := csv.NewReader(strings.NewReader(text(t, list.CSV))).ReadAll()
	if err != nil || len(rows) < 5 || len(rows[0]) != 4 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	for line := range strings.Lines(text(t, list.Markdown)) {
		if cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); strings.HasPrefix(line, "|") && cells != 5 {
			t.Errorf("%d bars: %s", cells, line)
		}
	}
	dot := text(t, list.DOT)
	if strings.Count(strings.ReplaceAll(strings.ReplaceAll(dot, `\\`, ""), `\"`, ""), `"`)%2 != 0 || strings.Count(dot, "{") != strings.Count(dot, "}") {
		t.Errorf("not closed:\n%s", dot)
	}
	for line := range strings.Lines(text(t, list.Mermaid)) {
		if strings.Count(line, `"`)%2 != 0 || strings.Contains(line, "`") {
			t.Errorf("not quoted: %s", line)
		}
	}
}

// Data has every range, where a text says how many more there are.
func TestTablesHaveEveryRange(t *testing.T) {
	c := shop()
	var every []string
	var peers []networkingv1.NetworkPolicyPeer
	for i := range 20 {
		cidr := fmt.Sprintf("192.0.2.%d/32", 2*i)
		every, peers = append(every, cidr), append(peers, block(cidr))
	}
	c.Policies = append(c.Policies, ingress("addresses", "db", from(tcp(9), peers...)))
	x := connectivity.New(c)
	if said := text(t, report.NewList(x, places, connectivity.ListOptions{}).Text); !strings.Contains(said, "ranges more") {
		t.Errorf("A text does not stay short:\n%s", said)
	}
	for name, table := range map[string]string{
		"list":     text(t, report.NewList(x, places, connectivity.ListOptions{}).CSV),
		"exposure": text(t, exposure(c).CSV),
	} {
		for _, cidr := range every {
			if !strings.Contains(table, cidr) {
				t.Fatalf("%s: %s is missing:\n%s", name, cidr, table)
			}
		}
	}
}
