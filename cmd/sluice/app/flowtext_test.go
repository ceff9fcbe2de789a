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
		"YAML with merge keys": `defaults:
  no: &no {expected: false}
  db: &db {dst: shop/db, port: 5432, proto: UDP}
flows:
- {<<: *no, src: shop/web, dst: shop/db, port: sql, expected: true}
- &second
  src: shop/db
  <<: *no
  dst: shop/web
  port: 8080
- {<<: [*no, *db], src: internet, proto: TCP}
- &last "any -> shop/web:80/UDP"
`,
		"YAML with aliases": `more: &more
- shop/web -> shop/db:sql allow
- &second {src: shop/db, dst: shop/web, port: 8080, expected: false}
- *second
- &text any -> shop/web:80/UDP
flows: *more
`,
		"JSON in many lines": `[
  {
    "src": "shop/web", "dst": "shop/db",
    "port": "sql", "expected": true
  },
	{"src": "shop/db", "dst": "shop/web", "port": 8080, "expected": false}
, "internet -> shop/db:5432 deny",
  "any -> shop/web:80/UDP"]
`,
		"JSON under flows": `{"title": "x",
  "flows": [{"src": "shop/web", "dst": "shop/db", "port": "sql", "expected": true}, {"src":"shop/db","dst":"shop/web","port":8080,"expected":false},
  "internet -> shop/db:5432 deny", "any -> shop/web:80/UDP"]}`,
		"JSON under flows in a line": `{"flows":["shop/web -> shop/db:sql allow","shop/db -> shop/web:8080 deny","internet -> shop/db:5432 deny","any -> shop/web:80/UDP"]}`,
		"JSON values in many lines, as jq prints them": `# by jq
{
  "src": "shop/web",
  "dst": "shop/db",
  "port": "sql",
  "expected": true
}
{
  "src": "shop/db", "dst": "shop/web", "port": 8080, "expected": false
}
{"src":"internet","dst":"shop/db","port":5432,"expected":false} {"src":"any","dst":"shop/web","port":80,"proto":"UDP"}
`,
		"text with tabs": "shop/web\t->\tshop/db:sql\tallow\t# PCI 1.2\nshop/db -> shop/web:8080 deny\t# why\ninternet -> shop/db:5432\tdenied\t#\nany -> shop/web:80/UDP\t# only answered\n",
	} {

		r := sluice(t, flows, "verify", "-f", file, "-q")
		want := "4 flows: 3 with an expectation, 0 mismatches, 0 unusable"
		if r.code != exitOK || !strings.Contains(r.out, want) || r.err != "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// What a merge key or an alias brings counts, and what it cannot bring is an error: nobody
// takes a flow without its expectation for one that is as expected.
func TestFlowsThatMerge(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	const good = "- shop/web -> shop/db:sql allow\n"
	for name, c := range map[string]struct {
		flows string
		code  int
		want  string
	}{
		"merged":            {"defaults: &deny {expected: false}\nflows:\n- {<<: *deny, src: shop/web, dst: shop/db, port: 5432}\n" + good, exitFailed, "expected denied, is allowed"},
		"its own counts":    {"defaults: &deny {expected: false}\nflows:\n- {expected: true, <<: *deny, src: shop/web, dst: shop/db, port: 5432}\n" + good, exitOK, "0 mismatches"},
		"an alias":          {good + "- &f {src: shop/web, dst: shop/db, port: 22}\n- {<<: *f, expected: true}\n- *f\n", exitFailed, "4 flows: 2 with an expectation, 1 mismatch, 0 unusable"},
		"in quotes":         {good + "- {\"<<\": {expected: false}, src: shop/web, dst: shop/db, port: 5432}\n", exitUnusable, "merges nothing here"},
		"in JSON":           {"{\"<<\": {\"expected\": false}, \"src\": \"shop/web\", \"dst\": \"shop/db\", \"port\": 5432}\nshop/web -> shop/db:sql allow\n", exitUnusable, "merges nothing here"},
		"no mapping":        {good + "- {<<: 5, src: shop/web, dst: shop/db, port: 5432}\n", exitUnusable, "map merge requires"},
		"around the list":   {"defaults: &d {flows: [shop/web -> shop/db:22 allow]}\nall:\n<<: *d\nflows:\n" + good, exitUnusable, "write flows: *NAME"},
		"two lists":         {"flows:\n" + good + "flows:\n- shop/web -> shop/db:22 allow\n", exitUnusable, "flows stands twice"},
		"a field twice":     {good + "- {src: shop/web, dst: shop/db, port: 5432, expected: false, expected: true}\n", exitUnusable, "already defined"},
		"itself":            {good + "- &f {<<: *f, src: shop/web, dst: shop/db, port: 5432}\n", exitUnusable, "contains itself"},
		"a list in a list":  {"[[\"shop/web -> shop/db:22 allow\"],\n\"shop/web -> shop/db:sql allow\"]", exitUnusable, "neither a flow's fields"},
		"the first cut off": {"{\"src\": \"shop/web\",\nshop/web -> shop/db:sql allow\n", exitUnusable, "ends in the middle"},
	} {
		r := sluice(t, c.flows, "verify", "-f", file, "-q")
		if r.code != c.code || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%s: want %d and %q: %+v", name, c.code, c.want, r)
		}
		if c.code == exitUnusable && !strings.HasPrefix(r.err, "error: read flows") && !strings.Contains(r.out, "2 flows: 1 with an expectation, 0 mismatches, 1 unusable") {
			t.Errorf("%s: the other flow is not answered: %+v", name, r)
		}
	}
}

// A flow is told by the line at which it begins, however it is written.
func TestLinesOfFlows(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	for in, want := range map[string]string{
		"# a\n[\n\n{\"src\": \"shop/web\",\n\"dst\": \"shop/db\", \"port\": 1},\n{\"src\": \"shop/web\", \"dst\": \"shop/db\", \"port\": 2, \"expected\": true}]": "stdin:6: ",
		"{\"a\": [],\n\"flows\": [\n\"shop/web -> shop/db:2 allow\"]}":                                                                                            "stdin:3: ",
		"{\"src\": \"shop/web\", \"dst\": \"shop/db\",\n\"port\": 1}\n{\"src\": \"shop/web\",\n\"dst\": \"shop/db\", \"port\": 2, \"expected\": true}":            "stdin:3: ",
		"# a\n- shop/web -> shop/db:1\n- shop/web -> shop/db:2 allow\n":                                                                                           "stdin:3: ",
	} {
		if r := sluice(t, in, "verify", "-f", file, "-q"); r.code != exitFailed || !strings.Contains(r.out+r.err, want) {
			t.Errorf("%s: %+v, want %s", in, r, want)
		}
	}
}

func TestFlowFormatErrors(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	for flows, want := range map[string]string{
		"- [a]\n":                       "line 1  is neither",
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
	for _, s := range []string{textFlows, "- a -> b", "flows: [{src: a}]", "a -> b:80 allow\t# x", "a: &a {src: a, <<: *a}\nflows: &f [*a, *f]", "[{\"src\": \"a\"}, \"a -> b\", [1]]", "{\"flows\": [{\n}]} {}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = parseTextLine(1, s, "default")
		_ = formatOf([]byte(s))
		flows, is := jsonFlows([]byte(s))
		if !is {
			flows, _ = yamlFlows([]byte(s))
		}
		for _, one := range flows {
			if strings.HasPrefix(string(one.data), "{") {
				_, _ = parseFlowLine(one.line, one.data, "default")
			}
		}
	})
}
