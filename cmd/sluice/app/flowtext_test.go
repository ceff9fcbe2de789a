package app

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const textFlows = `# who may do what
shop/web -> shop/db:sql allow  # PCI 1.2
shop/db → shop/web:8080 deny
internet -> shop/db:5432 denied

any -> shop/web:80/UDP
`

// Lines of text, JSON lines and YAML of either are the same flows.
func TestFlowFormats(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	for name, flows := range map[string]string{
		"text": textFlows,
		"JSON": `{"src":"shop/web","dst":"shop/db","port":"sql","expected":true,"why":"PCI 1.2"}
{"src":"shop/db","dst":"shop/web","port":8080,"expected":false}
{"src":"internet","dst":"shop/db","port":5432,"expected":false}
{"src":"any","dst":"shop/web","port":80,"proto":"UDP"}`,
		"mixed": `{"src":"shop/web","dst":"shop/db","port":"sql","expected":true,"why":"PCI 1.2"}
shop/db -> shop/web:8080 deny
internet -> shop/db:5432 deny
any -> shop/web:80/UDP`,
		"YAML": `# as YAML
flows:
- {src: shop/web, dst: shop/db, port: sql, expected: true, why: PCI 1.2}
- src: shop/db
  dst: shop/web
  port: 8080
  expected: false
- internet -> shop/db:5432 deny
- any -> shop/web:80/UDP
`,
	} {
		r := sluice(t, flows, "verify", "-f", file, "-q")
		want := "4 flows: 3 with an expectation, 0 mismatches, 0 unusable"
		if r.code != exitOK || !strings.Contains(r.out, want) || r.err != "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestFlowFormatErrors(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	for flows, want := range map[string]string{
		"- [a]\n":                       "line 1: is neither",
		"flows: 5\n":                    "no list of flows",
		"a: b\n":                        "no list of flows",
		"- a: [\n":                      "not valid YAML",
		"- {src: a}\n---\n- {src: a}\n": "more than one YAML document",
		"shop/web -> shop/db:sql yes\n": "write allow or deny",
	} {
		if r := sluice(t, flows, "verify", "-f", file); r.code != exitUnusable || !strings.Contains(r.err+r.out, want) {
			t.Errorf("%q: %+v", flows, r)
		}
	}
}

// What is not as expected is told to machines and people, at its line.
func TestVerifyOutputs(t *testing.T) {
	file, flows := write(t, "shop.yaml", shopManifests), write(t, "flows.txt", textFlows+"shop/web -> shop/db:22 allow # backup\nshop/x -> shop/db:1\n")
	run := func(output string, more ...string) string {
		r := sluice(t, "", append([]string{"verify", "-f", file, "--flows", flows, "-q", "-o", output}, more...)...)
		if r.code != exitUnusable {
			t.Errorf("%s: %d: %s", output, r.code, r.err)
		}
		return r.out
	}
	if out := run("text", "--only-mismatches"); strings.Contains(out, "as expected\n") || !strings.Contains(out, "shop/web → shop/db:22/TCP") || strings.Count(out, "UNUSABLE") != 1 {
		t.Errorf("%s", out)
	}
	out := run("json", "--only-mismatches")
	var line struct {
		Why, Reason, Nearest string
		Policies             []string
	}
	first, _, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(first), &line); err != nil || strings.Count(out, "\n") != 2 {
		t.Errorf("%v: %s", err, out)
	}
	if line.Why != "backup" || line.Nearest != "shop/db ingress[0]" || !strings.Contains(line.Reason, "not 22") {
		t.Errorf("%+v", line)
	}
	if diff := cmp.Diff([]string{"shop/db"}, line.Policies); diff != "" {
		t.Error(diff)
	}
	if out := run("github"); !strings.Contains(out, "::error file="+flows+",line=7,") || !strings.Contains(out, ",line=8,") {
		t.Errorf("%s", out)
	}
	if out := run("md"); !strings.Contains(out, "| 7 | shop/web → shop/db:22/TCP: expected allowed, is denied (backup) |") || !strings.Contains(out, "6 flows: 4 with an expectation, 1 mismatch, 1 unusable") {
		t.Errorf("%s", out)
	}
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal([]byte(run("junit")), &suites); err != nil || suites.Tests != 6 || suites.Failures != 2 {
		t.Errorf("%+v, %v", suites, err)
	}
	// What is as expected is left out of every format.
	if err := xml.Unmarshal([]byte(run("junit", "--only-mismatches")), &suites); err != nil || suites.Tests != 2 || suites.Failures != 2 {
		t.Errorf("only mismatches: %+v, %v", suites, err)
	}
}

func FuzzTextFlows(f *testing.F) {
	for _, s := range []string{textFlows, "- a -> b", "flows: [{src: a}]", "a -> b:80 allow # x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = parseTextLine(1, s, "default")
		flows, err := yamlFlows(strings.NewReader(s))
		if err != nil {
			return
		}
		for _, one := range flows {
			if strings.HasPrefix(string(one.data), "{") {
				_, _ = parseFlowLine(one.line, one.data, "default")
			}
		}
	})
}
