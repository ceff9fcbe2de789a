package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/lint"
	"github.com/sluice-net/sluice/policy/lint/report"
)

// found has a finding of each severity, one that was silenced, and characters that
// each format treats in its own way.
var found = lint.Result{
	Objects: lint.Counts{Policies: 2, Workloads: 1},
	Findings: []lint.Finding{
		{ID: "unreadable", Severity: lint.Error, Place: lint.Place{File: "a dir/50%.yaml", Line: 3}, Message: "not valid YAML: <x> & \"y\"", Mend: "mend the file"},
		{
			ID: "policy-selects-nothing", Severity: lint.Warning, Object: lint.Object{Kind: "NetworkPolicy", Namespace: "shop", Name: "p"}, Field: "spec.podSelector.matchLabels.name",
			Place: lint.Place{File: "./p,q:r.yaml", Line: 8}, Message: "selects name=cart", Mend: "write name=carts",
		},
		{ID: "pod-not-isolated", Severity: lint.Note, Object: lint.Object{Kind: "Pod", Namespace: "shop", Name: "web"}, Message: "no policy isolates it", Mend: "write one"},
	},
	Silenced: []lint.Finding{
		{
			ID: "rule-split", Severity: lint.Note, Object: lint.Object{Kind: "NetworkPolicy", Namespace: "shop", Name: "q"}, Field: "spec.ingress[1].ports",
			Place: lint.Place{File: "/abs/q.yaml", Line: 12}, Message: "allows everybody", Mend: "remove the dash", Silenced: "annotation",
		},
	},
}

func written(t *testing.T, write func(io.Writer, lint.Result) error, r lint.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sarif(w io.Writer, r lint.Result) error { return report.SARIF(w, r, "v1") }

func TestText(t *testing.T) {
	want := `a dir/50%.yaml:3: error: not valid YAML: <x> & "y"
    mend the file [unreadable]
./p,q:r.yaml:8: warning: NetworkPolicy shop/p: spec.podSelector.matchLabels.name: selects name=cart
    write name=carts [policy-selects-nothing]
note: Pod shop/web: no policy isolates it
    write one [pod-not-isolated]
2 policies, 1 workload: 1 error, 1 warning, 1 note; 1 silenced
`
	if diff := cmp.Diff(want, written(t, report.Text, found)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := written(t, report.Text, lint.Result{}); got != "0 policies, 0 workloads: no findings\n" {
		t.Errorf("%q", got)
	}
}

// Each annotation is one line, whatever it says, and nothing in it ends a property.
func TestGitHub(t *testing.T) {
	want := `::error file=a dir/50%25.yaml,line=3,title=sluice lint%3A unreadable::not valid YAML: <x> & "y"%0Amend the file
::warning file=./p%2Cq%3Ar.yaml,line=8,title=sluice lint%3A policy-selects-nothing::NetworkPolicy shop/p: spec.podSelector.matchLabels.name: selects name=cart%0Awrite name=carts
::notice title=sluice lint%3A pod-not-isolated::Pod shop/web: no policy isolates it%0Awrite one
`
	if diff := cmp.Diff(want, written(t, report.GitHub, found)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	var d report.Document
	decoder := json.NewDecoder(strings.NewReader(written(t, report.JSON, lint.Result{})))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil || d.APIVersion != report.Version || d.Kind != "LintResult" || d.Findings == nil || d.Silenced == nil {
		t.Errorf("%+v, %v", d, err)
	}
	var raw struct {
		Findings []map[string]any
		Silenced []map[string]any
	}
	if err := json.Unmarshal([]byte(written(t, report.JSON, found)), &raw); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": "policy-selects-nothing", "severity": "warning", "object": map[string]any{"kind": "NetworkPolicy", "namespace": "shop", "name": "p"},
		"field": "spec.podSelector.matchLabels.name", "place": map[string]any{"file": "./p,q:r.yaml", "line": 8.0},
		"message": "selects name=cart", "mend": "write name=carts",
	}
	if len(raw.Findings) != 3 || len(raw.Silenced) != 1 || raw.Silenced[0]["silenced"] != "annotation" {
		t.Fatalf("%+v", raw)
	}
	if diff := cmp.Diff(want, raw.Findings[1]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The fields that SARIF's schema requires are there, and what it restricts is as it
// has it.
func TestSARIF(t *testing.T) {
	for name, r := range map[string]lint.Result{"found": found, "nothing": {}} {
		var log struct {
			Schema  string `json:"$schema"`
			Version string
			Runs    []struct {
				ColumnKind string
				Tool       struct {
					Driver struct {
						Name, Version, InformationURI string
						Rules                         []struct {
							ID, HelpURI                             string
							ShortDescription, FullDescription, Help struct{ Text string }
							DefaultConfiguration                    struct{ Level string }
						}
					}
				}
				Results []struct {
					RuleID, Level string
					RuleIndex     int
					Message       struct{ Text string }
					Locations     []struct {
						PhysicalLocation *struct {
							ArtifactLocation struct{ URI string }
							Region           *struct{ StartLine int }
						}
						LogicalLocations []struct{ FullyQualifiedName, Kind string }
					}
					PartialFingerprints map[string]string
					Suppressions        []struct{ Kind, Justification string }
				}
			}
		}
		text := written(t, sarif, r)
		if err := json.Unmarshal([]byte(text), &log); err != nil {
			t.Fatal(err)
		}
		if log.Version != "2.1.0" || !strings.Contains(log.Schema, "sarif-schema-2.1.0.json") || len(log.Runs) != 1 || !strings.Contains(text, `"results": [`) {
			t.Fatalf("%s: %s", name, text)
		}
		one := log.Runs[0]
		levels := []string{"none", "note", "warning", "error"}
		if d := one.Tool.Driver; d.Name == "" || d.Version != "v1" || one.ColumnKind != "unicodeCodePoints" || !isAbsolute(d.InformationURI) {
			t.Errorf("%s: driver %+v", name, d)
		}
		for _, rule := range one.Tool.Driver.Rules {
			if rule.ID == "" || rule.ShortDescription.Text == "" || rule.FullDescription.Text == "" || rule.Help.Text == "" || !isAbsolute(rule.HelpURI) || !slices.Contains(levels, rule.DefaultConfiguration.Level) {
				t.Errorf("%s: rule %+v", name, rule)
			}
		}
		if len(one.Results) != len(r.Findings)+len(r.Silenced) {
			t.Fatalf("%s: %d results", name, len(one.Results))
		}
		for i, result := range one.Results {
			if result.Message.Text == "" || !slices.Contains(levels, result.Level) || result.PartialFingerprints["sluiceLint/v1"] == "" || one.Tool.Driver.Rules[result.RuleIndex].ID != result.RuleID {
				t.Errorf("%s: result %+v", name, result)
			}
			if silenced := i >= len(r.Findings); silenced != (len(result.Suppressions) == 1 && result.Suppressions[0].Kind == "inSource") {
				t.Errorf("%s: suppressions %+v", name, result.Suppressions)
			}
			for _, at := range result.Locations {
				if p := at.PhysicalLocation; p != nil {
					if u, err := url.Parse(p.ArtifactLocation.URI); err != nil || u.String() == "" || p.Region != nil && p.Region.StartLine < 1 {
						t.Errorf("%s: location %+v, %v", name, p, err)
					}
				}
			}
		}
		if name == "found" {
			var uris []string
			for _, result := range one.Results {
				if p := result.Locations[0].PhysicalLocation; p != nil {
					uris = append(uris, p.ArtifactLocation.URI)
				}
			}
			if diff := cmp.Diff([]string{"a%20dir/50%25.yaml", "./p,q:r.yaml", "file:///abs/q.yaml"}, uris); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	}
}

func isAbsolute(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs()
}

// A finding is known again when lines move, and told apart from others.
func TestSARIFFingerprints(t *testing.T) {
	moved := found
	moved.Findings = slices.Clone(found.Findings)
	moved.Findings[1].Place.Line = 80
	prints := func(r lint.Result) []string {
		var log struct {
			Runs []struct {
				Results []struct{ PartialFingerprints map[string]string }
			}
		}
		if err := json.Unmarshal([]byte(written(t, sarif, r)), &log); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, result := range log.Runs[0].Results {
			out = append(out, result.PartialFingerprints["sluiceLint/v1"])
		}
		return out
	}
	before := prints(found)
	if diff := cmp.Diff(before, prints(moved)); diff != "" {
		t.Errorf("(-before +moved):\n%s", diff)
	}
	slices.Sort(before)
	if len(slices.Compact(before)) != 4 {
		t.Errorf("two findings have one: %v", before)
	}
}

// The attributes that readers of JUnit's reports rely on are there, and the counts
// are those of the cases.
func TestJUnit(t *testing.T) {
	for name, r := range map[string]lint.Result{"found": found, "nothing": {}} {
		var suites struct {
			XMLName  xml.Name `xml:"testsuites"`
			Tests    int      `xml:"tests,attr"`
			Failures int      `xml:"failures,attr"`
			Suites   []struct {
				Name     string `xml:"name,attr"`
				Tests    int    `xml:"tests,attr"`
				Failures int    `xml:"failures,attr"`
				Errors   *int   `xml:"errors,attr"`
				Skipped  int    `xml:"skipped,attr"`
				Cases    []struct {
					Name      string `xml:"name,attr"`
					ClassName string `xml:"classname,attr"`
					Failure   *struct {
						Message string `xml:"message,attr"`
						Type    string `xml:"type,attr"`
						Text    string `xml:",chardata"`
					} `xml:"failure"`
					Skipped *struct{} `xml:"skipped"`
					Out     string    `xml:"system-out"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		text := written(t, report.JUnit, r)
		if err := xml.Unmarshal([]byte(text), &suites); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(text, "<?xml") || len(suites.Suites) != 1 {
			t.Fatalf("%s: %s", name, text)
		}
		one := suites.Suites[0]
		failures, skipped, out := 0, 0, 0
		for _, c := range one.Cases {
			if c.Name == "" || c.ClassName == "" {
				t.Errorf("%s: %+v", name, c)
			}
			if c.Failure != nil {
				failures++
				if c.Failure.Message == "" || c.Failure.Type == "" || c.Failure.Text == "" {
					t.Errorf("%s: %+v", name, c.Failure)
				}
			}
			if c.Skipped != nil {
				skipped++
			}
			if c.Out != "" {
				out++
			}
		}
		if one.Name == "" || one.Errors == nil || one.Tests != len(one.Cases) || suites.Tests != one.Tests || one.Failures != failures || suites.Failures != failures || one.Skipped != skipped {
			t.Errorf("%s: %d cases, %d failures, %d skipped: %+v", name, len(one.Cases), failures, skipped, one)
		}
		if want := map[string][3]int{"found": {2, 1, 1}, "nothing": {0, 0, 0}}[name]; want != [3]int{failures, skipped, out} {
			t.Errorf("%s: %d failures, %d skipped, %d with output", name, failures, skipped, out)
		}
		// A check without a finding is a test that passes.
		if want := len(lint.Checks()) - map[string]int{"found": 4, "nothing": 0}[name] + len(r.Findings) + len(r.Silenced); len(one.Cases) != want {
			t.Errorf("%s: %d cases, want %d", name, len(one.Cases), want)
		}
	}
}

// failing takes some bytes and then no more.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// What cannot be written is an error.
func TestWriteErrors(t *testing.T) {
	for name, write := range map[string]func(io.Writer, lint.Result) error{"text": report.Text, "json": report.JSON, "github": report.GitHub, "sarif": sarif, "junit": report.JUnit} {
		for _, left := range []int{0, 45} {
			if write(&failing{left}, found) == nil {
				t.Errorf("%s: after %d bytes nothing is said", name, left)
			}
		}
	}
}
