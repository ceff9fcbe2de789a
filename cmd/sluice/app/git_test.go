package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// committed is a repository whose first commit has the files, and links where a text
// begins with an arrow.
func committed(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, is := strings.CutPrefix(text, "→ "); is {
			err = os.Symlink(target, name)
		} else {
			err = os.WriteFile(name, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	inGit(t, "init", "-q", ".")
	commit(t)
}

func commit(t *testing.T) {
	t.Helper()
	inGit(t, "add", "-A")
	inGit(t, "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "one")
}

func inGit(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// everyShape has what a directory of manifests may be made of.
func everyShape() map[string]string {
	other := strings.NewReplacer("namespace: shop", "namespace: other").Replace(shopManifests)
	return map[string]string{
		"shared/app.yaml":                 shopManifests,
		"linked/app.yaml":                 "→ ../shared/app.yaml",
		"linked/again":                    "→ ../linked",
		"dirs/below":                      "→ ../dirs2/../shared",
		"dirs2/notes":                     "→ nowhere",
		"dirs2/.hidden.yaml":              "→ nowhere",
		"far":                             "→ linked",
		"charted/app.yaml":                shopManifests,
		"charted/chart/Chart.yaml":        "name: x",
		"charted/chart/templates/d.yaml":  "{{ if }}",
		"charted/chart/values.yaml":       "[",
		"chart/Chart.yaml":                "name: x",
		"chart/templates/d.yaml":          "{{ if }}",
		"built/base/all.yaml":             shopManifests,
		"built/base/kustomization.yaml":   "resources: [all.yaml]",
		"built/prod/kustomization.yaml":   "namespace: prod\nresources: [../base, ../linked]\npatches: [{path: open.yaml}]",
		"built/prod/open.yaml":            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec: {ingress: [{}]}",
		"built/linked/kustomization.yaml": "resources: [more.yaml]",
		"built/linked/more.yaml":          "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}",
		"[id]/app.yaml":                   shopManifests,
		"i/app.yaml":                      other,
		"many/a.yaml":                     shopManifests,
		"many/b.yaml":                     other,
		"many/c.txt":                      other,
	}
}

// A revision is read as the directory is: whatever it is made of, nothing differs where
// nothing changed, and the same is said of what is left out.
func TestARevisionIsReadAsItsDirectory(t *testing.T) {
	committed(t, everyShape())
	for _, tt := range []struct {
		path string
		code int
		says string
	}{
		{"linked", exitOK, ""},
		{"linked/app.yaml", exitOK, ""},
		{"linked/again/again/app.yaml", exitOK, ""},
		{"dirs", exitOK, ""},
		{"far", exitOK, ""},
		{"far/app.yaml", exitOK, ""},
		{"charted", exitOK, "left out: a Helm chart"},
		{"chart", exitUnusable, "is a Helm chart"},
		{"built/base", exitOK, "not built: "},
		{"[id]", exitOK, ""},
		{"[id]/app.yaml", exitOK, ""},
		{"many/*.yaml", exitOK, ""},
		{"m*/?.yaml", exitOK, ""},
		{"x*/*", exitUnusable, "nothing is called as"},
		{"f*/app.yaml", exitOK, ""},
		{"dirs2", exitUnusable, "no .yaml, .yml or .json file"},
		{"none", exitUnusable, ""},
	} {
		here, there := sluice(t, "", "list", "-f", tt.path), sluice(t, "", "list", "-f", "HEAD:"+tt.path)
		if here.code != tt.code || there.code != tt.code || here.out != there.out {
			t.Errorf("%s: the directory gives %+v, the revision %+v", tt.path, here, there)
		}
		for _, got := range []result{here, there} {
			if !strings.Contains(got.err, tt.says) || strings.Count(got.err, "\n") != strings.Count(here.err, "\n") {
				t.Errorf("%s: %q is missing, or something else is said:\n%s", tt.path, tt.says, got.err)
			}
		}
		if got := sluice(t, "", "diff", "HEAD:"+tt.path, tt.path); got.code != tt.code || tt.code == exitOK && !strings.Contains(got.out, "No difference") {
			t.Errorf("%s, which did not change: %+v", tt.path, got)
		}
	}
	t.Chdir("linked")
	for _, path := range []string{".", "../far", "./app.yaml", "../m*/a.yaml"} {
		if got := sluice(t, "", "diff", "HEAD:"+path, path); got.code != exitOK {
			t.Errorf("%s, from a directory below: %+v", path, got)
		}
	}
	if got := sluice(t, "", "list", "-f", "HEAD:../.."); got.code != exitUnusable || !strings.Contains(got.err, "leads out of the repository") {
		t.Errorf("%+v", got)
	}
}

// What of a directory a commit cannot have is named: nothing is left out in silence.
func TestWhatARevisionCannotHave(t *testing.T) {
	outside := t.TempDir()
	for name, tt := range map[string]struct {
		link, target string
		code         int
		says         string
	}{
		"a manifest outside":            {"d/x.yaml", outside + "/x.yaml", exitUnusable, "d/x.yaml: it is a link that leads out of the repository"},
		"a manifest outside, by dots":   {"d/x.yaml", "../../x.yaml", exitUnusable, "d/x.yaml: it is a link that leads out of the repository"},
		"what may be manifests outside": {"d/more", outside, exitOK, "d/more: notice: left out: it is a link that leads out of the repository"},
		"a manifest nowhere":            {"d/x.yaml", "y.yaml", exitUnusable, "d/x.yaml: it is a link that leads nowhere"},
		"a manifest in a circle":        {"d/x.yaml", "x.yaml", exitUnusable, "d/x.yaml: its links lead in a circle"},
		"something nowhere":             {"d/more", "nowhere", exitOK, ""},
	} {
		committed(t, map[string]string{"d/app.yaml": shopManifests, tt.link: "→ " + tt.target})
		got := sluice(t, "", "list", "-f", "HEAD:d")
		if got.code != tt.code || !strings.Contains(got.err, tt.says) {
			t.Errorf("%s: want %d, %q: %+v", name, tt.code, tt.says, got)
		}
	}
	committed(t, map[string]string{"d/app.yaml": shopManifests})
	inGit(t, "update-index", "--add", "--cacheinfo", "160000,"+inGit(t, "rev-parse", "HEAD")+",d/sub")
	inGit(t, "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "sub")
	if got := sluice(t, "", "list", "-f", "HEAD:d"); got.code != exitOK || !strings.Contains(got.err, "d/sub: notice: left out: a submodule") {
		t.Errorf("a submodule: %+v", got)
	}
}

// -k builds a kustomization of a revision as it builds one here, and diff's -k both.
func TestKustomizationOfARevision(t *testing.T) {
	committed(t, everyShape())
	here, there := sluice(t, "", "list", "-q", "-k", "built/prod"), sluice(t, "", "list", "-q", "-k", "HEAD:built/prod")
	if here.code != exitOK || here != there || !strings.Contains(here.out, "internet → prod/db") {
		t.Errorf("here %+v, in the revision %+v", here, there)
	}
	diff := func(want int, says string, args ...string) {
		t.Helper()
		got := sluice(t, "", append([]string{"diff"}, args...)...)
		if got.code != want || !strings.Contains(got.out+got.err, says) {
			t.Errorf("diff %v: want %d, %q: %+v", args, want, says, got)
		}
	}
	diff(exitOK, "No difference", "-k", "HEAD:built/prod", "built/prod")
	diff(exitFailed, "Workloads added: StatefulSet prod/db, Deployment prod/web", "built/base", "built/prod", "-k")
	diff(exitOK, "No difference", "-k", "HEAD:many/a.yaml", "HEAD:built/base")
	diff(exitUnusable, "neither OLD nor NEW is a directory with a kustomization.yaml", "-k", "HEAD:many", "many")
	diff(exitUnusable, "there is no \"none\" in revision HEAD", "-k", "HEAD:none", "built/prod")
	if err := os.WriteFile("built/prod/kustomization.yaml", []byte("namespace: prod\nresources: [../base]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	diff(exitFailed, "policy prod/db spec.ingress[0] (HEAD:built/prod (built):48) allowed it", "-k", "HEAD:built/prod", "built/prod", "--apply")
	committed(t, map[string]string{"k/kustomization.yaml": "resources: [../../x.yaml]", "l/kustomization.yaml": "resources: [x.yaml]", "l/x.yaml": "→ ../k/kustomization.yaml"})
	for _, dir := range []string{"HEAD:k", "HEAD:l"} {
		if got := sluice(t, "", "list", "-k", dir); got.code != exitUnusable || !strings.Contains(got.err, "build kustomization "+dir) {
			t.Errorf("%s: %+v", dir, got)
		}
	}
}
