package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pod writes a running Pod's manifest.
func pod(namespace, name, labels, ip, ports string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: %s, labels: {%s}}
spec: {containers: [{name: c, image: i, ports: [%s]}]}
status: {phase: Running, podIP: "%s"}
---
`, namespace, name, labels, ports, ip)
}

const twoPods = `apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
`

// policyB isolates b, with the given lines as spec.
func policyB(spec string) string {
	return twoPods + `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {}
` + indent(spec)
}

func indent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString("  " + line)
	}
	return b.String() + "\n"
}

const answerAToB = `{"src":"a","dst":"b","port":8080}`

// What is wrong with manifests is said with object and field, the flows are
// answered all the same, and the exit code is 2; the isolated Pods stay
// isolated.
func TestVerifyBadManifests(t *testing.T) {
	tests := map[string]struct {
		manifests string
		want      []string
		code      int
		// allowed: what becomes of a → b; "" where a flow is unusable.
		allowed string
	}{
		"invalid selector": {
			policyB(`ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: Near}]}}]}]`),
			[]string{"default/p", "spec.ingress[0].from[0].podSelector.matchExpressions[0].operator"}, 2, "false",
		},
		"invalid CIDR": {
			policyB(`ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]`),
			[]string{"default/p", "spec.ingress[0].from[0].ipBlock.cidr"}, 2, "false",
		},
		"except outside cidr": {
			policyB(`ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.1.0.0/25]}}]}]`),
			[]string{"default/p", "spec.ingress[0].from[0].ipBlock.except[0]"}, 2, "false",
		},
		"endPort below port": {
			policyB(`ingress: [{ports: [{port: 9000, endPort: 8000}]}]`),
			[]string{"default/p", "spec.ingress[0].ports[0].endPort"}, 2, "false",
		},
		"unknown protocol": {
			policyB(`ingress: [{ports: [{port: 8080, protocol: QUIC}]}]`),
			[]string{"default/p", "spec.ingress[0].ports[0].protocol", "QUIC"}, 2, "false",
		},
		"Pod without IP": {
			twoPods + pod("default", "c", "", "", ""),
			nil, 0, "true",
		},
		"unknown kind": {
			twoPods + "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n",
			[]string{"ConfigMap", "notice"}, 0, "true",
		},
		"truncated YAML": {
			twoPods + "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p\n",
			[]string{"manifests.yaml:"}, 2, "true",
		},
		"not YAML": {
			twoPods + "\t{{ .Values.x }}\n",
			[]string{"manifests.yaml:"}, 2, "true",
		},
		"misspelt field": {
			policyB("ingress: [{form: [{podSelector: {}}]}]"),
			[]string{"default/p", "form"}, 2, "false",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := sluice(t, answerAToB+"\n", "verify", "-o", "json", "-f", write(t, "manifests.yaml", tt.manifests))
			if got.code != tt.code {
				t.Errorf("exit code %d, want %d; stderr:\n%s", got.code, tt.code, got.err)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.err, want) {
					t.Errorf("stderr lacks %q:\n%s", want, got.err)
				}
			}
			if want := `"allowed":` + tt.allowed; !strings.Contains(got.out, want) {
				t.Errorf("stdout lacks %s: %s", want, got.out)
			}
		})
	}
}

// Lines that cannot be used are answered with an error in their place, and the
// others go on.
func TestVerifyUnusableLines(t *testing.T) {
	manifests := twoPods + pod("default", "no-ip", "", "", "") + pod("default", "six", "", "fd00::6", "")
	tests := map[string]string{
		`nonsense`:                                                   "no flow: give lines such as",
		`a -> b:80 maybe`:                                            "says nothing of what is expected",
		`a -> b:80/`:                                                 "protocol is missing",
		`{"src":"a","dst":"c","port":80}`:                            "dst: no Pod default/c in the manifests",
		`{"src":"a","dst":"six","port":80}`:                          "no address of the same family",
		`{"src":"10.0.0.1","dst":"fd00::6","port":80}`:               "no address of the same family",
		`{"src":"a","dst":"b"}`:                                      "port: TCP needs one",
		`{"src":"a","dst":"b","port":0}`:                             "port: 0 is not from 1 to 65535",
		`{"src":"a","dst":"b","port":65536}`:                         "port: 65536 is not from 1 to 65535",
		`{"src":"a","dst":"b","port":-1}`:                            "port: -1 is not from 1 to 65535",
		`{"src":"a","dst":"b","port":"https"}`:                       `Pod default/b has no container port named "https" with protocol TCP`,
		`{"src":"a","dst":"b","port":"http","proto":"UDP"}`:          `no container port named "http" with protocol UDP`,
		`{"src":"a","dst":"8.8.8.8","port":"http"}`:                  "8.8.8.8, which is no Pod",
		`{"src":"a","dst":"b","port":80,"proto":"ICMP"}`:             "ICMP has no ports",
		`{"src":"fe80::1%eth0","dst":"six","port":80}`:               "zone",
		`{"src":"a","dst":"b","proto":256}`:                          "unknown protocol",
		`{"src":"","dst":"b","port":80}`:                             "src: empty",
		`{"src":"a","dst":"b","port":80,"expected":1}`:               "expected: 1 is not true or false",
		`{"src":"a","dst":"b","port":80` + strings.Repeat(" ", 9999): "ends in the middle",
	}
	path := write(t, "manifests.yaml", manifests)
	for line, want := range tests {
		t.Run(line[:min(len(line), 60)], func(t *testing.T) {
			got := sluice(t, line+"\n\n"+answerAToB, "verify", "-o", "json", "-f", path)
			if got.code != exitUnusable {
				t.Errorf("exit code %d", got.code)
			}
			lines := strings.Split(strings.TrimSpace(got.out), "\n")
			if len(lines) != 2 || !strings.Contains(lines[1], `"allowed":true`) {
				t.Fatalf("the other line is to be answered:\n%s", got.out)
			}
			var answer struct {
				Error   string `json:"error"`
				Allowed *bool  `json:"allowed"`
			}
			if err := json.Unmarshal([]byte(lines[0]), &answer); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(answer.Error, want) || answer.Allowed != nil {
				t.Errorf("got %s, want an error with %q", lines[0], want)
			}
			if !strings.Contains(got.err, "stdin:1: ") {
				t.Errorf("stderr names no line:\n%s", got.err)
			}
		})
	}
}

func TestVerifyExitCodes(t *testing.T) {
	path := write(t, "manifests.yaml", policyB("ingress: [{ports: [{port: http}]}]"))
	tests := map[string]struct {
		flows string
		code  int
	}{
		"no expectation": {`{"src":"a","dst":"b","port":81}`, exitOK},
		"as expected":    {`{"src":"a","dst":"b","port":81,"expected":false}` + "\n" + `{"src":"a","dst":"b","port":8080,"expected":true}`, exitOK},
		"mismatch":       {`{"src":"a","dst":"b","port":81,"expected":true}`, exitFailed},
		"unusable wins":  {`{"src":"a","dst":"b","port":81,"expected":true}` + "\nx", exitUnusable},
		"none":           {"\n\n", exitUnusable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, output := range []string{"text", "json"} {
				if got := sluice(t, tt.flows, "verify", "-o", output, "-f", path); got.code != tt.code {
					t.Errorf("-o %s: exit code %d, want %d\n%s%s", output, got.code, tt.code, got.out, got.err)
				}
			}
		})
	}
}

// The output's lines are the input's, in their order, with the answers behind.
func TestVerifyJSON(t *testing.T) {
	path := write(t, "manifests.yaml", policyB("ingress: [{from: [{podSelector: {}}]}]\npolicyTypes: [Ingress, Egress]\negress: [{ports: [{port: http}]}]"))
	flows := strings.Join([]string{
		`{"id": 7, "src":"a","dst":"b","port":"http","expected":true,"why":["x", {"y":1}]}`,
		`{"dst":"10.0.0.2","src":"192.0.2.1","port":8080}`,
		`{"src":"default/a","dst":"192.0.2.1","proto":"ICMP","expected":true}`,
		`{"src":"a","dst":"a","port":1,"allowed":"stale"}`,
		`{"src":"192.0.2.1","dst":"192.0.2.2","proto":47}`,
	}, "\n")
	want := strings.Join([]string{
		`{"id":7,"src":"a","dst":"b","port":"http","expected":true,"why":["x", {"y":1}],"result":"allowed","allowed":true,"egress":true,"ingress":true,"reason":"egress: a rule allows it: default/p egress[0]; ingress: a rule allows it: default/p ingress[0]","policies":["default/p"]}`,
		`{"dst":"10.0.0.2","src":"192.0.2.1","port":8080,"result":"denied","allowed":false,"egress":true,"ingress":false,"reason":"ingress: policy default/p isolates default/b for ingress and none of its rules allows the flow (implicit default deny); nearest: default/p ingress[0], where 192.0.2.1 is no Pod","policies":["default/p"],"nearest":"default/p ingress[0]"}`,
		`{"src":"default/a","dst":"192.0.2.1","proto":"ICMP","expected":true,"result":"denied","allowed":false,"egress":false,"ingress":true,"reason":"egress: policy default/p isolates default/a for egress and none of its rules allows the flow (implicit default deny); nearest: default/p egress[0], where ICMP has no ports: only a rule without ports allows it","policies":["default/p"],"nearest":"default/p egress[0]","mismatch":"expected allowed, is denied"}`,
		`{"src":"a","dst":"a","port":1,"result":"allowed","allowed":true,"egress":true,"ingress":true,"reason":"egress: a Pod always reaches itself; ingress: a Pod always reaches itself","policies":["default/p"]}`,
		`{"src":"192.0.2.1","dst":"192.0.2.2","proto":47,"result":"allowed","allowed":true,"egress":true,"ingress":true,"reason":"egress: 192.0.2.1 is no Pod, so no policy selects it; ingress: 192.0.2.2 is no Pod, so no policy selects it","policies":[]}`,
	}, "\n") + "\n"
	got := sluice(t, flows, "verify", "-o", "json", "-f", path)
	if diff := cmp.Diff(want, got.out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.code != exitFailed || !strings.Contains(got.err, "stdin:3: default/a → 192.0.2.1:/ICMP: expected allowed, is denied") {
		t.Errorf("code %d, stderr:\n%s", got.code, got.err)
	}
	again := sluice(t, got.out, "verify", "-o", "json", "-f", path)
	if diff := cmp.Diff(got.out, again.out); diff != "" {
		t.Errorf("the output is no good as input (-first +second):\n%s", diff)
	}
}

func TestVerifyTextGolden(t *testing.T) {
	got := sluice(t, shopFlows, "verify", "-f", "shop", "-n", "shop")
	golden(t, "verify.txt", got.out)
	if got.code != exitUnusable {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
}

const shopFlows = `{"src":"frontend","dst":"api","port":"http","expected":true}
{"src":"frontend","dst":"db","port":5432,"expected":true}
{"src":"guests/stranger","dst":"frontend","port":80,"expected":true}
{"src":"guests/stranger","dst":"api","port":8080,"expected":false}
{"src":"api","dst":"203.0.113.80","port":443}
{"src":"api","dst":"10.9.9.9","port":443,"expected":true}
{"src":"api","dst":"kube-system/dns","proto":"UDP","port":"dns","expected":true}
{"src":"cart","dst":"api","port":8080}
`

func TestVerifySources(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"pods.yaml":          twoPods,
		"deep/policy.yml":    strings.TrimPrefix(policyB(""), twoPods),
		"deep/README.md":     "not a manifest",
		"other/pods-list.js": "{}",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := `{"apiVersion":"v1","kind":"List","items":[
		{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"status":{"podIP":"10.0.0.1"}},
		{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},"status":{"podIP":"10.0.0.2"}},
		{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p"},"spec":{"podSelector":{}}}]}`
	flows := write(t, "flows.jsonl", answerAToB)
	tests := map[string]struct {
		stdin   string
		args    []string
		allowed bool
	}{
		"directory":           {"", []string{"-f", dir}, false},
		"directory recursive": {"", []string{"-R", "-f", dir}, false},
		"one file":            {"", []string{"-f", filepath.Join(dir, "pods.yaml")}, true},
		"files":               {"", []string{"-f", filepath.Join(dir, "pods.yaml") + "," + filepath.Join(dir, "deep", "policy.yml")}, false},
		"stdin":               {policyB(""), []string{"-f", "-"}, false},
		"List on stdin":       {list, []string{"-f", "-"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := sluice(t, tt.stdin, append([]string{"verify", "-o", "json", "--flows", flows}, tt.args...)...)
			if want := fmt.Sprintf(`"allowed":%v`, tt.allowed); got.code != exitOK || !strings.Contains(got.out, want) {
				t.Errorf("want %s, got %+v", want, got)
			}
		})
	}
}

// The ends of a flow are who owns the addresses now.
func TestVerifyNotices(t *testing.T) {
	done := strings.Replace(pod("default", "done", "app: job", "10.0.0.3", ""), "Running", "Succeeded", 1)
	got := sluice(t, `{"src":"done","dst":"b","port":8080}`, "verify", "-o", "json",
		"-f", write(t, "m.yaml", policyB("ingress: [{from: [{podSelector: {}}]}]")+"\n---\n"+done))
	if !strings.Contains(got.out, `"allowed":false`) || !strings.Contains(got.out, `Pod default/done is finished`) {
		t.Errorf("got %+v", got)
	}
}

// The unit tests of a large team are answered one by one, whatever their number.
func TestVerifyManyFlows(t *testing.T) {
	const flows = 100_000
	var b strings.Builder
	for i := range flows {
		fmt.Fprintf(&b, `{"src":"a","dst":"b","port":%d,"expected":%v,"n":%d}`+"\n", i%65535+1, i%65535+1 == 8080, i)
	}
	path := write(t, "m.yaml", policyB("ingress: [{from: [{podSelector: {}}], ports: [{port: http}]}]"))
	got := sluice(t, b.String(), "verify", "-o", "json", "-f", path)
	if got.code != exitOK || strings.Count(got.out, "\n") != flows {
		t.Errorf("exit code %d, %d lines: %s", got.code, strings.Count(got.out, "\n"), got.err)
	}
}

func TestVerifyLargeFile(t *testing.T) {
	var b strings.Builder
	b.WriteString(policyB(""))
	for i := 0; b.Len() < 50<<20; i++ {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {x: %s}\n", i, strings.Repeat("y", 100_000))
	}
	got := sluice(t, answerAToB, "verify", "-o", "json", "-f", write(t, "m.yaml", b.String()))
	if got.code != exitOK || !strings.Contains(got.out, `"allowed":false`) {
		t.Errorf("exit code %d: %s", got.code, got.out)
	}
}
