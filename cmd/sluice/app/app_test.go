package app

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// holds says what of the output is missing, and what should not be there.
func (r result) holds(t *testing.T, what string, has, lack []string) {
	t.Helper()
	for _, want := range has {
		if !strings.Contains(r.out, want) {
			t.Errorf("%s: %q is missing:\n%s", what, want, r.out)
		}
	}
	for _, not := range lack {
		if strings.Contains(r.out, not) {
			t.Errorf("%s: %q should not be there:\n%s", what, not, r.out)
		}
	}
}

// sluice runs a command line in process.
func sluice(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := Main(t.Context(), args, IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut})
	return result{code, out.String(), errOut.String()}
}

// write makes a file and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; \"make golden\" writes it anew):\n%s", name, diff)
	}
}

// Every command has an example, and its help says what its exit codes mean.
func TestCommandsAreDocumented(t *testing.T) {
	root := newRootCommand(IOStreams{})
	for _, c := range root.Commands() {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s: lacks a short description or an example", c.Name())
		}
		if c.Name() != "version" && !strings.Contains(c.Long, "Exit codes:") {
			t.Errorf("%s: does not document its exit codes", c.Name())
		}
	}
}

func TestUsageErrors(t *testing.T) {
	file := write(t, "pods.yaml", twoPods)
	tests := map[string]struct {
		args []string
		want string
	}{
		"unknown command":       {[]string{"enforce"}, `unknown command "enforce"`},
		"unknown flag":          {[]string{"verify", "--manifest", "x"}, "unknown flag: --manifest"},
		"verify no manifests":   {[]string{"verify"}, "no manifests"},
		"verify output":         {[]string{"verify", "-f", file, "-o", "xml"}, `--output: "xml" is none of [text json junit github md]`},
		"verify topology":       {[]string{"verify", "-f", file, "--topology", "ring"}, `--topology: "ring" is none of`},
		"verify stdin for both": {[]string{"verify", "-f", "-"}, "give the flows with --flows FILE"},
		"verify stdin twice":    {[]string{"verify", "-f", "-", "-f", "-", "--flows", file}, "stdin can be read once"},
		"verify missing file":   {[]string{"verify", "-f", "/nonexistent/x.yaml"}, "/nonexistent/x.yaml"},
		"verify missing flows":  {[]string{"verify", "-f", file, "--flows", "/nonexistent/flows"}, "/nonexistent/flows"},
		"verify empty dir":      {[]string{"verify", "-f", t.TempDir()}, "no .yaml, .yml or .json file"},
		"verify no flows":       {[]string{"verify", "-f", file}, "no flows in stdin"},
		"explain one argument":  {[]string{"explain", "a", "-f", file}, "accepts 2 arg(s)"},
		"explain no manifests":  {[]string{"explain", "a", "b:80"}, "no manifests"},
		"explain output":        {[]string{"explain", "a", "b:80", "-f", file, "-o", "yaml"}, "--output"},
		"explain bad source":    {[]string{"explain", "a/b/c", "b:80", "-f", file}, "SRC: "},
		"explain bad target":    {[]string{"explain", "a", "b:80/", "-f", file}, "DST: "},
		"explain unknown Pod":   {[]string{"explain", "a", "c:80", "-f", file}, "no Pod default/c in the manifests"},
		"explain no port":       {[]string{"explain", "a", "10.9.9.9", "-f", file}, "the port is missing"},
		"cleanup arguments":     {[]string{"cleanup", "now"}, "unknown command"},
		"agent two sources":     {[]string{"agent", "--manifests", ".", "--kubeconfig", "x"}, "--manifests"},
		"agent bad policy word": {[]string{"agent", "--manifests", ".", "--unknown-pods", "ignore"}, "--unknown-pods"},
		"agent bad mask":        {[]string{"agent", "--manifests", ".", "--ct-mark-mask", "0x1"}, "mask"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if !worksHere(t, tt.args[0]) {
				return
			}
			got := sluice(t, "", tt.args...)
			if got.code != exitUnusable {
				t.Errorf("exit code %d, want %d", got.code, exitUnusable)
			}
			if !strings.Contains(got.err, tt.want) {
				t.Errorf("stderr %q lacks %q", got.err, tt.want)
			}
			if got.out != "" {
				t.Errorf("stdout is not for errors: %q", got.out)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	got := sluice(t, "", "version")
	if got.code != exitOK || !strings.HasPrefix(got.out, "sluice ") {
		t.Errorf("got %+v", got)
	}
}

func TestCancelledRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut bytes.Buffer
	code := Main(ctx, []string{"verify", "-f", write(t, "pods.yaml", twoPods)},
		IOStreams{In: strings.NewReader(`{"src":"a","dst":"b","port":80}`), Out: &out, ErrOut: &errOut})
	if code == exitOK {
		t.Errorf("an interrupted run must not look like success: %q", out.String())
	}
}
