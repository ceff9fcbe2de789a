package app

import (
	"strings"
	"testing"
)

// TestHTMLOutputs: the page says how it was made, and has rules with their places.
func TestHTMLOutputs(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	old := write(t, "old.yaml", strings.ReplaceAll(shopManifests, "port: sql", "port: 5432"))
	opened := write(t, "opened.yaml", strings.ReplaceAll(shopManifests, "  - from: [{podSelector: {matchLabels: {app: web}}}]\n    ports", "  - ports"))
	for name, c := range map[string]struct {
		args []string
		has  []string
		code int
	}{
		"list":     {[]string{"list", "-f", file}, []string{"Who can reach whom", `"command":"sluice list -f ` + file + `"`, `"explain":"sluice explain -f ` + file + `"`, "shop.yaml:23", `"label":"TCP 5432"`}, exitOK},
		"focus":    {[]string{"list", "-f", file, "--focus", "app=db"}, []string{`--focus app=db"`, `"unasked"`}, exitOK},
		"quoted":   {[]string{"list", "-f", file, "--focus", "app in (db)"}, []string{`--focus 'app in (db)'"`}, exitOK},
		"exposure": {[]string{"exposure", "-f", file, "--direction", "ingress"}, []string{"What is exposed", `"open to"`, "shop.yaml:23"}, exitOK},
		"diff":     {[]string{"diff", file, opened}, []string{"What changes", `"state":"added"`, "opened.yaml:2"}, exitFailed},
		"same":     {[]string{"diff", old, file}, []string{"What changes", `"cells":[]`}, exitOK},
	} {
		r := sluice(t, "", append(c.args, "-o", "html")...)
		if r.code != c.code {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.err)
		}
		for _, want := range c.has {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s: the page has no %s", name, want)
			}
		}
	}
}

func TestOneDirectionOfExposureIsAsked(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	r := sluice(t, "", "exposure", "-f", file, "--direction", "ingress", "-o", "html")
	if !strings.Contains(r.out, `"namespace":"open to"`) || strings.Contains(r.out, `"namespace":"may reach"`) {
		t.Error("not the one direction is shown that was asked for")
	}
}

// TestPageDoesNotSayWhoAsked: a page is passed on.
func TestPageDoesNotSayWhoAsked(t *testing.T) {
	cmd := newListCommand(IOStreams{})
	if err := cmd.ParseFlags([]string{"--as", "somebody", "--kubeconfig", "/home/somebody/config", "--context", "staging", "--why"}); err != nil {
		t.Fatal(err)
	}
	want := typedCommand{command: "list --context staging", explain: "explain --context staging"}
	if got := typed(cmd, nil); got != want {
		t.Errorf("the command lines are %+v, want %+v", got, want)
	}
	want = typedCommand{command: `diff main:deploy 'my deploy'`, explain: `explain -f 'my deploy'`}
	if got := typed(newDiffCommand(IOStreams{}), []string{"main:deploy", "my deploy"}); got != want {
		t.Errorf("the command lines are %+v, want %+v", got, want)
	}
}
