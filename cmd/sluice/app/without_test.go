package app

import (
	"strings"
	"testing"
)

// Whoever has no kubeconfig is told of what the command at hand can be asked instead, and
// of no flag that it has not got.
func TestWithoutAKubeconfig(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", "")
	file := write(t, "shop.yaml", shopManifests)
	const cluster, manifests, socket = "no cluster: give a kubeconfig with --kubeconfig", "-f PATH", "--socket"
	for _, c := range []struct {
		args       string
		say, never []string
	}{
		{"status", []string{cluster, socket}, []string{manifests}},
		{"status netpol/db", []string{cluster, socket}, []string{manifests}},
		{"wait netpol/db", []string{cluster, socket}, []string{manifests}},
		{"observe", []string{cluster, socket}, []string{manifests}},
		{"observe -f --allowed", []string{cluster, socket}, []string{manifests}},
		{"try -f " + file, []string{cluster}, []string{manifests, socket}},
		{"suggest --for 1s -n shop", []string{cluster}, []string{manifests, socket}},
		{"diff cluster " + file, []string{"OLD: " + cluster}, []string{manifests, socket}},
		{"diff " + file + " cluster", []string{"NEW: " + cluster}, []string{manifests, socket}},
		{"doctor --agents", []string{"no kubeconfig", "sudo sluice doctor"}, []string{manifests}},
		{"list", []string{"no manifests and no cluster", manifests}, []string{socket}},
		{"exposure", []string{"no manifests and no cluster", manifests}, []string{socket}},
		{"verify", []string{"no manifests and no cluster", manifests}, []string{socket}},
		{"explain a b:80", []string{"no manifests and no cluster", manifests}, []string{socket}},
		{"suggest --flows -", []string{"no manifests and no cluster", manifests}, []string{socket}},
	} {
		r := sluice(t, "", strings.Fields(c.args)...)
		if r.code != exitUnusable || r.out != "" {
			t.Errorf("%s: %+v", c.args, r)
		}
		for _, want := range c.say {
			if !strings.Contains(r.err, want) {
				t.Errorf("%s: %q is missing: %s", c.args, want, r.err)
			}
		}
		for _, not := range c.never {
			if strings.Contains(r.err, not) {
				t.Errorf("%s: %q should not be there: %s", c.args, not, r.err)
			}
		}
	}
}
