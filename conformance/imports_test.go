// Package conformance_test holds what is true of the repository as a whole.
package conformance_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-net/sluice/"

// ban keeps some imports out of a package and everything below it.
type ban struct {
	// in is a directory of this module.
	in string
	// imports are import paths; what lies below one is banned too, unless it
	// ends in "$".
	imports []string
	// transitive bans are about what gets linked, others about what the
	// package itself reaches for: the Kubernetes API types drag in much of the
	// standard library.
	transitive bool
	because    string
}

var bans = []ban{
	{"policy", []string{"os", "net$", "net/http", "syscall", "golang.org/x/sys", "k8s.io/klog", "log"}, false,
		"policy is pure: the same objects give the same answer in the agent, in explain and in the tests"},
	{"policy", []string{"k8s.io/client-go", "sigs.k8s.io/knftables", "github.com/vishvananda", "github.com/google/nftables", "github.com/prometheus"}, true,
		"policy knows objects and addresses, not clusters and kernels"},
	{"policy", []string{module + "compiler", module + "enforcer", module + "cmd", module + "conformance"}, true,
		"policy is at the bottom: everything else builds on it"},
	{"policy/question", []string{"github.com/spf13", "k8s.io/cli-runtime", "encoding/json"}, false,
		"questions and answers are data: commands read flags, files and clusters, and lay answers out"},
	{"policy/spectest", []string{module + "policy/manifest"}, true,
		"the naive evaluator shares no code with what it checks"},
	{"compiler", []string{"os", "net$", "net/http", "syscall", "golang.org/x/sys", "k8s.io/klog", "log"}, false,
		"compiler is pure: a ruleset is data that tests can read"},
	{"compiler", []string{"github.com/google/nftables"}, false,
		"compiler speaks knftables' terms only; how they reach the kernel is enforcer's choice"},
	{"compiler", []string{"k8s.io/client-go", "github.com/vishvananda", "github.com/prometheus"}, true,
		"compiler says what the kernel should hold; enforcer puts it there"},
	{"compiler", []string{module + "enforcer", module + "cmd", module + "conformance"}, true,
		"compiler depends on policy alone"},
	{"enforcer/manifestfiles", []string{"k8s.io", "github.com/vishvananda", "golang.org/x/sys", "syscall"}, false,
		"manifestfiles knows files and not what is in them, and builds on every system"},
	{"enforcer/source", []string{"github.com/vishvananda", "github.com/google/nftables", "sigs.k8s.io/knftables", "github.com/prometheus/client_golang"}, true,
		"a source knows objects: the kernel and the metrics are the agent's"},
	{"enforcer/links", []string{"k8s.io/client-go"}, true,
		"links asks the kernel where Pods are, and nobody else"},
	{"enforcer/links", []string{"sigs.k8s.io/knftables", "github.com/google/nftables", "os/exec"}, false,
		"links says where Pods are; what is enforced there is the agent's"},
	{"enforcer/residents", []string{module + "compiler$", module + "enforcer$", module + "enforcer/tables", "github.com/vishvananda", "github.com/google/nftables", "sigs.k8s.io/knftables", "golang.org/x/sys", "k8s.io/client-go", "k8s.io/klog", "github.com/prometheus"}, false,
		"whose an address is follows from objects, the runtime's word and links: not from what is enforced"},
	{"enforcer/nri", []string{module + "enforcer$", module + "compiler"}, false,
		"the runtime's word is for whoever wants to know: an agent does without"},
	{"enforcer/rounds", []string{"os", "net$", "syscall", "golang.org/x/sys", "log", "context", "sync", "k8s.io", "sigs.k8s.io", "github.com/vishvananda", "github.com/google/nftables", "github.com/prometheus"}, false,
		"what a round does is decided by what was seen: no kernel, no log, nothing that waits"},
	{"enforcer/conntrack", []string{module + "enforcer$", "github.com/google/nftables", "sigs.k8s.io/knftables", "k8s.io/client-go", "github.com/prometheus", "os/exec"}, false,
		"conntrack asks the kernel for connections: rules, metrics and the API are others' matter"},
	{"enforcer/ledger", []string{module + "compiler", module + "enforcer$", "github.com/vishvananda", "github.com/google/nftables", "sigs.k8s.io/knftables", "golang.org/x/sys", "net/http", "k8s.io/klog"}, false,
		"the ledger is told what is in the kernel, and answers: it sees no kernel, no door and no log"},
	{"enforcer/nlsocket", []string{"k8s.io/api", "k8s.io/client-go", "github.com/google/nftables", "sigs.k8s.io/knftables"}, true,
		"a socket knows messages, not what they are about"},
	{"enforcer/tables", []string{module + "enforcer$", module + "policy$", "github.com/google/nftables", "k8s.io/client-go", "github.com/prometheus"}, false,
		"tables brings what it is given into the kernel: policies, the API and metrics are others' matter"},
	{"enforcer/netns", []string{"k8s.io/client-go", "github.com/vishvananda", "sigs.k8s.io/knftables"}, true,
		"a namespace is entered the same way for whatever is to be done in it"},
	{"enforcer", []string{"github.com/spf13/cobra", "k8s.io/cli-runtime", module + "cmd", module + "conformance"}, true,
		"enforcer is a library that a command runs, not a command"},
	{"enforcer", []string{"github.com/google/nftables", "github.com/mdlayher/netlink"}, false,
		"nf_tables is nftwire's, all else vishvananda/netlink's: a third netlink stack would have to say why"},
	{"enforcer/nftwire", []string{module + "enforcer$", module + "policy$", "sigs.k8s.io/knftables", "github.com/vishvananda", "k8s.io/klog", "github.com/prometheus"}, false,
		"nftwire turns the compiler's data into bytes: no loop, no text, no logs, no other netlink"},
	{"conformance/lab", []string{module + "compiler", module + "enforcer", module + "cmd"}, true,
		"the lab judges the engine and must not lean on it"},
}

type listed struct {
	ImportPath    string
	Imports, Deps []string
}

func TestImports(t *testing.T) {
	packages := list(t)
	for _, b := range bans {
		for _, p := range packages {
			if !below(p.ImportPath, module+b.in) {
				continue
			}
			reached := p.Imports
			if b.transitive {
				reached = p.Deps
			}
			for _, i := range reached {
				for _, banned := range b.imports {
					if below(i, banned) {
						t.Errorf("%s reaches %s: %s", p.ImportPath, i, b.because)
					}
				}
			}
		}
	}
}

// list returns the packages of the module, without their tests.
func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 5 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	return packages
}

func below(path, banned string) bool {
	if exact, ok := strings.CutSuffix(banned, "$"); ok {
		return path == exact
	}
	return path == banned || strings.HasPrefix(path, strings.TrimSuffix(banned, "/")+"/")
}

// TestRunsAnywhere keeps what needs Linux out of the command for other systems:
// explain and verify need no kernel.
func TestRunsAnywhere(t *testing.T) {
	for _, system := range []string{"darwin", "windows"} {
		cmd := exec.Command("go", "list", "-deps", "./cmd/sluice")
		cmd.Dir = ".."
		cmd.Env = append(cmd.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		reached := strings.Fields(string(out))
		if !slices.Contains(reached, module+"policy/question") {
			t.Errorf("%s: the command asks no questions", system)
		}
		// What is read from files, or from agents, is the same on every system.
		anywhere := []string{"enforcer/manifestfiles", "enforcer/denials", "enforcer/denials/observe", "enforcer/diagnosis", "enforcer/nodestatus"}
		for _, i := range reached {
			if slices.Contains(anywhere, strings.TrimPrefix(i, module)) {
				continue
			}
			for _, banned := range []string{module + "enforcer", module + "compiler", module + "conformance", "github.com/vishvananda", "sigs.k8s.io/knftables"} {
				if below(i, banned) {
					t.Errorf("%s: the command reaches %s, which needs Linux", system, i)
				}
			}
		}
	}
}

// TestPureCore looks for what an import list does not show.
func TestPureCore(t *testing.T) {
	for _, dir := range []string{"policy", "policy/manifest", "policy/service", "policy/question", "compiler", "policy/connectivity", "policy/connectivity/entries", "policy/connectivity/inventory", "policy/connectivity/report", "policy/findings", "policy/lint", "policy/lint/report", "policy/workload", "policy/spelling", "enforcer/rounds"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if what := impurity(n); what != "" {
					t.Errorf("%s: %s in a pure package", set.Position(n.Pos()), what)
				}
				return true
			})
		}
	}
}

// impurity names what is wrong with n, or is empty.
func impurity(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a goroutine"
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "panic" {
			return "panic: return an error"
		}
	case *ast.SelectorExpr:
		x, ok := n.X.(*ast.Ident)
		if ok && x.Name == "knftables" && n.Sel.Name == "New" {
			return "knftables.New: only knftables' data types belong here"
		}
		if ok && x.Name == "time" {
			switch n.Sel.Name {
			case "Now", "Since", "Until", "After", "Sleep", "NewTimer", "NewTicker", "Tick":
				return "the clock (time." + n.Sel.Name + ")"
			}
		}
	}
	return ""
}

// TestNothingSkips keeps kernel tests honest: a test that cannot run fails.
func TestNothingSkips(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "Skip" || s.Sel.Name == "Skipf" || s.Sel.Name == "SkipNow") {
				t.Errorf("%s: %s: a test runs or fails", set.Position(n.Pos()), s.Sel.Name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
