// Package action_test holds the action and the hooks to the commands that they run.
package action_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/cmd/sluice/app"
)

// read decodes a YAML file, and refuses fields that are none of the type.
func read(t *testing.T, file string, to any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, to); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// hook and action are what pre-commit and GitHub read.
type hook struct {
	ID, Name, Description, Entry, Language, Files string
	Args                                          []string
	PassFilenames                                 bool `json:"pass_filenames"`
}

type action struct {
	Name, Description string
	Inputs            map[string]struct{ Description, Default string }
	Outputs           map[string]struct{ Description, Value string }
	Runs              struct {
		Using string
		Steps []struct {
			If, ID, Uses, Shell, Run string
			Env, With                map[string]string
		}
	}
}

// usesOf are the command lines in a text, each from the command's name on.
func usesOf(text, program string) [][]string {
	text = strings.ReplaceAll(text, "\\\n", " ")
	var out [][]string
	for line := range strings.Lines(text) {
		for _, part := range strings.Split(line, program+" ")[1:] {
			part = strings.FieldsFunc(part, func(r rune) bool { return r == '|' || r == '>' || r == ';' || r == '`' })[0]
			out = append(out, strings.Fields(strings.ReplaceAll(part, `"`, "")))
		}
	}
	return out
}

var flagName = regexp.MustCompile(`^--?[a-zA-Z][a-z-]*`)

// checkUse fails if a command or one of its flags does not exist.
func checkUse(t *testing.T, where string, words []string) {
	t.Helper()
	var out bytes.Buffer
	if code := app.Main(t.Context(), []string{words[0], "--help"}, app.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}); code != 0 {
		t.Errorf("%s: there is no command %q", where, words[0])
		return
	}
	known := regexp.MustCompile(`(?m)^\s+(-\w)?,?\s*(--[a-z-]+)`).FindAllStringSubmatch(out.String(), -1)
	for _, word := range words[1:] {
		name := flagName.FindString(word)
		if name == "" {
			continue
		}
		if !slices.ContainsFunc(known, func(k []string) bool { return name == k[1] || name == k[2] }) {
			t.Errorf("%s: %s has no flag %s", where, words[0], name)
		}
	}
}

func TestCommandsAndFlagsExist(t *testing.T) {
	script, err := os.ReadFile("check")
	if err != nil {
		t.Fatal(err)
	}
	uses := usesOf(string(script), `"$SLUICE"`)
	if len(uses) != 4 {
		t.Errorf("check runs %q", uses)
	}
	for _, words := range uses {
		checkUse(t, "check", words)
	}
	page, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range usesOf(string(page), "    sluice") {
		checkUse(t, "docs/ci.md", words)
	}
	var hooks []hook
	read(t, "../../.pre-commit-hooks.yaml", &hooks)
	for _, h := range hooks {
		if h.ID == "" || h.Name == "" || h.Description == "" || h.Language != "system" || h.PassFilenames {
			t.Errorf("hook %+v", h)
		}
		if _, err := regexp.Compile(h.Files); err != nil {
			t.Errorf("%s: files: %v", h.ID, err)
		}
		words := strings.Fields(h.Entry)
		if words[0] != "sluice" {
			t.Errorf("%s runs %s", h.ID, words[0])
		}
		checkUse(t, h.ID, append(words[1:], h.Args...))
		if !strings.Contains(string(page), h.ID) {
			t.Errorf("docs/ci.md does not name %s", h.ID)
		}
	}
	if len(hooks) == 0 {
		t.Error("there is no hook")
	}
}

// TestActionIsWhole: inputs are used and exist, and never become part of a script.
func TestActionIsWhole(t *testing.T) {
	var a action
	read(t, "action.yml", &a)
	text, err := os.ReadFile("action.yml")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range a.Inputs {
		if in.Description == "" || !strings.Contains(string(text), "inputs."+name) {
			t.Errorf("input %s is not described or not used", name)
		}
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/ci.md does not name the input %s", name)
		}
	}
	for _, m := range regexp.MustCompile(`inputs\.([a-z-]+)`).FindAllStringSubmatch(string(text), -1) {
		if _, is := a.Inputs[m[1]]; !is {
			t.Errorf("there is no input %s", m[1])
		}
	}
	for _, s := range a.Runs.Steps {
		if strings.Contains(s.Run, "${{") {
			t.Errorf("%s: what is put into a script can become part of it: give it as a variable", s.Run)
		}
		if s.Run != "" && s.Shell != "bash" {
			t.Errorf("%s: a composite action has to name its shell", s.Run)
		}
		for _, script := range []string{"check", "comment"} {
			if !strings.Contains(s.Run, "$ACTION/"+script) {
				continue
			}
			code, err := os.ReadFile(script)
			if err != nil {
				t.Fatal(err)
			}
			given := s.Run
			for name := range s.Env {
				given += " " + name + "="
			}
			for _, m := range regexp.MustCompile(`\$\{?([A-Z][A-Z_]+)`).FindAllStringSubmatch(string(code), -1) {
				if !strings.Contains(given, m[1]+"=") && !strings.HasPrefix(m[1], "GITHUB_") {
					t.Errorf("%s reads %s, which its step does not give", script, m[1])
				}
			}
		}
	}
}

// program writes an executable script.
func program(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte("#!/usr/bin/env bash\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// run runs a script of the action, and returns its exit code and what it said.
func run(t *testing.T, script, dir string, env ...string) (int, string) {
	t.Helper()
	file, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", file)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func content(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

// sluice is a stand-in that says what it was asked, and ends as $LINT, $VERIFY and $DIFF say.
const sluice = `
echo "$*"
case "$1" in
lint) exit "${LINT:-0}" ;;
verify) exit "${VERIFY:-0}" ;;
diff) exit "${DIFF:-0}" ;;
esac
`

func TestCheckRunsAllAndKeepsTheWorst(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.invalid"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
	}
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", "old")
	tool := program(t, dir, "sluice", sluice)
	report, summary := filepath.Join(dir, "report.md"), filepath.Join(dir, "summary.md")
	base := []string{"SLUICE=" + tool, "REPORT=" + report, "GITHUB_STEP_SUMMARY=" + summary, "MANIFESTS=deploy dir", "FAIL_ON=error", "FAIL_ON_CHANGE=never"}
	all := []string{"OLD=HEAD", "FLOWS=flows.jsonl"}
	for name, test := range map[string]struct {
		env  []string
		code int
	}{
		"all well":               {all, 0},
		"a finding":              {append(all, "LINT=1"), 1},
		"a mismatch":             {append(all, "VERIFY=1"), 1},
		"a difference":           {append(all, "DIFF=1"), 1},
		"unusable and a finding": {append(all, "LINT=1", "DIFF=2"), 2},
		"a crash":                {append(all, "VERIFY=134"), 2},
		"no such revision":       {[]string{"OLD=0123456789012345678901234567890123456789", "FLOWS="}, 2},
		"a flag for a path":      {[]string{"OLD=", "FLOWS=--in-kernel"}, 2},
		"lint alone":             {[]string{"OLD=", "FLOWS="}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(summary); err != nil {
				t.Fatal(err)
			}
			code, out := run(t, "check", dir, slices.Concat(base, test.env)...)
			if code != test.code {
				t.Errorf("exit code %d, want %d: %s", code, test.code, out)
			}
			if test.env[0] != "OLD=HEAD" {
				return
			}
			want := "### Lint\n\n``````text\nlint -f deploy dir -R --fail-on error -o text\n``````\n\n" +
				"### Expected flows\n\n``````text\nverify -f deploy dir -R --flows flows.jsonl -o text\n``````\n\n" +
				"diff HEAD:./deploy dir deploy dir -o md --fail-on never\n"
			if got := content(t, report); got != want {
				t.Errorf("the report is\n%s\nwant\n%s", got, want)
			}
			if got := content(t, summary); got != "## Sluice\n\n"+want {
				t.Errorf("the summary is\n%s", got)
			}
			if !strings.Contains(out, "lint -f deploy dir -R --fail-on error -o github\n") {
				t.Errorf("annotations are not in the log: %s", out)
			}
		})
	}
}

// gh is a stand-in that has comments of which $OURS is ours, and keeps what it is sent.
const gh = `
echo "$*" >>"$LOG"
case "$*" in
*--paginate*) [[ -n "$OURS" ]] && echo "$OURS"; exit 0 ;;
*) for a in "$@"; do [[ "$a" == body=@* ]] && cp "${a#body=@}" "$SENT"; done; exit "${REFUSED:-0}" ;;
esac
`

func TestCommentIsWrittenOnceAndThenAnew(t *testing.T) {
	for name, test := range map[string]struct {
		ours, report, refused, call string
	}{
		"the first":  {"", "small", "0", "api repos/o/r/issues/7/comments -F"},
		"the second": {"42", "small", "0", "api -X PATCH repos/o/r/issues/comments/42 -F"},
		"a large":    {"", strings.Repeat("é", 50_000), "0", "api repos/o/r/issues/7/comments -F"},
		"no right":   {"", "small", "1", "api repos/o/r/issues/7/comments -F"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			program(t, dir, "gh", gh)
			report, log, sent := filepath.Join(dir, "report.md"), filepath.Join(dir, "log"), filepath.Join(dir, "sent")
			if err := os.WriteFile(report, []byte(test.report), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out := run(t, "comment", dir, "PATH="+dir+":"+os.Getenv("PATH"), "REPORT="+report, "LOG="+log, "SENT="+sent,
				"OURS="+test.ours, "REFUSED="+test.refused, "GITHUB_REPOSITORY=o/r", "PULL_REQUEST=7")
			if code != 0 {
				t.Errorf("exit code %d: %s", code, out)
			}
			if got := content(t, log); !strings.Contains(got, test.call) {
				t.Errorf("gh was asked %q, want %q", got, test.call)
			}
			if (test.refused == "1") != strings.Contains(out, "pull-requests: write") {
				t.Errorf("it says %q", out)
			}
			body := content(t, sent)
			if !strings.HasPrefix(body, "<!-- sluice -->\n## Sluice\n") || len(body) > 65536 || strings.ToValidUTF8(body, "") != body {
				t.Errorf("the comment of %d bytes begins %.40q", len(body), body)
			}
			if cut := len(test.report) > 60_000; cut != strings.Contains(body, "The rest is in the summary") {
				t.Errorf("that it is cut is not said rightly: %.80q", body[max(0, len(body)-80):])
			}
		})
	}
}
