package app

import (
	"slices"
	"strings"
	"testing"
)

// A shell proposes the formats that a command takes, and what the manifests have.
func TestCompletion(t *testing.T) {
	path := write(t, "m.yaml", pod("shop", "web", "app: web", "10.0.0.1", "")+"\n---\n"+pod("guests", "wanderer", "app: x", "10.0.0.2", "")+`
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: carts, namespace: shop}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}
`)
	for name, c := range map[string]struct{ args, want []string }{
		"formats":         {[]string{"verify", "-o", ""}, []string{"github", "json", "junit", "md", "text"}},
		"namespaces":      {[]string{"explain", "-f", path, "-n", "s"}, []string{"shop"}},
		"a workload":      {[]string{"explain", "-f", path, "-n", "shop", "deploy/"}, []string{"deploy/carts"}},
		"a Pod":           {[]string{"explain", "-f", path, "-n", "shop", "w"}, []string{"web"}},
		"another's Pod":   {[]string{"explain", "-f", path, "-n", "shop", "web", "guests/"}, []string{"guests/wanderer"}},
		"a namespace":     {[]string{"explain", "-f", path, "-n", "shop", "ns/g"}, []string{"ns/guests"}},
		"no third end":    {[]string{"explain", "-f", path, "web", "web", ""}, nil},
		"nothing to read": {[]string{"explain", "-f", "/nonexistent", ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := sluice(t, "", append([]string{"__complete"}, c.args...)...)
			var proposed []string
			for line := range strings.Lines(got.out) {
				if line = strings.TrimSpace(line); line != "" && line[0] != ':' {
					proposed = append(proposed, line)
				}
			}
			slices.Sort(proposed)
			if !slices.Equal(proposed, c.want) || !strings.Contains(got.out, ":4") {
				t.Errorf("proposed %q, want %q: %s%s", proposed, c.want, got.out, got.err)
			}
		})
	}
}

// Every format that is proposed is one that the command takes.
func TestEveryFormatThatIsProposedIsTaken(t *testing.T) {
	root := newRootCommand(IOStreams{})
	for _, cmd := range root.Commands() {
		f := cmd.Flags().Lookup("output")
		if f == nil {
			continue
		}
		for _, format := range formats(f) {
			if format == "" || strings.ContainsAny(format, "(),. ") {
				t.Errorf("%s: %q of %q", cmd.Name(), format, f.Usage)
			}
		}
		if !slices.Contains(formats(f), f.DefValue) {
			t.Errorf("%s: the default %s is not among %v", cmd.Name(), f.DefValue, formats(f))
		}
	}
}
