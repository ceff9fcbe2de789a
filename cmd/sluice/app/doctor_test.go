package app

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// facts are of a node that is well, as an agent sees it.
func facts(change ...func(*diagnosis.Facts)) *diagnosis.Facts {
	f := &diagnosis.Facts{
		Container: true, Kernel: "6.1.0", Nft: &diagnosis.Nft{Path: "/usr/sbin/nft", Version: "1.0.6"}, Bridges: &diagnosis.BridgeFilter{IPv4: true, IPv6: true},
		OurTables: []string{"inet"}, Agent: &diagnosis.Agent{Ready: true}, Conntrack: &diagnosis.Conntrack{Count: 1, Max: 1000},
	}
	for _, c := range change {
		c(f)
	}
	return f
}

func agentTells(what string, notReady bool, object, message, mend string) func(*diagnosis.Facts) {
	return func(f *diagnosis.Facts) {
		f.Conditions = append(f.Conditions, nodestatus.Condition{What: what, NotReady: notReady, Object: object, Message: message, Mend: mend})
		f.Agent.Ready = f.Agent.Ready && !notReady
	}
}

// doctorPaths are an agent's that says what is found of some facts.
func doctorPaths(f *diagnosis.Facts, change ...func(*diagnosis.Node)) map[string]http.Handler {
	return map[string]http.Handler{
		diagnosis.Path: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q, err := diagnosis.ParseQuery(r.URL.Query())
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			n := diagnosis.NewNode("", versionName(), time.Now(), f)
			if q.Ruleset {
				n.Ruleset = "table inet sluice { chain c7777777777777777777a-ingress-shop.db-0 { ip saddr 10.244.1.7; } }\n"
			}
			for _, c := range change {
				c(n)
			}
			_ = json.NewEncoder(w).Encode(n)
		}),
		nodestatus.StatusPath: agentPaths(aNode(hasPod("db-0", "1", "shop/db")), nil)[nodestatus.StatusPath],
		"/metrics": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "sluice_denials_total{namespace=\"shop\",workload=\"front\",direction=\"ingress\",reason=\"Policy\"} 3\n")
		}),
	}
}

const allPolicies = "/apis/networking.k8s.io/v1/networkpolicies"

// doctorsCluster has three nodes that are well.
func doctorsCluster(t *testing.T) *agentstest.Server {
	t.Helper()
	s := agentstest.New(t)
	s.Set(allPolicies)
	return s
}

func TestDoctorOfAClusterThatIsWell(t *testing.T) {
	s := doctorsCluster(t)
	for _, n := range []string{"n1", "n2"} {
		s.Node(n, mayRead(), doctorPaths(facts()))
	}
	kubeconfig := kubeconfigFor(t, s, "mine")
	got := sluice(t, "", "doctor", "--kubeconfig", kubeconfig)
	want := `2 nodes of the cluster: all is well

ok    rights, coverage, agent, source, pods, kernel, nftables, nft, bridge-filtering, cni, second-interfaces, tunnels, kube-proxy, ipvs, node-local-dns, flowtables, traffic-control, other-chains, policy-engines, conntrack, conntrack-marks, mtu, reverse-path, versions, clocks, startup-taint, policies
`
	if diff := cmp.Diff(want, got.out); diff != "" || got.err != "" || got.code != exitOK {
		t.Errorf("code %d, %s (-want +got):\n%s", got.code, got.err, diff)
	}
	if got := sluice(t, "", "doctor", "-q", "--kubeconfig", kubeconfig); got.out != "" || got.code != exitOK {
		t.Errorf("quiet: code %d: %s", got.code, got.out)
	}
	for _, asked := range s.Asked() {
		if method, path, _ := strings.Cut(asked, " "); method != http.MethodGet && !strings.HasSuffix(path, "/token") && !strings.HasSuffix(path, "/selfsubjectaccessreviews") && !strings.HasSuffix(path, "/portforward") {
			t.Errorf("something was written: %s", asked)
		}
	}
}

func TestDoctorOfAClusterTellsTheWorstFirst(t *testing.T) {
	s := doctorsCluster(t)
	engine := agentTells("PolicyEngine", false, "kube-router", "there are traces of kube-router", "k3s: start each server with --disable-network-policy")
	s.Node("n1", mayRead(), doctorPaths(facts(engine)))
	s.Node("n2", mayRead(), doctorPaths(facts(engine, agentTells("TrafficBypass", true, "interface v1", "frames go away\x1b[2J", `see "tc filter show dev v1 ingress"`))))
	s.Node("n3", mayRead(), nil)
	s.Node("n4", mayRead(), doctorPaths(facts(), func(n *diagnosis.Node) { n.Version, n.Time = "v0.9", n.Time.Add(-time.Hour) }))
	s.Node("n5", mayRead(), map[string]http.Handler{"/other": nil})
	s.Node("n6", agentstest.Reviewer{}, doctorPaths(facts()))
	bad := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}, Spec: networkingv1.NetworkPolicySpec{
		Egress: []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "nonsense"}}}}},
	}}
	s.Set(allPolicies, bad)
	kubeconfig := kubeconfigFor(t, s, "mine")
	got := sluice(t, "", "doctor", "--kubeconfig", kubeconfig)
	if got.code != exitFailed || strings.Contains(got.out, "\x1b") {
		t.Errorf("code %d, %s:\n%s", got.code, got.err, got.out)
	}
	last := -1
	for _, want := range []string{
		"3 nodes of the cluster: ",
		"PROBLEM  coverage: node n3\n  no agent runs there",
		"PROBLEM  coverage: node n6\n  the agent answers 403 Forbidden",
		"$ kubectl describe clusterrole sluice-reader",
		"PROBLEM  traffic-control: interface v1 (TrafficBypass)  on n2\n  frames go away?[2J\n  mend: see \"tc filter show dev v1 ingress\"\n  $ sudo tc filter show dev v1 ingress\n",
		"PROBLEM  policies: NetworkPolicy shop/db\n  spec.egress[0].to[0].ipBlock.cidr: ",
		"  $ kubectl edit networkpolicy -n shop db\n",
		"WARNING  coverage: node n5\n",
		"WARNING  policy-engines: kube-router (PolicyEngine)  on n1, n2\n  there are traces of kube-router\n  mend: k3s: start each server with --disable-network-policy\n",
		"WARNING  versions\n  the agents are of several versions: ",
		"v0.9 on n4",
		"WARNING  clocks: node n4\n  its clock is 1h0m0s behind this machine's\n",
		"NOTE  agent  on n2\n",
		"ok    rights, source, pods, kernel,",
	} {
		at := strings.Index(got.out, want)
		if at < 0 || at < last {
			t.Errorf("%q is not there, or too early:\n%s", want, got.out)
		}
		last = max(last, at)
	}
	quiet := sluice(t, "", "doctor", "-q", "--kubeconfig", kubeconfig)
	if strings.Contains(quiet.out, "ok  ") || strings.Contains(quiet.out, "NOTE") || !strings.HasPrefix(quiet.out, "PROBLEM") {
		t.Errorf("quiet:\n%s", quiet.out)
	}
	asJSON := sluice(t, "", "doctor", "-o", "json", "--kubeconfig", kubeconfig)
	var r diagnosis.Report
	if err := json.Unmarshal([]byte(asJSON.out), &r); err != nil || r.APIVersion != diagnosis.APIVersion || r.Kind != diagnosis.Kind || r.State != diagnosis.Problem || len(r.Nodes) != 3 || r.Nodes[0].Node != "n1" {
		t.Errorf("%v, %.300s", err, asJSON.out)
	}
}

func TestDoctorFailsOnWhatItIsTold(t *testing.T) {
	s := doctorsCluster(t)
	s.Node("n1", mayRead(), doctorPaths(facts(agentTells("PolicyEngine", false, "kube-router", "traces", "stop it"), agentTells("OtherChains", false, "table ip x", "see", "look"))))
	s.Node("n2", mayRead(), doctorPaths(facts(agentTells("OtherChains", false, "table ip x", "see", "look"))))
	kubeconfig := kubeconfigFor(t, s, "mine")
	for _, tt := range []struct {
		args string
		want int
	}{
		{"", exitFailed}, {"--fail-on problem", exitOK}, {"--fail-on warning", exitFailed}, {"node/n2", exitOK}, {"node/n2 --fail-on note", exitFailed}, {"node/n9", exitUnusable},
	} {
		got := sluice(t, "", append([]string{"doctor", "--kubeconfig", kubeconfig}, strings.Fields(tt.args)...)...)
		if got.code != tt.want {
			t.Errorf("%s: code %d, want %d: %s%s", tt.args, got.code, tt.want, got.out, got.err)
		}
	}
}

// Who may not do much is told what is missing, and gets the rest.
func TestDoctorTellsWhichRightsAreMissing(t *testing.T) {
	s := doctorsCluster(t)
	s.Node("n1", mayRead(), doctorPaths(facts()))
	s.Lack("list nodes", "list networkpolicies")
	s.Allow(func(_, path string) bool { return path != "/api/v1/nodes" && path != allPolicies })
	kubeconfig := kubeconfigFor(t, s, "mine")
	got := sluice(t, "", "doctor", "--kubeconfig", kubeconfig)
	for _, want := range []string{"NOTE  rights: list nodes of the cluster\n", "--verb=list --resource=nodes", "NOTE  rights: list networkpolicies of the cluster\n", "NOTE  policies\n  the policies could not be read", "NOTE  coverage\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing:\n%s", want, got.out)
		}
	}
	if got.code != exitOK {
		t.Errorf("code %d", got.code)
	}
	s.Lack("list pods", "create pods/portforward", "create serviceaccounts/token", "list nodes", "list networkpolicies")
	s.Allow(func(_, path string) bool { return strings.HasSuffix(path, "/selfsubjectaccessreviews") })
	got = sluice(t, "", "doctor", "--kubeconfig", kubeconfig)
	for _, want := range []string{"0 nodes of the cluster: 3 problems", "PROBLEM  rights: list pods in namespace sluice-system\n", "$ kubectl create rolebinding sluice-reader-YOU -n sluice-system --role=sluice-reader --user=YOU", "PROBLEM  coverage\n  the agents could not be looked for"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing:\n%s", want, got.out)
		}
	}
	if got.code != exitFailed {
		t.Errorf("code %d", got.code)
	}
}

func TestDoctorTellsOfStartupTaints(t *testing.T) {
	s := doctorsCluster(t)
	s.Node("n1", mayRead(), doctorPaths(facts()))
	s.Node("n2", mayRead(), doctorPaths(facts(agentTells("TableFailed", true, "", "boom", "x"))))
	taint := corev1.Taint{Key: startupTaint, Effect: corev1.TaintEffectNoSchedule}
	s.Set("/api/v1/nodes", nodeWith("n1", taint), nodeWith("n2", taint), nodeWith("n3"))
	got := sluice(t, "", "doctor", "--kubeconfig", kubeconfigFor(t, s, "mine"))
	if !strings.Contains(got.out, "WARNING  startup-taint: node n1\n") || !strings.Contains(got.out, "$ kubectl taint node n1 sluice-net.github.io/agent-not-ready-\n") || strings.Contains(got.out, "startup-taint: node n2") {
		t.Errorf("%s", got.out)
	}
}

func nodeWith(name string, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}, Spec: corev1.NodeSpec{Taints: taints}}
}

func TestDoctorWithoutACluster(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", "")
	s := agentstest.New(t)
	away := kubeconfigFor(t, s, "mine")
	s.Close()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--agents"}, "no kubeconfig: to ask a cluster give --kubeconfig, $KUBECONFIG or ~/.kube/config; to look at this machine run it as root, on Linux: sudo sluice doctor"},
		{[]string{"--kubeconfig", away}, "cannot be reached"},
		{[]string{"--kubeconfig", away, "--context", "other"}, `--context: there is no "other"`},
		{[]string{"--kubeconfig", filepath.Join(t.TempDir(), "none")}, "no such file"},
		{[]string{"pod/x"}, "none of node/NAME"},
	} {
		if got := sluice(t, "", append([]string{"doctor"}, tt.args...)...); got.code != exitUnusable || !strings.Contains(got.err, tt.want) {
			t.Errorf("%v: code %d, %s", tt.args, got.code, got.err)
		}
	}
}

// unbundle reads a bundle.
func unbundle(t *testing.T, path string) (map[string]string, string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	packed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	out, whole := map[string]string{}, ""
	for archive := tar.NewReader(packed); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out, whole
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(data)
		whole += h.Name + "\n" + string(data) + "\n"
	}
}

// The documents list each check, with what it looks at.
func TestDoctorsDocumentListsEachCheck(t *testing.T) {
	data, err := os.ReadFile("../../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	_, table, _ := strings.Cut(string(data), "\n## The checks\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| `") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, c := range diagnosis.Checks {
		of := "node"
		if c.Cluster {
			of = "cluster"
		}
		want = append(want, "| `"+c.ID+"` | "+of+" | "+c.Looks+" | "+c.Consequence+" | "+c.Mend+" |")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/doctor.md, The checks (-want +got):\n%s", diff)
	}
}
