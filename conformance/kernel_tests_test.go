package conformance_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kernelOnly are directories all of whose tests need the kernel, kernelMarks
// are what a test elsewhere calls if it does.
var (
	kernelOnly  = []string{"conformance/agreement", "conformance/attack", "conformance/denials", "conformance/live", "conformance/sockets"}
	kernelMarks = map[string]bool{
		"buildLab": true, "needRoot": true, "newNS": true, "newPTPNode": true, "newBridgeNode": true, "startAgent": true,
		"newEventBench": true, "newTwins": true, "newRepairable": true, "chaos": true,
		"netnstest.New": true, "netnstest.NewPTPNode": true, "netnstest.NewBridgeNode": true,
	}
)

// The lists are of tests that make test demands, and of those that need what not every
// kernel has, for make kernel-matrix.
const (
	everyKernel = "kernel-tests.txt"
	someKernels = "kernels/tests.txt"
)

// TestKernelTestsAreNamed keeps the list that make test demands complete.
func TestKernelTestsAreNamed(t *testing.T) {
	named := map[string]map[string]bool{}
	for _, file := range []string{everyKernel, someKernels} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		named[file] = map[string]bool{}
		for line := range strings.Lines(string(data)) {
			named[file][strings.TrimSpace(line)] = true
		}
	}
	for _, dir := range append([]string{"conformance/chaos", "conformance/lab", "enforcer", "enforcer/detect", "enforcer/links"}, kernelOnly...) {
		files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			list := everyKernel
			if slices.ContainsFunc(parsed.Comments, func(c *ast.CommentGroup) bool { return c.List[0].Text == "//go:build kernels" }) {
				list = someKernels
			}
			for _, d := range parsed.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
					continue
				}
				name := module + dir + " " + f.Name.Name
				if (slices.Contains(kernelOnly, dir) || marked(f)) && !named[list][name] {
					t.Errorf("conformance/%s lacks the line\n%s", list, name)
				}
			}
		}
	}
}

func marked(f *ast.FuncDecl) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			switch of := call.Fun.(type) {
			case *ast.Ident:
				found = found || kernelMarks[of.Name]
			case *ast.SelectorExpr:
				pkg, ok := of.X.(*ast.Ident)
				found = found || ok && kernelMarks[pkg.Name+"."+of.Sel.Name]
			}
		}
		return !found
	})
	return found
}

// TestNamedKernelTestsAreThere finds what a list still names after a test was moved or
// renamed, before make test has run for long.
func TestNamedKernelTestsAreThere(t *testing.T) {
	for _, file := range []string{everyKernel, someKernels} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			pkg, test, found := strings.Cut(strings.TrimSpace(line), " ")
			if !found || strings.HasPrefix(pkg, "#") {
				continue
			}
			dir := filepath.Join("..", strings.TrimPrefix(pkg, "github.com/sluice-net/sluice/"))
			files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(files, func(file string) bool {
				text, err := os.ReadFile(file)
				return err == nil && strings.Contains(string(text), "\nfunc "+test+"(")
			}) {
				t.Errorf("%s: package %s has no %s: take the line out, or name the test's package", file, pkg, test)
			}
		}
	}
}
