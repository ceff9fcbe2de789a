package findings_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/findings"
)

// nasty is text as a manifest may have it, with all that some format gives a meaning.
const nasty = "100% <b>&\"'\r\n::error file=x,line=1::, | `c` [l](u) \x1b[31m \x00 ]]>"

func checks() []findings.Check {
	return []findings.Check{
		{ID: "first", Says: "First.", Why: "Because.", Mend: "Mend it.", Level: findings.Warning, HelpURI: "https://example.org/#first"},
		{ID: "second", Says: "Second.", Mend: "Mend it, too.", Level: findings.Note, HelpURI: "https://example.org/#second"},
		{ID: "third", Says: "Third.", Mend: "Nothing.", Level: findings.Error, HelpURI: "https://example.org/#third"},
	}
}

func result() findings.Result {
	return findings.Result{
		Tool: "lint", Checks: checks(),
		Findings: []findings.Finding{
			{ID: "second", Level: findings.Note, Object: "NetworkPolicy shop/web", Field: "spec.ingress[0]", File: "deploy/a b%.yaml", Line: 7, Message: nasty, Mend: nasty},
			{ID: "first", Level: findings.Warning, Object: "NetworkPolicy shop/db", File: "/abs/x.yaml", Message: "no line is known"},
			{ID: "first", Level: findings.Error, Message: "no place at all", Key: "k"},
			{ID: "first", Level: findings.Warning, File: `.\win\c:d.yaml`, Line: 1, Message: "of Windows"},
		},
		Silenced: []findings.Finding{{ID: "second", Level: findings.Note, Object: "NetworkPolicy shop/old", File: "old.yaml", Line: 3, Message: "said", Silenced: "old.yaml:2"}},
	}
}

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// sarifLog is what readers take of a log, by the names of the standard.
type sarifLog struct {
	Schema  string `json:"$schema"`
	Version string
	Runs    []struct {
		Tool struct {
			Driver struct {
				Name, Version, InformationURI string
				Rules                         []struct {
					ID, HelpURI                             string
					ShortDescription, FullDescription, Help struct{ Text string }
					DefaultConfiguration                    struct{ Level string }
				}
			}
		}
		ColumnKind string
		Results    []sarifResult
	}
}

type sarifResult struct {
	RuleID              string
	RuleIndex           *int
	Level               string
	Message             struct{ Text string }
	PartialFingerprints map[string]string
	Locations           []struct {
		PhysicalLocation *struct {
			ArtifactLocation struct{ URI string }
			Region           *struct{ StartLine int }
		}
		LogicalLocations []struct{ FullyQualifiedName, Kind string }
	}
	Suppressions []struct{ Kind, Justification string }
}

func sarif(t *testing.T, r findings.Result) (log sarifLog) {
	t.Helper()
	text := written(t, func(w io.Writer) error { return findings.SARIF(w, r, "v1") })
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&log); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return log
}

// A log is what the standard asks for: each result's rule is the one at its index, regions
// begin at a line, and paths are references that lead to their file.
func TestSARIF(t *testing.T) {
	r := result()
	log := sarif(t, r)
	if log.Version != "2.1.0" || !strings.Contains(log.Schema, "sarif-schema-2.1.0") || len(log.Runs) != 1 {
		t.Fatalf("%+v", log)
	}
	run := log.Runs[0]
	rules := run.Tool.Driver.Rules
	if len(rules) != len(r.Checks) || run.Tool.Driver.Version != "v1" {
		t.Fatalf("%+v", run.Tool)
	}
	for i, rule := range rules {
		if rule.ID != r.Checks[i].ID || rule.ShortDescription.Text == "" || rule.Help.Text == "" || rule.HelpURI == "" || rule.DefaultConfiguration.Level != r.Checks[i].Level {
			t.Errorf("rule %d: %+v", i, rule)
		}
	}
	all := append(r.Findings, r.Silenced...)
	if len(run.Results) != len(all) {
		t.Fatalf("%d results of %d findings", len(run.Results), len(all))
	}
	uris := []string{"deploy/a%20b%25.yaml", "file:///abs/x.yaml", "", "win/c:d.yaml", "old.yaml"}
	for i, got := range run.Results {
		f := all[i]
		if got.RuleIndex == nil || rules[*got.RuleIndex].ID != f.ID || got.RuleID != f.ID || got.Level != f.Level {
			t.Errorf("result %d: rule %s at %v, level %s: %+v", i, got.RuleID, got.RuleIndex, got.Level, f)
		}
		if !strings.Contains(got.Message.Text, strings.ToValidUTF8(f.Message, "")) {
			t.Errorf("result %d says %q", i, got.Message.Text)
		}
		fingerprint := got.PartialFingerprints["sluiceLint/v1"]
		if b, err := hex.DecodeString(fingerprint); err != nil || len(b) != 16 {
			t.Errorf("result %d: fingerprint %q", i, fingerprint)
		}
		if (len(got.Suppressions) == 1) != (f.Silenced != "") {
			t.Errorf("result %d: %v", i, got.Suppressions)
		}
		if f.File == "" && f.Object == "" {
			if len(got.Locations) > 0 {
				t.Errorf("result %d: %v", i, got.Locations)
			}
			continue
		}
		at := got.Locations[0]
		if at.PhysicalLocation.ArtifactLocation.URI != uris[i] {
			t.Errorf("result %d: %q, want %q", i, at.PhysicalLocation.ArtifactLocation.URI, uris[i])
		}
		if _, err := url.Parse(at.PhysicalLocation.ArtifactLocation.URI); err != nil {
			t.Errorf("result %d: %v", i, err)
		}
		if region := at.PhysicalLocation.Region; (region != nil) != (f.Line > 0) || region != nil && region.StartLine != f.Line {
			t.Errorf("result %d: region %v, line %d", i, region, f.Line)
		}
		if (len(at.LogicalLocations) > 0) != (f.Object != "") {
			t.Errorf("result %d: %v", i, at.LogicalLocations)
		}
	}
	// Lists are lists where there is nothing, too.
	empty := written(t, func(w io.Writer) error { return findings.SARIF(w, findings.Result{Tool: "lint"}, "") })
	if strings.Contains(empty, "null") || !strings.Contains(empty, `"results": []`) || !strings.Contains(empty, `"rules": []`) {
		t.Errorf("%s", empty)
	}
	// A check that nobody knows is no other one.
	stray := sarif(t, findings.Result{Tool: "lint", Checks: checks(), Findings: []findings.Finding{{ID: "stray", Level: findings.Note, Message: "m"}}}).Runs[0].Results[0]
	if stray.RuleIndex == nil || *stray.RuleIndex != -1 {
		t.Errorf("rule index %v of a rule that is not there", *stray.RuleIndex)
	}
}

// A finding is known again when its lines move, and told from every other one.
func TestFingerprints(t *testing.T) {
	of := func(f findings.Finding) string {
		for _, print := range sarif(t, findings.Result{Tool: "lint", Checks: checks(), Findings: []findings.Finding{f}}).Runs[0].Results[0].PartialFingerprints {
			return print
		}
		return ""
	}
	base := findings.Finding{ID: "first", Level: findings.Warning, Object: "NetworkPolicy shop/web", Field: "spec", File: "a.yaml", Line: 1, Message: "m"}
	moved := base
	moved.File, moved.Line, moved.Message, moved.Level = "b.yaml", 99, "other words", findings.Error
	if of(base) != of(moved) {
		t.Error("a finding that moved is another one")
	}
	seen := map[string]string{}
	for name, change := range map[string]func(*findings.Finding){
		"itself": func(*findings.Finding) {}, "check": func(f *findings.Finding) { f.ID = "second" }, "object": func(f *findings.Finding) { f.Object = "NetworkPolicy shop/db" },
		"field": func(f *findings.Finding) { f.Field = "spec.ingress" }, "key": func(f *findings.Finding) { f.Key = "k" },
		"shifted": func(f *findings.Finding) { f.Object, f.Field = "NetworkPolicy shop/webspec", "" },
	} {
		f := base
		change(&f)
		if other, twice := seen[of(f)]; twice {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[of(f)] = name
	}
}

// junit is the report as its readers see it.
type junit struct {
	XMLName                 xml.Name `xml:"testsuites"`
	Tests, Failures, Errors int      `xml:",attr"`
	Suite                   struct {
		TestsA    int `xml:"tests,attr"`
		FailuresA int `xml:"failures,attr"`
		SkippedA  int `xml:"skipped,attr"`
		Cases     []struct {
			Name      string `xml:"name,attr"`
			ClassName string `xml:"classname,attr"`
			Failure   *struct {
				Message string `xml:"message,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
			Skipped *struct{}  `xml:"skipped"`
			Out     string     `xml:"system-out"`
			Other   []struct{} `xml:",any"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// A report counts what is in it, fails warnings and errors alone, and is XML whatever the
// findings say.
func TestJUnit(t *testing.T) {
	r := result()
	text := written(t, func(w io.Writer) error { return findings.JUnit(w, r) })
	if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b") {
		t.Errorf("characters that XML does not have: %q", text)
	}
	var got junit
	if err := xml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	failed, skipped, out := 0, 0, 0
	for _, c := range got.Suite.Cases {
		if c.Name == "" && c.ClassName != "sluice.lint.first" || !strings.HasPrefix(c.ClassName, "sluice.lint.") || len(c.Other) > 0 {
			t.Errorf("%+v", c)
		}
		switch {
		case c.Failure != nil:
			failed++
		case c.Skipped != nil:
			skipped++
		case c.Out != "":
			out++
			if !strings.Contains(c.Out, "100% <b>&") {
				t.Errorf("note %q", c.Out)
			}
		}
	}
	// Four findings of which one is a note, one that was silenced, and the check that found nothing.
	if len(got.Suite.Cases) != 6 || failed != 3 || skipped != 1 || out != 1 {
		t.Errorf("%d cases, %d failed, %d skipped, %d notes: %s", len(got.Suite.Cases), failed, skipped, out, text)
	}
	if got.Suite.TestsA != 6 || got.Suite.FailuresA != failed || got.Suite.SkippedA != skipped {
		t.Errorf("the suite counts %d, %d, %d", got.Suite.TestsA, got.Suite.FailuresA, got.Suite.SkippedA)
	}
	r.Passed = []findings.Pass{{Name: "a → b", Class: "flows"}}
	if text := written(t, func(w io.Writer) error { return findings.JUnit(w, r) }); !strings.Contains(text, `<testcase name="a → b" classname="sluice.lint.flows">`) || strings.Contains(text, "Third.") {
		t.Errorf("%s", text)
	}
}

// command is a workflow command as the runner reads it: it ends with its line, properties
// end at commas, and values are unescaped.
func command(t *testing.T, line string) (name string, properties map[string]string, message string) {
	t.Helper()
	head, message, ok := strings.Cut(strings.TrimPrefix(line, "::"), "::")
	if !strings.HasPrefix(line, "::") || !ok {
		t.Fatalf("no command: %q", line)
	}
	name, list, _ := strings.Cut(head, " ")
	properties = map[string]string{}
	for one := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(one, "=")
		if _, twice := properties[key]; !ok || twice {
			t.Fatalf("property %q of %q", one, line)
		}
		properties[key] = strings.NewReplacer("%3A", ":", "%2C", ",", "%0D", "\r", "%0A", "\n", "%25", "%").Replace(value)
	}
	return name, properties, strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace(message)
}

// Nothing that a finding says begins another command, another property or another line.
func TestGitHub(t *testing.T) {
	r := result()
	r.Findings = append(r.Findings, findings.Finding{ID: "first", Level: findings.Warning, File: "a,b:c%2C\n::error::x.yaml", Line: 2, Message: "m"})
	lines := strings.Split(strings.TrimSuffix(written(t, func(w io.Writer) error { return findings.GitHub(w, r) }), "\n"), "\n")
	if len(lines) != len(r.Findings) {
		t.Fatalf("%d lines of %d findings: %q", len(lines), len(r.Findings), lines)
	}
	for i, line := range lines {
		f := r.Findings[i]
		name, properties, message := command(t, line)
		want := map[string]string{"title": "sluice lint: " + f.ID}
		if f.File != "" {
			want["file"] = f.File
		}
		if f.Line > 0 {
			want["line"] = fmt.Sprint(f.Line)
		}
		if diff := cmp.Diff(want, properties); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
		if name != map[string]string{findings.Note: "notice", findings.Warning: "warning", findings.Error: "error"}[f.Level] {
			t.Errorf("%s is a %s", f.Level, name)
		}
		if !strings.Contains(message, f.Message) || !strings.HasSuffix(message, f.Mend) {
			t.Errorf("%q says %q", line, message)
		}
		if strings.ContainsAny(line, "\r") {
			t.Errorf("%q", line)
		}
	}
}

// Sentences have the place as compilers write it.
func TestSentence(t *testing.T) {
	for want, f := range map[string]findings.Finding{
		"a.yaml:3: warning: NetworkPolicy shop/web: spec: m": {Level: findings.Warning, Object: "NetworkPolicy shop/web", Field: "spec", File: "a.yaml", Line: 3, Message: "m"},
		"a.yaml: note: m": {Level: findings.Note, File: path.Join("a.yaml"), Message: "m"},
		"error: m":        {Level: findings.Error, Line: 3, Message: "m"},
	} {
		if got := f.Sentence(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
