package app

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository has the shop's manifests in its first commit, and other ones in the
// working tree.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join("deploy", ".hidden"), 0o755))
	must(os.WriteFile("deploy/shop.yaml", []byte(shopManifests), 0o600))
	must(os.WriteFile("deploy/.hidden/x.yaml", []byte("nonsense"), 0o600))
	must(os.WriteFile("deploy/notes.txt", []byte("nonsense: ["), 0o600))
	for _, args := range [][]string{
		{"init", "-q", "."}, {"add", "-A"}, {"-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "first"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	must(os.WriteFile("deploy/shop.yaml", []byte(strings.Replace(shopManifests, "port: sql", "port: 80", 1)), 0o600))
	return dir
}

func TestDiffGit(t *testing.T) {
	repository(t)
	for _, args := range [][]string{
		{"HEAD:deploy/", "deploy/"}, {"HEAD:deploy", "deploy/*.yaml"}, {"HEAD:deploy/shop.yaml", "deploy/shop.yaml"}, {"HEAD:", "deploy"}, {"HEAD:./", "."},
	} {
		r := sluice(t, "", append([]string{"diff"}, args...)...)
		if r.code != exitFailed || !strings.Contains(r.out, "shop/web → shop/db  TCP 80, was TCP 5432") || !strings.Contains(r.out, "shop.yaml:") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	t.Chdir("deploy") // ls-tree would list what is below it alone
	for _, args := range [][]string{{"HEAD:./", "."}, {"HEAD:deploy", "."}, {"HEAD:../deploy", "../deploy"}} {
		if r := sluice(t, "", append([]string{"diff"}, args...)...); r.code != exitFailed || !strings.Contains(r.out, "TCP 80, was TCP 5432") {
			t.Errorf("%v, from a directory below: %+v", args, r)
		}
	}
	if r := sluice(t, "", "diff", "HEAD:deploy", "HEAD:deploy"); r.code != exitOK || !strings.Contains(r.out, "No difference") {
		t.Errorf("%+v", r)
	}
}

func TestDiffExitCodes(t *testing.T) {
	open, closed := write(t, "open.yaml", shopManifests), write(t, "closed.yaml", strings.Replace(shopManifests, "app: web}}}]", "app: nobody}}}]", 1))
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"same":            {[]string{open, open}, exitOK},
		"any":             {[]string{open, closed}, exitFailed},
		"closes":          {[]string{open, closed, "--fail-on", "allowed"}, exitOK},
		"opens":           {[]string{closed, open, "--fail-on", "allowed"}, exitFailed},
		"never":           {[]string{closed, open, "--fail-on", "never"}, exitOK},
		"invalid":         {[]string{open, write(t, "bad.yaml", shopManifests+"\n  egress: 5\n")}, exitUnusable},
		"no such file":    {[]string{open, "nowhere"}, exitUnusable},
		"no revision":     {[]string{"nowhere:deploy", open}, exitUnusable},
		"stdin twice":     {[]string{"-", "-"}, exitUnusable},
		"unknown fail-on": {[]string{open, closed, "--fail-on", "x"}, exitUnusable},
	} {
		if r := sluice(t, "", append([]string{"diff"}, c.args...)...); r.code != c.want {
			t.Errorf("%s: %d, want %d: %s%s", name, r.code, c.want, r.out, r.err)
		}
	}
	for format := range diffOutputs {
		if r := sluice(t, shopManifests, "diff", closed, "-", "-o", format); r.code != exitFailed || r.out == "" {
			t.Errorf("-o %s: %+v", format, r)
		}
	}
}

// With --apply what NEW does not name stays as it is: its Pods, its policies and the labels
// of its Namespaces.
func TestDiffApply(t *testing.T) {
	before := write(t, "all.yaml", shopManifests+"\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n")
	policy := write(t, "policy.yaml", `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}
`)
	r := sluice(t, "", "diff", before, policy, "--apply")
	if r.code != exitFailed || r.err != "" || !strings.Contains(r.out, "policy.yaml:1) isolates the ingress") || strings.Contains(r.out, "removed") || strings.Contains(r.out, "gone") {
		t.Errorf("%+v", r)
	}
	if strings.Contains(r.out, "shop/db → shop/web") {
		t.Errorf("the Namespace has lost its labels, by which the policy lets in:\n%s", r.out)
	}
	if again := sluice(t, "", "diff", before, before, "--apply"); again.code != exitOK || !strings.Contains(again.out, "No difference") {
		t.Errorf("what is there already: %+v", again)
	}
	if r := sluice(t, "", "diff", before, policy); !strings.Contains(r.out, "Workloads removed") {
		t.Errorf("without --apply: %+v", r)
	}
	somewhere := write(t, "kubeconfig", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n")
	if r := sluice(t, "", "diff", before, "cluster", "--apply", "--kubeconfig", somewhere); r.code != exitUnusable || !strings.Contains(r.err, "--apply: NEW is what is applied") {
		t.Errorf("%+v", r)
	}
}

// Of what OLD's manifests gave an object, NEW takes away what it does not give: whole and
// applied, the change is the same one. What others gave stays.
func TestDiffApplyTakesAway(t *testing.T) {
	const namespaces = `
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop%s}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: guests%s}}
---
{apiVersion: v1, kind: Pod, metadata: {name: g, namespace: guests}, status: {podIP: 10.1.0.9}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: guests, namespace: shop%s}, spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {trusted: "true"}}}]}]}}
`
	all := func(shop, guests, policy string) string {
		return write(t, "all.yaml", shopManifests+fmt.Sprintf(namespaces, shop, guests, policy))
	}
	const policy, enforced = "policy shop/guests (", ") isolates the ingress; the policy was audited and is enforced now"
	old := all("", `, labels: {trusted: "true"}`, "")
	for name, tt := range map[string]struct{ old, now, says string }{
		"an annotation of a policy": {all("", "", `, annotations: {sluice-net.github.io/mode: audit}`), all("", "", ""), enforced + "\n"},
		"a label of its Namespace":  {all(`, labels: {sluice-net.github.io/mode: audit}`, "", ""), all("", "", ""), enforced + " by its Namespace's label\n"},
		"a label of a Namespace":    {old, all("", "", ""), "guests/g → shop/web"},
		"an annotation comes":       {all("", "", ""), all("", "", `, annotations: {sluice-net.github.io/mode: audit}`), "isolated the ingress; the policy was enforced and is audited now\n"},
		"nothing but another label": {old, all(`, labels: {team: a}`, `, labels: {trusted: "true"}`, ""), "No difference"},
	} {
		whole, applied := sluice(t, "", "diff", "-q", tt.old, tt.now), sluice(t, "", "diff", "-q", tt.old, tt.now, "--apply")
		if whole != applied || !strings.Contains(applied.out, tt.says) || strings.Contains(tt.says, "audited") && strings.Contains(applied.out, "the policy is the same") {
			t.Errorf("%s: %q is missing, or whole and applied differ:\n%s\n%s", name, tt.says, whole.out, applied.out)
		}
		if strings.Contains(tt.says, enforced) && !strings.Contains(applied.out, policy) {
			t.Errorf("%s:\n%s", name, applied.out)
		}
	}
	if r := sluice(t, "", "diff", all(`, labels: {sluice-net.github.io/mode: audit}`, "", ""), all("", "", ""), "-o", "json"); !strings.Contains(r.out, `"mode": "nowEnforced"`) {
		t.Errorf("the document does not have the mode: %+v", r)
	}
	others := all("", `, uid: 6b8, labels: {trusted: "true"}`, "")
	if r := sluice(t, "", "diff", "-q", others, all("", "", ""), "--apply"); r.code != exitOK {
		t.Errorf("a label that others gave: %+v", r)
	}
}

// What a flag or a word means nothing for is refused, and not left out.
func TestDiffRefusesWhatItWouldNotUse(t *testing.T) {
	t.Chdir(t.TempDir())
	config := write(t, "kubeconfig", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n")
	for _, name := range []string{"cluster", "shop.yaml"} {
		if err := os.WriteFile(name, []byte(shopManifests), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"./cluster", "shop.yaml"}, exitOK, "No difference"},
		{[]string{"cluster", "shop.yaml"}, exitUnusable, "write ./cluster for the path, or give --context or --kubeconfig"},
		{[]string{"shop.yaml", "cluster"}, exitUnusable, "write ./cluster for the path, or give --context or --kubeconfig"},
		{[]string{"cluster", "shop.yaml", "--kubeconfig", config}, exitUnusable, "OLD: "},
		{[]string{"./cluster", "shop.yaml", "--context", "c", "--as", "jane"}, exitUnusable, "neither OLD nor NEW is \"cluster\": leave it out"},
		{[]string{"shop.yaml", "shop.yaml", "--kubeconfig", config}, exitUnusable, "--kubeconfig is for a cluster"},
	} {
		if r := sluice(t, "", append([]string{"diff"}, tt.args...)...); r.code != tt.code || !strings.Contains(r.out+r.err, tt.says) {
			t.Errorf("%v: want %d, %q: %+v", tt.args, tt.code, tt.says, r)
		}
	}
}

func TestParseRevision(t *testing.T) {
	for in, want := range map[string]string{
		"HEAD~1:deploy/": "HEAD~1:deploy", "main:": "main:", "HEAD:./": "HEAD:./", "deploy": "", `C:\deploy`: "", "--upload-pack=x:y": "", ":x": "",
	} {
		got, is := parseRevision(in)
		if is != (want != "") || is && got.String() != want {
			t.Errorf("%s: %v %v", in, got, is)
		}
	}
}
