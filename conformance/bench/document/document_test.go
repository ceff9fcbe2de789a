package document_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/conformance/bench/document"
	"github.com/sluice-net/sluice/conformance/bench/figures"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden: a report of fixed figures. Of its pictures one of each kind is
// kept.
func TestGolden(t *testing.T) {
	files := reportOf(t, read(t, filepath.Join("testdata", "data.jsonl")))
	for _, name := range []string{"README.md", "control-events.svg", "packet-bridge-connection-rate.svg"} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, files[name], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(files[name])); diff != "" {
			t.Errorf("%s differs; make golden writes it anew (-want +got):\n%s", name, diff)
		}
	}
}

// TestNothingIsSilentlyAbsent: a part without figures is named, and each of
// its claims says that it was not measured.
func TestNothingIsSilentlyAbsent(t *testing.T) {
	run := &figures.Run{}
	run.Miss(document.Memory, "all of it", os.ErrNotExist)
	text := string(reportOf(t, run)["README.md"])
	for _, want := range []string{
		"- Packet path: was not asked for", "- Control path: was not asked for", "- Analysis: was not asked for",
		"- Memory and API load, all of it: could not be measured: file does not exist",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if strings.Contains(text, "met**") {
		t.Errorf("a claim about nothing was judged:\n%s", text)
	}
	if strings.Contains(text, "NaN") {
		t.Error("the report says NaN")
	}
}

// TestLinksLead: pictures are there, and links have their anchors, the README's
// to the report in the tree too.
func TestLinksLead(t *testing.T) {
	files := reportOf(t, read(t, filepath.Join("testdata", "data.jsonl")))
	text := string(files["README.md"])
	for _, m := range regexp.MustCompile(`\]\(([^)#]+\.svg)\)`).FindAllStringSubmatch(text, -1) {
		if files[m[1]] == nil {
			t.Errorf("no picture %s", m[1])
		}
	}
	for _, file := range []string{filepath.Join("..", "..", "..", "README.md"), filepath.Join("..", "report", "README.md")} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text += string(data)
	}
	for _, m := range regexp.MustCompile(`\]\((?:conformance/bench/report/README\.md)?#([a-z0-9-]+)\)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(text, `<a id="`+m[1]+`"></a>`) && !strings.Contains(text, `<a id=`+m[1]+`>`) {
			t.Errorf("a link leads to #%s, which is nowhere", m[1])
		}
	}
}

// TestRendersItsOwnReport: the report in the tree is what its data give, and the
// README's figures are too.
func TestRendersItsOwnReport(t *testing.T) {
	dir := filepath.Join("..", "report")
	run := read(t, filepath.Join(dir, "data.jsonl"))
	files := reportOf(t, run)
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what data.jsonl gives: go run ./conformance/bench render", name)
		}
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	summarized, err := document.Summarized(readme, run, "conformance/bench/report/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(summarized), string(readme)); diff != "" {
		t.Errorf("the README's figures are not the report's: go run ./conformance/bench render (-want +got):\n%s", diff)
	}
}

// TestSummary: each measured claim links to its line, and the README has that
// of the report.
func TestSummary(t *testing.T) {
	run := read(t, filepath.Join("testdata", "data.jsonl"))
	frame := "before\n<!-- Figures: make bench-report writes them. -->\nstale text\n<!-- End of the figures. -->\nafter\n"
	got, err := document.Summarized([]byte(frame), run, "r.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "after\n") || strings.Contains(text, "stale text") {
		t.Errorf("the summary is not in its place:\n%s", text)
	}
	report := string(reportOf(t, run)["README.md"])
	links := regexp.MustCompile(`r\.md#(claim-[a-z0-9-]+)`).FindAllStringSubmatch(text, -1)
	if len(links) < 10 {
		t.Errorf("only %d claims:\n%s", len(links), text)
	}
	for _, l := range links {
		if !strings.Contains(report, `<a id="`+l[1]+`"></a>`) {
			t.Errorf("no line %s in the report", l[1])
		}
	}
	if again, err := document.Summarized(got, run, "r.md"); err != nil || !bytes.Equal(again, got) {
		t.Errorf("a second time it differs (%v)", err)
	}
	if _, err := document.Summarized([]byte("no place"), run, "r.md"); err == nil {
		t.Error("a text without a place for it was accepted")
	}
}

func read(t *testing.T, path string) *figures.Run {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	run, err := figures.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func reportOf(t *testing.T, run *figures.Run) document.Files {
	t.Helper()
	files, err := document.Make(run)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
