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
	kernelOnly  = []string{"conformance/agreement", "conformance/attack", "conformance/live"}
	kernelMarks = map[string]bool{
		"buildLab": true, "needRoot": true, "newNS": true, "newPTPNode": true, "newBridgeNode": true, "startAgent": true,
		"newEventBench": true, "newTwins": true, "newRepairable": true, "chaos": true,
		"netnstest.New": true, "netnstest.NewPTPNode": true, "netnstest.NewBridgeNode": true,
	}
)

// TestKernelTestsAreNamed keeps the list that make test demands complete.
func TestKernelTestsAreNamed(t *testing.T) {
	data, err := os.ReadFile("kernel-tests.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		listed[strings.TrimSpace(line)] = true
	}
	for _, dir := range append([]string{"conformance/chaos", "conformance/lab", "enforcer", "enforcer/links"}, kernelOnly...) {
		files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
					continue
				}
				name := module + dir + " " + f.Name.Name
				if (slices.Contains(kernelOnly, dir) || marked(f)) && !listed[name] {
					t.Errorf("conformance/kernel-tests.txt lacks the line\n%s", name)
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
