//go:build !windows

package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kubectl completes "kubectl sluice …" by the program that a release ships for it, which
// asks the plugin. This test's own binary is the plugin, by its name.
func TestCompletionOfThePlugin(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, target := range map[string]string{"kubectl-sluice": self, "kubectl_complete-sluice": "../../../deploy/krew/kubectl_complete-sluice"} {
		if target, err = filepath.Abs(target); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	file := write(t, "shop yaml.yaml", shopEntries)
	for _, c := range []struct {
		typed []string
		want  string
	}{
		{[]string{"exp"}, "explain\t"},
		{[]string{"list", "-o", ""}, "\nmermaid\n"},
		{[]string{"explain", "-n", "shop", "-f", file, "deploy/"}, "deploy/web\n"},
		{[]string{"explain", "-n", "shop", "-f", file, "ingress/"}, "ingress/web\n"},
		{[]string{"explain", "-f", file, "-n", ""}, "shop\n"},
		{[]string{"explain", "--color", ""}, "always\n"},
	} {
		out, err := exec.Command("kubectl_complete-sluice", c.typed...).Output()
		if err != nil {
			t.Fatalf("%q: %v", c.typed, err)
		}
		if !strings.Contains("\n"+string(out), c.want) || !strings.Contains(string(out), "\n:4\n") {
			t.Errorf("%q: %q is missing in\n%s", c.typed, c.want, out)
		}
	}
}
